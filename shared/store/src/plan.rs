//! From a job to its messages: in chunks, resumably, never twice.
//!
//! Each chunk is one transaction that writes messages and moves the job's cursor, so a planner that dies loses nothing and
//! repeats nothing; the unique key (job, recipient, part) keeps even a repeat from doubling a message. On Postgres the job's
//! row is locked meanwhile and other planners skip it.

use std::collections::HashMap;

use kabar_domain::{
    category::Category,
    content::{Content, Fields},
    job::{Audience, Job, JobId, Priority, ReminderJob},
    message::{MessageState, SkipReason},
    reminder::{self, Part},
    template::Template,
    wish::Covers,
};
use serde::Serialize;

use crate::{
    Store, TenantId, Topic,
    audience::to_json,
    db::{Tx, args, row, statements},
    dialect::CLAIM_JOB,
    error::{StoreError, StoreResult},
    lanes::lane,
    recipients::upsert_recipients,
};

mod courtesy;

use courtesy::Courtesy;
pub(crate) use courtesy::{QUIET_HOURS, STATEMENTS as COURTESY_STATEMENTS, zone_of};

/// The most messages that are planned in one transaction.
const CHUNK: i64 = 1_000;

statements! {
    WAITING = "select id from jobs where state = 'accepted' limit 1";
    /// The chunk first, and then each recipient by its key: as one join, Postgres would walk through everybody for each chunk as
    /// long as it has not counted the tables.
    FROM_AUDIENCE = "select a.position as cursor, a.recipient_id, a.fields, r.name, r.phone, r.timezone, r.consent_at,
  (select count(*) from blocks b where b.recipient_id = a.recipient_id and b.channel = $4) as blocked,
  (select min(covers) from wishes w where w.recipient_id = a.recipient_id and w.channel = $4 and w.wanted = 0) as opted_out
from (select position, recipient_id, fields from audience where job_id = $1 and position >= $2 order by position limit $3) a
join recipients r on r.id = a.recipient_id order by a.position";
    FROM_GROUP = "select g.recipient_id as cursor, g.recipient_id, r.fields, r.name, r.phone, r.timezone, r.consent_at,
  (select count(*) from blocks b where b.recipient_id = g.recipient_id and b.channel = $4) as blocked,
  (select min(covers) from wishes w where w.recipient_id = g.recipient_id and w.channel = $4 and w.wanted = 0) as opted_out
from (select recipient_id from group_members where group_id = $1 and recipient_id >= $2 and added_at <= $5
  order by recipient_id limit $3) g
join recipients r on r.id = g.recipient_id order by g.recipient_id";
    GROUP = "select id from groups where tenant_id = $1 and name = $2";
    ONE = "select cast(0 as bigint) as cursor, r.id as recipient_id, cast(null as text) as fields, r.name,
  r.phone, r.timezone, r.consent_at,
  (select count(*) from blocks b where b.recipient_id = r.id and b.channel = $2) as blocked,
  (select min(covers) from wishes w where w.recipient_id = r.id and w.channel = $2 and w.wanted = 0) as opted_out
from recipients r where r.id = $1";
    INSERT = "insert into messages (job_id, sender_id, recipient_id, part, lane, state, reason, due_at, expires_at,
  quiet_at, attempts, tries, pair_throttles, created_at, updated_at)
select $1, $2, cast(value->>'recipient' as bigint), cast(value->>'part' as bigint), $3, value->>'state',
  value->>'reason', cast(value->>'due' as bigint), cast(value->>'expires' as bigint),
  cast(value->>'quiet' as bigint), 0, 0, 0, $4, $4
from json_each($5) where true
on conflict (job_id, recipient_id, part) do nothing
returning id, recipient_id";
    INSERT_FIELDS = "insert into message_fields (message_id, fields)
