//! The updates that webhooks carry.

use std::sync::Arc;

/// One thing to report to the receiver.
#[derive(Clone, Debug)]
pub(crate) enum Update {
    /// A status of a message that was accepted.
    Status { message: Arc<AcceptedMessage>, status: Status, timestamp: u64 },
    /// A text that a user wrote.
    Inbound(Arc<InboundText>),
}

/// What the statuses of a message say about it.
#[derive(Debug)]
pub(crate) struct AcceptedMessage {
    pub(crate) phone_number_id: String,
    pub(crate) wamid: String,
    /// The recipient's digits.
    pub(crate) recipient: String,
    pub(crate) opaque: Option<String>,
    /// The category that it is priced in.
    pub(crate) category: &'static str,
    /// The code that it fails with, if it does.
    pub(crate) fails_with: Option<i64>,
}

/// How far a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Sent,
    Delivered,
    Read,
    Failed,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }
}

/// A text from a user to a number.
#[derive(Debug)]
pub(crate) struct InboundText {
    pub(crate) phone_number_id: String,
    pub(crate) wamid: String,
    /// The user's digits.
    pub(crate) from: String,
    pub(crate) text: String,
    pub(crate) timestamp: u64,
}

impl Update {
    /// The number whose webhook carries it.
    pub(crate) fn phone_number_id(&self) -> &str {
        match self {
            Self::Status { message, .. } => &message.phone_number_id,
            Self::Inbound(inbound) => &inbound.phone_number_id,
        }
    }
}
