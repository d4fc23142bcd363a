//! Everything that happened to one message, why it waits and what happens next, in words that an operator understands.

use kabar_domain::{content::Content, job::OnDoubt, message::MessageState, phone::PhoneNumber};

use crate::{
    Store, TenantId,
    db::{args, row, statements},
    error::{StoreError, StoreResult},
    lanes::first_of_priority,
    recipients::phone_of,
    status::state_of,
};

mod reasons;

use reasons::{Facts, Pause, Queue, next_step, waits_because};

/// How far the messages before a waiting one are counted.
const MOST_AHEAD: i64 = 100_000;

/// The most messages that an error about an ambiguous id lists.
const MOST_LISTED: i64 = 20;

statements! {
    MESSAGE = "select m.id, m.job_id, j.job_key, j.kind, j.control, j.held_until, s.name as sender,
  s.state as sender_state, s.state_reason as sender_reason, s.rate_per_second, p.effective_rate_milli, p.parked_until,
  p.park_reason, r.phone, m.state, m.reason, m.due_at, m.expires_at, m.created_at, m.updated_at, m.attempts, m.sender_id,
  m.recipient_id, m.lane, l.process, l.expires_at as lease_until
from messages m join jobs j on j.id = m.job_id join senders s on s.id = m.sender_id
join pace p on p.sender_id = m.sender_id join recipients r on r.id = m.recipient_id
left join leases l on l.id = m.lease_id
where m.id = $1 and j.tenant_id = $2";
    /// Neither counts on beyond a bound: what waits may be a million.
    AHEAD = "select count(*) from (select 1 from messages
  where state = 'queued' and sender_id = $1 and lane = $2 and (due_at, id) < ($3, $4) limit $5) ahead";
    MORE_URGENT = "select count(*) from (select 1 from messages
  where state = 'queued' and sender_id = $1 and lane < $2 and due_at <= $3 limit $4) urgent";
    ANOTHER_TO_THEM = "select id from messages
where recipient_id = $1 and sender_id = $2 and state = 'sending' and id <> $3 limit 1";
    ATTEMPTS = "select number, started_at, ended_at, outcome, code, meaning, evidence, evidence_at, provider_message_id, sent_at, delivered_at,
  read_at, failed_at from attempts where message_id = $1
union all
select attempts, updated_at, null, null, null, null, null, null, null, null, null, null, null from messages
where id = $1 and state = 'sending'
  and not exists (select 1 from attempts a where a.message_id = messages.id and a.number = messages.attempts)
order by number";
    OF_JOB = "select m.id, r.phone, m.part, m.state, m.reason, m.due_at, m.expires_at, m.created_at, m.updated_at
from messages m join recipients r on r.id = m.recipient_id
where m.job_id = $1 and (m.recipient_id, m.part) > (
    coalesce((select recipient_id from messages where id = $2), -1),
    coalesce((select part from messages where id = $2), -1))
order by m.recipient_id, m.part limit $3";
    EXISTS = "select m.id from messages m join jobs j on j.id = m.job_id where m.id = $1 and j.tenant_id = $2";
    BY_KEY = "select m.id from messages m join jobs j on j.id = m.job_id
where j.tenant_id = $1 and j.job_key = $2 order by m.recipient_id, m.part limit $3";
}

/// Everything about one message. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageStory {
    /// The message.
    pub id: i64,
    /// The id of its job.
    pub job_key: String,
    /// `send`, `broadcast` or `reminder`.
    pub kind: String,
    /// The sender's name.
    pub sender: String,
    /// To whom.
    pub phone: PhoneNumber,
    /// Where it is in its life.
    pub state: MessageState,
    /// Why.
    pub reason: Option<String>,
    /// Not to be acted on before.
    pub due_at: i64,
    /// Not to be sent from then on.
    pub expires_at: Option<i64>,
    /// When it was planned.
    pub created_at: i64,
    /// When it was written last: since when it is as it is, but for receipts that changed nothing.
    pub updated_at: i64,
    /// Every try, the first first.
    pub attempts: Vec<AttemptStory>,
    /// Why it waits, in a sentence; none where it does not.
    pub waits_because: Option<String>,
    /// What happens next, in a sentence.
    pub next: String,
}

