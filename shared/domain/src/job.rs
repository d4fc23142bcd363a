//! What a producer enqueues: one JSON format at every door.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{
    content::{Content, ParamValue},
    phone::PhoneNumber,
    reminder::DaysBefore,
};

mod parse;

pub(crate) use parse::without_values;
pub use parse::{Door, InvalidJob};

/// The most recipients that one job may list inline; more come from a group or a CSV file.
pub const MAX_INLINE_RECIPIENTS: usize = 10_000;

/// The sender of jobs that name none.
pub const DEFAULT_SENDER: &str = "default";

/// The producer's own key of a job: `[A-Za-z0-9._:-]{1,128}`, unique per tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct JobId(String);

/// A text that is no job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: use 1 to 128 of the characters A-Z a-z 0-9 . _ : -")]
pub struct InvalidJobId(String);

impl JobId {
    /// The longest id, in characters.
    pub const MAX_CHARS: usize = 128;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b".:_-".contains(&b);
        if (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidJobId(text.chars().take(Self::MAX_CHARS + 1).collect()))
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What kind of job it is.
///
/// To add one: a variant here, its file beside the planner's others, and the arms that the compiler asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Job {
    /// One message to one recipient.
    Send(SendJob),
    /// One content for many recipients.
    Broadcast(BroadcastJob),
    /// Messages tied to a due date.
    Reminder(ReminderJob),
}

/// One message to one recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendJob {
    /// The producer's key.
    pub id: JobId,
    /// The sender's name.
    #[serde(default = "default_sender")]
    pub sender: String,
    /// To whom.
    pub to: PhoneNumber,
    /// What it says.
    pub content: Content,
    /// Its place among the sender's due messages.
    #[serde(default)]
    pub priority: Priority,
    /// Not to be sent before; at once where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<DateTime<Utc>>,
    /// Not to be sent from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// What to do when nobody knows whether it left.
    #[serde(default)]
    pub on_doubt: OnDoubt,
}

/// One content for many recipients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastJob {
    /// The producer's key, and the broadcast's id.
    pub id: JobId,
    /// The sender's name.
    #[serde(default = "default_sender")]
    pub sender: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For whom.
    pub audience: Audience,
    /// What it says; `{field}` in its values takes the recipient's own.
    pub content: Content,
    /// Its place among the sender's due messages.
    #[serde(default = "bulk")]
    pub priority: Priority,
    /// Not to be sent before; at once where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<DateTime<Utc>>,
    /// Not to be sent from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// What to do when nobody knows whether a message left.
    #[serde(default)]
    pub on_doubt: OnDoubt,
}

/// Messages tied to a due date, one per offset before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReminderJob {
    /// The producer's key, and the reminder's id.
    pub id: JobId,
    /// The sender's name.
    #[serde(default = "default_sender")]
    pub sender: String,
    /// To whom.
    pub to: PhoneNumber,
    /// The day that it is about.
    pub due: NaiveDate,
    /// How many days before the due date a message goes out, each once.
    #[serde(default = "usual_offsets")]
    pub before: Vec<DaysBefore>,
    /// The local time at which they go out.
    #[serde(default = "nine_o_clock", with = "local_time")]
    pub at: NaiveTime,
    /// The zone of that time and of the due day.
    #[serde(default = "utc")]
    pub timezone: Tz,
    /// What it says.
    pub content: Content,
    /// Its place among the sender's due messages.
    #[serde(default)]
    pub priority: Priority,
    /// What to do when nobody knows whether a message left.
    #[serde(default)]
    pub on_doubt: OnDoubt,
}

/// For whom a broadcast is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The members that the group of this name has when planning starts.
    Group(String),
    /// These, at most [`MAX_INLINE_RECIPIENTS`].
    Recipients(Vec<AudienceMember>),
    /// A file, loaded by the command line under this job: the SHA-256 of its normalised rows, in hexadecimal.
    File(String),
}

/// One recipient of a broadcast, with values of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudienceMember {
    /// The number.
    pub to: PhoneNumber,
    /// The name; also the field `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Further fields by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamValue>,
}

/// A message's place among the sender's due messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others.
    Urgent,
    /// The usual one.
    #[default]
    Normal,
    /// After all others; the usual one of broadcasts.
    Bulk,
}

impl Priority {
    /// Every priority, the first to be sent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    /// The number that the ledger sorts by.
    #[must_use]
    pub const fn rank(self) -> i64 {
        self as i64
    }
}

/// What to do with a message of which nobody knows whether it left, once the grace time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// Send again where evidence proves that it never left; else a person decides.
    #[default]
    Auto,
    /// Send again; a duplicate is better than a loss.
    Resend,
    /// A person decides; a loss is better than a duplicate.
    Hold,
}

impl OnDoubt {
    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Resend => "resend",
            Self::Hold => "hold",
        }
    }
}

impl std::str::FromStr for OnDoubt {
    type Err = crate::message::UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Auto, Self::Resend, Self::Hold]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| crate::message::UnknownName(text.to_owned()))
    }
}

impl std::str::FromStr for Priority {
    type Err = crate::message::UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "urgent" => Ok(Self::Urgent),
            "normal" => Ok(Self::Normal),
            "bulk" => Ok(Self::Bulk),
            other => Err(crate::message::UnknownName(other.to_owned())),
        }
    }
}

/// The fields that every kind of job has.
impl Job {
    /// The producer's key.
    #[must_use]
    pub const fn id(&self) -> &JobId {
        match self {
            Self::Send(job) => &job.id,
            Self::Broadcast(job) => &job.id,
            Self::Reminder(job) => &job.id,
        }
    }

    /// The name of the kind, as in `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Broadcast(_) => "broadcast",
            Self::Reminder(_) => "reminder",
        }
    }

    /// The sender's name.
    #[must_use]
    pub fn sender(&self) -> &str {
        match self {
            Self::Send(job) => &job.sender,
            Self::Broadcast(job) => &job.sender,
            Self::Reminder(job) => &job.sender,
        }
    }

    /// What it says.
    #[must_use]
    pub const fn content(&self) -> &Content {
        match self {
            Self::Send(job) => &job.content,
            Self::Broadcast(job) => &job.content,
            Self::Reminder(job) => &job.content,
        }
    }

    /// Its place among the sender's due messages.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        match self {
            Self::Send(job) => job.priority,
            Self::Broadcast(job) => job.priority,
            Self::Reminder(job) => job.priority,
        }
    }

    /// What to do when nobody knows whether a message left.
    #[must_use]
    pub const fn on_doubt(&self) -> OnDoubt {
        match self {
            Self::Send(job) => job.on_doubt,
            Self::Broadcast(job) => job.on_doubt,
            Self::Reminder(job) => job.on_doubt,
        }
    }
}

fn default_sender() -> String {
    DEFAULT_SENDER.to_owned()
}

const fn bulk() -> Priority {
    Priority::Bulk
}

/// A week, three days and a day before, and on the due day itself.
#[must_use]
pub fn usual_offsets() -> Vec<DaysBefore> {
    [7, 3, 1, 0].map(DaysBefore).to_vec()
}

fn nine_o_clock() -> NaiveTime {
    NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default()
}

const fn utc() -> Tz {
    Tz::UTC
}

/// A local time as `09:00`; seconds may be given.
mod local_time {
    use chrono::NaiveTime;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &NaiveTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.format("%H:%M:%S"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        NaiveTime::parse_from_str(&text, "%H:%M")
            .or_else(|_| NaiveTime::parse_from_str(&text, "%H:%M:%S"))
            .map_err(|_| D::Error::custom(format!("{text:?} is not a local time: write it as 09:00")))
    }
}
