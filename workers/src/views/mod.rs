//! How things of the ledger look as JSON, the same on the command line and over HTTP.
//!
//! One file per noun. Each type is made from the ledger's own by `From`, and describes itself for the API's document.

mod audit;
mod broadcast;
mod export;
mod file_report;
mod group;
mod job;
mod message;
mod recipient;
mod reminder;
mod schedule;
mod sender;
mod stats;
mod template;
mod value;

pub(crate) use audit::AuditEntry;
pub(crate) use broadcast::{Broadcast, BroadcastDetail};
pub(crate) use export::{EXPORT_COLUMNS, export_record};
pub(crate) use file_report::FileReport;
pub(crate) use group::Group;
pub(crate) use job::Job;
pub(crate) use message::{ListedMessage, MessageStory};
pub(crate) use recipient::{Recipient, lifted_by};
pub(crate) use reminder::{EndedReminder, Reminder, ReminderDetail};
pub(crate) use schedule::Schedule;
pub(crate) use sender::{Budget, Sender};
pub(crate) use stats::{Stats, Status};
pub(crate) use template::Template;
pub(crate) use value::{Counts, Rate, State, Timestamp};