select cast(value->>'message' as bigint), value->>'fields' from json_each($1) where true
on conflict (message_id) do nothing";
    ADVANCE = "update jobs set cursor = $2, audience = audience + $3, state = $4, planned_at = $5,
  category = coalesce($6, category)
where id = $1";
    TEMPLATE = "select status, definition from templates
where tenant_id = $1 and account in ($2, '') and name = $3 and language = $4 order by account desc limit 1";
    LATEST_PART = "select coalesce(max(part), 0) from messages where job_id = $1";
    CHANNEL = "select provider, account from senders where id = $1";
}

/// What one step of planning did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The job, by the ledger's id.
    pub job_id: i64,
    /// The producer's id.
    pub key: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// `send`, `broadcast` or `reminder`.
    pub kind: &'static str,
    /// The name of its sender.
    pub sender: String,
    /// When it was enqueued, in Unix milliseconds.
    pub created_at: i64,
    /// Messages that were written.
    pub messages: u64,
    /// Whether the job is planned to its end.
    pub finished: bool,
}

row! {
    pub(crate) struct PlannedJob {
        pub(crate) id: i64,
        pub(crate) tenant_id: i64,
        pub(crate) body: String,
        pub(crate) sender_id: i64,
        pub(crate) control: String,
        pub(crate) cursor: i64,
        pub(crate) created_at: i64,
    }
}

row! {
    struct Candidate {
        cursor: i64,
        recipient_id: i64,
        fields: Option<String>,
        name: Option<String>,
        phone: String,
        timezone: Option<String>,
        consent_at: Option<i64>,
        blocked: i64,
        /// `all` comes before `marketing`.
        opted_out: Option<String>,
    }
}

#[derive(Serialize)]
struct NewMessage {
    recipient: i64,
    part: i64,
    state: &'static str,
    reason: Option<&'static str>,
    due: i64,
    expires: Option<i64>,
    /// When its recipient's next quiet hours begin.
    quiet: Option<i64>,
}

#[derive(Serialize)]
struct NewFields {
    message: i64,
    fields: String,
}

/// What a chunk came to: its messages, the values of their recipients, and where the next begins.
#[derive(Default)]
pub(crate) struct Chunk {
    /// None where nobody was looked at.
    category: Option<Category>,
    /// What its messages count as, where there is a cap on that.
    counts_as: Option<Category>,
    messages: Vec<NewMessage>,
    fields: HashMap<i64, String>,
    next: i64,
    finished: bool,
}

impl Store {
    /// Plans the next chunk of a job: of the one that has had the fewest messages so far. Nothing where there is none, or others
    /// are at it.
    ///
    /// # Errors
    /// When the ledger cannot be written. The chunk may then be planned again.
    pub async fn plan_next(&self) -> StoreResult<Option<Planned>> {
        // Nothing to plan is found out without the write lock.
        if self.db.optional::<(i64,), _>(WAITING, args![]).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        let Some(row) = tx.optional::<PlannedJob, _>(CLAIM_JOB, args![]).await? else { return Ok(None) };
        let job = self.open_job(row.body.clone())?;
        let chunk = if row.control == "cancelled" {
            Chunk { next: row.cursor, finished: true, ..Chunk::default() }
        } else {
            self.plan_chunk(&mut tx, &row, &job).await?
        };
        let messages = self.write_chunk(&mut tx, &row, &job, &chunk).await?;
        tx.commit().await?;
        if messages > 0 {
            self.wake.ring(Topic::Messages);
        }
        Ok(Some(Planned {
            job_id: row.id,
            key: job.id().clone(),
            tenant: TenantId(row.tenant_id),
            kind: job.kind(),
            sender: job.sender().to_owned(),
            created_at: row.created_at,
            messages,
            finished: chunk.finished,
        }))
    }

