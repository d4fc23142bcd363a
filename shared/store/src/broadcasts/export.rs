//! What became of each recipient of a job, and why.

use std::fmt;

use kabar_domain::{message::MessageState, phone::PhoneNumber};

use super::{EXPORT, REASONS};
use crate::{
    Store,
    db::{args, row},
    error::StoreResult,
    recipients::phone_of,
    status::state_of,
};

/// What became of one message of a job.
#[derive(Clone, PartialEq, Eq)]
pub struct ExportRow {
    /// The message.
    pub message_id: i64,
    /// To whom.
    pub phone: PhoneNumber,
    /// The recipient's name.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: MessageState,
    /// Why.
    pub reason: Option<String>,
    /// The provider's code of its latest attempt.
    pub code: Option<i64>,
    /// What its latest attempt came to, in a sentence.
    pub meaning: Option<String>,
    /// How many attempts were started.
    pub attempts: i64,
    /// When it last moved, in Unix milliseconds.
    pub updated_at: i64,
}

impl fmt::Debug for ExportRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportRow")
            .field("message_id", &self.message_id)
            .field("phone", &self.phone)
            .field("state", &self.state)
            .field("reason", &self.reason)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

row! {
    struct Row {
        message_id: i64,
        phone: String,
        name: Option<String>,
        state: String,
        reason: Option<String>,
        code: Option<i64>,
        meaning: Option<String>,
        attempts: i64,
        updated_at: i64,
    }
}

impl Store {
    /// A job's messages in the order of its recipients, those after the message `after_message_id` (0 begins), at most
    /// `limit`. The job goes by the ledger's id.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn export(&self, job_id: i64, after_message_id: i64, limit: u32) -> StoreResult<Vec<ExportRow>> {
        let rows: Vec<Row> = self.db.all(EXPORT, args![job_id, after_message_id, i64::from(limit)]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(ExportRow {
                    message_id: row.message_id,
                    phone: phone_of(row.phone)?,
                    name: row.name,
                    state: state_of(&row.state)?,
                    reason: row.reason,
                    code: row.code,
                    meaning: row.meaning,
                    attempts: row.attempts,
                    updated_at: row.updated_at,
                })
            })
            .collect()
    }

    /// How many of a job's messages are in each state for each reason and provider's code, the most first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn reasons(&self, job_id: i64) -> StoreResult<Vec<(MessageState, Option<String>, Option<i64>, i64)>> {
        let rows: Vec<(String, Option<String>, Option<i64>, i64)> = self.db.all(REASONS, args![job_id]).await?;
        rows.into_iter().map(|(state, reason, code, count)| Ok((state_of(&state)?, reason, code, count))).collect()
    }
}
