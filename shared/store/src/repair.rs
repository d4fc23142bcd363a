//! A walk through the ledger that finds what has no way forward, and gives it one.
//!
//! Transactions keep the ledger whole, but not against everything: a command that dies between two of its commits, two
//! transactions on Postgres of which neither sees the other, a machine whose clock was wrong for a while, a restored
//! backup, a hand in the tables. What comes of it would wait for ever and nobody would know. [`Gap`] lists what can be so,
//! with how it comes about.
//!
//! The walk goes by id, a small step at a time, from the place where the last step of any process ended; that is in the
//! ledger. Looking takes no lock. What is found is looked at once more in the transaction that mends it, so a message that
//! moved on meanwhile is left alone.

use std::{collections::BTreeMap, time::Duration};

use kabar_domain::outcome::Outcome;
use serde::{Deserialize, Serialize};

use crate::{
    SettlePolicy, Store, Topic,
    audience::to_json,
    db::{Tx, args, statements},
    error::{StoreError, StoreResult},
};

mod clocks;
mod jobs;
mod messages;

pub(crate) use clocks::STATEMENTS as CLOCK_STATEMENTS;
pub(crate) use jobs::STATEMENTS as JOB_STATEMENTS;
pub(crate) use messages::STATEMENTS as MESSAGE_STATEMENTS;

/// Where the walk is.
const FACT: &str = "repair";

/// The most messages, recipients or receipts that one step looks at.
const STEP: i64 = 5_000;

statements! {
    PLACE = "select value from facts where name = $1";
    BEGIN = "insert into facts (name, value) values ($1, $2) on conflict (name) do nothing";
    MOVE_ON = "update facts set value = $3 where name = $1 and value = $2";
}

/// What can be amiss in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// A recipient without a message, whom planning passed or whose message is gone: planned again.
    MissingMessage,
    /// A job whose count of planned messages is not that of its messages: counted anew.
    WrongAudience,
    /// A waiting message of a cancelled job, as when the command was killed halfway, or an outcome put the message back
    /// just then: cancelled.
    UnfinishedCancel,
    /// A message in a batch that no process holds: waits again.
    UnheldClaim,
    /// A message being sent that no process holds: in doubt.
    UnheldSend,
    /// A message whose current attempt is not written down: it is, so that doubt can be settled.
    MissingAttempt,
    /// A doubt whose time for evidence never ends, from a clock that was ahead: it ends after the grace time.
    EndlessDoubt,
    /// A doubt though its attempt was accepted, or a receipt vouches for it: the message is where they say.
    UnusedEvidence,
    /// A receipt that was kept aside though its message is known, as when no janitor was at work: applied.
    LeftReceipt,
    /// A lease far in the future which nobody renews, from a clock that was ahead: ended, and what it held is rescued.
    EndlessLease,
    /// Tickets or a rate noted far in the future, or an item of a line hidden until then, from a clock that was ahead: now.
    AheadOfTime,
    /// A sender without its row of the pace, which nothing could be sent for: it has one.
    MissingPace,
}

impl Gap {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::MissingMessage,
        Self::WrongAudience,
        Self::UnfinishedCancel,
        Self::UnheldClaim,
        Self::UnheldSend,
        Self::MissingAttempt,
        Self::EndlessDoubt,
        Self::UnusedEvidence,
        Self::LeftReceipt,
        Self::EndlessLease,
        Self::AheadOfTime,
        Self::MissingPace,
    ];

    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingMessage => "missing_message",
            Self::WrongAudience => "wrong_audience",
            Self::UnfinishedCancel => "unfinished_cancel",
            Self::UnheldClaim => "unheld_claim",
            Self::UnheldSend => "unheld_send",
            Self::MissingAttempt => "missing_attempt",
            Self::EndlessDoubt => "endless_doubt",
            Self::UnusedEvidence => "unused_evidence",
            Self::LeftReceipt => "left_receipt",
            Self::EndlessLease => "endless_lease",
            Self::AheadOfTime => "ahead_of_time",
            Self::MissingPace => "missing_pace",
        }
    }
}

/// What a step of the walk did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was mended, and how often.
    pub mended: BTreeMap<Gap, u64>,
    /// Whether the walk has come to its end; the next begins when it is time.
    pub rests: bool,
}

impl Repaired {
    fn note(&mut self, gap: Gap, count: u64) {
        if count > 0 {
            *self.mended.entry(gap).or_default() += count;
        }
    }
}

/// The parts of a walk, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Clocks,
    Messages { after: i64 },
    Jobs { after: i64 },
    Audience { job: i64, after: i64 },
    Receipts { after: i64 },
    Rest { until: i64 },
}

/// Where the walk is; one JSON text in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    part: Part,
    /// Leases far in the future at the last walk, with their ends: one that a living process renews has another by now.
    #[serde(default)]
    leases: Vec<(i64, i64)>,
    /// Grows with each step, so that no two steps have the same text.
    step: u64,
}

