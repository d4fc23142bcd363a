//! Letting senders send or not. What couriers hold of a sender that may not send goes back in the same transaction, so
//! that no attempt starts after it.

use super::{GIVE_BACK, HALT, HELD, PAUSE, RESUME, UNPARK};
use crate::{
    Store, TenantId, Topic,
    db::{Tx, args},
    error::StoreResult,
    jobs::json_list,
    outcomes::lock_messages,
};

impl Store {
    /// Pauses a sender until a person resumes it.
    ///
    /// # Errors
    /// When there is none of the name, or the ledger cannot be written.
    pub async fn pause_sender(&self, tenant: TenantId, name: &str, reason: &str) -> StoreResult<()> {
        let sender = self.sender(tenant, name).await?;
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        tx.execute(PAUSE, args![sender.id, reason, now]).await?;
        give_back(&mut tx, &[sender.id], now).await?;
        self.note_change(&mut tx, tenant, "sender.pause", name).await?;
        tx.commit().await
    }

    /// Lets a paused, halted or parked sender send again.
    ///
    /// # Errors
    /// When there is none of the name, or the ledger cannot be written.
    pub async fn resume_sender(&self, tenant: TenantId, name: &str) -> StoreResult<()> {
        let sender = self.sender(tenant, name).await?;
        let mut tx = self.db.begin().await?;
        tx.execute(RESUME, args![sender.id, self.now_ms()]).await?;
        tx.execute(UNPARK, args![sender.id]).await?;
        self.note_change(&mut tx, tenant, "sender.resume", name).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(())
    }
}

/// Halts senders that the provider refused; how many were not halted before.
pub(crate) async fn halt_senders(tx: &mut Tx, ids: &[i64], reason: &str, now: i64) -> StoreResult<u64> {
    let halted = tx.execute(HALT, args![json_list(ids), reason, now]).await?;
    give_back(tx, ids, now).await?;
    Ok(halted)
}

/// Takes from couriers what they hold of these senders and have not started. What is being claimed just now is refused
/// when it is to be started.
async fn give_back(tx: &mut Tx, sender_ids: &[i64], now: i64) -> StoreResult<()> {
    let held: Vec<(i64,)> = tx.all(HELD, args![json_list(sender_ids)]).await?;
    let held: Vec<i64> = held.into_iter().map(|(id,)| id).collect();
    // Locked in the order in which couriers lock what they start, so that no two transactions wait for each other.
    lock_messages(tx, held.iter().copied()).await?;
    tx.execute(GIVE_BACK, args![json_list(&held), now]).await.map(drop)
}
