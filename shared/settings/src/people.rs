//! People: how their phone numbers and times are read, what they say, and what is kept to towards them.

use std::{collections::BTreeMap, fmt};

use kabar_domain::{
    category::Category,
    people_rules::PeopleRules,
    wish::{Covers, WishWords},
};

use crate::reader::{FromValue, Reader};

/// Settings of how phone numbers and times are read, of what people say, and of what is kept to towards them.
#[derive(Debug, Clone)]
pub struct People {
    /// The country of phone numbers in national form; without it they are refused.
    pub default_region: Option<Region>,
    /// The time zone of reminders and schedules that name none.
    pub default_timezone: chrono_tz::Tz,
    /// The words by which people opt out and in again.
    pub wish_words: WishWords,
    /// Consent, quiet hours and frequency caps.
    pub rules: PeopleRules,
}

/// A country: two capital letters of ISO 3166-1, such as `ID`. Whether the country exists is the numbering plan's to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region([u8; 2]);

impl Region {
    /// Two letters, however written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_alphabetic).then(|| Self(letters.map(|letter| letter.to_ascii_uppercase())))
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl People {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let default_region = reader.get("people.default_region");
        let default_timezone = reader.get("people.default_timezone");
        let wish_words = Self::read_words(reader);
        let marketing_needs_consent = reader.get("people.marketing_needs_consent");
        let quiet_hours = by_category(
            reader,
            [
                (Category::Marketing, "quiet_hours.marketing"),
                (Category::Utility, "quiet_hours.utility"),
                (Category::Service, "quiet_hours.service"),
            ],
        );
        let frequency_caps = by_category(
            reader,
            [(Category::Marketing, "frequency_caps.marketing"), (Category::Utility, "frequency_caps.utility")],
        );
        Some(Self {
            default_region: default_region?,
            default_timezone: default_timezone?,
            wish_words: wish_words?,
            rules: PeopleRules {
                marketing_needs_consent: marketing_needs_consent?,
                quiet_hours: quiet_hours?,
                frequency_caps: frequency_caps?,
                default_timezone: default_timezone?,
            },
        })
    }

    fn read_words(reader: &mut Reader<'_>) -> Option<WishWords> {
        let stop: Option<Vec<String>> = reader.get("people.stop_words");
        let start: Option<Vec<String>> = reader.get("people.start_words");
        let covers: Option<Covers> = reader.get("people.stop_words_cover");
        let words = WishWords::new(&stop?, &start?, covers?);
        words
            .map_err(|error| reader.contradiction(&["people.stop_words", "people.start_words"], &error.to_string()))
            .ok()
    }
}

/// The values of those categories that have one; all are read before giving up.
fn by_category<T: FromValue, const N: usize>(
    reader: &mut Reader<'_>,
    keys: [(Category, &'static str); N],
) -> Option<BTreeMap<Category, T>> {
    let values: Vec<Option<(Category, Option<T>)>> =
        keys.into_iter().map(|(category, key)| Some((category, reader.get::<Option<T>>(key)?))).collect();
    let values: Option<Vec<_>> = values.into_iter().collect();
    Some(values?.into_iter().filter_map(|(category, value)| Some((category, value?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_two_letters() {
        assert_eq!(Region::parse("id").unwrap().to_string(), "ID");
        for text in ["", "I", "IDN", "1D", "é"] {
            assert_eq!(Region::parse(text), None, "{text}");
        }
    }
}
