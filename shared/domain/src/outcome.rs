//! What an attempt came to.
//!
//! A provider's answer, a broken connection and a failed receipt are all turned into one [`Outcome`]: what was decided,
//! for whom it holds, and when to try again. The ledger applies outcomes; nothing else interprets a provider's codes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What was decided about the attempt's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The provider took the message over. Only a receipt says more.
    Accepted,
    /// The provider said "not now". The message waits with nothing spent.
    Throttled,
    /// The provider said no for a passing reason. One try of the bounded number is spent.
    Retry,
    /// The provider said no for good: the message ends as `failed`.
    Failed,
    /// The recipient may not be sent to: the message ends as `blocked` and the recipient is blocked.
    Blocked,
    /// The recipient declined marketing messages: the message ends as `failed` and the recipient is opted out.
    OptedOut,
    /// The template cannot be used for now: the message waits and so do all others with the template.
    TemplatePaused,
    /// The template cannot be used any more: the message ends as `failed`.
    TemplateDisabled,
    /// The sender cannot send until a person acts: the message waits with nothing spent.
    Halt,
    /// Nobody knows whether the message left. Only evidence or policy may settle it.
    InDoubt,
    /// The request provably never left: the message waits with nothing spent.
    NotSent,
}

impl Decision {
    /// Whether the provider said no for good, so that the message ends.
    #[must_use]
    pub const fn is_for_good(self) -> bool {
        matches!(self, Self::Failed | Self::Blocked | Self::OptedOut | Self::TemplateDisabled)
    }
}

/// For whom a decision holds beyond the message itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This message alone.
    Message,
    /// All messages of this sender to this recipient.
    Pair,
    /// All messages to this recipient on this channel.
    Recipient,
    /// All messages with this template of this sender.
    Template,
    /// All messages of this sender.
    Sender,
    /// All senders of this business account.
    Account,
    /// All senders of this provider application.
    App,
}

/// One row of a provider's error policy: what a code means and what to do about it.
///
/// Policies ship with the program as data and may be overridden row by row in the settings, under
/// `[errors.PROVIDER.CODE]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// What to decide.
    pub decision: Decision,
    /// For whom it holds.
    #[serde(default = "message_scope")]
    pub scope: Scope,
    /// The first delay before trying again, in seconds; none where the decision needs none or where it grows by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u64>,
    /// The most tries a message may spend on this code before it fails; the courier's own bound applies if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tries: Option<u32>,
    /// Whether a person should hear of it at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alert: bool,
    /// What the code means, in a sentence that an operator understands.
    pub meaning: String,
    /// What an operator should do about it; empty where nothing can be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

fn message_scope() -> Scope {
    Scope::Message
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was decided.
    pub decision: Decision,
    /// For whom it holds.
    pub scope: Scope,
    /// How long to wait before the next try, where the provider or the policy says so.
    pub delay: Option<Duration>,
    /// The most tries a message may spend on this, where the policy bounds it.
    pub max_tries: Option<u32>,
    /// The provider's own code; none for a broken connection.
    pub code: Option<i64>,
    /// The provider's id of the message, when it was accepted.
    pub provider_message_id: Option<String>,
    /// What happened, in a sentence for the operator. Never a phone number, a token or message text.
    pub meaning: String,
    /// What the operator should do; empty where nothing can be done.
    pub advice: String,
    /// Whether a person should hear of it at once.
    pub alert: bool,
}

/// How the usual outcome is worded.
pub const ACCEPTED: &str = "accepted by the provider";

impl Outcome {
    /// What it means and what to do about it, for a person.
    #[must_use]
    pub fn advised(&self) -> String {
        match (self.meaning.trim(), self.advice.trim()) {
            (meaning, "") => meaning.to_owned(),
            ("", advice) => advice.to_owned(),
            (meaning, advice) if meaning.ends_with(['.', '!', '?']) => format!("{meaning} {advice}"),
            (meaning, advice) => format!("{meaning}. {advice}"),
        }
    }

    /// The provider took the message over under `provider_message_id`.
    #[must_use]
    pub fn accepted(provider_message_id: impl Into<String>) -> Self {
        Self { provider_message_id: Some(provider_message_id.into()), ..Self::of(Decision::Accepted, ACCEPTED) }
    }

    /// Nobody knows whether the message left, because of `meaning`.
    #[must_use]
    pub fn in_doubt(meaning: impl Into<String>) -> Self {
        Self::of(Decision::InDoubt, meaning)
    }

    /// The request provably never left, because of `meaning`.
    #[must_use]
    pub fn not_sent(meaning: impl Into<String>) -> Self {
        Self::of(Decision::NotSent, meaning)
    }

    /// An outcome with `decision` for the message alone.
    #[must_use]
    pub fn of(decision: Decision, meaning: impl Into<String>) -> Self {
        Self {
            decision,
            scope: Scope::Message,
            delay: None,
            max_tries: None,
            code: None,
            provider_message_id: None,
            meaning: meaning.into(),
            advice: String::new(),
            alert: false,
        }
    }

    /// What `rule` says of `code`.
    #[must_use]
    pub fn by_rule(code: i64, rule: &ErrorRule) -> Self {
        Self {
            decision: rule.decision,
            scope: rule.scope,
            delay: rule.delay_seconds.map(Duration::from_secs),
            max_tries: rule.max_tries,
            code: Some(code),
            provider_message_id: None,
            meaning: rule.meaning.clone(),
            advice: rule.advice.clone(),
            alert: rule.alert,
        }
    }
}
