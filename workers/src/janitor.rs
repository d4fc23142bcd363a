//! Gives back what dead workers held, settles doubt, ends what has expired, puts off what would meet quiet hours, looks
//! again at receipts that came early, tells how far foreseen ends were off, and walks through the ledger to mend what has no
//! way forward.

use std::time::Duration;

use kabar_domain::{outcome::Outcome, sender::ProviderKind};
use kabar_telemetry::names::{self, field};

use crate::{
    context::Shared,
    steps::{Next, StepError},
};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most messages of each kind in one step.
const MOST_MESSAGES: u32 = 1_000;

/// How much longer than a request lasts a receipt without a known message is looked at in every step: its message is known
/// when the request is answered. The walk looks at older ones.
const KEPT_RECEIPTS_BEYOND: Duration = Duration::from_secs(60);

pub(crate) async fn step(context: Shared) -> Result<Next, StepError> {
    let store = &context.store;
    let policy = context.settle_policy();
    let (given_back, doubtful) = store.rescue(policy.doubt_grace).await?;
    if given_back + doubtful > 0 {
        metrics::counter!(names::LEASES_EXPIRED).increment(1);
        metrics::counter!(names::MESSAGES_RESCUED).increment(given_back + doubtful);
        metrics::counter!(names::DOUBTS_OPENED).increment(doubtful);
        tracing::warn!(given_back, doubtful, "took over what ended workers held");
    }
    let expired = store.expire_messages(MOST_MESSAGES).await?;
    let quiet = store.keep_quiet_hours(MOST_MESSAGES).await?;
    let doubts = store.settle_doubts(MOST_MESSAGES).await?;
    for (by, count) in [("absence", doubts.absent), ("policy", doubts.resent), ("person", doubts.unresolved)] {
        if count > 0 {
            metrics::counter!(names::DOUBTS_SETTLED, field::BY => by).increment(count);
            tracing::warn!(by, count, "doubts whose grace time is over");
        }
    }
    let errors = context.providers.policy(ProviderKind::WhatsappCloud);
    let outcome_of = |code| errors.rule(code).map(|rule| Outcome::by_rule(code, rule));
    let kept_for = context.settings.courier.request_timeout + KEPT_RECEIPTS_BEYOND;
    let since = store.now_ms() - i64::try_from(kept_for.as_millis()).unwrap_or(i64::MAX);
    let kept = store.apply_kept_receipts(since, MOST_MESSAGES, &policy, outcome_of).await?;
    let repaired = store.repair_step(context.settings.repair.every, &policy, outcome_of).await?;
    for (gap, count) in repaired.mended {
        metrics::counter!(names::REPAIRS, field::GAP => gap.as_str()).increment(count);
        tracing::warn!(gap = gap.as_str(), count, "the ledger held what had no way forward; it was mended");
    }
    for late_ms in store.errors_of_foreseen_ends(MOST_MESSAGES).await? {
        let came = if late_ms < 0 { "early" } else { "late" };
        metrics::histogram!(names::ETA_ERROR, field::CAME => came).record(late_ms.unsigned_abs() as f64 / 1_000.0);
    }
    let most = u64::from(MOST_MESSAGES);
    Ok(if given_back + doubtful >= most || expired >= most || quiet >= most || kept >= most {
        Next::Now
    } else {
        Next::After(LOOK_EVERY)
    })
}

#[cfg(test)]
mod tests {
    use kabar_store::Gap;

    use super::*;

    #[test]
    fn every_gap_is_exported_from_the_start() {
        let exported = field::values(field::GAP).unwrap_or_default();
        assert_eq!(exported, Gap::ALL.map(Gap::as_str));
    }
}
