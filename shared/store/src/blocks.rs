//! Who may not be sent to on a channel: why, since when, and what lifts it.
//!
//! A block and the skipping of what waits for the recipient are one transaction, and every start of an attempt looks
//! for a block again, so nothing is sent after the block was committed.

use std::collections::{BTreeMap, HashMap};

use kabar_domain::{
    phone::PhoneNumber,
    sender::{Channel, ProviderKind},
};
use serde::Serialize;

use crate::{
    Store, TenantId, Topic,
    audience::to_json,
    db::{Tx, args, row, statements},
    error::StoreResult,
    jobs::json_list,
    recipients::{unknown, upsert_recipients},
};

/// What makes a block that a person set.
const BY_A_PERSON: &str = "a person";

statements! {
    /// A person's own block has no code, and no answer of a provider turns it into one that an inbound message lifts.
    BLOCK = "insert into blocks (recipient_id, channel, reason, code, source, blocked_at)
select cast(value->>'recipient' as bigint), value->>'channel', value->>'reason', cast(value->>'code' as bigint),
  value->>'source', $1
from json_each($2) where true
on conflict (recipient_id, channel) do update
set reason = excluded.reason, code = excluded.code, source = excluded.source, blocked_at = excluded.blocked_at
where blocks.code is not null and blocks.blocked_at <= excluded.blocked_at";
    SKIP = "update messages set state = 'skipped', reason = 'recipient_blocked', lease_id = null, updated_at = $2
where recipient_id in (select cast(value as bigint) from json_each($1))
  and state in ('queued', 'claimed')
  and sender_id in (select id from senders where provider in (select value->>'name' from json_each($3)))";
    OF = "select channel, reason, code, source, blocked_at from blocks where recipient_id = $1 order by channel";
    OF_MANY = "select recipient_id, channel, reason, code, source, blocked_at from blocks
where recipient_id in (select cast(value as bigint) from json_each($1)) order by recipient_id, channel";
    RECIPIENT = "select id from recipients where tenant_id = $1 and phone = $2";
    UNBLOCK = "delete from blocks where recipient_id = $1 and channel = $2";
    /// 131047: the 24-hour window had closed, which the person opens again by writing.
    LIFT = "delete from blocks where recipient_id = $1 and channel = $2 and code = 131047 and blocked_at < $3";
}

row! {
    /// A recipient may not be sent to on a channel.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Block {
        /// The channel's name, such as `whatsapp`.
        pub channel: String,
        /// Why, in a sentence.
        pub reason: String,
        /// The provider's code; none where a person set the block.
        pub code: Option<i64>,
        /// What made it: an attempt, a receipt, a person.
        pub source: String,
        /// Since when, in Unix milliseconds.
        pub blocked_at: i64,
    }
}

/// A block that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewBlock {
    pub(crate) recipient_id: i64,
    pub(crate) channel: &'static str,
    pub(crate) reason: String,
    pub(crate) code: Option<i64>,
    pub(crate) source: String,
}

#[derive(Serialize)]
struct BlockRow<'a> {
    recipient: i64,
    channel: &'static str,
    reason: &'a str,
    code: Option<i64>,
    source: &'a str,
}

/// A name, as a row of a statement.
#[derive(Serialize)]
pub(crate) struct Name {
    name: &'static str,
}

struct OwnedBlock {
    recipient_id: i64,
    block: Block,
}

impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for OwnedBlock
where
    Block: sqlx::FromRow<'r, R>,
    for<'c> &'c str: sqlx::ColumnIndex<R>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        Ok(Self { recipient_id: row.try_get("recipient_id")?, block: Block::from_row(row)? })
    }
}

