//! Durations as people type them.

use std::{fmt, time::Duration};

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The duration that `text` is, such as `15ms`, `2s`, `10m` or `1h30m`: whole numbers with units, largest unit first,
/// each unit once. None if it is not one, or is longer than a duration can be.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total_ms = 0_u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let (_, unit_ms) = units.find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}

/// Shows a duration as people type it, to the millisecond.
pub(crate) struct Typed(pub(crate) Duration);

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest_ms = self.0.as_millis();
        if rest_ms == 0 {
            return f.write_str("0ms");
        }
        for (unit, unit_ms) in UNITS {
            let number = rest_ms / u128::from(unit_ms);
            rest_ms %= u128::from(unit_ms);
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_shown() {
        for (text, ms) in [
            ("0ms", 0),
            ("15ms", 15),
            ("2s", 2_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1d1h1m1s1ms", 90_061_001),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
            assert_eq!(Typed(Duration::from_millis(ms)).to_string(), text);
        }
        assert_eq!(parse("90s"), Some(Duration::from_secs(90)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5s",
            "30m1h",
            "1s1s",
            "5min",
            "5S",
            "99999999999999999999d",
            "2000000000000d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
