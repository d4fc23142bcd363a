//! One send as it reached the sandbox: the evidence that tests and benches judge the sender's pace by.

use std::time::Instant;

/// A send request that arrived, whatever became of it. Marking a message as read is not a send.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When its head had been read, before its body was.
    pub at: Instant,
    /// The phone number id in its path.
    pub phone_number_id: String,
    /// The recipient: digits when it was valid, otherwise as it was given; empty when missing.
    pub to: String,
    /// Its `biz_opaque_callback_data`.
    pub opaque: Option<String>,
    /// The message id that it was given. Also set when the answer was then withheld.
    pub wamid: Option<String>,
    /// Whether the message was accepted.
    pub accepted: bool,
    /// The error code that it was refused with. `None` when it was accepted, or dropped without an answer.
    pub code: Option<i64>,
    /// Its body, when the sandbox records bodies and it was JSON.
    pub body: Option<serde_json::Value>,
}
