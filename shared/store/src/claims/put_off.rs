//! Messages that were claimed and wait after all: something is found in their way that only the claim looks at.

use crate::{
    audience::to_json,
    db::{Tx, args, statements},
    error::StoreResult,
};

statements! {
    /// What the claim has just started has no attempt yet, and none is counted.
    WAIT = "update messages set due_at = later.due_at, reason = $2, lease_id = null, updated_at = $3,
  attempts = messages.attempts - case when messages.state = 'sending' then 1 else 0 end, state = 'queued'
from (select cast(value->>0 as bigint) as id, cast(value->>1 as bigint) as due_at from json_each($1)) later
where messages.id = later.id";
}

/// Lets messages that this transaction has claimed wait, each until its time, for `reason`.
pub(crate) async fn put_off(tx: &mut Tx, later: &[(i64, i64)], reason: &str, now: i64) -> StoreResult<()> {
    if later.is_empty() {
        return Ok(());
    }
    tx.execute(WAIT, args![to_json(later)?, reason, now]).await.map(drop)
}
