//! Jobs on their way into the ledger, before anyone is told yes: several nearly as cheaply as one, all or none.

use std::collections::{HashMap, HashSet};

use kabar_domain::{
    content::{CannotFill, Content, Fields, ParamValue},
    job::{Audience, AudienceMember, BroadcastJob, Job},
};
use ring::digest;
use serde::Serialize;

use super::hex;
use crate::{
    Store, TenantId, Topic,
    audience::{AudienceRow, to_json},
    db::{Tx, args, statements},
    error::{StoreError, StoreResult},
};

statements! {
    SENDER = "select id from senders where tenant_id = $1 and name = $2";
    SENDER_NAMES = "select name from senders where tenant_id = $1 order by name limit 20";
    GROUP = "select id from groups where tenant_id = $1 and name = $2";
    MEMBERS = "select count(*) from groups g join group_members m on m.group_id = g.id
where g.tenant_id = $1 and g.name = $2";
    /// In the order of the list, in which they will be planned.
    INSERT = "insert into jobs (tenant_id, job_key, kind, name, body, body_hash, sender_id, template_name,
  template_language, state, control, audience, cursor, created_at)
select $1, value->>'key', value->>'kind', value->>'name', value->>'body', value->>'hash',
  cast(value->>'sender' as bigint), value->>'template', value->>'language', $2, 'running', 0, 0, $3
from json_each($4) where true
on conflict (tenant_id, job_key) do nothing
returning id, job_key";
    EXISTING = "select id, job_key, body_hash, state from jobs
where tenant_id = $1 and job_key in (select value->>'key' from json_each($2))";
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

/// Why none of several jobs was written down.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RefusedJob {
    /// Which of them was refused, from 0; none where it was not for the sake of one.
    pub index: Option<usize>,
    /// Why.
    #[source]
    pub error: StoreError,
}

impl From<StoreError> for RefusedJob {
    fn from(error: StoreError) -> Self {
        Self { index: None, error }
    }
}

/// A job of a list that was put into the ledger.
pub(crate) struct Put {
    pub(crate) enqueued: Enqueued,
    /// `loading`, `accepted` or `planned`.
    pub(crate) state: String,
}

#[derive(Serialize)]
struct InsertRow<'a> {
    key: &'a str,
    kind: &'static str,
    name: Option<&'a str>,
    body: String,
    hash: &'a str,
    sender: i64,
    template: Option<&'a str>,
    language: Option<&'a str>,
}

impl Store {
    /// Writes a job down. The same job again is the same job; another body under its id is refused.
    ///
    /// # Errors
    /// When the sender does not exist, the id is taken by another body, or the ledger cannot be written.
    pub async fn enqueue(&self, tenant: TenantId, job: &Job) -> StoreResult<Enqueued> {
        let enqueued = self.enqueue_all(tenant, std::slice::from_ref(job)).await.map_err(|refused| refused.error)?;
        only(enqueued)
    }

    /// Writes jobs down, all of them or none, each as [`Store::enqueue`] does. Where a key or a token acts, the
    /// messages of those that are new count against its limit.
    ///
    /// # Errors
    /// The first job that is refused; or, with no job named, that it has enqueued enough for now or that the ledger
    /// cannot be written.
    pub async fn enqueue_all(&self, tenant: TenantId, jobs: &[Job]) -> Result<Vec<Enqueued>, RefusedJob> {
        let mut tx = self.db.begin().await?;
        let put = self.put_in(&mut tx, tenant, jobs, "accepted").await?;
        if self.actor.is_some() {
            let mut messages = 0;
            for (job, _) in jobs.iter().zip(&put).filter(|(_, put)| matches!(put.enqueued, Enqueued::New { .. })) {
                messages += messages_of(&mut tx, tenant, job).await?;
            }
            self.charge(&mut tx, tenant, messages).await?;
        }
        tx.commit().await?;
        self.wake.ring(Topic::Jobs);
        Ok(put.into_iter().map(|put| put.enqueued).collect())
    }

