//! A message's life: its states, who moves it into each and who out.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Where a message is in its life. Each message is in exactly one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Waits for its time and its turn. In: planner; courier and janitor, when they give it back. Out: courier claims it,
    /// or it is cancelled, expired or skipped.
    Queued,
    /// In a courier's batch, waiting for its slot. In: courier. Out: courier, just before the slot; whoever gives it back.
    Claimed,
    /// The request leaves within 50 ms, or is under way. In: courier. Out: the attempt's outcome; janitor, into doubt.
    Sending,
    /// Nobody knows whether it left. In: courier (timeout, broken connection), janitor (dead courier). Out: a receipt, or
    /// the doubt policy after the grace time.
    InDoubt,
    /// Doubt that neither evidence nor policy settled. In: janitor. Out: a late receipt, or a person.
    Unresolved,
    /// The provider took it over. In: courier. Out: receipts.
    Accepted,
    /// The provider says it went out to the handset. In and out: receipts.
    Sent,
    /// The handset has it. In and out: receipts.
    Delivered,
    /// The recipient has read it. In: receipts. Out: nobody.
    Read,
    /// It will not arrive; code, meaning and advice say why. In: courier or a receipt. Out: `broadcast retry` writes a new
    /// attempt; a receipt that it arrived after all.
    Failed,
    /// Its own attempt met a block of the recipient. In: courier or a receipt. Out: nobody.
    Blocked,
    /// It was not sent, for the reason given. In: planner, courier, a block. Out: evidence that it had left after all.
    Skipped,
    /// A person or a payment took it back before it left. In: cancel, `reminder paid`. Out: evidence that it had left after
    /// all.
    Cancelled,
    /// Its time ran out before it left. In: courier, janitor. Out: evidence that it had left after all.
    Expired,
}

/// Which of the four kinds of state a state is; the four add up to the audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not yet claimed.
    Waiting,
    /// In the hands of a courier, or in doubt.
    InFlight,
    /// A person must decide.
    Attention,
    /// Over, but for receipts.
    Done,
}

impl MessageState {
    /// Every state, in the order in which counts are shown.
    pub const ALL: [Self; 14] = [
        Self::Queued,
        Self::Claimed,
        Self::Sending,
        Self::InDoubt,
        Self::Unresolved,
        Self::Accepted,
        Self::Sent,
        Self::Delivered,
        Self::Read,
        Self::Failed,
        Self::Blocked,
        Self::Skipped,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Sending => "sending",
            Self::InDoubt => "in_doubt",
            Self::Unresolved => "unresolved",
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Which kind of state this is.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::Queued => Phase::Waiting,
            Self::Claimed | Self::Sending | Self::InDoubt => Phase::InFlight,
            Self::Unresolved => Phase::Attention,
            _ => Phase::Done,
        }
    }

    /// Whether this says that the message is not with the provider: it waits, or ended before it left. Evidence that an
    /// attempt did leave after all is better knowledge.
    #[must_use]
    pub const fn has_not_left(self) -> bool {
        matches!(self, Self::Queued | Self::Claimed | Self::Skipped | Self::Cancelled | Self::Expired)
    }

    /// The state that a receipt of `status` moves a message in this state to; none where it changes nothing.
    ///
    /// Receipts only move forward: late and repeated ones change nothing, and in whatever order they come, they come to the
    /// same. `failed` counts for more than `sent` and for less than `delivered`: what contradicts an arrival is kept as
    /// evidence on the attempt, not believed.
    #[must_use]
    pub fn after_receipt(self, status: ReceiptStatus) -> Option<Self> {
        let target = status.state();
        let rank = |state: Self| match state {
            Self::Sending | Self::InDoubt | Self::Unresolved => Some(0),
            Self::Accepted => Some(1),
            Self::Sent => Some(2),
            Self::Failed => Some(3),
            Self::Delivered => Some(4),
            Self::Read => Some(5),
            _ => None,
        };
        (rank(target)? > rank(self)?).then_some(target)
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a known value")]
pub struct UnknownName(pub String);

impl FromStr for MessageState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// What a provider later says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptStatus {
    /// It went out to the handset.
    Sent,
    /// The handset has it.
    Delivered,
    /// The recipient has read it.
    Read,
    /// It will not arrive.
    Failed,
}

impl ReceiptStatus {
    /// The state that the receipt vouches for.
    #[must_use]
    pub const fn state(self) -> MessageState {
        match self {
            Self::Sent => MessageState::Sent,
            Self::Delivered => MessageState::Delivered,
            Self::Read => MessageState::Read,
            Self::Failed => MessageState::Failed,
        }
    }
}