impl Store {
    /// One step of the walk; a new walk begins `every` after the end of the last. `outcome_of` says what the error policy
    /// makes of a failed receipt's code. Where another process takes the step, or the walk rests, nothing is done.
    ///
    /// # Errors
    /// When the ledger cannot be read or written. What the step was to look at is then looked at in the next walk.
    pub async fn repair_step(
        &self,
        every: Duration,
        policy: &SettlePolicy,
        outcome_of: impl Fn(i64) -> Option<Outcome> + Send,
    ) -> StoreResult<Repaired> {
        let now = self.now_ms();
        let (text, place) = self.repair_place().await?;
        let part = match place.part {
            // A clock that was ahead must not put the next walk off for ever.
            Part::Rest { until } if now < until && until <= now.saturating_add(millis(every)) => {
                return Ok(Repaired { rests: true, ..Repaired::default() });
            }
            Part::Rest { .. } => Part::Clocks,
            ref part => part.clone(),
        };
        let (next, leases) = self.next_part(&part, &place, now, every).await?;
        if !self.move_on(&text, &Place { part: next.clone(), leases, step: place.step + 1 }).await? {
            return Ok(Repaired::default());
        }
        let mut repaired = Repaired { rests: matches!(next, Part::Rest { .. }), ..Repaired::default() };
        match part {
            Part::Clocks => self.repair_clocks(&place.leases, &mut repaired).await?,
            Part::Messages { after } => {
                let last = if let Part::Messages { after } = next { after } else { i64::MAX };
                self.repair_messages(after, last, policy, &mut repaired).await?;
            }
            Part::Jobs { after } => {
                let last = match next {
                    Part::Jobs { after } => after,
                    Part::Audience { job, .. } => job,
                    _ => i64::MAX,
                };
                self.repair_jobs(after, last, &mut repaired).await?;
            }
            Part::Audience { job, after } => self.repair_audience(job, after, &mut repaired).await?,
            Part::Receipts { after } => {
                let last = if let Part::Receipts { after } = next { after } else { i64::MAX };
                let applied = self.apply_older_receipts(after, last, policy, outcome_of).await?;
                repaired.note(Gap::LeftReceipt, applied);
            }
            Part::Rest { .. } => {}
        }
        if !repaired.mended.is_empty() {
            self.wake().ring(Topic::Jobs);
            self.wake().ring(Topic::Messages);
        }
        Ok(repaired)
    }

    /// Where the step after `part` begins, and the leases to remember.
    async fn next_part(
        &self,
        part: &Part,
        place: &Place,
        now: i64,
        every: Duration,
    ) -> StoreResult<(Part, Vec<(i64, i64)>)> {
        let next = match *part {
            Part::Clocks => return Ok((Part::Messages { after: 0 }, self.far_leases(now).await?)),
            Part::Messages { after } => match self.end_of_messages(after).await? {
                Some(last) => Part::Messages { after: last },
                None => Part::Jobs { after: 0 },
            },
            Part::Jobs { after } => self.end_of_jobs(after).await?,
            Part::Audience { job, after } => self.end_of_audience(job, after).await?,
            Part::Receipts { after } => match self.end_of_kept_receipts(after, STEP).await? {
                Some(last) => Part::Receipts { after: last },
                None => Part::Rest { until: now.saturating_add(millis(every)) },
            },
            Part::Rest { .. } => Part::Clocks,
        };
        Ok((next, place.leases.clone()))
    }

    async fn repair_place(&self) -> StoreResult<(String, Place)> {
        if let Some((text,)) = self.db.optional::<(String,), _>(PLACE, args![FACT]).await? {
            let place = serde_json::from_str(&text);
            // What an older or newer version wrote means nothing here: the walk begins anew.
            let place = place.unwrap_or(Place { part: Part::Clocks, leases: Vec::new(), step: 0 });
            return Ok((text, place));
        }
        let place = Place { part: Part::Clocks, leases: Vec::new(), step: 0 };
        let text = to_json(&place)?;
        let mut tx = self.db.begin().await?;
        tx.execute(BEGIN, args![FACT, text.as_str()]).await?;
        tx.commit().await?;
        Ok((text, place))
    }

    /// Whether this process takes the step: the place is still as it was read.
    async fn move_on(&self, known: &str, place: &Place) -> StoreResult<bool> {
        let text = to_json(place)?;
        let mut tx: Tx = self.db.begin().await?;
        let moved = tx.execute(MOVE_ON, args![FACT, known, text]).await? == 1;
        tx.commit().await?;
        Ok(moved)
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4)
}

fn gap_of(name: &str) -> StoreResult<Gap> {
    let gap = Gap::ALL.into_iter().find(|gap| gap.as_str() == name);
    gap.ok_or_else(|| StoreError::unreadable("a gap", name))
}
