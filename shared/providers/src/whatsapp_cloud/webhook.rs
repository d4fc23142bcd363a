//! What the platform posts to us: who sent it, whom it is about, and what it says.
//!
//! The order of use: [`verify_signature`] over the raw bytes; where a secret belongs to some senders only,
//! [`subjects`] must all be theirs; store the bytes durably; answer 200; read them later through
//! `Providers::read_event`. The platform sends an event again for up to seven days until it gets a 200, doubled and out
//! of order, with up to 1,000 updates in up to 3 MB.

mod envelope;
mod messages;
mod notices;
mod signature;

use std::collections::BTreeSet;

use kabar_domain::report::{Notice, Report};

pub use signature::{challenge, verify_signature};

use crate::{options::UnreadableEvent, policy::Policy};

/// The most bytes that the platform puts into one event: 3 MB by its documentation.
pub const MAX_EVENT_BYTES: usize = 3 * 1024 * 1024;

/// Whom an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subjects {
    /// The phone-number ids that its changes name.
    pub phone_number_ids: BTreeSet<String>,
    /// The business accounts of the changes that name no number, such as a template's.
    pub account_ids: BTreeSet<String>,
    /// Whether some part of it could not be read, so that it may be about others, too.
    pub incomplete: bool,
}

/// Whom an event is about, read in the same way as what it says: a secret that speaks for some senders only must not
/// vouch for an event about others.
///
/// # Errors
/// When the body is not JSON or not an event at all.
pub fn subjects(body: &[u8]) -> Result<Subjects, UnreadableEvent> {
    let mut subjects = Subjects::default();
    for change in envelope::changes(body)? {
        match change.map(|change| (change.phone_number_id(), change.account)) {
            Some((Some(id), _)) => subjects.phone_number_ids.insert(id),
            Some((None, account)) => subjects.account_ids.insert(account),
            None => {
                subjects.incomplete = true;
                continue;
            }
        };
    }
    Ok(subjects)
}

/// The phone-number ids that an event is about: [`subjects`] without the accounts.
///
/// # Errors
/// When the body is not JSON or not an event at all.
pub fn phone_number_ids(body: &[u8]) -> Result<BTreeSet<String>, UnreadableEvent> {
    subjects(body).map(|subjects| subjects.phone_number_ids)
}

/// What an event says, in its own order. Parts that cannot be read become notices.
pub(crate) fn read(body: &[u8], policy: &Policy) -> Result<Vec<Report>, UnreadableEvent> {
    let mut reports = Vec::new();
    for change in envelope::changes(body)? {
        match change {
            Some(change) if change.field == "messages" => messages::read(&change, policy, &mut reports),
            Some(change) => notices::read(&change, &mut reports),
            None => reports.push(unreadable("", "a part of an event")),
        }
    }
    Ok(reports)
}

fn notice(account: &str, kind: impl Into<String>, detail: impl Into<String>) -> Report {
    Report::Notice(Notice { account: account.to_owned(), kind: kind.into(), detail: detail.into() })
}

fn unreadable(account: &str, what: &str) -> Report {
    notice(account, "unreadable", format!("{what} could not be read; the stored event has it as it came"))
}

#[cfg(test)]
mod tests;