/// Why a message was skipped without being tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The recipient is blocked on the channel.
    RecipientBlocked,
    /// The recipient asked for no more messages.
    OptedOut,
    /// The recipient has no value for a field that the content needs.
    MissingParameter,
    /// A value of the recipient is no date, time, number or amount where the content takes one, or breaks a limit.
    InvalidParameter,
    /// The template cannot be used any more.
    TemplateDisabled,
    /// Marketing needs a consent here, and the recipient's is not known.
    NoConsent,
    /// The recipient has had, or will have, as many such messages within the days as the cap allows.
    FrequencyCap,
}

impl SkipReason {
    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RecipientBlocked => "recipient_blocked",
            Self::OptedOut => "opted_out",
            Self::MissingParameter => "missing_parameter",
            Self::InvalidParameter => "invalid_parameter",
            Self::TemplateDisabled => "template_disabled",
            Self::NoConsent => "no_consent",
            Self::FrequencyCap => "frequency_cap",
        }
    }
}

/// How many messages are now in each state; zeros included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateCounts([u64; MessageState::ALL.len()]);

impl StateCounts {
    /// Adds `count` messages in `state`.
    pub fn add(&mut self, state: MessageState, count: u64) {
        self.0[state as usize] += count;
    }

    /// How many are in `state`.
    #[must_use]
    pub fn get(&self, state: MessageState) -> u64 {
        self.0[state as usize]
    }

    /// How many are in states of `phase`.
    #[must_use]
    pub fn of(&self, phase: Phase) -> u64 {
        MessageState::ALL.into_iter().filter(|state| state.phase() == phase).map(|state| self.get(state)).sum()
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Whether nothing of it waits, flies or needs attention.
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.of(Phase::Done) == self.total()
    }
}

impl Serialize for StateCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(MessageState::ALL.into_iter().map(|state| (state.as_str(), self.get(state))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_round_trip_and_are_unique() {
        for state in MessageState::ALL {
            assert_eq!(state.as_str().parse::<MessageState>().unwrap(), state);
        }
    }

    #[test]
    fn a_late_failure_does_not_undo_a_delivery() {
        assert_eq!(MessageState::Delivered.after_receipt(ReceiptStatus::Failed), None);
        assert_eq!(MessageState::Failed.after_receipt(ReceiptStatus::Delivered), Some(MessageState::Delivered));
        assert_eq!(MessageState::Sent.after_receipt(ReceiptStatus::Failed), Some(MessageState::Failed));
        assert_eq!(MessageState::InDoubt.after_receipt(ReceiptStatus::Sent), Some(MessageState::Sent));
    }

    fn any_status() -> impl Strategy<Value = ReceiptStatus> {
        prop_oneof![
            Just(ReceiptStatus::Sent),
            Just(ReceiptStatus::Delivered),
            Just(ReceiptStatus::Read),
            Just(ReceiptStatus::Failed)
        ]
    }

    fn any_state() -> impl Strategy<Value = MessageState> {
        proptest::sample::select(&MessageState::ALL[..])
    }

    fn after(state: MessageState, statuses: &[ReceiptStatus]) -> MessageState {
        statuses.iter().fold(state, |state, status| state.after_receipt(*status).unwrap_or(state))
    }

    proptest! {
        #[test]
        fn the_order_and_the_repeats_of_receipts_do_not_matter(
            state in any_state(),
            statuses in proptest::collection::vec(any_status(), 1..12),
            other in any::<prop::sample::Index>(),
        ) {
            let mut shuffled = statuses.clone();
            shuffled.rotate_left(other.index(statuses.len()));
            shuffled.extend_from_slice(&statuses[other.index(statuses.len())..]);
            shuffled.reverse();
            prop_assert_eq!(after(state, &shuffled), after(state, &statuses));
            let mut once = statuses.clone();
            once.sort();
            once.dedup();
            prop_assert_eq!(after(state, &once), after(state, &statuses));
        }

        #[test]
        fn receipts_never_take_a_message_out_of_what_is_done(
            state in any_state(),
            statuses in proptest::collection::vec(any_status(), 1..12),
        ) {
            let after = after(state, &statuses);
            prop_assert!(state.phase() != Phase::Done || after.phase() == Phase::Done);
            prop_assert!(after == state || statuses.iter().any(|status| status.state() == after), "only what a receipt told");
        }

        #[test]
        fn receipts_never_touch_what_did_not_leave(status in any_status()) {
            for state in MessageState::ALL.into_iter().filter(|state| state.has_not_left() || *state == MessageState::Blocked) {
                prop_assert_eq!(state.after_receipt(status), None);
            }
        }
    }
}
