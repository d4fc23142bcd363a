//! When a cron expression falls due, by the clocks of a time zone.
//!
//! Users write five-field Unix expressions (or six fields with seconds first). The `cron` crate counts Sunday as 1, joins
//! day-of-month and day-of-week with "and", and skips or doubles days when clocks change. This wrapper translates the
//! fields, takes a tick when *either* day field matches if both are given, and runs the expression over local times
//! without a zone, which are then mapped into the zone: a skipped time fires at the first valid instant after the gap, a
//! doubled one once.

use std::{str::FromStr, sync::Arc};

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use crate::reminder::local_to_utc;

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct CronSchedule {
    /// One or, where both day fields are given, two expressions of which either may match.
    expressions: Arc<[cron::Schedule]>,
    zone: Tz,
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
    /// The local time that the expression names; the key against firing twice.
    pub local: NaiveDateTime,
    /// The instant at which it fires.
    pub at: DateTime<Utc>,
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
        Ok(Self { expressions, zone })
    }

    /// The first tick after `after`; none where the expression names no more (the crate ends at the year 2100).
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<Tick> {
        /// Clocks move by at most a day; ticks from so far back are looked at again.
        const LONGEST_SHIFT_HOURS: i64 = 26;
        let local_after = after.with_timezone(&self.zone).naive_local();
        let from = (local_after - chrono::Duration::hours(LONGEST_SHIFT_HOURS)).and_utc();
        self.expressions
            .iter()
            .filter_map(|expression| {
                expression
                    .after(&from)
                    .map(|wall| Tick { local: wall.naive_utc(), at: local_to_utc(wall.naive_utc(), self.zone) })
                    .find(|tick| tick.at > after)
            })
            .min_by_key(|tick| tick.at)
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
    use chrono::TimeZone;

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
        ];
        for zone in zones {
            for expression in expressions {
                let ours = CronSchedule::parse(expression, zone).unwrap();
                let theirs = croner::Cron::from_str(expression).unwrap();
                let mut after = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
                for _ in 0..120 {
                    let expected = theirs.find_next_occurrence(&after.with_timezone(&zone), false).unwrap();
                    let tick = ours.next_after(after).unwrap();
                    assert_eq!(tick.at, expected.with_timezone(&Utc), "{expression} in {zone} after {after}");
                    after = tick.at;
                }
            }
        }
    }
}
