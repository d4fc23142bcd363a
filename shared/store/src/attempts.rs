//! When an attempt gets a row of its own.
//!
//! While a message is `sending`, it says itself all that is known of its attempt: the number, the lease, the slot, and that
//! it began when the message was last written. The row is written once, with the answer, which is nearly always the next
//! thing that happens. Whoever moves a message out of `sending` without an answer, or looks for an attempt by its key,
//! writes the row first, so that an attempt whose message is not `sending` always has one.

use crate::{
    db::{Tx, args, statements},
    error::StoreResult,
    jobs::json_list,
};

statements! {
    WRITE_OPEN = "insert into attempts (message_id, number, lease_id, slot_us, started_at)
select id, attempts, coalesce(lease_id, 0), slot_us, updated_at from messages
where id in (select cast(value as bigint) from json_each($1)) and state || '' = 'sending'
on conflict (message_id, number) do nothing";
}

/// Gives the attempts under way of these messages their rows, where they have none. The caller has locked the messages:
/// otherwise one that is just being started could leave `sending` without its row, and whoever writes answers, which locks
/// messages before attempts, could wait for the caller while the caller waits for it.
pub(crate) async fn write_open(tx: &mut Tx, message_ids: &[i64]) -> StoreResult<()> {
    if !message_ids.is_empty() {
        tx.execute(WRITE_OPEN, args![json_list(message_ids)]).await?;
    }
    Ok(())
}
