//! What providers post, kept raw and applied later: order and repeats do not matter.

use kabar_domain::{
    message::ReceiptStatus,
    report::{AccountBudget, Inbound, Report},
};
use serde::Serialize;

use crate::{
    SettlePolicy, Settled, Store, TenantId, Topic,
    audience::to_json,
    db::{Tx, args, row, statements},
    dialect::CLAIM_EVENTS,
    error::StoreResult,
    receipts::Received,
};

statements! {
    WAITING = "select id from events where state = 'new' limit 1";
    APPEND = "insert into events (provider, body, allowed, state, received_at)
select value->>'provider', value->>'body', value->>'allowed', 'new', $1 from json_each($2) order by key";
    DONE = "update events set state = result.state, problem = result.problem, processed_at = $2
from (select cast(value->>'id' as bigint) as id, value->>'state' as state, value->>'problem' as problem
  from json_each($1)) result
where events.id = result.id";
    SENDER_BY_ADDRESS = "select id, tenant_id from senders where provider = $1 and address = $2 order by id limit 1";
    TENANT_OF_ACCOUNT = "select distinct tenant_id from senders where account = $1";
    KEEP_INBOUND = "insert into inbound (sender_id, recipient_id, provider_message_id, kind, body, happened_at, received_at)
values ($1, $2, $3, $4, $5, $6, $7) on conflict (provider_message_id) do nothing returning id";
    RECIPIENT = "select id from recipients where tenant_id = $1 and phone = $2";
    HEARD_FROM = "update recipients set last_inbound_at = $2
where id = $1 and (last_inbound_at is null or last_inbound_at < $2)";
}

/// An event that waits to be applied.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub id: i64,
    /// The provider's name.
    pub provider: String,
    /// The body, as it came.
    pub body: String,
    /// The addresses that its signature speaks for; none: all.
    pub allowed: Option<Vec<String>>,
    /// When it was written down, in Unix milliseconds.
    pub received_at: i64,
}

/// What applying events came to; for logs and metrics.
#[derive(Debug, Default)]
pub struct Applied {
    /// Events that were looked at.
    pub events: u64,
    /// Receipts whose message is known.
    pub receipts: u64,
    /// Receipts that were kept because nobody knows their message.
    pub unmatched: u64,
    /// Messages from people.
    pub inbound: u64,
    /// Doubts that a receipt settled.
    pub doubts_settled: u64,
    /// Messages that were sent again after doubt, and of which an earlier attempt now turns out to have left: the person
    /// has them twice.
    pub sent_twice: Vec<i64>,
    /// The providers' names and codes of failures that receipts told of.
    pub codes: Vec<(String, i64)>,
    /// What followed beyond messages.
    pub settled: Settled,
    /// What a person should hear of.
    pub notices: Vec<String>,
    /// Events that could not be read.
    pub unreadable: u64,
    /// For how long each event had waited, in milliseconds.
    pub waited: Vec<i64>,
    /// The receipts whose message is known.
    pub heard: Vec<Heard>,
}

/// A receipt whose message is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The message.
    pub message_id: i64,
    /// The number of the attempt that it vouches for.
    pub number: i64,
    /// The message's job, by the ledger's id.
    pub job_id: i64,
    /// Whether the job is a broadcast.
    pub of_broadcast: bool,
    /// What it says.
    pub status: ReceiptStatus,
    /// When that happened, by the provider's clock and in whole seconds: Unix milliseconds.
    pub happened_at: i64,
    /// When its event was written down, in Unix milliseconds.
    pub received_at: i64,
}

row! {
    struct EventRow {
        id: i64,
        provider: String,
        body: String,
        allowed: Option<String>,
        received_at: i64,
    }
}

/// An event that has just come in.
#[derive(Debug, Serialize)]
pub(crate) struct AppendedEvent {
    provider: &'static str,
    body: String,
    /// A JSON list, as text.
    allowed: Option<String>,
}

#[derive(Serialize)]
struct EventResult {
    id: i64,
    state: &'static str,
    problem: Option<String>,
}

impl Store {
    /// Writes an event down; durable when answered. Those that come at once share a commit. `allowed` names the addresses that its signature speaks for.
    ///
    /// # Errors
    /// When the ledger cannot be written; then the provider must not be told that it was.
    pub async fn append_event(
        &self,
        provider: &'static str,
        body: &str,
        allowed: Option<&[String]>,
    ) -> StoreResult<()> {
        let allowed = allowed.map(to_json).transpose()?;
        // Postgres takes no NUL, and one event must not fail those that share its commit.
        let body = self.sealer.seal(body.replace('\0', "\u{fffd}"))?;
        let event = AppendedEvent { provider, body, allowed };
        self.arrivals.share(event, async |events| self.append_events(&events).await).await
    }

