//! Gives back what dead workers held, settles doubt, ends what has expired, and looks again at receipts that came early.

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

/// How long a receipt without a known message is looked at again, in milliseconds.
const KEPT_RECEIPTS_MS: i64 = 3_600_000;

pub(crate) async fn step(context: Shared) -> Result<Next, StepError> {
    let store = &context.store;
    let policy = context.settle_policy();
    let (given_back, doubtful) = store.rescue(policy.doubt_grace).await?;
    if given_back + doubtful > 0 {
        metrics::counter!(names::LEASES_EXPIRED).increment(1);
        metrics::counter!(names::DOUBTS_OPENED).increment(doubtful);
        tracing::warn!(given_back, doubtful, "took over what ended workers held");
    }
    let expired = store.expire_messages(MOST_MESSAGES).await?;
    let doubts = store.settle_doubts(MOST_MESSAGES).await?;
    for (by, count) in [("absence", doubts.absent), ("policy", doubts.resent), ("person", doubts.unresolved)] {
        if count > 0 {
            metrics::counter!(names::DOUBTS_SETTLED, field::BY => by).increment(count);
            tracing::warn!(by, count, "doubts whose grace time is over");
        }
    }
    let errors = context.providers.policy(ProviderKind::WhatsappCloud);
    let outcome_of = |code| errors.rule(code).map(|rule| Outcome::by_rule(code, rule));
    let since = store.now_ms() - KEPT_RECEIPTS_MS;
    let kept = store.apply_kept_receipts(since, MOST_MESSAGES, &policy, outcome_of).await?;
    let most = u64::from(MOST_MESSAGES);
    Ok(if given_back + doubtful >= most || expired >= most || kept >= most {
        Next::Now
    } else {
        Next::After(LOOK_EVERY)
    })
}