    async fn plan_chunk(&self, tx: &mut Tx, row: &PlannedJob, job: &Job) -> StoreResult<Chunk> {
        let (provider, account): (String, String) = tx.one(CHANNEL, args![row.sender_id]).await?;
        let channel = crate::senders::channel_of(&provider)?;
        let gate = gate_of(tx, row.tenant_id, &account, job.content(), matches!(job, Job::Broadcast(_))).await?;
        match job {
            Job::Broadcast(broadcast) => {
                let candidates = candidates(tx, row, &broadcast.audience, channel).await?;
                let due = broadcast.send_at.map_or(row.created_at, |at| at.timestamp_millis());
                let expires = broadcast.expires_at.map(|at| at.timestamp_millis());
                let wanted = broadcast.content.fields();
                let ids: Vec<i64> = candidates.iter().map(|candidate| candidate.recipient_id).collect();
                let mut courtesy = self.courtesy(tx, row, gate, false, &ids).await?;
                let mut chunk = Chunk {
                    category: Some(gate.category),
                    counts_as: courtesy.counts_as(),
                    next: candidates.last().map_or(row.cursor, |last| last.cursor + 1),
                    finished: i64::try_from(candidates.len()).unwrap_or(CHUNK) < CHUNK,
                    ..Chunk::default()
                };
                for candidate in candidates {
                    let looked = match reason_to_skip(&candidate, gate, &courtesy) {
                        Some(reason) => Err(reason),
                        None => self.values_of(&candidate, &broadcast.content, &wanted)?,
                    };
                    let (message, fields) = match looked {
                        Ok(fields) => (message(&candidate, (0, due, expires), &mut courtesy), fields),
                        Err(reason) => (NewMessage::skipped(candidate.recipient_id, (0, due, expires), reason), None),
                    };
                    if let Some(fields) = fields {
                        // Of a repeated number the first row counts, as it does across chunks.
                        chunk.fields.entry(candidate.recipient_id).or_insert(fields);
                    }
                    chunk.messages.push(message);
                }
                Ok(chunk)
            }
            Job::Send(send) => {
                let due = send.send_at.map_or(row.created_at, |at| at.timestamp_millis());
                let times = [(0, due, send.expires_at.map(|at| at.timestamp_millis()))];
                let urgent = send.priority == Priority::Urgent;
                self.plan_single(tx, row, &send.to, channel, gate, urgent, &times).await
            }
            Job::Reminder(reminder) => {
                let enqueued_at = chrono::DateTime::from_timestamp_millis(row.created_at).unwrap_or_default();
                // Should it be planned again, what is there of it already is not planned twice.
                let (latest,): (i64,) = tx.one(LATEST_PART, args![row.id]).await?;
                self.plan_reminder(tx, row, reminder, Part::of(latest).moves, enqueued_at).await
            }
        }
    }

    /// The messages of a reminder that was moved so many times, without those that were past at `since`.
    pub(crate) async fn plan_reminder(
        &self,
        tx: &mut Tx,
        row: &PlannedJob,
        reminder: &ReminderJob,
        moves: u32,
        since: chrono::DateTime<chrono::Utc>,
    ) -> StoreResult<Chunk> {
        let (provider, account): (String, String) = tx.one(CHANNEL, args![row.sender_id]).await?;
        let channel = crate::senders::channel_of(&provider)?;
        let gate = gate_of(tx, row.tenant_id, &account, &reminder.content, false).await?;
        let plan = reminder::plan(reminder.due, &reminder.before, reminder.at, reminder.timezone, since);
        let times: Vec<_> = plan
            .into_iter()
            .map(|one| {
                let part = Part { moves, before: one.before }.number();
                (part, one.not_before.timestamp_millis(), Some(one.expires_at.timestamp_millis()))
            })
            .collect();
        let urgent = reminder.priority == Priority::Urgent;
        self.plan_single(tx, row, &reminder.to, channel, gate, urgent, &times).await
    }

