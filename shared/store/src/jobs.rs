//! What producers enqueued: written down before anyone is told yes.

use std::sync::Arc;

use kabar_domain::{
    content::{CannotFill, Content, Fields, ParamValue},
    job::{Audience, AudienceMember, BroadcastJob, Job, JobId, OnDoubt},
};
use ring::digest;
use serde::Serialize;

use crate::{
    Store, TenantId, Topic,
    audience::AudienceRow,
    db::{Tx, args, row, statements},
    error::{StoreError, StoreResult},
};

statements! {
    SENDER = "select id from senders where tenant_id = $1 and name = $2";
    GROUP = "select id from groups where tenant_id = $1 and name = $2";
    SENDER_NAMES = "select name from senders where tenant_id = $1 order by name limit 20";
    INSERT = "insert into jobs (tenant_id, job_key, kind, name, body, body_hash, sender_id, template_name,
  template_language, state, control, audience, cursor, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'running', 0, 0, $11)
on conflict (tenant_id, job_key) do nothing
returning id";
    EXISTING = "select id, body_hash, state from jobs where tenant_id = $1 and job_key = $2";
    BODY = "select body from jobs where id = $1";
    BODIES = "select id, body from jobs where id in (select cast(value as bigint) from json_each($1))";
    PLANNED = "select count(*) from jobs where id = $1 and state = 'planned'";
    ROW = "select id, job_key, kind, name, state, control, sender_id, audience, held_until, created_at
from jobs where tenant_id = $1 and job_key = $2 and kind = coalesce($3, kind)";
    LIST = "select id, job_key, kind, name, state, control, sender_id, audience, held_until, created_at
from jobs where tenant_id = $1 and kind = $2 and id < $3 order by id desc limit $4";
}

/// A job that is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// It was not there before.
    New {
        /// The ledger's own id of it.
        job_id: i64,
    },
    /// The very same job was enqueued before.
    Same {
        /// The ledger's own id of it.
        job_id: i64,
    },
}

impl Enqueued {
    /// The ledger's own id of the job.
    #[must_use]
    pub const fn job_id(&self) -> i64 {
        match self {
            Self::New { job_id } | Self::Same { job_id } => *job_id,
        }
    }
}

/// A job as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobSummary {
    /// The producer's id.
    pub id: String,
    /// `send`, `broadcast` or `reminder`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What people call it.
    pub name: Option<String>,
    /// `loading`, `accepted` or `planned`; `paused` or `cancelled` where a person said so.
    pub state: String,
    /// Messages planned so far.
    pub audience: i64,
    /// When it was enqueued, in Unix milliseconds.
    pub created_at: i64,
}

/// What a courier needs of a job to send its messages.
#[derive(Debug, Clone)]
pub struct JobContent {
    /// What the messages say, before the recipient's own values are put in.
    pub content: Arc<Content>,
    /// Whether `{field}` in its values takes the recipient's own.
    pub has_fields: bool,
    /// Whether many messages say it; what few say is not worth keeping, and a reminder's may change.
    pub for_many: bool,
    /// What to do with doubt.
    pub on_doubt: OnDoubt,
}

row! {
    #[derive(Debug, Clone)]
    pub(crate) struct JobRow {
        pub(crate) id: i64,
        pub(crate) job_key: String,
        pub(crate) kind: String,
        pub(crate) name: Option<String>,
        pub(crate) state: String,
        pub(crate) control: String,
        pub(crate) sender_id: i64,
        pub(crate) audience: i64,
        pub(crate) held_until: i64,
        pub(crate) created_at: i64,
    }
}

