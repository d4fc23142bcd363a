//! One content to one recipient: a row of a list, and everything that happened to one.

use serde::Serialize;
use utoipa::ToSchema;

use super::{State, Timestamp};

/// A message as lists show it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ListedMessage {
    /// The message.
    id: i64,
    /// The id of its job.
    job_key: String,
    /// `send`, `broadcast` or `reminder`.
    kind: String,
    /// The sender's name.
    sender: String,
    /// To whom.
    phone: String,
    /// Where it is in its life.
    state: State,
    /// Why.
    reason: Option<String>,
    /// Not to be acted on before; in doubt, when evidence or policy decides.
    due_at: Timestamp,
    /// Since when it is so.
    updated_at: Timestamp,
}

impl From<&kabar_store::ListedMessage> for ListedMessage {
    fn from(message: &kabar_store::ListedMessage) -> Self {
        Self {
            id: message.id,
            job_key: message.job_key.clone(),
            kind: message.kind.clone(),
            sender: message.sender.clone(),
            phone: message.phone.to_string(),
            state: State(message.state),
            reason: message.reason.clone(),
            due_at: Timestamp(message.due_at),
            updated_at: Timestamp(message.updated_at),
        }
    }
}

/// Everything that happened to one message, why it waits and what happens next.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct MessageStory {
    /// The message.
    id: i64,
    /// The id of its job.
    job_key: String,
    /// `send`, `broadcast` or `reminder`.
    kind: String,
    /// The sender's name.
    sender: String,
    /// To whom.
    phone: String,
    /// Where it is in its life.
    state: State,
    /// Why.
    reason: Option<String>,
    /// Not to be acted on before.
    due_at: Timestamp,
    /// Not to be sent from then on.
    expires_at: Option<Timestamp>,
    /// When it was planned.
    created_at: Timestamp,
    /// When it was written last.
    updated_at: Timestamp,
    /// Every try, the first first.
    attempts: Vec<Attempt>,
    /// Why it waits, in a sentence; null where it does not.
    waits_because: Option<String>,
    /// What happens next, in a sentence.
    next: String,
}

/// One try to send a message.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Attempt {
    /// 1 for the first.
    number: i64,
    /// When its start was committed.
    started_at: Timestamp,
    /// When its outcome was known.
    ended_at: Option<Timestamp>,
    /// What it came to.
    outcome: Option<String>,
    /// The provider's code.
    code: Option<i64>,
    /// What that means, in a sentence.
    meaning: Option<String>,
    /// Why the message was sent again after doubt about this attempt, where it was.
    evidence: Option<String>,
    /// When that was decided.
    evidence_at: Option<Timestamp>,
    /// The provider's id of the message.
    provider_message_id: Option<String>,
    /// When the provider says that it went out.
    sent_at: Option<Timestamp>,
    /// When the provider says that the handset had it.
    delivered_at: Option<Timestamp>,
    /// When the provider says that it was read.
    read_at: Option<Timestamp>,
    /// When the provider says that it failed.
    failed_at: Option<Timestamp>,
}

impl From<&kabar_store::MessageStory> for MessageStory {
    fn from(story: &kabar_store::MessageStory) -> Self {
        Self {
            id: story.id,
            job_key: story.job_key.clone(),
            kind: story.kind.clone(),
            sender: story.sender.clone(),
            phone: story.phone.to_string(),
            state: State(story.state),
            reason: story.reason.clone(),
            due_at: Timestamp(story.due_at),
            expires_at: story.expires_at.map(Timestamp),
            created_at: Timestamp(story.created_at),
            updated_at: Timestamp(story.updated_at),
            attempts: story.attempts.iter().map(Attempt::from).collect(),
            waits_because: story.waits_because.clone(),
            next: story.next.clone(),
        }
    }
}

impl From<&kabar_store::AttemptStory> for Attempt {
    fn from(attempt: &kabar_store::AttemptStory) -> Self {
        Self {
            number: attempt.number,
            started_at: Timestamp(attempt.started_at),
            ended_at: attempt.ended_at.map(Timestamp),
            outcome: attempt.outcome.clone(),
            code: attempt.code,
            meaning: attempt.meaning.clone(),
            evidence: attempt.evidence.clone(),
            evidence_at: attempt.evidence_at.map(Timestamp),
            provider_message_id: attempt.provider_message_id.clone(),
            sent_at: attempt.sent_at.map(Timestamp),
            delivered_at: attempt.delivered_at.map(Timestamp),
            read_at: attempt.read_at.map(Timestamp),
            failed_at: attempt.failed_at.map(Timestamp),
        }
    }
}