impl Store {
    /// Blocks a number on a channel by a person's word, and skips what waits for it. A number that is not known is
    /// written down.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn block(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
        channel: Channel,
        reason: &str,
    ) -> StoreResult<()> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let ids = upsert_recipients(&mut tx, tenant, [(phone, None, None)], now).await?;
        let recipient_id = ids.get(phone.as_str()).copied().ok_or_else(|| unknown(phone))?;
        // A person's word takes the place of whatever was known, the provider's own word included.
        tx.execute(UNBLOCK, args![recipient_id, channel.as_str()]).await?;
        let channel = channel.as_str();
        let block =
            NewBlock { recipient_id, channel, reason: reason.to_owned(), code: None, source: BY_A_PERSON.to_owned() };
        block_recipients(&mut tx, &[block], now).await?;
        self.note_change(&mut tx, tenant, "recipient.block", recipient_id).await?;
        tx.commit().await
    }

    /// Lifts the block of a number on a channel; whether there was one. Messages that it ended stay ended.
    ///
    /// # Errors
    /// When the number is not known, or the ledger cannot be written.
    pub async fn unblock(&self, tenant: TenantId, phone: &PhoneNumber, channel: Channel) -> StoreResult<bool> {
        let mut tx = self.db.begin().await?;
        let recipient: Option<(i64,)> = tx.optional(RECIPIENT, args![tenant.0, phone.as_str()]).await?;
        let (recipient_id,) = recipient.ok_or_else(|| unknown(phone))?;
        let lifted = tx.execute(UNBLOCK, args![recipient_id, channel.as_str()]).await?;
        self.note_change(&mut tx, tenant, "recipient.unblock", recipient_id).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(lifted > 0)
    }

    /// The blocks of the recipient with the ledger's id.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn blocks_of(&self, recipient_id: i64) -> StoreResult<Vec<Block>> {
        self.db.all(OF, args![recipient_id]).await
    }

    pub(crate) async fn blocks_of_many(&self, recipient_ids: &[i64]) -> StoreResult<HashMap<i64, Vec<Block>>> {
        let rows: Vec<OwnedBlock> = self.db.all(OF_MANY, args![json_list(recipient_ids)]).await?;
        let mut blocks: HashMap<i64, Vec<Block>> = HashMap::new();
        for row in rows {
            blocks.entry(row.recipient_id).or_default().push(row.block);
        }
        Ok(blocks)
    }
}

/// Blocks recipients and skips what waits for them on the channel; how many messages were skipped.
pub(crate) async fn block_recipients(tx: &mut Tx, blocks: &[NewBlock], now: i64) -> StoreResult<u64> {
    // Each row once and in one order: one statement may touch a row once, and no two transactions wait for each other.
    let rows: BTreeMap<(i64, &str), BlockRow<'_>> = blocks
        .iter()
        .map(|block| {
            let (recipient, channel, code) = (block.recipient_id, block.channel, block.code);
            let row = BlockRow { recipient, channel, reason: &block.reason, code, source: &block.source };
            ((recipient, channel), row)
        })
        .collect();
    let rows: Vec<BlockRow<'_>> = rows.into_values().collect();
    tx.execute(BLOCK, args![now, to_json(&rows)?]).await?;
    let mut channels: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for row in &rows {
        channels.entry(row.channel).or_default().push(row.recipient);
    }
    let mut skipped = 0;
    for (channel, recipients) in channels {
        skipped += tx.execute(SKIP, args![json_list(&recipients), now, to_json(&providers_of(channel))?]).await?;
    }
    Ok(skipped)
}

/// Lifts the block that a closed 24-hour window made, by an inbound message that is newer; how many were lifted.
pub(crate) async fn lift_by_inbound(
    tx: &mut Tx,
    recipient_id: i64,
    channel: &str,
    happened_at: i64,
) -> StoreResult<u64> {
    tx.execute(LIFT, args![recipient_id, channel, happened_at]).await
}

/// The providers that carry a channel, as rows of a statement.
pub(crate) fn providers_of(channel: &str) -> Vec<Name> {
    let of_channel = ProviderKind::ALL.into_iter().filter(|provider| provider.channel().as_str() == channel);
    of_channel.map(|provider| Name { name: provider.as_str() }).collect()
}
