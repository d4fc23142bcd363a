//! When a cron expression falls due, by the clocks of a time zone.
//!
//! Users write five-field Unix expressions (or six fields with seconds first). The `cron` crate counts Sunday as 1, joins
//! day-of-month and day-of-week with "and", and skips or doubles days when clocks change. This wrapper translates the
//! fields, takes a tick when *either* day field matches if both are given, and runs the expression over local times
//! without a zone, which are then mapped into the zone.
//!
//! When clocks change, what a person means by the expression decides. *Fixed times* (`30 2 * * *`: plain values, or lists of
//! them) fire once a day: a time that is skipped at the first valid instant after the gap, one that comes twice the first
//! time. *Intervals* (`*/15 * * * *`: a `*`, a range or a step in hours, minutes or seconds) go on as real time does: nothing
//! is made up for in a gap, and an hour that comes twice has its ticks twice.

use std::{str::FromStr, sync::Arc};

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use crate::reminder::local_to_utc;

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct CronSchedule {
    /// One or, where both day fields are given, two expressions of which either may match.
    expressions: Arc<[cron::Schedule]>,
    zone: Tz,
    repeats: Repeats,
}

/// What an expression means when clocks change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    /// At times of day.
    FixedTimes,
    /// Every so often.
    Intervals,
}

/// Why a cron expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{expression:?} is not a cron expression: {problem}")]
pub struct InvalidCron {
    expression: String,
    problem: String,
}

/// One moment at which a schedule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The local time that the expression names.
    pub local: NaiveDateTime,
    /// Whether clocks show that time for the second time.
    pub again: bool,
    /// The instant at which it fires.
    pub at: DateTime<Utc>,
}

impl Tick {
    /// The key against firing twice: the local time as `20261121T0900`, with seconds where it has some, lest two ticks of a
    /// minute be one, and `-2` where clocks show it for the second time.
    #[must_use]
    pub fn key(&self) -> String {
        let form = if self.local.second() == 0 { "%Y%m%dT%H%M" } else { "%Y%m%dT%H%M%S" };
        let again = if self.again { "-2" } else { "" };
        format!("{}{again}", self.local.format(form))
    }
}