row! {
    /// One try to send a message. Times are Unix milliseconds.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AttemptStory {
        /// 1 for the first.
        pub number: i64,
        /// When its start was committed.
        pub started_at: i64,
        /// When its outcome was known.
        pub ended_at: Option<i64>,
        /// What it came to.
        pub outcome: Option<String>,
        /// The provider's code.
        pub code: Option<i64>,
        /// What that means, in a sentence.
        pub meaning: Option<String>,
        /// Why the message was sent again after doubt about this attempt, where it was.
        pub evidence: Option<String>,
        /// When that was decided.
        pub evidence_at: Option<i64>,
        /// The provider's id of the message.
        pub provider_message_id: Option<String>,
        /// When the provider says that it went out.
        pub sent_at: Option<i64>,
        /// When the provider says that the handset had it.
        pub delivered_at: Option<i64>,
        /// When the provider says that it was read.
        pub read_at: Option<i64>,
        /// When the provider says that it failed.
        pub failed_at: Option<i64>,
    }
}

/// A message as lists show it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSummary {
    /// The message.
    pub id: i64,
    /// To whom.
    pub phone: PhoneNumber,
    /// 0, or the days before the due date of a reminder.
    pub part: i64,
    /// Where it is in its life.
    pub state: MessageState,
    /// Why.
    pub reason: Option<String>,
    /// Not to be acted on before.
    pub due_at: i64,
    /// Not to be sent from then on.
    pub expires_at: Option<i64>,
    /// When it was planned.
    pub created_at: i64,
    /// When it last moved.
    pub updated_at: i64,
}

row! {
    struct MessageRow {
        id: i64,
        job_id: i64,
        job_key: String,
        kind: String,
        control: String,
        held_until: i64,
        sender: String,
        sender_state: String,
        sender_reason: Option<String>,
        rate_per_second: Option<i64>,
        effective_rate_milli: Option<i64>,
        parked_until: i64,
        park_reason: Option<String>,
        phone: String,
        state: String,
        reason: Option<String>,
        due_at: i64,
        expires_at: Option<i64>,
        created_at: i64,
        updated_at: i64,
        attempts: i64,
        sender_id: i64,
        recipient_id: i64,
        lane: i64,
        process: Option<String>,
        lease_until: Option<i64>,
    }
}

row! {
    struct SummaryRow {
        id: i64,
        phone: String,
        part: i64,
        state: String,
        reason: Option<String>,
        due_at: i64,
        expires_at: Option<i64>,
        created_at: i64,
        updated_at: i64,
    }
}

impl Store {
    /// Everything about one message.
    ///
    /// # Errors
    /// When there is none of the id, or the ledger cannot be read.
    pub async fn message_story(&self, tenant: TenantId, id: i64) -> StoreResult<MessageStory> {
        let row: Option<MessageRow> = self.db.optional(MESSAGE, args![id, tenant.0]).await?;
        let row = row.ok_or_else(|| no_message(&id.to_string()))?;
        let attempts: Vec<AttemptStory> = self.db.all(ATTEMPTS, args![id]).await?;
        let state = state_of(&row.state)?;
        let now = self.now_ms();
        let (template, queue) = match state {
            MessageState::Queued => {
                (self.template_pause(tenant, &row, now).await?, Some(self.place_in_queue(&row, now).await?))
            }
            _ => (None, None),
        };
        let on_doubt = match state {
            MessageState::InDoubt => self.job(row.job_id).await?.on_doubt(),
            _ => OnDoubt::default(),
        };
        let facts = Facts {
            state,
            now,
            due_at: row.due_at,
            expires_at: row.expires_at,
            broadcast: (row.kind == "broadcast").then_some(row.job_key.as_str()),
            control: &row.control,
            sender: &row.sender,
            sender_state: &row.sender_state,
            sender_reason: row.sender_reason.as_deref(),
            parked_until: row.parked_until,
            park_reason: row.park_reason.as_deref(),
            template,
            queue,
            attempts: row.attempts,
            on_doubt,
            rate: row.rate_per_second.map(i64::unsigned_abs),
            rate_milli: row.effective_rate_milli.map(i64::unsigned_abs),
            holder: row.process.as_deref().zip(row.lease_until),
            reason: row.reason.as_deref(),
            id,
        };
        let (waits_because, next) = (waits_because(&facts), next_step(&facts));
        Ok(MessageStory {
            id: row.id,
            job_key: row.job_key,
            kind: row.kind,
            sender: row.sender,
            phone: phone_of(row.phone)?,
            state,
            reason: row.reason,
            due_at: row.due_at,
            expires_at: row.expires_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            attempts,
            waits_because,
            next,
        })
    }

