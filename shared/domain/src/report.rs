//! What providers report later: the parts of an event, in one shape for every provider.

use chrono::{DateTime, Utc};

use crate::{message::ReceiptStatus, outcome::Outcome, phone::PhoneNumber, wish::Wish};

/// One thing that an event says. An event holds up to a thousand.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// What became of a message.
    Receipt(Receipt),
    /// A message from a person.
    Inbound(Inbound),
    /// What a person wants to get from now on.
    Wish(PersonsWish),
    /// A template's status changed.
    Template(TemplateChange),
    /// How many people an account may write to in a moving day.
    Budget(AccountBudget),
    /// Something about the sender or its account that a person should hear of.
    Notice(Notice),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The sender's address at the provider (a phone-number id).
    pub sender_address: String,
    /// The provider's id of the message.
    pub provider_message_id: String,
    /// What we gave along with the send, as the provider gave it back; settles doubt.
    pub opaque: Option<String>,
    /// What the provider says.
    pub status: ReceiptStatus,
    /// When it happened, by the provider's clock.
    pub at: DateTime<Utc>,
    /// For a failure: what the error policy makes of it.
    pub outcome: Option<Outcome>,
}

/// A message from a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// The address at the provider that it was sent to.
    pub sender_address: String,
    /// Who sent it; none where the provider hides the number.
    pub from: Option<PhoneNumber>,
    /// The provider's id of it; the key against repeats.
    pub provider_message_id: String,
    /// When it was sent.
    pub at: DateTime<Utc>,
    /// `text`, `image` and so on, as the provider names it.
    pub kind: String,
    /// The text, where there is one.
    pub text: Option<String>,
}

/// What a person wants to get from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonsWish {
    /// The address at the provider that they said it to.
    pub sender_address: String,
    /// Who said it.
    pub from: PhoneNumber,
    /// What they want.
    pub wish: Wish,
    /// How they said it, for whoever looks.
    pub source: &'static str,
    /// When they said it: of several, the newest holds.
    pub at: DateTime<Utc>,
}

/// A template's status changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateChange {
    /// The business account that owns it.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Its language, in the form `en_US`.
    pub language: String,
    /// The new status, in capitals.
    pub status: String,
}

/// How many people an account may write to in a moving day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountBudget {
    /// The business account, or the portfolio that it is in.
    pub account: String,
    /// How many different people; none: as many as there are.
    pub people_per_day: Option<u64>,
}

/// Something that a person should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The business account.
    pub account: String,
    /// The provider's name of the event.
    pub kind: String,
    /// What it says, without personal data.
    pub detail: String,
}
