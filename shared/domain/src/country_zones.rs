//! The time zones of countries whose clocks all show the same.
//!
//! From the tz database's `zone.tab`: countries whose zones have had one time since 2025. China and Ukraine count by their
//! official time, Kosovo is not in that table.

use chrono_tz::Tz;

/// Lines of a country's two letters and its zone, in order.
const COUNTRIES: &str = include_str!("country_zones.txt");

/// The zone of a country, by its two capital letters; none where it has several, or is not known.
pub(crate) fn of_country(country: &str) -> Option<Tz> {
    let line = COUNTRIES
        .lines()
        .find(|line| line.starts_with(country) && line.as_bytes().get(country.len()) == Some(&b' '))?;
    line.split_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_a_zone_that_is_known() {
        let lines: Vec<&str> = COUNTRIES.lines().collect();
        assert!(lines.is_sorted() && lines.len() > 200);
        for line in lines {
            assert!(of_country(&line[..2]).is_some(), "{line}");
        }
    }

    #[test]
    fn countries_with_several_zones_are_none() {
        assert_eq!(of_country("SG"), Some(chrono_tz::Asia::Singapore));
        assert_eq!(of_country("MY"), Some(chrono_tz::Asia::Kuala_Lumpur));
        for several in ["ID", "US", "RU", "BR", "AU", "", "S", "ZZ"] {
            assert_eq!(of_country(several), None, "{several}");
        }
    }
}
