//! The `Retry-After` header: seconds or a date (RFC 9110, section 10.2.3).

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The longest wait that is believed: a mistaken date must not park a sender for years.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait from `now`, at most a day; none when the value is neither seconds nor a date. A date that has
/// passed gives no wait at all.
pub(crate) fn parse(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT));
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    let wait = date.with_timezone(&Utc).signed_duration_since(now);
    Some(wait.to_std().unwrap_or(Duration::ZERO).min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        let now = DateTime::parse_from_rfc3339("2026-11-21T08:00:00Z").unwrap().with_timezone(&Utc);
        let seconds = |value| parse(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(86_400));
        assert_eq!(seconds("Sat, 21 Nov 2026 08:01:30 GMT"), Some(90));
        assert_eq!(seconds("Sat, 21 Nov 2026 07:00:00 GMT"), Some(0));
        assert_eq!(seconds("Sat, 21 Nov 2099 07:00:00 GMT"), Some(86_400));
        for garbage in ["", "soon", "-1", "1.5", "7 seconds", "Fri, 21 Nov 2026 08:01:30 GMT"] {
            assert_eq!(seconds(garbage), None, "{garbage}");
        }
    }
}
