//! How much of a limit on calls is used up, as providers say it beside their answers.

use std::time::Duration;

use kabar_domain::outcome::{Outcome, Scope};

/// How much of a limit on calls is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Whose limit it is: the application's or the business account's.
    pub scope: Scope,
    /// How much of it is used, in percent; more than 100 where more was asked for than there is.
    pub percent: u32,
    /// How long it takes until calls are taken again, where the provider says so.
    pub regain_after: Option<Duration>,
}

/// What came of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What the attempt came to.
    pub outcome: Outcome,
    /// Of the limits on calls that the answer told of, the one of which the most is used.
    pub usage: Option<Usage>,
}

impl From<Outcome> for Sent {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, usage: None }
    }
}