impl CronSchedule {
    /// Reads `minute hour day-of-month month day-of-week`, the same with seconds first, or `@hourly`, `@daily`,
    /// `@weekly`, `@monthly`, `@yearly`. Sunday is 0 or 7; names of days and months may be used.
    ///
    /// # Errors
    /// When the expression has another number of fields or a field cannot be read.
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, InvalidCron> {
        let invalid = |problem: String| InvalidCron { expression: expression.to_owned(), problem };
        let unfolded = match expression.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = unfolded.split_whitespace().collect();
        let (seconds, fields) = match fields.len() {
            5 => ("0", &fields[..]),
            6 => (fields[0], &fields[1..]),
            count => {
                return Err(invalid(format!("it has {count} fields; give minute hour day-of-month month day-of-week")));
            }
        };
        let [minute, hour, day, month, weekday] = fields else { return Err(invalid("give five fields".to_owned())) };
        let fixed = [seconds, minute, hour].iter().all(|field| !field.contains(['*', '/', '-', '?']));
        let repeats = if fixed { Repeats::FixedTimes } else { Repeats::Intervals };
        let weekday = weekdays_as_names(weekday).map_err(&invalid)?;
        let any = |field: &str| field.starts_with('*') || field == "?";
        let day_pairs = if any(day) || any(&weekday) {
            vec![(*day, weekday.as_str())]
        } else {
            vec![(*day, "*"), ("*", weekday.as_str())]
        };
        let expressions = day_pairs
            .into_iter()
            .map(|(day, weekday)| {
                cron::Schedule::from_str(&format!("{seconds} {minute} {hour} {day} {month} {weekday}"))
                    .map_err(|error| invalid(error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { expressions, zone, repeats })
    }

    /// The first tick after `after`; none where the expression names no more (the crate ends at the year 2100).
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<Tick> {
        let next = |expression| match self.repeats {
            Repeats::FixedTimes => self.next_fixed(expression, after),
            Repeats::Intervals => self.next_interval(expression, after),
        };
        self.expressions.iter().filter_map(next).min_by_key(|tick| tick.at)
    }

    /// The ticks after `after`, in their order.
    pub fn after(&self, after: DateTime<Utc>) -> impl Iterator<Item = Tick> {
        std::iter::successors(self.next_after(after), |tick| self.next_after(tick.at))
    }

    /// By the clocks of the schedule's zone.
    #[must_use]
    pub fn local(&self, at: DateTime<Utc>) -> DateTime<Tz> {
        at.with_timezone(&self.zone)
    }

    fn next_fixed(&self, expression: &cron::Schedule, after: DateTime<Utc>) -> Option<Tick> {
        let local = after.with_timezone(&self.zone).naive_local();
        walls(expression, local - LONGEST_SHIFT)
            .map(|wall| Tick { local: wall, again: false, at: local_to_utc(wall, self.zone) })
            .find(|tick| tick.at > after)
    }

    fn next_interval(&self, expression: &cron::Schedule, after: DateTime<Utc>) -> Option<Tick> {
        let local = after.with_timezone(&self.zone).naive_local();
        let next = walls(expression, local).find_map(|wall| match self.zone.from_local_datetime(&wall) {
            LocalResult::None => None,
            LocalResult::Single(at) => Some(tick(wall, false, &at)),
            LocalResult::Ambiguous(first, _) if first > after => Some(tick(wall, false, &first)),
            LocalResult::Ambiguous(_, second) => Some(tick(wall, true, &second)),
        });
        // When clocks are set back before long, times that have been come again.
        let offset = |at: DateTime<Utc>| self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        let set_back = offset(after + LONGEST_SHIFT) != offset(after);
        let again = set_back.then(|| {
            walls(expression, local - LONGEST_SHIFT).take_while(|wall| *wall <= local).find_map(|wall| {
                match self.zone.from_local_datetime(&wall) {
                    LocalResult::Ambiguous(_, second) if second > after => Some(tick(wall, true, &second)),
                    _ => None,
                }
            })
        });
        next.into_iter().chain(again.flatten()).min_by_key(|tick| tick.at)
    }
}

/// Clocks move by at most a day.
const LONGEST_SHIFT: chrono::TimeDelta = chrono::TimeDelta::hours(26);

/// The local times after `from` that an expression names, whether clocks show them or not.
fn walls(expression: &cron::Schedule, from: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> {
    expression.after_owned(from.and_utc()).map(|wall| wall.naive_utc())
}

fn tick(local: NaiveDateTime, again: bool, at: &DateTime<Tz>) -> Tick {
    Tick { local, again, at: at.with_timezone(&Utc) }
}

/// What becomes of ticks that fell due while no scheduler ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// They are left out. A tick counts as missed once it is [`Missed::LATE_SECONDS`] late.
    Skip,
    /// The latest fires, for all of them.
    #[default]
    Coalesce,
    /// Each of the latest fires, at most so many, the earliest first.
    CatchUp(u32),
}

impl Missed {
    /// How late a tick may be that is not yet missed, in seconds.
    pub const LATE_SECONDS: i64 = 60;
    /// The most ticks that are caught up with.
    pub const MOST: u32 = 1_000;
}

/// A text that is no policy for missed ticks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} says not what becomes of missed ticks: give skip, coalesce, or catch_up:N with N from 1 to {most}", most = Missed::MOST)]
pub struct InvalidMissed(String);

impl std::fmt::Display for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Skip => f.write_str("skip"),
            Self::Coalesce => f.write_str("coalesce"),
            Self::CatchUp(most) => write!(f, "catch_up:{most}"),
        }
    }
}

impl FromStr for Missed {
    type Err = InvalidMissed;

    fn from_str(text: &str) -> Result<Self, InvalidMissed> {
        match text {
            "skip" => Ok(Self::Skip),
            "coalesce" => Ok(Self::Coalesce),
            _ => text
                .strip_prefix("catch_up:")
                .and_then(|most| most.parse().ok())
                .filter(|most| (1..=Self::MOST).contains(most))
                .map(Self::CatchUp)
                .ok_or_else(|| InvalidMissed(text.to_owned())),
        }
    }
}

