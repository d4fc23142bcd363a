//! The rule by which an outcome moves a message; pure.

use kabar_domain::{
    message::MessageState,
    outcome::{Decision, Outcome, Scope},
};
use serde::Serialize;

use super::{SettlePolicy, Source};

/// How long messages of a paused template wait where the provider does not say: the platform's first pause, 3 hours
/// (Cloud API, template pausing).
pub(crate) const TEMPLATE_PAUSE_MS: i64 = 3 * 3_600_000;

/// The exponent of a pair's delay stops here: 4^6 seconds are more than an hour.
const MOST_PAIR_EXPONENT: u32 = 6;

/// What is known of a message when an outcome comes in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) id: i64,
    pub(super) state: MessageState,
    pub(super) is_latest: bool,
    pub(super) tries: i64,
    pub(super) pair_throttles: i64,
}

/// How a message moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) id: i64,
    pub(super) state: MessageState,
    pub(super) reason: Option<String>,
    /// Not to be acted on before; none keeps its time, and with it its place.
    pub(super) due: Option<i64>,
    pub(super) tries: i64,
    pub(super) pair_throttles: i64,
}

/// How `outcome` moves the message; none where it changes nothing. `jitter` lies in 0..1.
pub(super) fn decide(
    facts: &Facts,
    outcome: &Outcome,
    source: Source,
    policy: &SettlePolicy,
    now: i64,
    jitter: f64,
) -> Option<Change> {
    if !facts.is_latest || !may_move(facts.state, outcome.decision, source) {
        return None;
    }
    let stay = |state| Change {
        id: facts.id,
        state,
        reason: Some(outcome.meaning.clone()),
        due: None,
        tries: facts.tries,
        pair_throttles: facts.pair_throttles,
    };
    Some(match outcome.decision {
        Decision::Accepted => Change { reason: None, ..stay(MessageState::Accepted) },
        Decision::Throttled if outcome.scope == Scope::Pair => {
            let exponent = u32::try_from(facts.pair_throttles).unwrap_or(MOST_PAIR_EXPONENT).min(MOST_PAIR_EXPONENT);
            let delay = 4_i64.pow(exponent) * 1_000;
            Change { due: Some(now + delay), pair_throttles: facts.pair_throttles + 1, ..stay(MessageState::Queued) }
        }
        // The sender waits, not the message: it keeps its time and with it its place. Doubt has put its own end in place of
        // that time; who says what came of it after all does not leave the message to wait for it.
        Decision::Throttled | Decision::Halt | Decision::NotSent => {
            let doubted = matches!(facts.state, MessageState::InDoubt | MessageState::Unresolved);
            Change { due: doubted.then_some(now), ..stay(MessageState::Queued) }
        }
        Decision::Retry => {
            let tries = facts.tries + 1;
            let most = i64::from(outcome.max_tries.unwrap_or(policy.max_tries));
            if tries >= most {
                Change { tries, ..stay(MessageState::Failed) }
            } else {
                let asked = outcome.delay.map_or(0, |delay| i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 4));
                let delay = backoff_ms(policy, tries, jitter).max(asked);
                Change { tries, due: Some(now + delay), ..stay(MessageState::Queued) }
            }
        }
        Decision::TemplatePaused => {
            let delay =
                outcome.delay.map_or(TEMPLATE_PAUSE_MS, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX / 4));
            Change { due: Some(now + delay), ..stay(MessageState::Queued) }
        }
        Decision::Failed | Decision::OptedOut | Decision::TemplateDisabled => stay(MessageState::Failed),
        Decision::Blocked => stay(MessageState::Blocked),
        Decision::InDoubt => {
            let grace = i64::try_from(policy.doubt_grace.as_millis()).unwrap_or(i64::MAX / 4);
            Change { due: Some(now + grace), ..stay(MessageState::InDoubt) }
        }
    })
}

/// Whether a decision from `source` may move a message out of `state`.
fn may_move(state: MessageState, decision: Decision, source: Source) -> bool {
    use MessageState::{Accepted, Cancelled, Claimed, Expired, InDoubt, Queued, Sending, Sent, Skipped, Unresolved};
    match source {
        // Waiting again, or ended, though its latest attempt is this one: it was rescued or about to be sent again. That the
        // provider has it is better knowledge.
        Source::Answer if decision == Decision::Accepted => {
            matches!(state, Sending | InDoubt | Unresolved) || state.has_not_left()
        }
        Source::Answer if decision == Decision::InDoubt => state == Sending,
        Source::Answer => matches!(state, Sending | InDoubt | Unresolved),
        // Receipts come here for messages that wait or ended before they left only where the attempt was believed absent. What
        // has ended is not tried again.
        Source::Receipt if matches!(state, Cancelled | Expired | Skipped) => decision.is_for_good(),
        Source::Receipt => matches!(state, Sending | InDoubt | Unresolved | Accepted | Sent | Queued | Claimed),
    }
}

