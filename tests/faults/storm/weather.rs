//! How the provider misbehaves for a few seconds.

use std::time::Duration;

use kabar_sandbox::Faults;

/// Receipts come this much later in [`Weather::LateReceipts`]: a fifth of the grace of doubt, as two minutes are by default.
const LATE: Duration = Duration::from_secs(4);

/// Longer than a request may take.
const TOO_SLOW: Duration = Duration::from_millis(2_600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    ServerErrors,
    ResetsBefore,
    AnswersLost,
    AnswersBroken,
    Slow,
    Throttles,
    Down,
    TokenExpired,
    LostReceipts,
    DoubledReceipts,
    LateReceipts,
}

impl Weather {
    pub(super) const ALL: [Self; 11] = [
        Self::ServerErrors,
        Self::ResetsBefore,
        Self::AnswersLost,
        Self::AnswersBroken,
        Self::Slow,
        Self::Throttles,
        Self::Down,
        Self::TokenExpired,
        Self::LostReceipts,
        Self::DoubledReceipts,
        Self::LateReceipts,
    ];

    /// Whether it is about what comes from the provider later.
    pub(super) const fn is_of_receipts(self) -> bool {
        matches!(self, Self::LostReceipts | Self::DoubledReceipts | Self::LateReceipts)
    }

    /// How late receipts come.
    pub(super) const fn receipts_after(self) -> Duration {
        match self {
            Self::LateReceipts => LATE,
            _ => Duration::from_millis(20),
        }
    }

    pub(super) fn faults(self) -> Faults {
        let calm = calm();
        match self {
            Self::ServerErrors => Faults { server_error_share: 0.4, ..calm },
            Self::ResetsBefore => Faults { drop_before_accept_share: 0.2, ..calm },
            Self::AnswersLost => Faults { drop_after_accept_share: 0.2, ..calm },
            Self::AnswersBroken => Faults { half_answer_share: 0.1, html_share: 0.1, ..calm },
            Self::Slow => Faults { latency: TOO_SLOW, ..calm },
            Self::Throttles => Faults { throttle_every: Some(30), throttle_burst: 3, ..calm },
            Self::Down => Faults { down: true, ..calm },
            Self::TokenExpired => Faults { token_expires_after: Some(0), ..calm },
            // Of a few messages every receipt is lost, and of a few of these the answer, too.
            Self::LostReceipts => Faults { webhook_loss_share: 0.3, drop_after_accept_share: 0.1, ..calm },
            Self::DoubledReceipts => Faults { webhook_duplicate_share: 0.5, webhook_shuffle: true, ..calm },
            Self::LateReceipts => Faults { webhook_shuffle: true, drop_after_accept_share: 0.1, ..calm },
        }
    }
}

/// A provider in good health, as far away as one.
pub(super) fn calm() -> Faults {
    Faults { latency: Duration::from_millis(20), latency_jitter: Duration::from_millis(30), ..Faults::default() }
}
