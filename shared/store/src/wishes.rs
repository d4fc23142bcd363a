//! What people want to get: opt-outs of marketing or of everything, and what took them back.
//!
//! Of each part of a channel the newest word counts, by the time at which it was said: webhooks that come late, twice or in
//! another order come to the same. An opt-out and the skipping of what waits for the person are one transaction, and every
//! start of an attempt looks again, as it does for a block.

use std::collections::HashMap;

use kabar_domain::{
    phone::PhoneNumber,
    report::PersonsWish,
    sender::Channel,
    wish::{Covers, Wish},
};

use crate::{
    Store, TenantId, Topic,
    audience::to_json,
    blocks::providers_of,
    db::{Tx, args, row, statements},
    error::StoreResult,
    jobs::json_list,
    recipients::{hear_consent, unknown, upsert_recipients},
};

statements! {
    /// Of two words of the same moment the opt-out counts.
    SAY = "insert into wishes (recipient_id, channel, covers, wanted, source, said_at) values ($1, $2, $3, $4, $5, $6)
on conflict (recipient_id, channel, covers) do update
set wanted = excluded.wanted, source = excluded.source, said_at = excluded.said_at
where wishes.said_at < excluded.said_at or (wishes.said_at = excluded.said_at and wishes.wanted > excluded.wanted)";
    FORGET = "delete from wishes where recipient_id = $1 and channel = $2 and covers = $3";
    HOLDS = "select covers from wishes where recipient_id = $1 and channel = $2 and wanted = 0";
    SKIP = "update messages set state = 'skipped', reason = 'opted_out', lease_id = null, updated_at = $2
where recipient_id = $1 and state in ('queued', 'claimed')
  and sender_id in (select id from senders where provider in (select value->>'name' from json_each($3)))
  and ($4 = 'all' or exists (select 1 from jobs where jobs.id = messages.job_id and jobs.category = $4))";
    OPT_OUTS = "select recipient_id, channel, covers, source, said_at from wishes
where recipient_id in (select cast(value as bigint) from json_each($1)) and wanted = 0
order by recipient_id, channel, covers";
    RECIPIENT = "select id from recipients where tenant_id = $1 and phone = $2";
}

/// A person wants no more messages on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptOut {
    /// The channel's name, such as `whatsapp`.
    pub channel: String,
    /// Of which messages.
    pub covers: Covers,
    /// What said so: their message, a provider, a person.
    pub source: String,
    /// When it was said, in Unix milliseconds.
    pub said_at: i64,
}

row! {
    struct OptOutRow {
        recipient_id: i64,
        channel: String,
        covers: String,
        source: String,
        said_at: i64,
    }
}

impl Store {
    /// Opts a number out by a person's word, and skips what waits for it. A number that is not known is written down.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn opt_out(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
        channel: Channel,
        covers: Covers,
        source: &str,
    ) -> StoreResult<()> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let ids = upsert_recipients(&mut tx, tenant, [(phone, None, None)], now).await?;
        let recipient_id = ids.get(phone.as_str()).copied().ok_or_else(|| unknown(phone))?;
        // A person's word takes the place of whatever was known.
        tx.execute(FORGET, args![recipient_id, channel.as_str(), covers.as_str()]).await?;
        say(&mut tx, recipient_id, channel.as_str(), Wish::Stop(covers), source, now, now).await?;
        self.note_change(&mut tx, tenant, "recipient.opt_out", recipient_id).await?;
        tx.commit().await
    }

    /// Takes back every opt-out of a number on a channel, by a person's word; whether there was one. Messages that it ended
    /// stay ended.
    ///
    /// # Errors
    /// When the number is not known, or the ledger cannot be written.
    pub async fn opt_in(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
        channel: Channel,
        source: &str,
    ) -> StoreResult<bool> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let recipient: Option<(i64,)> = tx.optional(RECIPIENT, args![tenant.0, phone.as_str()]).await?;
        let (recipient_id,) = recipient.ok_or_else(|| unknown(phone))?;
        let held: Vec<(String,)> = tx.all(HOLDS, args![recipient_id, channel.as_str()]).await?;
        for covers in Covers::BOTH {
            tx.execute(FORGET, args![recipient_id, channel.as_str(), covers.as_str()]).await?;
        }
        say(&mut tx, recipient_id, channel.as_str(), Wish::Start(Covers::All), source, now, now).await?;
        self.note_change(&mut tx, tenant, "recipient.opt_in", recipient_id).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(!held.is_empty())
    }

    pub(crate) async fn opt_outs_of(&self, recipient_ids: &[i64]) -> StoreResult<HashMap<i64, Vec<OptOut>>> {
        let rows: Vec<OptOutRow> = self.db.all(OPT_OUTS, args![json_list(recipient_ids)]).await?;
        let mut opt_outs: HashMap<i64, Vec<OptOut>> = HashMap::new();
        for OptOutRow { recipient_id, channel, covers, source, said_at } in rows {
            let covers = covers.parse().map_err(|error| crate::StoreError::unreadable("an opt-out", error))?;
            opt_outs.entry(recipient_id).or_default().push(OptOut { channel, covers, source, said_at });
        }
        Ok(opt_outs)
    }
}

/// Notes what a person said on a channel; a number that was not known is written down, so that it is not sent to later.
pub(crate) async fn hear(
    tx: &mut Tx,
    tenant: TenantId,
    channel: &str,
    said: &PersonsWish,
    now: i64,
) -> StoreResult<()> {
    let ids = upsert_recipients(tx, tenant, [(&said.from, None, None)], now).await?;
    let Some(recipient_id) = ids.get(said.from.as_str()).copied() else { return Ok(()) };
    let at = said.at.timestamp_millis();
    if said.wish == Wish::Start(Covers::All) {
        // Who asks for everything agrees to marketing.
        hear_consent(tx, recipient_id, said.source, at).await?;
    }
    say(tx, recipient_id, channel, said.wish, said.source, at, now).await
}

/// Notes a wish, and skips what waits against it, unless something newer is known.
pub(crate) async fn say(
    tx: &mut Tx,
    recipient_id: i64,
    channel: &str,
    wish: Wish,
    source: &str,
    said_at: i64,
    now: i64,
) -> StoreResult<()> {
    for covers in wish.parts() {
        let wanted = i64::from(wish.wants());
        let values = args![recipient_id, channel, covers.as_str(), wanted, source, said_at];
        let newest = tx.execute(SAY, values).await? > 0;
        if newest && !wish.wants() {
            let providers = to_json(&providers_of(channel))?;
            tx.execute(SKIP, args![recipient_id, now, providers, covers.as_str()]).await?;
        }
    }
    Ok(())
}
