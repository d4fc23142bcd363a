//! Jobs whose messages are not those of their recipients.
//!
//! Only jobs that are planned are looked at: of others nobody knows yet how many there will be.

use kabar_domain::job::{Audience, BroadcastJob, Job};

use super::{Gap, Part, Repaired, STEP};
use crate::{
    Store,
    db::{args, row, statements},
    error::StoreResult,
};

/// The most jobs that one step looks at.
const MOST_JOBS: i64 = 200;

/// Before the first recipient of a job: positions begin at 0, ids at 1.
const BEFORE_ALL: i64 = -1;

statements! {
    LATER = "select id, audience from jobs where id > $1 order by id limit $2";
    PLANNED = "select id, kind, audience,
  (select count(*) from messages where messages.job_id = jobs.id) as messages
from jobs where id > $1 and id <= $2 and state = 'planned' order by id";
    /// A cancelled job's planning ended where it was.
    ONE = "select kind, body from jobs where id = $1 and state = 'planned' and control <> 'cancelled'";
    LISTED = "select max(position), min(case when planned = 0 then position end) from (
  select a.position, case when exists (select 1 from messages m
    where m.job_id = a.job_id and m.recipient_id = a.recipient_id) then 1 else 0 end as planned
  from audience a where a.job_id = $1 and a.position > $2 order by a.position limit $3) listed";
    /// Messages that are there stay: planning writes none twice.
    PLAN_AGAIN = "update jobs set state = 'accepted', cursor = $2, planned_at = null,
  audience = (select count(*) from messages where messages.job_id = jobs.id)
where id = $1 and state = 'planned' and control <> 'cancelled'";
    COUNT_ANEW = "update jobs set audience = (select count(*) from messages where messages.job_id = jobs.id)
where id = $1 and state = 'planned'";
}

/// Where a job's recipients stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recipients {
    /// In its body: one, all of whose messages are planned at once.
    Named,
    /// In a list of its own, which never changes.
    Listed,
    /// In a group, which does.
    Group,
}

row! {
    struct PlannedJob {
        id: i64,
        kind: String,
        audience: i64,
        messages: i64,
    }
}

impl Store {
    /// Where a step that begins after the job `after` ends. A job with more recipients than a step looks at is one alone,
    /// and its recipients are steps of their own.
    pub(super) async fn end_of_jobs(&self, after: i64) -> StoreResult<Part> {
        let later: Vec<(i64, i64)> = self.db.all(LATER, args![after, MOST_JOBS]).await?;
        let mut recipients = 0;
        let mut last = None;
        for (id, audience) in &later {
            recipients += audience;
            match last {
                None if recipients > STEP => return Ok(Part::Audience { job: *id, after: BEFORE_ALL }),
                Some(last) if recipients > STEP => return Ok(Part::Jobs { after: last }),
                _ => last = Some(*id),
            }
        }
        let all = i64::try_from(later.len()).unwrap_or(MOST_JOBS) < MOST_JOBS;
        Ok(last.filter(|_| !all).map_or(Part::Receipts { after: 0 }, |last| Part::Jobs { after: last }))
    }

    /// Compares the counts of the jobs after `after` up to `last` with their messages, and looks for recipients that were
    /// passed over.
    pub(super) async fn repair_jobs(&self, after: i64, last: i64, repaired: &mut Repaired) -> StoreResult<()> {
        let planned: Vec<PlannedJob> = self.db.all(PLANNED, args![after, last]).await?;
        for job in planned {
            let fewer = job.messages < job.audience || (job.kind == "send" && job.messages == 0);
            // Of a list the step finds which recipient is missing. A group may have grown since, and who joined is known by
            // a clock alone, so only messages that were there and are gone have it planned again.
            let again = fewer
                && matches!(self.recipients_of(job.id).await?, Some(Recipients::Named | Recipients::Group))
                && self.plan_again(job.id, 0).await? > 0;
            if again {
                repaired.note(Gap::MissingMessage, 1);
                continue;
            }
            if job.messages != job.audience {
                let mut tx = self.db.begin().await?;
                repaired.note(Gap::WrongAudience, tx.execute(COUNT_ANEW, args![job.id]).await?);
                tx.commit().await?;
                tracing::warn!(job = job.id, noted = job.audience, messages = job.messages, "a job was counted anew");
            }
            if job.kind == "broadcast" && job.audience <= STEP {
                let mut from = BEFORE_ALL;
                while let Some(end) = self.repair_recipients(job.id, from, repaired).await? {
                    from = end;
                }
            }
        }
        Ok(())
    }

    /// Where a step through the recipients of a job ends.
    pub(super) async fn end_of_audience(&self, job: i64, after: i64) -> StoreResult<Part> {
        Ok(match self.look_at_recipients(job, after).await? {
            Some((last, None)) => Part::Audience { job, after: last },
            // Planning goes on from the first that is missing: the rest is looked at in the next walk.
            Some((_, Some(_))) | None => Part::Jobs { after: job },
        })
    }

    pub(super) async fn repair_audience(&self, job: i64, after: i64, repaired: &mut Repaired) -> StoreResult<()> {
        self.repair_recipients(job, after, repaired).await.map(drop)
    }

    /// Has a job planned again from the first recipient after `after` without a message, if one of the step has none. Where
    /// the next step begins; none where there is nothing more to look at.
    async fn repair_recipients(&self, job: i64, after: i64, repaired: &mut Repaired) -> StoreResult<Option<i64>> {
        match self.look_at_recipients(job, after).await? {
            Some((_, Some(missing))) => {
                repaired.note(Gap::MissingMessage, self.plan_again(job, missing).await?);
                Ok(None)
            }
            looked => Ok(looked.map(|(last, _)| last)),
        }
    }

    /// The last recipient of the step that begins after `after`, and the first of the step without a message; none where
    /// there are no more recipients, or none that ought to have one.
    async fn look_at_recipients(&self, job: i64, after: i64) -> StoreResult<Option<(i64, Option<i64>)>> {
        if self.recipients_of(job).await? != Some(Recipients::Listed) {
            return Ok(None);
        }
        let looked: Option<(Option<i64>, Option<i64>)> = self.db.optional(LISTED, args![job, after, STEP]).await?;
        Ok(looked.and_then(|(last, missing)| last.map(|last| (last, missing))))
    }

    /// Where a job's recipients stand; none where it is not planned, or cancelled.
    async fn recipients_of(&self, job: i64) -> StoreResult<Option<Recipients>> {
        let row: Option<(String, String)> = self.db.optional(ONE, args![job]).await?;
        let Some((kind, body)) = row else { return Ok(None) };
        if kind != "broadcast" {
            return Ok(Some(Recipients::Named));
        }
        Ok(match self.open_job(body)? {
            Job::Broadcast(BroadcastJob { audience: Audience::Group(_), .. }) => Some(Recipients::Group),
            _ => Some(Recipients::Listed),
        })
    }

    async fn plan_again(&self, job: i64, from: i64) -> StoreResult<u64> {
        let mut tx = self.db.begin().await?;
        let again = tx.execute(PLAN_AGAIN, args![job, from]).await?;
        tx.commit().await?;
        if again > 0 {
            tracing::warn!(job, from, "a recipient had no message: the job is planned again from there");
        }
        Ok(again)
    }
}
