//! How many messages a person gets at most within some days.

use std::{fmt, str::FromStr};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The most days that a cap looks at.
const MOST_DAYS: u32 = 365;

/// The most messages that a cap allows.
const MOST_MESSAGES: u32 = 1_000;

/// At most so many messages in any so many days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrequencyCap {
    messages: u32,
    days: u32,
}

/// A text that is no cap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cap is a number of messages and a number of days such as 3/7d (1 to {MOST_MESSAGES}, 1 to {MOST_DAYS})")]
pub struct InvalidFrequencyCap;

impl FromStr for FrequencyCap {
    type Err = InvalidFrequencyCap;

    fn from_str(text: &str) -> Result<Self, InvalidFrequencyCap> {
        let (messages, days) = text.split_once('/').ok_or(InvalidFrequencyCap)?;
        let days = days.trim().strip_suffix('d').ok_or(InvalidFrequencyCap)?;
        let number = |text: &str, most: u32| text.parse().ok().filter(|number| (1..=most).contains(number));
        let messages = number(messages.trim(), MOST_MESSAGES).ok_or(InvalidFrequencyCap)?;
        Ok(Self { messages, days: number(days, MOST_DAYS).ok_or(InvalidFrequencyCap)? })
    }
}

impl fmt::Display for FrequencyCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}d", self.messages, self.days)
    }
}

impl FrequencyCap {
    /// How long the days are, in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> i64 {
        i64::from(self.days) * DAY_MS
    }

    /// Whether a message may be added at `at` to those at `others`, which may lie before and after it; times are Unix
    /// milliseconds. No stretch of so many days may then hold more than the cap allows.
    #[must_use]
    pub fn allows(&self, others: &[i64], at: i64) -> bool {
        let near = |other: &i64| (other - at).abs() < self.window_ms();
        let mut times: Vec<i64> = others.iter().copied().filter(near).chain([at]).collect();
        times.sort_unstable();
        // One more than is allowed, all within the days.
        let too_many =
            |run: &[i64]| run.last().zip(run.first()).is_some_and(|(last, first)| last - first < self.window_ms());
        !times.windows(self.messages as usize + 1).any(|run| run.contains(&at) && too_many(run))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cap_holds_in_any_so_many_days() {
        let cap: FrequencyCap = "2/7d".parse().unwrap();
        let day = |days: i64| days * DAY_MS;
        assert!(cap.allows(&[], 0));
        assert!(cap.allows(&[day(-6)], 0));
        assert!(!cap.allows(&[day(-6), day(-1)], 0));
        assert!(cap.allows(&[day(-7), day(-1)], 0), "seven days later the first counts no more");
        assert!(!cap.allows(&[day(1), day(6)], 0), "what is planned for later counts");
        assert!(cap.allows(&[day(-6), day(6)], 0), "no seven days hold all three");
        assert!(!cap.allows(&[day(-3), day(3)], 0));
        assert!(cap.allows(&[day(-20), day(-19), day(-18)], 0), "what was too much elsewhere is no matter here");
    }

    #[test]
    fn a_cap_is_two_numbers() {
        assert_eq!(" 3 / 7d ".trim().parse::<FrequencyCap>().map(|cap| cap.to_string()), Ok("3/7d".to_owned()));
        for text in ["", "3", "0/7d", "3/0d", "3/7", "3/366d", "1001/1d", "-1/7d", "3/7d/1d"] {
            assert_eq!(text.parse::<FrequencyCap>(), Err(InvalidFrequencyCap), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_allowed_one_by_one_never_exceeds_the_cap(
            times in proptest::collection::vec(0_i64..40, 0..40), messages in 1_u32..4, days in 1_u32..9,
        ) {
            let cap = FrequencyCap { messages, days };
            let mut there: Vec<i64> = Vec::new();
            for at in times.into_iter().map(|day| day * DAY_MS) {
                if cap.allows(&there, at) {
                    there.push(at);
                }
            }
            for start in 0..40 {
                let window = start * DAY_MS..start * DAY_MS + cap.window_ms();
                prop_assert!(there.iter().filter(|at| window.contains(at)).count() <= messages as usize);
            }
        }
    }
}
