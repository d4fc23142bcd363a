//! When the messages of a reminder go out.
//!
//! A reminder has a due date and offsets of whole days before it. Each offset gives one message: it may go at the local
//! time on its day and is worth sending until the next one's time, the last until the due day ends. So after downtime
//! only the latest missed one is sent, and none after the due day, by the expiry of each message alone.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// The most days before the due date that an offset may name.
pub const MAX_OFFSET_DAYS: u16 = 366;

/// The most offsets that one reminder may have.
pub const MAX_OFFSETS: usize = 20;

/// Whole days before a due date, written `3d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DaysBefore(pub u16);

impl std::fmt::Display for DaysBefore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}d", self.0)
    }
}

/// An offset that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an offset: write whole days before the due date, such as 7d or 0d (at most {MAX_OFFSET_DAYS}d)")]
pub struct InvalidOffset(String);

impl std::str::FromStr for DaysBefore {
    type Err = InvalidOffset;

    fn from_str(text: &str) -> Result<Self, InvalidOffset> {
        text.trim()
            .strip_suffix('d')
            .and_then(|days| days.parse().ok())
            .filter(|days| *days <= MAX_OFFSET_DAYS)
            .map(Self)
            .ok_or_else(|| InvalidOffset(text.to_owned()))
    }
}

impl Serialize for DaysBefore {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DaysBefore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which message of a reminder it is. As a number it is what tells the ledger its messages apart: for a reminder that was
/// never moved, the days before the due date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// How often the reminder had been moved to another due date when it was planned.
    pub moves: u32,
    /// Which offset it is for.
    pub before: DaysBefore,
}

impl Part {
    /// More than any offset has days.
    const PER_MOVE: i64 = 1_000;

    /// The number that the ledger keeps.
    #[must_use]
    pub fn number(self) -> i64 {
        i64::from(self.moves) * Self::PER_MOVE + i64::from(self.before.0)
    }

    /// The part with this number.
    #[must_use]
    pub fn of(number: i64) -> Self {
        let (moves, before) = (number / Self::PER_MOVE, number % Self::PER_MOVE);
        Self { moves: moves.try_into().unwrap_or(0), before: DaysBefore(before.try_into().unwrap_or(0)) }
    }
}

/// The plan of one message of a reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedReminder {
    /// Which offset it is for.
    pub before: DaysBefore,
    /// Not to be sent before.
    pub not_before: DateTime<Utc>,
    /// Not to be sent from this moment on.
    pub expires_at: DateTime<Utc>,
}

/// The messages of a reminder due on `due` in `zone`, the earliest first, without those that were already past at
/// `enqueued_at`.
#[must_use]
pub fn plan(
    due: NaiveDate,
    before: &[DaysBefore],
    at: NaiveTime,
    zone: Tz,
    enqueued_at: DateTime<Utc>,
) -> Vec<PlannedReminder> {
    let due_ends =
        due.succ_opt().map_or(DateTime::<Utc>::MAX_UTC, |next| local_to_utc(next.and_time(NaiveTime::MIN), zone));
    let mut offsets = before.to_vec();
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    offsets.dedup();
    let times: Vec<_> = offsets
        .into_iter()
        .filter_map(|before| {
            let day = due.checked_sub_days(Days::new(before.0.into()))?;
            Some((before, local_to_utc(day.and_time(at), zone)))
        })
        .collect();
    let ends = times.iter().skip(1).map(|(_, time)| *time).chain([due_ends]);
    times
        .iter()
        .zip(ends)
        .map(|(&(before, not_before), expires_at)| PlannedReminder { before, not_before, expires_at })
        .filter(|planned| planned.not_before >= enqueued_at)
        .collect()
}

/// The instant at which clocks in `zone` show `local`: the first valid one after it where they skip it, the first of the
/// two where they show it twice.
#[must_use]
pub fn local_to_utc(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    /// The longest jump of clocks that a zone has ever made (a whole day, at the date line).
    const LONGEST_GAP_MINUTES: i64 = 25 * 60;
    (0..=LONGEST_GAP_MINUTES)
        .find_map(|minutes| zone.from_local_datetime(&(local + chrono::Duration::minutes(minutes))).earliest())
        .map_or_else(|| local.and_utc(), |time| time.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    const NINE: NaiveTime = match NaiveTime::from_hms_opt(9, 0, 0) {
        Some(time) => time,
        None => NaiveTime::MIN,
    };

    #[test]
    fn parts_are_told_apart_by_their_numbers() {
        let part = Part { moves: 2, before: DaysBefore(MAX_OFFSET_DAYS) };
        assert_eq!((part.number(), Part::of(part.number())), (2_366, part));
        assert_eq!(Part::of(7), Part { moves: 0, before: DaysBefore(7) });
    }

    #[test]
    fn each_offset_is_worth_sending_until_the_next() {
        let offsets: Vec<_> = ["7d", "3d", "0d"].iter().map(|text| text.parse().unwrap()).collect();
        let plan = plan(date("2026-12-12"), &offsets, NINE, chrono_tz::Asia::Jakarta, utc("2026-12-01T00:00:00Z"));
        let times: Vec<_> = plan.iter().map(|p| (p.not_before, p.expires_at)).collect();
        assert_eq!(
            times,
            [
                (utc("2026-12-05T02:00:00Z"), utc("2026-12-09T02:00:00Z")),
                (utc("2026-12-09T02:00:00Z"), utc("2026-12-12T02:00:00Z")),
                (utc("2026-12-12T02:00:00Z"), utc("2026-12-12T17:00:00Z")),
            ]
        );
    }

    #[test]
    fn offsets_past_when_enqueued_are_left_out() {
        let offsets = [DaysBefore(3), DaysBefore(1)];
        let plan = plan(date("2026-12-12"), &offsets, NINE, chrono_tz::UTC, utc("2026-12-10T00:00:00Z"));
        assert_eq!(plan.iter().map(|p| p.before).collect::<Vec<_>>(), [DaysBefore(1)]);
    }

    #[test]
    fn a_skipped_local_time_becomes_the_first_valid_one_and_a_doubled_one_the_first() {
        let gap = "2026-03-08T02:30:00".parse().unwrap();
        assert_eq!(local_to_utc(gap, chrono_tz::America::New_York), utc("2026-03-08T07:00:00Z"));
        let fold = "2026-11-01T01:30:00".parse().unwrap();
        assert_eq!(local_to_utc(fold, chrono_tz::America::New_York), utc("2026-11-01T05:30:00Z"));
    }
}
