//! What a file of people may say of each beside name and fields: where they are, and that they agree to marketing.

use chrono::{DateTime, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use kabar_domain::content::Fields;
use kabar_store::NewConsent;

/// The column of a person's time zone.
const TIMEZONE: &str = "timezone";

/// The column that says where a person agreed to marketing.
const CONSENT_SOURCE: &str = "consent_source";

/// The column that says when.
const CONSENT_AT: &str = "consent_at";

/// What a file says of a person beside name and fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Details {
    /// Where they are.
    pub(crate) timezone: Option<Tz>,
    /// That they agree to marketing.
    pub(crate) consent: Option<NewConsent>,
}

impl Details {
    /// Takes what is said of it out of the values of a row.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, String> {
        let timezone = fields.remove(TIMEZONE).map(|text| zone(&text)).transpose()?;
        let at = fields.remove(CONSENT_AT).map(|text| time(&text)).transpose()?;
        let source = fields.remove(CONSENT_SOURCE);
        match (source, at) {
            (Some(source), at) => Ok(Self { timezone, consent: Some(NewConsent { source, at }) }),
            (None, None) => Ok(Self { timezone, consent: None }),
            (None, Some(_)) => {
                Err(format!("{CONSENT_AT} has a time, and {CONSENT_SOURCE} nothing: say where they agreed"))
            }
        }
    }
}

fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| format!("{TIMEZONE} {text:?} is no time zone: write it as Asia/Jakarta"))
}

/// Unix milliseconds; a day begins at midnight UTC.
fn time(text: &str) -> Result<i64, String> {
    let day = || text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis());
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).or_else(|_| day());
    time.map_err(|_| format!("{CONSENT_AT} {text:?} is no time: write it as 2026-12-01 or 2026-12-01T09:00:00+07:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(fields: &[(&str, &str)]) -> Result<(Details, Fields), String> {
        let mut fields: Fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok((Details::take(&mut fields)?, fields))
    }

    #[test]
    fn what_is_said_of_a_person_is_no_field() {
        let (details, fields) = details(&[
            ("timezone", "Asia/Makassar"),
            ("consent_source", "web form"),
            ("consent_at", "2026-12-01T09:00:00+07:00"),
            ("package", "Hemat"),
        ])
        .unwrap();
        assert_eq!(details.timezone, Some(chrono_tz::Asia::Makassar));
        assert_eq!(details.consent, Some(NewConsent { source: "web form".to_owned(), at: Some(1_796_090_400_000) }));
        assert_eq!(fields.into_keys().collect::<Vec<_>>(), ["package"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert_eq!(
            details(&[("consent_source", "fair"), ("consent_at", "2026-12-01")]).unwrap().0.consent.unwrap().at,
            Some(1_796_083_200_000)
        );
        for (name, value) in [("timezone", "WIB"), ("consent_at", "yesterday"), ("consent_at", "2026-12-01")] {
            assert!(details(&[(name, value)]).unwrap_err().contains(name), "{name}");
        }
    }
}