impl Store {
    /// Writes a job down. The same job again is the same job; another body under its id is refused.
    ///
    /// # Errors
    /// When the sender does not exist, the id is taken by another body, or the ledger cannot be written.
    pub async fn enqueue(&self, tenant: TenantId, job: &Job) -> StoreResult<Enqueued> {
        let mut tx = self.db.begin().await?;
        let enqueued = self.enqueue_in(&mut tx, tenant, job).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Jobs);
        Ok(enqueued)
    }

    pub(crate) async fn enqueue_in(&self, tx: &mut Tx, tenant: TenantId, job: &Job) -> StoreResult<Enqueued> {
        let hash = body_hash(job)?;
        let inserted = self.insert_job(tx, tenant, job, &hash, "accepted").await?;
        let Some(job_id) = inserted else {
            return same_or_refused(tx, tenant, job.id(), &hash).await.map(|(same, _)| same);
        };
        if let Job::Broadcast(broadcast) = job
            && let Audience::Recipients(members) = &broadcast.audience
        {
            let rows =
                members.iter().map(|member| audience_row(member, job.content())).collect::<StoreResult<Vec<_>>>()?;
            let fields = job.content().fields();
            // All at once, though they may be ten thousand: numbers are locked in one order, so that no two jobs wait for
            // each other.
            self.append_in(tx, tenant, job_id, &fields, 0, &rows).await?;
        }
        Ok(Enqueued::New { job_id })
    }

    pub(crate) async fn insert_job(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        job: &Job,
        hash: &str,
        state: &str,
    ) -> StoreResult<Option<i64>> {
        let sender_id = sender_id(tx, tenant, job.sender()).await?;
        check_group(tx, tenant, job).await?;
        let body = serde_json::to_string(&without_recipients(job)).map_err(|e| StoreError::unreadable("a job", e))?;
        let name = if let Job::Broadcast(broadcast) = job { broadcast.name.clone() } else { None };
        let template = if let Content::Template(template) = job.content() { Some(template) } else { None };
        let values = args![
            tenant.0,
            job.id().as_str(),
            job.kind(),
            name,
            self.sealer.seal(body)?,
            hash,
            sender_id,
            template.map(|template| template.name.as_str()),
            template.map(|template| template.language.as_str()),
            state,
            self.now_ms()
        ];
        Ok(tx.optional::<(i64,), _>(INSERT, values).await?.map(|(id,)| id))
    }

    /// The job with the ledger's id; without recipients that it listed.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn job(&self, job_id: i64) -> StoreResult<Job> {
        let body: Option<(String,)> = self.db.optional(BODY, args![job_id]).await?;
        let (body,) = body.ok_or_else(|| StoreError::not_found("job", job_id.to_string()))?;
        self.open_job(body)
    }

    pub(crate) fn open_job(&self, body: String) -> StoreResult<Job> {
        serde_json::from_str(&self.sealer.open(body)?).map_err(|error| StoreError::unreadable("a job", error))
    }

    /// What couriers need of the jobs with these ids.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn job_contents(&self, job_ids: &[i64]) -> StoreResult<Vec<(i64, JobContent)>> {
        let rows: Vec<(i64, String)> = self.db.all(BODIES, args![json_list(job_ids)]).await?;
        rows.into_iter()
            .map(|(id, body)| {
                let job = self.open_job(body)?;
                let ready = ready(&job);
                let has_fields = ready.is_none();
                let content = Arc::new(ready.unwrap_or_else(|| job.content().clone()));
                let for_many = matches!(job, Job::Broadcast(_));
                Ok((id, JobContent { content, has_fields, for_many, on_doubt: job.on_doubt() }))
            })
            .collect()
    }

    pub(crate) async fn job_row(&self, tenant: TenantId, key: &str, kind: Option<&str>) -> StoreResult<Option<JobRow>> {
        self.db.optional(ROW, args![tenant.0, key, kind]).await
    }

    /// Whether all of a job's messages are planned.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn job_is_planned(&self, job_id: i64) -> StoreResult<bool> {
        let row: Option<(i64,)> = self.db.optional(PLANNED, args![job_id]).await?;
        Ok(row.is_some_and(|(planned,)| planned == 1))
    }

    /// The ledger's id of the job with the producer's id, if there is one.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn job_id(&self, tenant: TenantId, key: &str) -> StoreResult<Option<i64>> {
        Ok(self.job_row(tenant, key, None).await?.map(|row| row.id))
    }

    /// The job with the producer's id, as lists show it, with the ledger's id; of `kind` where that is given.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn job_summary(
        &self,
        tenant: TenantId,
        key: &str,
        kind: Option<&'static str>,
    ) -> StoreResult<(i64, JobSummary)> {
        let row = self.job_row(tenant, key, kind).await?.ok_or_else(|| StoreError::NotFound {
            what: kind.unwrap_or("job"),
            name: key.to_owned(),
            hint: kind.map_or_else(String::new, |kind| format!(": `kabar {kind} list` shows what there is")),
        })?;
        Ok((row.id, row.summary()))
    }

    /// The jobs of a kind, the newest first, those older than `before` (the ledger's id), at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn jobs(
        &self,
        tenant: TenantId,
        kind: &str,
        before: Option<i64>,
        limit: u32,
    ) -> StoreResult<Vec<(i64, JobSummary)>> {
        let rows: Vec<JobRow> =
            self.db.all(LIST, args![tenant.0, kind, before.unwrap_or(i64::MAX), i64::from(limit)]).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.summary())).collect())
    }
}

