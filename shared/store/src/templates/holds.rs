//! What a template's new status means for the broadcasts that use it: those of its account wait, or go on.

use kabar_domain::template::Template;

use crate::{
    db::{Tx, args, statements},
    error::StoreResult,
    outcomes::TEMPLATE_PAUSE_MS,
};

statements! {
    HOLD = "update jobs set held_until = $5
where tenant_id = $1 and kind = 'broadcast' and template_name = $3 and template_language = $4 and held_until < $5
  and sender_id in (select id from senders where senders.tenant_id = $1 and senders.account = $2)";
    RELEASE = "update jobs set held_until = 0
where tenant_id = $1 and kind = 'broadcast' and template_name = $3 and template_language = $4 and held_until > 0
  and sender_id in (select id from senders where senders.tenant_id = $1 and senders.account = $2)";
}

/// Holds the broadcasts of a template that cannot be sent for now, as long as an answer to a message would have, and lets
/// those of one that can go on at once.
pub(super) async fn follow_status(
    tx: &mut Tx,
    tenant_id: i64,
    account: &str,
    template: &Template,
    now: i64,
) -> StoreResult<()> {
    let (name, language) = (template.name.as_str(), template.language.as_str());
    if template.is_sendable() {
        tx.execute(RELEASE, args![tenant_id, account, name, language]).await?;
    } else if template.status == "PAUSED" || template.is_disabled() {
        tx.execute(HOLD, args![tenant_id, account, name, language, now + TEMPLATE_PAUSE_MS]).await?;
    }
    Ok(())
}
