//! What producers enqueued, as others read it. How it comes in is in `enqueue`.

use std::sync::Arc;

use kabar_domain::{
    content::{Content, Fields},
    job::{Job, JobId, OnDoubt},
};

use crate::{
    Store, TenantId,
    db::{args, row, statements},
    error::{StoreError, StoreResult},
};

mod enqueue;

pub(crate) use enqueue::STATEMENTS as ENQUEUE_STATEMENTS;
pub use enqueue::{Enqueued, RefusedJob};

statements! {
    BODY = "select body from jobs where id = $1";
    BODIES = "select id, body from jobs where id in (select cast(value as bigint) from json_each($1))";
    PLANNED = "select count(*) from jobs where id = $1 and state = 'planned'";
    ROW = "select id, job_key, kind, name, state, control, sender_id, audience, held_until, created_at
from jobs where tenant_id = $1 and job_key = $2 and kind = coalesce($3, kind)";
    LIST = "select id, job_key, kind, name, state, control, sender_id, audience, held_until, created_at
from jobs where tenant_id = $1 and kind = $2 and id < $3 order by id desc limit $4";
}

/// A job as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSummary {
    /// The producer's id.
    pub id: String,
    /// `send`, `broadcast` or `reminder`.
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
    /// The producer's id.
    pub key: JobId,
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
                let (key, on_doubt) = (job.id().clone(), job.on_doubt());
                Ok((id, JobContent { key, content, has_fields, for_many, on_doubt }))
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