    /// A job's messages in the order of its recipients, those after the message `after` (0 begins), at most `limit`.
    /// The job goes by the ledger's id.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn messages_of_job(&self, job_id: i64, after: i64, limit: u32) -> StoreResult<Vec<MessageSummary>> {
        let rows: Vec<SummaryRow> = self.db.all(OF_JOB, args![job_id, after, i64::from(limit)]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(MessageSummary {
                    id: row.id,
                    phone: phone_of(row.phone)?,
                    part: row.part,
                    state: state_of(&row.state)?,
                    reason: row.reason,
                    due_at: row.due_at,
                    expires_at: row.expires_at,
                    created_at: row.created_at,
                    updated_at: row.updated_at,
                })
            })
            .collect()
    }

    /// The message that `text` names: a message's number, or the id of a job with exactly one message.
    ///
    /// # Errors
    /// When there is none, the job has several, or the ledger cannot be read.
    pub async fn find_message(&self, tenant: TenantId, text: &str) -> StoreResult<i64> {
        if let Ok(id) = text.parse::<i64>()
            && let Some((id,)) = self.db.optional::<(i64,), _>(EXISTS, args![id, tenant.0]).await?
        {
            return Ok(id);
        }
        let ids: Vec<(i64,)> = self.db.all(BY_KEY, args![tenant.0, text, MOST_LISTED]).await?;
        match ids.as_slice() {
            [] => Err(no_message(text)),
            [(id,)] => Ok(*id),
            several => {
                let list: Vec<String> = several.iter().map(|(id,)| id.to_string()).collect();
                let problem = format!("job {text} has several messages; name one of them: {}", list.join(", "));
                Err(StoreError::Refused(problem))
            }
        }
    }

    /// What is to be sent before a waiting message, and by whom.
    async fn place_in_queue(&self, row: &MessageRow, now: i64) -> StoreResult<Queue> {
        let count = |row: Option<(i64,)>| row.map_or(0, |(count,)| count.unsigned_abs());
        let ahead = args![row.sender_id, row.lane, row.due_at, row.id, MOST_AHEAD];
        let urgent = args![row.sender_id, first_of_priority(row.lane), now, MOST_AHEAD];
        let other: Option<(i64,)> =
            self.db.optional(ANOTHER_TO_THEM, args![row.recipient_id, row.sender_id, row.id]).await?;
        Ok(Queue {
            ahead: count(self.db.optional(AHEAD, ahead).await?),
            more_urgent: count(self.db.optional(MORE_URGENT, urgent).await?),
            most: MOST_AHEAD.unsigned_abs(),
            another_to_them: other.map(|(id,)| id),
            courier_lives: self.worker_lives("courier").await?,
        })
    }

    /// Whether the message's template keeps it waiting.
    async fn template_pause(&self, tenant: TenantId, row: &MessageRow, now: i64) -> StoreResult<Option<Pause>> {
        let job = self.job(row.job_id).await?;
        let Content::Template(content) = job.content() else { return Ok(None) };
        let name = content.name.clone();
        if row.held_until > now {
            return Ok(Some(Pause { template: name, until: row.held_until }));
        }
        let sender = self.sender_by_id(row.sender_id).await?;
        let known = self.find_template(tenant, &sender.account, &content.name, &content.language).await?;
        Ok(known
            .filter(|known| known.paused_until > now)
            .map(|known| Pause { template: name, until: known.paused_until }))
    }
}

fn no_message(text: &str) -> StoreError {
    let hint = ": give a message's number, or the id of a job with one message; `kabar broadcast export` and `kabar \
                reminder show` list them";
    StoreError::NotFound { what: "message", name: text.to_owned(), hint: hint.to_owned() }
}
