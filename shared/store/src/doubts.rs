//! Messages of which nobody knows whether they left, once the time for evidence is over.
//!
//! No provider here takes an idempotency key, so sending again may send twice. Evidence decides first: a receipt that
//! names the attempt settles it whenever it comes. After the grace time, receipts for *later* messages of the same sender
//! without one for this message prove that it never left. Policy decides the rest.
//!
//! Which of two attempts is the later one is told by their slots, which one clock gives. A sender without a pace has none,
//! and its attempts go by the times of the processes that started them.

use kabar_domain::message::MessageState;
use serde::Serialize;

use crate::{
    Store, TenantId, Topic,
    audience::to_json,
    db::{args, statements},
    error::{StoreError, StoreResult},
    outcomes::lock_messages,
};

/// Why a message is sent again: its reason while it waits, and for good the evidence on the attempt that it replaces.
const BY_ABSENCE: &str = "sent again: receipts for later messages came, none for it";
const BY_POLICY: &str = "sent again: its policy on doubt is resend";
const BY_PERSON: &str = "sent again: a person says that it did not arrive";

/// By how much an attempt must be later than another to prove anything about it, in milliseconds: by the second that the
/// clocks of two processes differ at most, once put right by the ledger's, and by a second in which receipts may overtake each
/// other. Where an attempt seems to lie further ahead than this, some clock is or was wrong.
pub(crate) const LATER_BY_MS: i64 = 2_000;

statements! {
    /// What was heard of an attempt that lies ahead of now proves nothing yet: by which clock it does nobody knows.
    DUE = "select messages.id, messages.attempts, messages.job_id,
  cast(case when senders.receipts_through > coalesce(attempts.slot_us / 1000, attempts.started_at) + $3
    and senders.receipts_through <= $1 + $3 then 1 else 0 end as bigint) as proven_absent
from messages join senders on senders.id = messages.sender_id
join attempts on attempts.message_id = messages.id and attempts.number = messages.attempts
where messages.state = 'in_doubt' and messages.due_at <= $1 order by messages.due_at limit $2";
    /// A message whose job was cancelled is not sent again.
    SETTLE = "update messages set reason = settled.reason, due_at = $2, updated_at = $2,
  state = case when settled.state = 'queued' and exists (
    select 1 from jobs where jobs.id = messages.job_id and jobs.control = 'cancelled') then 'cancelled'
    else settled.state end
from (select cast(value->>'id' as bigint) as id, cast(value->>'number' as bigint) as number,
    value->>'state' as state, value->>'reason' as reason from json_each($1)) settled
where messages.id = settled.id and messages.attempts = settled.number and messages.state = 'in_doubt'";
    MARK_ABSENT = "update attempts set outcome = 'absent', evidence = $4, evidence_at = $3, ended_at = coalesce(ended_at, $3)
where message_id = $1 and number = $2 and (outcome is null or outcome = 'in_doubt')";
    RESOLVE = "update messages set state = $2, reason = $3, due_at = $4, updated_at = $4
where id = $1 and state in ('unresolved', 'in_doubt')
  and exists (select 1 from jobs where jobs.id = messages.job_id and jobs.tenant_id = $5)
returning attempts";
    HISTORY = "select messages.state from messages join jobs on jobs.id = messages.job_id
where messages.id = $1 and jobs.tenant_id = $2";
}

/// How doubts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DoubtsSettled {
    /// Sent again because evidence proves that they never left.
    pub absent: u64,
    /// Sent again because the policy says so.
    pub resent: u64,
    /// Left for a person.
    pub unresolved: u64,
}

#[derive(Serialize)]
struct Settle {
    id: i64,
    number: i64,
    state: &'static str,
    reason: &'static str,
}

impl Store {
    /// Settles doubts whose grace time is over, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn settle_doubts(&self, limit: u32) -> StoreResult<DoubtsSettled> {
        use kabar_domain::job::OnDoubt;
        let now = self.now_ms();
        let due: Vec<(i64, i64, i64, i64)> = self.db.all(DUE, args![now, i64::from(limit), LATER_BY_MS]).await?;
        let mut settled = DoubtsSettled::default();
        if due.is_empty() {
            return Ok(settled);
        }
        let mut job_ids: Vec<i64> = due.iter().map(|(.., job, _)| *job).collect();
        job_ids.sort_unstable();
        job_ids.dedup();
        let policies: std::collections::HashMap<i64, OnDoubt> =
            self.job_contents(&job_ids).await?.into_iter().map(|(id, content)| (id, content.on_doubt)).collect();
        let mut changes = Vec::with_capacity(due.len());
        let mut tx = self.db.begin().await?;
        let messages = lock_messages(&mut tx, due.iter().map(|(id, ..)| *id)).await?;
        for (id, number, job_id, proven_absent) in due {
            // A receipt may have come since it was looked at.
            let doubtful = MessageState::InDoubt.as_str();
            if messages.get(&id).is_none_or(|message| message.state != doubtful || message.attempts != number) {
                continue;
            }
            let (state, reason) = match (policies.get(&job_id).copied().unwrap_or_default(), proven_absent == 1) {
                (OnDoubt::Auto, true) => {
                    settled.absent += 1;
                    ("queued", BY_ABSENCE)
                }
                (OnDoubt::Resend, _) => {
                    settled.resent += 1;
                    ("queued", BY_POLICY)
                }
                (OnDoubt::Auto, false) => {
                    settled.unresolved += 1;
                    ("unresolved", "no receipt came for it or for any later message")
                }
                (OnDoubt::Hold, _) => {
                    settled.unresolved += 1;
                    ("unresolved", "its policy on doubt is hold")
                }
            };
            if state == "queued" {
                tx.execute(MARK_ABSENT, args![id, number, now, reason]).await?;
            }
            changes.push(Settle { id, number, state, reason });
        }
        tx.execute(SETTLE, args![to_json(&changes)?, now]).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(settled)
    }

    /// A person settles a doubtful message: it was sent, or it is to be sent again.
    ///
    /// # Errors
    /// When there is no such message, or it is not in doubt.
    pub async fn resolve_message(&self, tenant: TenantId, id: i64, was_sent: bool) -> StoreResult<()> {
        let (state, reason) =
            if was_sent { ("accepted", "a person says that it was sent") } else { ("queued", BY_PERSON) };
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let resolved: Option<(i64,)> = tx.optional(RESOLVE, args![id, state, reason, now, tenant.0]).await?;
        let Some((number,)) = resolved else {
            let state: Option<(String,)> = tx.optional(HISTORY, args![id, tenant.0]).await?;
            let (state,) = state.ok_or_else(|| StoreError::not_found("message", id.to_string()))?;
            return Err(StoreError::Refused(format!(
                "message {id} is {state}: only an unresolved one can be resolved"
            )));
        };
        if !was_sent {
            tx.execute(MARK_ABSENT, args![id, number, now, reason]).await?;
        }
        self.note_change(&mut tx, tenant, "message.resolve", id).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(())
    }
}
