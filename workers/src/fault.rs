//! Faults that tests inject into a process, by two variables of the environment that no setting knows:
//!
//! - `KABAR_FAULT_POINT=POINT:N` ends the process at once, as `kill -9` would, when it passes a point for the N-th time;
//! - `KABAR_FAULT_CLOCK_SECONDS=-120` has the process's clock go two minutes slow (or fast, without a sign).
//!
//! They are compiled into every build, so that what is tested is what runs. Without the variables a point costs the look at
//! one static. Never set them where messages matter.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::Context as _;
use kabar_store::{Clock, SystemClock};

const POINT_VARIABLE: &str = "KABAR_FAULT_POINT";
const CLOCK_VARIABLE: &str = "KABAR_FAULT_CLOCK_SECONDS";

static ARMED: OnceLock<Armed> = OnceLock::new();

/// A moment between two steps that belong together. To add one: a variant, its name, and a call of [`pass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// A batch is claimed; its ticket is still out.
    AfterClaim,
    /// `sending` is committed; the request has not left.
    AfterStart,
    /// The provider's answer is there; the ledger does not know it.
    AfterAnswer,
    /// Claims are committed; their tickets are about to be acknowledged.
    BeforeAck,
    /// The ledger says that tickets are out; they are about to be published.
    BeforePublish,
    /// A job of another service is written down; the line still holds it.
    BeforeJobAck,
    /// An event is written down; the provider has no 200 yet.
    BeforeWebhookAnswer,
}

impl Point {
    const ALL: [Self; 7] = [
        Self::AfterClaim,
        Self::AfterStart,
        Self::AfterAnswer,
        Self::BeforeAck,
        Self::BeforePublish,
        Self::BeforeJobAck,
        Self::BeforeWebhookAnswer,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::AfterClaim => "after-claim",
            Self::AfterStart => "after-start",
            Self::AfterAnswer => "after-answer",
            Self::BeforeAck => "before-ack",
            Self::BeforePublish => "before-publish",
            Self::BeforeJobAck => "before-job-ack",
            Self::BeforeWebhookAnswer => "before-webhook-answer",
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug)]
struct Armed {
    point: Point,
    /// How often the process still passes the point, the last time included.
    left: AtomicU32,
}

impl FromStr for Armed {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        let point = Point::ALL.into_iter().find(|point| point.as_str() == name).with_context(|| {
            let known = Point::ALL.map(Point::as_str).join(", ");
            format!("{name:?} is no fault point: known are {known}")
        })?;
        let times: u32 =
            times.parse().ok().filter(|times| *times > 0).context("POINT:N needs a number from 1 for N")?;
        Ok(Self { point, left: AtomicU32::new(times) })
    }
}

/// Takes note of the fault point that the environment names, if any, and says in the log what is armed.
///
/// # Errors
/// When it names none that there is.
pub(crate) fn arm() -> anyhow::Result<()> {
    if let Ok(seconds) = std::env::var(CLOCK_VARIABLE) {
        tracing::warn!(seconds, "a fault for tests is armed: this process's clock is wrong by so much");
    }
    let Ok(text) = std::env::var(POINT_VARIABLE) else { return Ok(()) };
    let armed: Armed = text.parse().context(POINT_VARIABLE)?;
    tracing::warn!(point = %armed.point, "a fault for tests is armed: this process will end itself at this point");
    // Whoever was first has read the same variable.
    let _ = ARMED.set(armed);
    Ok(())
}

/// Ends the process where a test has armed this point: nothing is unwound, dropped or flushed.
pub(crate) fn pass(point: Point) {
    let Some(armed) = ARMED.get() else { return };
    if armed.point == point && armed.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        tracing::warn!(%point, "a fault for tests ends this process");
        std::process::abort();
    }
}

/// The clock of this process: the machine's, or off by what the environment says.
///
/// # Errors
/// When that is no whole number of seconds.
pub(crate) fn clock() -> anyhow::Result<Arc<dyn Clock>> {
    let Ok(text) = std::env::var(CLOCK_VARIABLE) else { return Ok(Arc::new(SystemClock)) };
    let seconds: i64 = text.parse().context("it must be a whole number of seconds").context(CLOCK_VARIABLE)?;
    Ok(Arc::new(WrongClock { off_us: seconds.saturating_mul(1_000_000) }))
}

/// The machine's clock, off by a constant.
#[derive(Debug)]
struct WrongClock {
    off_us: i64,
}

impl Clock for WrongClock {
    fn now_us(&self) -> i64 {
        SystemClock.now_us() + self.off_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_named_and_counted_and_others_refused() {
        let armed: Armed = "after-claim:3".parse().unwrap();
        assert_eq!((armed.point, armed.left.into_inner()), (Point::AfterClaim, 3));
        for point in Point::ALL {
            let armed: Armed = point.as_str().parse().unwrap();
            assert_eq!((armed.point, armed.left.into_inner()), (point, 1));
        }
        assert!("lunch".parse::<Armed>().unwrap_err().to_string().contains("after-claim, after-start"));
        assert!("after-claim:0".parse::<Armed>().is_err());
        assert!("after-claim:often".parse::<Armed>().is_err());
    }
}