impl JobRow {
    pub(crate) fn summary(self) -> JobSummary {
        let state = if self.control == "running" { self.state } else { self.control };
        JobSummary {
            id: self.job_key,
            kind: self.kind,
            name: self.name,
            state,
            audience: self.audience,
            created_at: self.created_at,
        }
    }
}

/// What all messages of a job say alike, as it is sent; none where each recipient's own values are put in.
fn ready(job: &Job) -> Option<Content> {
    match job {
        // Braces are placeholders in broadcasts alone: elsewhere a text stands as it is.
        Job::Broadcast(job) if job.content.fields().is_empty() => job.content.for_recipient(&Fields::new()).ok(),
        Job::Broadcast(_) => None,
        Job::Send(job) => job.content.written().ok(),
        Job::Reminder(job) => job.content.due_on(job.due).written().ok(),
    }
}

/// Whether a job that was there already is the same; and its state.
pub(crate) async fn same_or_refused(
    tx: &mut Tx,
    tenant: TenantId,
    id: &JobId,
    hash: &str,
) -> StoreResult<(Enqueued, String)> {
    let (job_id, known, state): (i64, String, String) = tx.one(EXISTING, args![tenant.0, id.as_str()]).await?;
    if known == hash { Ok((Enqueued::Same { job_id }, state)) } else { Err(StoreError::DifferentJob(id.clone())) }
}

/// SHA-256 of the whole normalised job: the same job in other words has the same.
pub(crate) fn body_hash(job: &Job) -> StoreResult<String> {
    let body = serde_json::to_vec(job).map_err(|error| StoreError::unreadable("a job", error))?;
    Ok(hex(digest::digest(&digest::SHA256, &body).as_ref()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A list of numbers as JSON, for `json_each`.
pub(crate) fn json_list(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}

/// Listed recipients have rows of their own; the body need not hold them, too.
fn without_recipients(job: &Job) -> Job {
    let mut job = job.clone();
    if let Job::Broadcast(broadcast) = &mut job
        && let Audience::Recipients(members) = &mut broadcast.audience
    {
        members.clear();
    }
    job
}

/// A broadcast to a group that does not exist would come to nothing without a word.
async fn check_group(tx: &mut Tx, tenant: TenantId, job: &Job) -> StoreResult<()> {
    let Job::Broadcast(BroadcastJob { audience: Audience::Group(name), .. }) = job else { return Ok(()) };
    if tx.optional::<(i64,), _>(GROUP, args![tenant.0, name.as_str()]).await?.is_some() {
        return Ok(());
    }
    let hint = ": import its members with `kabar recipient import FILE.csv --group NAME`, or see `kabar group list`";
    Err(StoreError::NotFound { what: "group", name: name.clone(), hint: hint.to_owned() })
}

async fn sender_id(tx: &mut Tx, tenant: TenantId, name: &str) -> StoreResult<i64> {
    if let Some((id,)) = tx.optional::<(i64,), _>(SENDER, args![tenant.0, name]).await? {
        return Ok(id);
    }
    let known: Vec<(String,)> = tx.all(SENDER_NAMES, args![tenant.0]).await?;
    let known: Vec<String> = known.into_iter().map(|(name,)| name).collect();
    let hint = if known.is_empty() {
        ": there is none yet; add one with `kabar sender add` or set WHATSAPP_PHONE_NUMBER_ID and WHATSAPP_ACCESS_TOKEN"
            .to_owned()
    } else {
        format!(": known are {}", known.join(", "))
    };
    Err(StoreError::NotFound { what: "sender", name: name.to_owned(), hint })
}

/// A listed recipient; dates and amounts of theirs are written in the content's language.
fn audience_row(member: &AudienceMember, content: &Content) -> StoreResult<AudienceRow> {
    let written = |(name, value): (&String, &ParamValue)| {
        let text = value.written(content.language()).map_err(CannotFill::from)?;
        Ok((name.clone(), text.into_owned()))
    };
    let fields = member.params.iter().map(written).collect::<StoreResult<Fields>>()?;
    Ok(AudienceRow { phone: member.to.clone(), name: member.name.clone(), fields })
}
