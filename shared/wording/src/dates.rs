//! Days and times of day.

use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};
use icu_calendar::{Date, Gregorian};
use icu_datetime::{
    FixedCalendarDateTimeFormatter, NoCalendarFormatter,
    fieldsets::{T, YMD},
    input::Time,
};

use crate::{Language, Unwritable, with_plain_spaces};

/// A day written as `2026-12-12`, as the language writes it with a short month: `12 Des 2026`. By the Gregorian calendar in
/// every language, since that is what it was given by.
///
/// # Errors
/// When it is no day of the years 1 to 9999, or the language has no words.
pub fn date(day: &str, language: &Language) -> Result<String, Unwritable> {
    let day = NaiveDate::parse_from_str(day.trim(), "%Y-%m-%d").map_err(|_| Unwritable::Date)?;
    if !(1..=9999).contains(&day.year()) {
        return Err(Unwritable::Date);
    }
    let written =
        FixedCalendarDateTimeFormatter::<Gregorian, _>::try_new(language.locale().clone().into(), YMD::medium())
            .map_err(|_| Unwritable::Language(language.locale().to_string()))?;
    let day = Date::try_new_gregorian(day.year(), day.month() as u8, day.day() as u8).map_err(|_| Unwritable::Date)?;
    Ok(with_plain_spaces(&written.format(&day).to_string()))
}

/// A time of day written as `09:30`, as the language writes it: `09.30`, or `9:30 AM`. Seconds are not written.
///
/// # Errors
/// When it is no time of day, or the language has no words.
pub fn time(time: &str, language: &Language) -> Result<String, Unwritable> {
    let time = NaiveTime::parse_from_str(time.trim(), "%H:%M")
        .or_else(|_| NaiveTime::parse_from_str(time.trim(), "%H:%M:%S"))
        .map_err(|_| Unwritable::Time)?;
    let written = NoCalendarFormatter::try_new(language.locale().clone().into(), T::hm())
        .map_err(|_| Unwritable::Language(language.locale().to_string()))?;
    let time = Time::try_new(time.hour() as u8, time.minute() as u8, 0, 0).map_err(|_| Unwritable::Time)?;
    Ok(with_plain_spaces(&written.format(&time).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> Language {
        code.parse().unwrap()
    }

    #[test]
    fn days_are_written_as_the_language_does() {
        for (code, expected) in [
            ("id", "12 Des 2026"),
            ("en", "Dec 12, 2026"),
            ("en_US", "Dec 12, 2026"),
            ("en_GB", "12 Dec 2026"),
            ("ms", "12 Dis 2026"),
            ("de", "12.12.2026"),
            ("zh_CN", "2026年12月12日"),
            ("th", "12 ธ.ค. 2026"),
        ] {
            assert_eq!(date("2026-12-12", &of(code)).unwrap(), expected, "{code}");
        }
    }

    #[test]
    fn times_are_written_as_the_language_does() {
        for (code, expected) in [("id", "09.30"), ("en_US", "9:30 AM"), ("de", "09:30"), ("ja", "9:30")] {
            assert_eq!(time("09:30", &of(code)).unwrap(), expected, "{code}");
        }
        assert_eq!(time("21:05:59", &of("en_US")).unwrap(), "9:05 PM");
    }

    #[test]
    fn what_is_no_day_or_time_is_refused() {
        for day in ["", "2026-02-30", "12-12-2026", "2026-12-12T09:00:00Z", "tomorrow", "99999-01-01", "-1-01-01"] {
            assert_eq!(date(day, &of("id")), Err(Unwritable::Date), "{day}");
        }
        for at in ["", "24:00", "9", "noon", "09:30 AM"] {
            assert_eq!(time(at, &of("id")), Err(Unwritable::Time), "{at}");
        }
    }
}