    /// Messages to one recipient, each a part with its time and expiry.
    #[expect(clippy::too_many_arguments, reason = "one message is as much as a broadcast, without its audience")]
    async fn plan_single(
        &self,
        tx: &mut Tx,
        row: &PlannedJob,
        to: &kabar_domain::phone::PhoneNumber,
        channel: &str,
        gate: Gate,
        urgent: bool,
        times: &[PartTimes],
    ) -> StoreResult<Chunk> {
        let ids = upsert_recipients(tx, TenantId(row.tenant_id), [(to, None, None)], self.now_ms()).await?;
        let id = ids.values().next().copied().unwrap_or_default();
        let candidate: Candidate = tx.one(ONE, args![id, channel]).await?;
        let mut courtesy = self.courtesy(tx, row, gate, urgent, &[id]).await?;
        let skipped = reason_to_skip(&candidate, gate, &courtesy);
        let messages = times
            .iter()
            .map(|&times| match skipped {
                Some(reason) => NewMessage::skipped(id, times, reason),
                None => message(&candidate, times, &mut courtesy),
            })
            .collect();
        let counts_as = courtesy.counts_as();
        Ok(Chunk { category: Some(gate.category), counts_as, messages, next: 1, finished: true, ..Chunk::default() })
    }

    async fn courtesy(
        &self,
        tx: &mut Tx,
        row: &PlannedJob,
        gate: Gate,
        urgent_single: bool,
        recipients: &[i64],
    ) -> StoreResult<Courtesy<'_>> {
        let now = self.now_ms();
        Courtesy::of(tx, &self.rules, row.tenant_id, gate.category, urgent_single, recipients, now).await
    }

    /// The values that a recipient's message of a broadcast needs, as the ledger keeps them; else why it is skipped.
    fn values_of(
        &self,
        candidate: &Candidate,
        content: &Content,
        wanted: &std::collections::BTreeSet<String>,
    ) -> StoreResult<Result<Option<String>, SkipReason>> {
        if wanted.is_empty() {
            return Ok(Ok(None));
        }
        let mut fields: Fields = match &candidate.fields {
            Some(text) => serde_json::from_str(&self.sealer.open(text.clone())?)
                .map_err(|error| StoreError::unreadable("a recipient's fields", error))?,
            None => Fields::new(),
        };
        if let Some(name) = &candidate.name {
            fields.entry("name".to_owned()).or_insert_with(|| name.clone());
        }
        fields.retain(|name, value| wanted.contains(name) && !value.is_empty());
        if let Err(reason) = content.suits(&fields) {
            return Ok(Err(reason));
        }
        Ok(Ok(Some(self.sealer.seal(to_json(&fields)?)?)))
    }

    pub(crate) async fn write_chunk(
        &self,
        tx: &mut Tx,
        row: &PlannedJob,
        job: &Job,
        chunk: &Chunk,
    ) -> StoreResult<u64> {
        let now = self.now_ms();
        let lane = lane(job.priority(), matches!(job, Job::Broadcast(_)).then_some(row.id));
        let mut written: Vec<(i64, i64)> = Vec::new();
        if !chunk.messages.is_empty() {
            let values = args![row.id, row.sender_id, lane, now, to_json(&chunk.messages)?];
            written = tx.all(INSERT, values).await?;
        }
        let fields: Vec<NewFields> = written
            .iter()
            .filter_map(|(message, recipient)| {
                chunk.fields.get(recipient).map(|fields| NewFields { message: *message, fields: fields.clone() })
            })
            .collect();
        if !fields.is_empty() {
            tx.execute(INSERT_FIELDS, args![to_json(&fields)?]).await?;
        }
        if let Some(category) = chunk.counts_as {
            let messages: Vec<i64> = written.iter().map(|(message, _)| *message).collect();
            courtesy::count(tx, category, &messages).await?;
        }
        let count = i64::try_from(written.len()).unwrap_or(i64::MAX);
        let (state, planned_at) = if chunk.finished { ("planned", Some(now)) } else { ("accepted", None) };
        let category = chunk.category.map(Category::as_str);
        tx.execute(ADVANCE, args![row.id, chunk.next, count, state, planned_at, category]).await?;
        Ok(count.unsigned_abs())
    }
}

