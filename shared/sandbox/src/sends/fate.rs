//! The values that say what becomes of a send.

use std::time::{Duration, Instant};

use crate::api::error::ApiError;
use crate::content::request::SendRequest;
use crate::sends::limits::CallUsage;

/// A message that is in order.
pub(crate) struct CheckedSend<'a> {
    pub(crate) request: SendRequest<'a>,
    /// The category that it is priced in.
    pub(crate) category: &'static str,
}

/// A send as it is offered for a decision.
pub(crate) struct Offer<'a> {
    pub(crate) at: Instant,
    pub(crate) phone_number_id: &'a str,
    /// The message, or why it is none.
    pub(crate) checked: Result<CheckedSend<'a>, ApiError>,
    /// Its body, if it was JSON.
    pub(crate) body: Option<&'a serde_json::Value>,
}

/// What becomes of a send.
pub(crate) enum Fate<'a> {
    /// The connection closes without an answer; nothing is accepted.
    HangUp,
    /// A proxy's page is the answer; nothing is accepted.
    ProxyPage,
    /// It came too fast.
    Throttle(ApiError),
    /// It is refused for any other reason.
    Refuse(ApiError),
    /// It is accepted.
    Accept(Acceptance<'a>),
}

/// A message that was accepted.
pub(crate) struct Acceptance<'a> {
    pub(crate) send: CheckedSend<'a>,
    pub(crate) wamid: String,
    /// The code that it fails with later, if it does.
    pub(crate) fails_with: Option<i64>,
    pub(crate) answer: Answer,
}

/// How the acceptance of a message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Whole,
    Half,
    None,
}

/// A decision and how long its answer takes.
pub(crate) struct Decision<'a> {
    pub(crate) fate: Fate<'a>,
    pub(crate) latency: Duration,
    pub(crate) usage: Usage,
}

/// What an answer tells of limits on calls, where there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) app: Option<CallUsage>,
    pub(crate) account: Option<CallUsage>,
}
