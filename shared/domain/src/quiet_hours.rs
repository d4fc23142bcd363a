//! The hours in which people are not to be written to, by the clocks where they are.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Days, LocalResult, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::reminder::local_to_utc;

/// A part of each day, from one local time to another; over midnight where it begins later than it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: NaiveTime,
    until: NaiveTime,
}

/// When a message may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Daytime {
    /// Not before.
    pub due: DateTime<Utc>,
    /// When the next quiet hours begin.
    pub quiet_from: DateTime<Utc>,
}

/// A text that is no quiet hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("quiet hours are two different times such as 21:00-08:00")]
pub struct InvalidQuietHours;

impl FromStr for QuietHours {
    type Err = InvalidQuietHours;

    fn from_str(text: &str) -> Result<Self, InvalidQuietHours> {
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let (from, until) = text.split_once(['-', '–']).ok_or(InvalidQuietHours)?;
        let (from, until) = time(from).zip(time(until)).ok_or(InvalidQuietHours)?;
        if from == until { Err(InvalidQuietHours) } else { Ok(Self { from, until }) }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.until.format("%H:%M"))
    }
}

impl QuietHours {
    /// When a message that is due `at` may leave to somebody in `zone`: at once, or when their quiet hours end.
    #[must_use]
    pub fn daytime(&self, at: DateTime<Utc>, zone: Tz) -> Daytime {
        let mut due = at;
        // Where clocks skip the end, the first instant after that may be in the next quiet hours.
        while let Some(end) = self.end(due, zone) {
            due = end;
        }
        Daytime { due, quiet_from: self.next_start(due, zone) }
    }

    fn contains(&self, time: NaiveTime) -> bool {
        if self.from < self.until {
            (self.from..self.until).contains(&time)
        } else {
            time >= self.from || time < self.until
        }
    }

    /// When the quiet hours end in which it is `at`; none where it is in none.
    fn end(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = at.with_timezone(&zone).naive_local();
        if !self.contains(local.time()) {
            return None;
        }
        let day = local.date();
        let day = if local.time() < self.until { day } else { day.checked_add_days(Days::new(1))? };
        // Of a time that clocks show twice the second: the first may lie before now.
        Some(instants(day.and_time(self.until), zone)[1])
    }

    /// When the next quiet hours after `at` begin.
    fn next_start(&self, at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        let today = at.with_timezone(&zone).date_naive();
        let starts = (0..3).filter_map(|days| today.checked_add_days(Days::new(days)));
        let mut starts = starts.flat_map(|day| instants(day.and_time(self.from), zone));
        starts.find(|start| *start > at).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// When clocks show a time: twice the same instant where they show it once, the first after it where they skip it.
fn instants(local: NaiveDateTime, zone: Tz) -> [DateTime<Utc>; 2] {
    match zone.from_local_datetime(&local) {
        LocalResult::Ambiguous(first, second) => [first.with_timezone(&Utc), second.with_timezone(&Utc)],
        _ => [local_to_utc(local, zone); 2],
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use proptest::prelude::*;

    use super::*;

    const NIGHT: &str = "21:00-08:00";

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn daytime(hours: &str, at: &str, zone: Tz) -> (String, String) {
        let hours: QuietHours = hours.parse().unwrap();
        let daytime = hours.daytime(utc(at), zone);
        (daytime.due.to_rfc3339(), daytime.quiet_from.to_rfc3339())
    }

    #[test]
    fn what_falls_into_the_night_waits_for_the_morning() {
        let jakarta = chrono_tz::Asia::Jakarta;
        for (at, due, quiet_from) in [
            ("2026-12-01T13:59:59Z", "2026-12-01T13:59:59+00:00", "2026-12-01T14:00:00+00:00"),
            ("2026-12-01T14:00:00Z", "2026-12-02T01:00:00+00:00", "2026-12-02T14:00:00+00:00"),
            ("2026-12-01T23:00:00Z", "2026-12-02T01:00:00+00:00", "2026-12-02T14:00:00+00:00"),
            ("2026-12-02T01:00:00Z", "2026-12-02T01:00:00+00:00", "2026-12-02T14:00:00+00:00"),
        ] {
            assert_eq!(daytime(NIGHT, at, jakarta), (due.to_owned(), quiet_from.to_owned()), "{at}");
        }
        let lunch = daytime("12:00-13:00", "2026-12-01T05:30:00Z", jakarta);
        assert_eq!(lunch, ("2026-12-01T06:00:00+00:00".to_owned(), "2026-12-02T05:00:00+00:00".to_owned()));
    }

    #[test]
    fn nights_are_as_long_as_clocks_make_them() {
        let york = chrono_tz::America::New_York;
        // Clocks go forward at 02:00: the morning comes an hour earlier.
        assert_eq!(daytime(NIGHT, "2026-03-08T05:00:00Z", york).0, "2026-03-08T12:00:00+00:00");
        // They skip the end: it is the first instant after the gap.
        assert_eq!(daytime("21:00-02:30", "2026-03-08T05:00:00Z", york).0, "2026-03-08T07:00:00+00:00");
        // They show 01:30 twice; within the second hour it must not lie in the past.
        assert_eq!(daytime("21:00-01:30", "2026-11-01T06:10:00Z", york).0, "2026-11-01T06:30:00+00:00");
    }

    #[test]
    fn two_different_times_are_quiet_hours() {
        assert_eq!(" 21:00 – 08:00".parse::<QuietHours>().map(|hours| hours.to_string()), Ok(NIGHT.to_owned()));
        for text in ["", "21:00", "21:00-21:00", "21-8", "24:00-08:00", "21:00-08:00-09:00"] {
            assert_eq!(text.parse::<QuietHours>(), Err(InvalidQuietHours), "{text}");
        }
    }

    proptest! {
        /// Whatever the zone does with its clocks: what may leave leaves later than asked and outside of the hours.
        #[test]
        fn nobody_is_woken(minutes in 0_i64..3_000_000, from in 0_u32..1_440, length in 1_u32..1_440, zone in 0..chrono_tz::TZ_VARIANTS.len()) {
            let time = |minutes: u32| NaiveTime::from_hms_opt(minutes / 60 % 24, minutes % 60, 0).unwrap();
            let hours = QuietHours { from: time(from), until: time(from + length) };
            let (at, zone) = (utc("2023-01-01T00:00:00Z") + Duration::minutes(minutes), chrono_tz::TZ_VARIANTS[zone]);
            let daytime = hours.daytime(at, zone);
            prop_assert!(at <= daytime.due && daytime.due < at + Duration::hours(50));
            prop_assert!(daytime.due < daytime.quiet_from);
            let mut awake = daytime.due;
            while awake < daytime.quiet_from.min(daytime.due + Duration::hours(50)) {
                prop_assert!(!hours.contains(awake.with_timezone(&zone).time()), "{awake}");
                awake += Duration::minutes(7);
            }
        }
    }
}