    async fn append_events(&self, events: &[AppendedEvent]) -> StoreResult<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(APPEND, args![self.now_ms(), to_json(&events)?]).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Events);
        Ok(())
    }

    /// Applies the oldest new events, at most `limit`, all in one transaction. `read` turns a body into reports, or says
    /// why it cannot be read; such an event is kept and marked.
    ///
    /// # Errors
    /// When the ledger cannot be written; then nothing of it holds, and the events wait again.
    pub async fn apply_events(
        &self,
        limit: u32,
        policy: &SettlePolicy,
        read: impl Fn(&NewEvent) -> Result<Vec<Report>, String> + Send,
    ) -> StoreResult<Applied> {
        // Nothing to apply is found out without the write lock.
        if self.db.optional::<(i64,), _>(WAITING, args![]).await?.is_none() {
            return Ok(Applied::default());
        }
        let mut tx = self.db.begin().await?;
        let rows: Vec<EventRow> = tx.all(CLAIM_EVENTS, args![i64::from(limit)]).await?;
        let mut applied = Applied { events: rows.len() as u64, ..Applied::default() };
        if rows.is_empty() {
            return Ok(applied);
        }
        let mut results = Vec::with_capacity(rows.len());
        let mut receipts: Vec<Received> = Vec::new();
        let now = self.now_ms();
        for row in rows {
            applied.waited.push(now - row.received_at);
            let allowed: Option<Vec<String>> = row.allowed.as_deref().and_then(|text| serde_json::from_str(text).ok());
            let EventRow { id, provider, body, received_at, .. } = row;
            let event = NewEvent { id, provider, body: self.sealer.open(body)?, allowed, received_at };
            match read(&event) {
                Ok(reports) => {
                    self.apply_reports(&mut tx, &event, reports, &mut receipts, &mut applied).await?;
                    results.push(EventResult { id: event.id, state: "done", problem: None });
                }
                Err(problem) => {
                    applied.unreadable += 1;
                    results.push(EventResult { id: event.id, state: "unreadable", problem: Some(problem) });
                }
            }
        }
        let of_receipts = self.apply_receipts_in(&mut tx, &receipts, policy).await?;
        applied.receipts = of_receipts.matched;
        applied.unmatched = of_receipts.unmatched;
        applied.doubts_settled = of_receipts.doubts_settled;
        applied.sent_twice = of_receipts.sent_twice;
        applied.settled = of_receipts.settled;
        applied.heard = of_receipts.heard;
        tx.execute(DONE, args![to_json(&results)?, self.now_ms()]).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(applied)
    }

    async fn apply_reports(
        &self,
        tx: &mut Tx,
        event: &NewEvent,
        reports: Vec<Report>,
        receipts: &mut Vec<Received>,
        applied: &mut Applied,
    ) -> StoreResult<()> {
        let speaks_for =
            |address: &str| event.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|a| a == address));
        for report in reports {
            match report {
                Report::Receipt(receipt) if speaks_for(&receipt.sender_address) => {
                    let code = receipt.outcome.as_ref().and_then(|outcome| outcome.code);
                    applied.codes.extend(code.map(|code| (event.provider.clone(), code)));
                    receipts.push(Received { receipt, received_at: event.received_at });
                }
                Report::Inbound(inbound) if speaks_for(&inbound.sender_address) => {
                    self.keep_inbound(tx, &event.provider, &inbound).await?;
                    applied.inbound += 1;
                }
                Report::Wish(said) if speaks_for(&said.sender_address) => {
                    let sender: Option<(i64, i64)> = tx
                        .optional(SENDER_BY_ADDRESS, args![event.provider.as_str(), said.sender_address.as_str()])
                        .await?;
                    if let Some((_, tenant)) = sender {
                        let channel = crate::senders::channel_of(&event.provider)?;
                        crate::wishes::hear(tx, TenantId(tenant), channel, &said, self.now_ms()).await?;
                    }
                }
                Report::Receipt(_) | Report::Inbound(_) | Report::Wish(_) => {
                    applied.notices.push("an event spoke for a number that its signature does not cover".to_owned());
                }
                Report::Template(change) if event.allowed.is_none() => {
                    let tenants: Vec<(i64,)> = tx.all(TENANT_OF_ACCOUNT, args![change.account.as_str()]).await?;
                    for (tenant,) in tenants {
                        crate::templates::change_template_status(tx, tenant, &change, self.now_ms()).await?;
                    }
                    applied
                        .notices
                        .push(format!("template {} ({}) is now {}", change.name, change.language, change.status));
                }
                Report::Budget(budget) if event.allowed.is_none() => {
                    let AccountBudget { account, people_per_day } = budget;
                    self.set_budget_of_account(tx, &event.provider, &account, people_per_day).await?;
                }
                Report::Notice(notice) if event.allowed.is_none() => {
                    applied.notices.push(format!("{}: {}", notice.kind, notice.detail));
                }
                Report::Template(_) | Report::Budget(_) | Report::Notice(_) => {}
            }
        }
        Ok(())
    }

    /// Keeps a message from a person, opens the service window, and lifts a block that it proves wrong.
    async fn keep_inbound(&self, tx: &mut Tx, provider: &str, inbound: &Inbound) -> StoreResult<()> {
        let sender: Option<(i64, i64)> =
            tx.optional(SENDER_BY_ADDRESS, args![provider, inbound.sender_address.as_str()]).await?;
        let mut recipient_id: Option<i64> = None;
        if let (Some((_, tenant)), Some(from)) = (sender, &inbound.from) {
            let found: Option<(i64,)> = tx.optional(RECIPIENT, args![tenant, from.as_str()]).await?;
            recipient_id = found.map(|(id,)| id);
        }
        let happened_at = inbound.at.timestamp_millis();
        let body = inbound.text.clone().map(|text| self.sealer.seal(text)).transpose()?;
        let values = args![
            sender.map(|(id, _)| id),
            recipient_id,
            inbound.provider_message_id.as_str(),
            inbound.kind.as_str(),
            body,
            happened_at,
            self.now_ms()
        ];
        let new: Option<(i64,)> = tx.optional(KEEP_INBOUND, values).await?;
        if let (Some(recipient_id), Some(_)) = (recipient_id, new) {
            tx.execute(HEARD_FROM, args![recipient_id, happened_at]).await?;
            let channel = crate::senders::channel_of(provider)?;
            crate::blocks::lift_by_inbound(tx, recipient_id, channel, happened_at).await?;
        }
        Ok(())
    }
}