    /// Writes a job down in a transaction that does more.
    pub(crate) async fn enqueue_in(&self, tx: &mut Tx, tenant: TenantId, job: &Job) -> StoreResult<Enqueued> {
        let put = self.put_in(tx, tenant, std::slice::from_ref(job), "accepted").await;
        only(put.map_err(|refused| refused.error)?).map(|put| put.enqueued)
    }

    /// Puts jobs into the ledger in `state`, with the recipients that they list.
    pub(crate) async fn put_in(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        jobs: &[Job],
        state: &str,
    ) -> Result<Vec<Put>, RefusedJob> {
        let senders = senders_of(tx, tenant, jobs).await?;
        let hashes = jobs.iter().map(body_hash).collect::<StoreResult<Vec<_>>>()?;
        let mut rows = Vec::with_capacity(jobs.len());
        for (job, hash) in jobs.iter().zip(&hashes) {
            rows.push(self.row(job, hash, &senders)?);
        }
        let rows = to_json(&rows)?;
        let inserted: Vec<(i64, String)> = tx.all(INSERT, args![tenant.0, state, self.now_ms(), rows.as_str()]).await?;
        let mut inserted: HashMap<String, i64> = inserted.into_iter().map(|(id, key)| (key, id)).collect();
        // Those that were there before, and those that the list has twice.
        let known = if inserted.len() < jobs.len() { existing(tx, tenant, rows).await? } else { HashMap::new() };
        let mut put = Vec::with_capacity(jobs.len());
        let mut new = Vec::with_capacity(inserted.len());
        for (index, (job, hash)) in jobs.iter().zip(&hashes).enumerate() {
            let key = job.id().as_str();
            let there = known.get(key);
            if there.is_some_and(|there| there.hash != *hash) {
                return Err(RefusedJob { index: Some(index), error: StoreError::DifferentJob(job.id().clone()) });
            }
            let (enqueued, state) = match (inserted.remove(key), there) {
                (Some(job_id), _) => (Enqueued::New { job_id }, state.to_owned()),
                (None, Some(there)) => (Enqueued::Same { job_id: there.id }, there.state.clone()),
                (None, None) => return Err(StoreError::unreadable("a job", "it is neither new nor known").into()),
            };
            if let Enqueued::New { job_id } = enqueued {
                self.append_listed(tx, tenant, job_id, job).await?;
                new.push(key);
            }
            put.push(Put { enqueued, state });
        }
        self.note_changes(tx, tenant, "job.enqueue", &new).await?;
        Ok(put)
    }

    fn row<'a>(&self, job: &'a Job, hash: &'a str, senders: &HashMap<&str, i64>) -> StoreResult<InsertRow<'a>> {
        let body = serde_json::to_string(&without_recipients(job)).map_err(|e| StoreError::unreadable("a job", e))?;
        let template = if let Content::Template(template) = job.content() { Some(template) } else { None };
        Ok(InsertRow {
            key: job.id().as_str(),
            kind: job.kind(),
            name: if let Job::Broadcast(broadcast) = job { broadcast.name.as_deref() } else { None },
            body: self.sealer.seal(body)?,
            hash,
            sender: senders.get(job.sender()).copied().ok_or_else(|| StoreError::not_found("sender", job.sender()))?,
            template: template.map(|template| template.name.as_str()),
            language: template.map(|template| template.language.as_str()),
        })
    }

    /// All at once, though they may be ten thousand: numbers are locked in one order, so that no two jobs wait for each
    /// other.
    async fn append_listed(&self, tx: &mut Tx, tenant: TenantId, job_id: i64, job: &Job) -> StoreResult<()> {
        let Job::Broadcast(BroadcastJob { audience: Audience::Recipients(members), .. }) = job else { return Ok(()) };
        let rows = members.iter().map(|member| audience_row(member, job.content())).collect::<StoreResult<Vec<_>>>()?;
        self.append_in(tx, tenant, job_id, &job.content().fields(), 0, &rows).await
    }
}

