//! How fast a sender may send.
//!
//! Every request of a sender departs in a *slot*. Slots are spaced `(1 s + margin) / rate` apart, and a request may
//! leave late by less than the margin, so any one-second window holds at most `rate` departures: `rate + 1` of them
//! span at least `rate × spacing − margin = 1 s`. Fixed windows, token buckets and GCRA with a burst of `rate` all let up
//! to `2 × rate − 1` through in some window.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// The highest configurable rate, in messages per second: the platform's own highest throughput per number.
pub const MAX_RATE_PER_SECOND: u32 = 1_000;

/// The rate of a new sender, in messages per second.
pub const DEFAULT_RATE_PER_SECOND: u32 = 20;

/// The most messages that one batch may hold, whatever the rate.
pub const MAX_BATCH_MESSAGES: u32 = 20;

/// The most requests of one sender that may depart in any second: 1 to [`MAX_RATE_PER_SECOND`], or unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rate {
    /// At most this many in any one-second window.
    PerSecond(NonZeroU32),
    /// No pace at all; the provider's own limits still park the sender.
    Unlimited,
}

/// A rate that is none: what was given, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a rate: give a whole number from 1 to {MAX_RATE_PER_SECOND} (messages per second) or \"unlimited\""
)]
pub struct InvalidRate {
    given: String,
}

impl Rate {
    /// A rate of `per_second` messages per second.
    ///
    /// # Errors
    /// When it is 0 or above [`MAX_RATE_PER_SECOND`].
    pub fn per_second(per_second: u32) -> Result<Self, InvalidRate> {
        match NonZeroU32::new(per_second) {
            Some(rate) if per_second <= MAX_RATE_PER_SECOND => Ok(Self::PerSecond(rate)),
            _ => Err(InvalidRate { given: per_second.to_string() }),
        }
    }

    /// The number of messages per second; none where unlimited.
    #[must_use]
    pub fn limit(self) -> Option<u32> {
        match self {
            Self::PerSecond(rate) => Some(rate.get()),
            Self::Unlimited => None,
        }
    }

    /// The most messages that a batch of this sender may hold: [`MAX_BATCH_MESSAGES`], and one second's worth.
    #[must_use]
    pub fn batch_limit(self) -> u32 {
        self.limit().map_or(MAX_BATCH_MESSAGES, |rate| rate.min(MAX_BATCH_MESSAGES))
    }
}

impl Default for Rate {
    fn default() -> Self {
        NonZeroU32::new(DEFAULT_RATE_PER_SECOND).map_or(Self::Unlimited, Self::PerSecond)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{rate}"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let invalid = || InvalidRate { given: text.to_owned() };
        match text.trim() {
            "unlimited" => Ok(Self::Unlimited),
            number => Self::per_second(number.parse().map_err(|_| invalid())?).map_err(|_| invalid()),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::PerSecond(rate) => serializer.serialize_u32(rate.get()),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Typed {
            Number(u32),
            Text(String),
        }
        match Typed::deserialize(deserializer)? {
            Typed::Number(number) => Self::per_second(number),
            Typed::Text(text) => text.parse(),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// The time between two slots, in microseconds, rounded up so that rounding never speeds a sender up.
///
/// `rate_milli` is the rate in thousandths of a message per second (an effective rate after a cut is no whole
/// number); `margin` bounds the jitter between a slot and the request's arrival at the provider.
#[must_use]
pub fn spacing_us(rate_milli: u64, margin: Duration) -> u64 {
    let second_us = 1_000_000 + u64::try_from(margin.as_micros()).unwrap_or(u64::MAX / 2_000);
    (second_us * 1_000).div_ceil(rate_milli.max(1))
}

/// The effective rate after a throttle: half, but at least one message in two seconds or a twentieth of the
/// configured rate. In thousandths of a message per second.
#[must_use]
pub fn cut_rate_milli(configured_milli: u64, effective_milli: u64) -> u64 {
    let floor = (configured_milli / 20).max(500).min(configured_milli);
    (effective_milli / 2).max(floor)
}

/// The effective rate one step after a cut: a tenth of the configured rate higher, up to the configured rate.
#[must_use]
pub fn raise_rate_milli(configured_milli: u64, effective_milli: u64) -> u64 {
    (effective_milli + configured_milli.div_ceil(10)).min(configured_milli)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_parsed_or_refused_with_what_is_allowed() {
        assert_eq!("80".parse::<Rate>().unwrap().limit(), Some(80));
        assert_eq!("unlimited".parse::<Rate>().unwrap(), Rate::Unlimited);
        for bad in ["0", "1001", "-1", "fast", ""] {
            let error = bad.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains("1 to 1000") && error.contains("unlimited"), "{error}");
        }
    }

    #[test]
    fn a_batch_is_at_most_twenty_and_at_most_a_second() {
        assert_eq!(Rate::per_second(1).unwrap().batch_limit(), 1);
        assert_eq!(Rate::per_second(1_000).unwrap().batch_limit(), 20);
        assert_eq!(Rate::Unlimited.batch_limit(), 20);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_rate(
            rate in 1u32..=1_000,
            lateness in proptest::collection::vec(0u64..15_000, 3_000),
        ) {
            let spacing = spacing_us(u64::from(rate) * 1_000, Duration::from_millis(15));
            let mut departures: Vec<u64> =
                lateness.iter().enumerate().map(|(slot, late)| slot as u64 * spacing + late).collect();
            departures.sort_unstable();
            for pair in departures.windows(rate as usize + 1) {
                prop_assert!(pair[rate as usize] - pair[0] >= 1_000_000);
            }
        }

        #[test]
        fn cuts_and_raises_stay_within_bounds(configured in 1_000u64..=1_000_000, steps in proptest::collection::vec(any::<bool>(), 0..60)) {
            let mut effective = configured;
            for cut in steps {
                effective = if cut { cut_rate_milli(configured, effective) } else { raise_rate_milli(configured, effective) };
                prop_assert!(effective >= 500 && effective <= configured);
            }
        }
    }
}