/// Doubles with each try up to the bound; spread over the upper half, so that retries do not come in step.
fn backoff_ms(policy: &SettlePolicy, tries: i64, jitter: f64) -> i64 {
    let exponent = u32::try_from(tries - 1).unwrap_or(0).min(30);
    let full = policy.retry_first.saturating_mul(1 << exponent).min(policy.retry_most);
    let spread = full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    i64::try_from(spread.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(state: MessageState) -> Facts {
        Facts { id: 1, state, is_latest: true, tries: 0, pair_throttles: 0 }
    }

    fn decided(state: MessageState, decision: Decision, source: Source) -> Option<MessageState> {
        let outcome = Outcome::of(decision, "x");
        decide(&facts(state), &outcome, source, &SettlePolicy::default(), 0, 0.5).map(|change| change.state)
    }

    #[test]
    fn a_throttle_spends_nothing_and_keeps_the_place() {
        let outcome = Outcome { scope: Scope::Sender, ..Outcome::of(Decision::Throttled, "slow") };
        let change =
            decide(&facts(MessageState::Sending), &outcome, Source::Answer, &SettlePolicy::default(), 9, 0.5).unwrap();
        assert_eq!((change.state, change.due, change.tries), (MessageState::Queued, None, 0));
    }

    #[test]
    fn what_turns_out_not_to_have_left_does_not_wait_for_the_end_of_doubt() {
        let policy = SettlePolicy::default();
        let change =
            decide(&facts(MessageState::InDoubt), &Outcome::not_sent("late"), Source::Answer, &policy, 9, 0.5).unwrap();
        assert_eq!((change.state, change.due), (MessageState::Queued, Some(9)));
    }

    #[test]
    fn a_pair_limit_delays_by_powers_of_four() {
        let outcome = Outcome { scope: Scope::Pair, ..Outcome::of(Decision::Throttled, "pair") };
        let facts = Facts { pair_throttles: 2, ..facts(MessageState::Sending) };
        let change = decide(&facts, &outcome, Source::Answer, &SettlePolicy::default(), 0, 0.5).unwrap();
        assert_eq!((change.due, change.pair_throttles, change.tries), (Some(16_000), 3, 0));
    }

    #[test]
    fn tries_are_bounded_and_back_off() {
        let policy = SettlePolicy { max_tries: 3, ..SettlePolicy::default() };
        let outcome = Outcome::of(Decision::Retry, "passing");
        let mut facts = facts(MessageState::Sending);
        let first = decide(&facts, &outcome, Source::Answer, &policy, 0, 1.0).unwrap();
        assert_eq!((first.state, first.due), (MessageState::Queued, Some(2_000)));
        facts.tries = 2;
        assert_eq!(decide(&facts, &outcome, Source::Answer, &policy, 0, 1.0).unwrap().state, MessageState::Failed);
    }

    #[test]
    fn what_ended_before_it_left_is_not_tried_again_for_a_receipt() {
        for state in [MessageState::Cancelled, MessageState::Expired, MessageState::Skipped] {
            assert_eq!(decided(state, Decision::Failed, Source::Receipt), Some(MessageState::Failed));
            assert_eq!(decided(state, Decision::Blocked, Source::Receipt), Some(MessageState::Blocked));
            for decision in [Decision::Retry, Decision::Throttled, Decision::TemplatePaused, Decision::Halt] {
                assert_eq!(decided(state, decision, Source::Receipt), None, "{state} after {decision:?}");
            }
        }
    }

    #[test]
    fn late_answers_do_not_undo_what_receipts_told() {
        for state in [MessageState::Sent, MessageState::Delivered, MessageState::Read] {
            assert_eq!(decided(state, Decision::Accepted, Source::Answer), None);
            assert_eq!(decided(state, Decision::InDoubt, Source::Answer), None);
        }
        assert_eq!(decided(MessageState::Queued, Decision::Accepted, Source::Answer), Some(MessageState::Accepted));
        assert_eq!(decided(MessageState::Queued, Decision::Throttled, Source::Answer), None);
        assert_eq!(decided(MessageState::Cancelled, Decision::Accepted, Source::Answer), Some(MessageState::Accepted));
        assert_eq!(decided(MessageState::Cancelled, Decision::InDoubt, Source::Answer), None);
        let old = Facts { is_latest: false, ..facts(MessageState::Sending) };
        let outcome = Outcome::accepted("wamid");
        assert_eq!(decide(&old, &outcome, Source::Answer, &SettlePolicy::default(), 0, 0.5), None);
    }
}