/// The one of a list of one.
fn only<T>(mut list: Vec<T>) -> StoreResult<T> {
    list.pop().ok_or_else(|| StoreError::unreadable("a job", "it is neither new nor known"))
}

struct Existing {
    id: i64,
    hash: String,
    state: String,
}

async fn existing(tx: &mut Tx, tenant: TenantId, rows: String) -> StoreResult<HashMap<String, Existing>> {
    let rows: Vec<(i64, String, String, String)> = tx.all(EXISTING, args![tenant.0, rows]).await?;
    Ok(rows.into_iter().map(|(id, key, hash, state)| (key, Existing { id, hash, state })).collect())
}

/// The senders that jobs name; their groups are there, too. Each is looked up once.
async fn senders_of<'a>(tx: &mut Tx, tenant: TenantId, jobs: &'a [Job]) -> Result<HashMap<&'a str, i64>, RefusedJob> {
    let (mut senders, mut groups) = (HashMap::new(), HashSet::new());
    for (index, job) in jobs.iter().enumerate() {
        let refused = |error| RefusedJob { index: Some(index), error };
        if !senders.contains_key(job.sender()) {
            senders.insert(job.sender(), sender_id(tx, tenant, job.sender()).await.map_err(refused)?);
        }
        if let Job::Broadcast(BroadcastJob { audience: Audience::Group(name), .. }) = job
            && groups.insert(name.as_str())
        {
            check_group(tx, tenant, name).await.map_err(refused)?;
        }
    }
    Ok(senders)
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

/// A broadcast to a group that does not exist would come to nothing without a word.
async fn check_group(tx: &mut Tx, tenant: TenantId, name: &str) -> StoreResult<()> {
    if tx.optional::<(i64,), _>(GROUP, args![tenant.0, name]).await?.is_some() {
        return Ok(());
    }
    let hint = ": import its members with `kabar recipient import FILE.csv --group NAME`, or see `kabar group list`";
    Err(StoreError::NotFound { what: "group", name: name.to_owned(), hint: hint.to_owned() })
}

/// How many messages a job comes to, as far as can be told before it is planned.
async fn messages_of(tx: &mut Tx, tenant: TenantId, job: &Job) -> StoreResult<u64> {
    let count = match job {
        Job::Send(_) => 1,
        Job::Reminder(reminder) => reminder.before.len(),
        Job::Broadcast(broadcast) => match &broadcast.audience {
            Audience::Recipients(recipients) => recipients.len(),
            Audience::Group(name) => {
                let (members,): (i64,) = tx.one(MEMBERS, args![tenant.0, name.as_str()]).await?;
                return Ok(members.unsigned_abs());
            }
            // Counted when its file is begun.
            Audience::File(_) => 0,
        },
    };
    Ok(count as u64)
}

/// SHA-256 of the whole normalised job: the same job in other words has the same.
fn body_hash(job: &Job) -> StoreResult<String> {
    let body = serde_json::to_vec(job).map_err(|error| StoreError::unreadable("a job", error))?;
    Ok(hex(digest::digest(&digest::SHA256, &body).as_ref()))
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

/// A listed recipient; dates and amounts of theirs are written in the content's language.
fn audience_row(member: &AudienceMember, content: &Content) -> StoreResult<AudienceRow> {
    let written = |(name, value): (&String, &ParamValue)| {
        let text = value.written(content.language()).map_err(CannotFill::from)?;
        Ok((name.clone(), text.into_owned()))
    };
    let fields = member.params.iter().map(written).collect::<StoreResult<Fields>>()?;
    Ok(AudienceRow { phone: member.to.clone(), name: member.name.clone(), fields })
}