async fn candidates(tx: &mut Tx, row: &PlannedJob, audience: &Audience, channel: &str) -> StoreResult<Vec<Candidate>> {
    match audience {
        Audience::Recipients(_) | Audience::File(_) => {
            tx.all(FROM_AUDIENCE, args![row.id, row.cursor, CHUNK, channel]).await
        }
        Audience::Group(name) => {
            let Some((group,)) = tx.optional::<(i64,), _>(GROUP, args![row.tenant_id, name.as_str()]).await? else {
                return Ok(Vec::new());
            };
            tx.all(FROM_GROUP, args![group, row.cursor, CHUNK, channel, row.created_at]).await
        }
    }
}

/// Why a recipient of this job would be skipped, as far as the template decides it.
#[derive(Debug, Clone, Copy)]
struct Gate {
    /// The template cannot be used any more.
    disabled: bool,
    /// What the messages are for: those who opted out of that are skipped.
    category: Category,
}

/// A part of a job with the time at which it is due and from which on it is not sent, in Unix milliseconds.
type PartTimes = (i64, i64, Option<i64>);

impl NewMessage {
    const fn skipped(recipient: i64, (part, due, expires): PartTimes, reason: SkipReason) -> Self {
        let (state, reason) = (MessageState::Skipped.as_str(), Some(reason.as_str()));
        Self { recipient, part, state, reason, due, expires, quiet: None }
    }
}

/// The message to somebody who may be written to, at a time that suits them, unless there are too many.
fn message(candidate: &Candidate, (part, due, expires): PartTimes, courtesy: &mut Courtesy<'_>) -> NewMessage {
    let recipient = candidate.recipient_id;
    let times = courtesy.times(candidate, due);
    if !courtesy.admits(recipient, times.due) {
        return NewMessage::skipped(recipient, (part, due, expires), SkipReason::FrequencyCap);
    }
    let reason = times.held.then_some(QUIET_HOURS);
    let state = MessageState::Queued.as_str();
    NewMessage { recipient, part, state, reason, due: times.due, expires, quiet: times.quiet_from }
}

/// Why nothing of the job is for this recipient, whatever their values.
fn reason_to_skip(candidate: &Candidate, gate: Gate, courtesy: &Courtesy<'_>) -> Option<SkipReason> {
    let declined: Option<Covers> = candidate.opted_out.as_deref().and_then(|covers| covers.parse().ok());
    if candidate.blocked > 0 {
        Some(SkipReason::RecipientBlocked)
    } else if declined.is_some_and(|covers| covers.includes(gate.category)) {
        Some(SkipReason::OptedOut)
    } else if courtesy.lacks_consent(candidate) {
        Some(SkipReason::NoConsent)
    } else if gate.disabled {
        Some(SkipReason::TemplateDisabled)
    } else {
        None
    }
}

/// What the template decides, in the account that sends it.
async fn gate_of(tx: &mut Tx, tenant_id: i64, account: &str, content: &Content, broadcast: bool) -> StoreResult<Gate> {
    let mut known: Option<Template> = None;
    if let Content::Template(template) = content {
        let values = args![tenant_id, account, template.name.as_str(), template.language.as_str()];
        if let Some((status, definition)) = tx.optional::<(String, String), _>(TEMPLATE, values).await? {
            let template: Template =
                serde_json::from_str(&definition).map_err(|error| StoreError::unreadable("a template", error))?;
            known = Some(Template { status, ..template });
        }
    }
    let category = Category::of(content, known.as_ref(), broadcast);
    Ok(Gate { disabled: known.is_some_and(|template| template.is_disabled()), category })
}