/// Unix weekdays (0 and 7 are Sunday) as names, which no library counts otherwise.
fn weekdays_as_names(field: &str) -> Result<String, String> {
    const NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    if field.starts_with('*') || field == "?" {
        return Ok(field.replace('?', "*"));
    }
    let day = |text: &str| -> Result<usize, String> {
        text.parse::<usize>()
            .ok()
            .filter(|day| *day < NAMES.len())
            .or_else(|| NAMES.iter().position(|name| text.to_ascii_uppercase().starts_with(name)))
            .ok_or_else(|| format!("{text:?} is no day of the week; give 0 to 7 (0 and 7 are Sunday) or SUN to SAT"))
    };
    let mut days = Vec::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize =
            step.parse().ok().filter(|step| *step > 0).ok_or_else(|| format!("{part:?} has no valid step"))?;
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (day(from)?, day(to)?),
            None => (day(range)?, day(range)?),
        };
        let to = if to < from { to + 7 } else { to };
        days.extend((from..=to).step_by(step).map(|day| NAMES[day % 7]));
    }
    Ok(days.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(expression: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
        let schedule = CronSchedule::parse(expression, zone).unwrap();
        let mut after: DateTime<Utc> = after.parse().unwrap();
        (0..count)
            .map(|_| {
                after = schedule.next_after(after).unwrap().at;
                after.with_timezone(&zone).format("%F %H:%M %Z").to_string()
            })
            .collect()
    }

    #[test]
    fn daily_ticks_survive_both_clock_changes() {
        let zone = chrono_tz::America::New_York;
        let spring = ticks("30 2 * * *", zone, "2026-03-07T12:00:00Z", 2);
        assert_eq!(spring, ["2026-03-08 03:00 EDT", "2026-03-09 02:30 EDT"]);
        let autumn = ticks("30 1 * * *", zone, "2026-10-31T12:00:00Z", 2);
        assert_eq!(autumn, ["2026-11-01 01:30 EDT", "2026-11-02 01:30 EST"]);
    }

    #[test]
    fn intervals_go_on_as_real_time_does() {
        let zone = chrono_tz::America::New_York;
        let spring = ticks("30 * * * *", zone, "2026-03-08T06:00:00Z", 2);
        assert_eq!(spring, ["2026-03-08 01:30 EST", "2026-03-08 03:30 EDT"], "nothing is made up for");
        let autumn = ticks("*/30 1 * * *", zone, "2026-11-01T04:50:00Z", 5);
        assert_eq!(
            autumn,
            [
                "2026-11-01 01:00 EDT",
                "2026-11-01 01:30 EDT",
                "2026-11-01 01:00 EST",
                "2026-11-01 01:30 EST",
                "2026-11-02 01:00 EST"
            ]
        );
        let lists = ticks("0 1,13 * * *", zone, "2026-11-01T04:00:00Z", 2);
        assert_eq!(lists, ["2026-11-01 01:00 EDT", "2026-11-01 13:00 EST"], "fixed times, once each");
    }

    #[test]
    fn a_repeated_time_has_a_key_of_its_own() {
        let schedule = CronSchedule::parse("*/30 * * * *", chrono_tz::America::New_York).unwrap();
        let keys: Vec<_> =
            schedule.after("2026-11-01T05:10:00Z".parse().unwrap()).take(4).map(|tick| tick.key()).collect();
        assert_eq!(keys, ["20261101T0130", "20261101T0100-2", "20261101T0130-2", "20261101T0200"]);
    }

    #[test]
    fn every_shape_of_an_expression_is_read() {
        let zone = Tz::UTC;
        assert_eq!(ticks("@daily", zone, "2026-11-21T05:00:00Z", 1), ["2026-11-22 00:00 UTC"]);
        assert_eq!(ticks("30 15 9 * * *", zone, "2026-11-21T00:00:00Z", 1), ["2026-11-21 09:15 UTC"]);
        assert_eq!(ticks("0 9 * JAN-MAR mon,WED", zone, "2026-12-31T00:00:00Z", 1), ["2027-01-04 09:00 UTC"]);
        assert_eq!(ticks("@yearly", zone, "2026-11-21T05:00:00Z", 1), ["2027-01-01 00:00 UTC"]);
    }

    #[test]
    fn policies_are_read_as_they_are_written() {
        for policy in [Missed::Skip, Missed::Coalesce, Missed::CatchUp(24)] {
            assert_eq!(policy.to_string().parse::<Missed>().unwrap(), policy);
        }
        for wrong in ["", "catch_up", "catch_up:0", "catch_up:1001", "all"] {
            assert!(wrong.parse::<Missed>().unwrap_err().to_string().contains("catch_up:N"), "{wrong}");
        }
    }

    #[test]
    fn either_day_field_matches_when_both_are_given() {
        let both = ticks("0 9 1 * MON", chrono_tz::UTC, "2026-05-28T00:00:00Z", 3);
        assert_eq!(both, ["2026-06-01 09:00 UTC", "2026-06-08 09:00 UTC", "2026-06-15 09:00 UTC"]);
    }

    #[test]
    fn bad_expressions_say_what_is_wrong() {
        for (expression, word) in [("* * *", "3 fields"), ("0 9 * * 9", "0 to 7"), ("61 * * * *", "61")] {
            let error = CronSchedule::parse(expression, Tz::UTC).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    /// An independent implementation agrees on every next run over a year in zones of all kinds.
    #[test]
    fn agrees_with_another_implementation() {
        let zones = [Tz::UTC, Tz::Asia__Jakarta, Tz::America__New_York, Tz::Africa__Cairo, Tz::Australia__Lord_Howe];
        let expressions = [
            "0 9 * * *",
            "30 2 * * *",
            "0 0 * * *",
            "15 1 1 * *",
            "0 9 * * 1-5",
            "0 12 13 * FRI",
            "45 23 28-31 * *",
            "0 8 * * 0,7",
            "*/20 * * * *",
            "15 * * * *",
            "*/30 1-3 * * *",
        ];
        for zone in zones {
            for expression in expressions {
                let ours = CronSchedule::parse(expression, zone).unwrap();
                let theirs = croner::Cron::from_str(expression).unwrap();
                let mut after = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
                for _ in 0..400 {
                    let expected = theirs.find_next_occurrence(&after.with_timezone(&zone), false).unwrap();
                    let tick = ours.next_after(after).unwrap();
                    assert_eq!(tick.at, expected.with_timezone(&Utc), "{expression} in {zone} after {after}");
                    after = tick.at;
                }
            }
        }
    }
}
