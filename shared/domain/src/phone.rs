//! Phone numbers in one notation, E.164, or the reason why a text is none.

use std::fmt;

use chrono_tz::Tz;
use rlibphonenumber::{NumberLengthType, ParseError, PhoneNumberFormat, Region, ValidationError};
use serde::{Deserialize, Serialize};

use crate::country_zones;

/// The longest text that is looked at; longer ones are refused unread.
const MAX_TEXT_CHARS: usize = 64;

/// A phone number in E.164 notation: `+`, country code and national number, at most 15 digits.
///
/// `Debug` hides all but the last two digits, since numbers must not reach logs; `Display` shows it whole.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

/// A number that was accepted, and whether it is assigned as far as the numbering plans tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedNumber {
    /// The number.
    pub number: PhoneNumber,
    /// Whether numbering plans say that such a number is assigned. One that is only possible is accepted with a note.
    pub assigned: bool,
}

/// Why a text is no phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNumber {
    /// Not written like a phone number.
    #[error("not a phone number")]
    NotANumber,
    /// National notation, and no default region to read it by.
    #[error("no country code: write it as +COUNTRY NUMBER, or set a default region (KABAR_DEFAULT_REGION)")]
    NoCountryCode,
    /// The country code does not exist.
    #[error("the country code does not exist")]
    UnknownCountryCode,
    /// Fewer digits than any number of the country has.
    #[error("too short for its country")]
    TooShort,
    /// More digits than any number of the country has.
    #[error("too long for its country")]
    TooLong,
    /// A length that no number of the country has.
    #[error("a length that no number of its country has")]
    WrongLength,
}

/// Two letters that name no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a region: give the two letters of a country, such as ID")]
pub struct UnknownRegion(String);

/// The country whose rules read numbers in national notation.
#[derive(Debug, Clone, Copy)]
pub struct DefaultRegion(Region);

impl std::str::FromStr for DefaultRegion {
    type Err = UnknownRegion;

    fn from_str(text: &str) -> Result<Self, UnknownRegion> {
        Region::try_from(text.trim().to_ascii_uppercase().as_str())
            .map(Self)
            .map_err(|_| UnknownRegion(text.to_owned()))
    }
}

impl PhoneNumber {
    /// Reads a number in any usual notation: `+60-12-3456789`, `0060…`, `62812…`, and with a default region `0812…`.
    ///
    /// What cannot be a number by country or length is refused; what is possible but not assigned is accepted.
    ///
    /// # Errors
    /// The reason why the text is no number.
    pub fn parse(text: &str, default_region: Option<DefaultRegion>) -> Result<ParsedNumber, InvalidNumber> {
        let text = text.trim().trim_start_matches('\u{feff}');
        if text.chars().count() > MAX_TEXT_CHARS || text.chars().filter(|c| c.is_ascii_digit()).count() < 4 {
            return Err(InvalidNumber::NotANumber);
        }
        if text.chars().any(|c| c.is_alphabetic()) {
            return Err(InvalidNumber::NotANumber);
        }
        if text.starts_with('+') {
            return read(text, None);
        }
        if let Some(rest) = text.strip_prefix("00") {
            return read(&format!("+{rest}"), None);
        }
        let national = default_region.map(|region| read(text, Some(region.0)));
        match national {
            Some(Ok(parsed)) if parsed.assigned => Ok(parsed),
            other => match read(&format!("+{text}"), None) {
                Ok(parsed) if parsed.assigned => Ok(parsed),
                _ => other.unwrap_or(Err(InvalidNumber::NoCountryCode)),
            },
        }
    }

    /// The number in E.164 notation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The time zone of the number's country; none where that has several, or is not known.
    #[must_use]
    pub fn timezone(&self) -> Option<Tz> {
        let region = rlibphonenumber::PhoneNumber::parse(&self.0, None).ok()?.get_region_code()?;
        country_zones::of_country(region.as_region_str().as_str())
    }

    /// A number that is E.164 notation already, as the ledger holds it.
    ///
    /// # Errors
    /// When it is not `+` and 5 to 15 digits.
    pub fn from_e164(text: impl Into<String>) -> Result<Self, InvalidNumber> {
        let text = text.into();
        let digits = text.strip_prefix('+').ok_or(InvalidNumber::NoCountryCode)?;
        match digits.len() {
            _ if !digits.bytes().all(|b| b.is_ascii_digit()) => Err(InvalidNumber::NotANumber),
            0..5 => Err(InvalidNumber::TooShort),
            5..=15 => Ok(Self(text)),
            _ => Err(InvalidNumber::TooLong),
        }
    }
}

fn read(text: &str, region: Option<Region>) -> Result<ParsedNumber, InvalidNumber> {
    let parsed = rlibphonenumber::PhoneNumber::parse(text, region).map_err(|error| match error {
        ParseError::InvalidCountryCode => InvalidNumber::UnknownCountryCode,
        ParseError::NotANumber(_) => InvalidNumber::NotANumber,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn => InvalidNumber::TooShort,
        ParseError::TooLongNsn => InvalidNumber::TooLong,
    })?;
    match parsed.is_possible_with_reason() {
        Ok(NumberLengthType::IsPossible | NumberLengthType::IsPossibleLocalOnly) => {}
        Err(ValidationError::InvalidCountryCode) => return Err(InvalidNumber::UnknownCountryCode),
        Err(ValidationError::TooShort) => return Err(InvalidNumber::TooShort),
        Err(ValidationError::TooLong) => return Err(InvalidNumber::TooLong),
        Err(ValidationError::InvalidLength) => return Err(InvalidNumber::WrongLength),
    }
    let number = PhoneNumber::from_e164(parsed.format_as(PhoneNumberFormat::E164))?;
    let assigned = parsed.is_valid();
    if !assigned && !reads_as_itself(&number) {
        return Err(InvalidNumber::NotANumber);
    }
    Ok(ParsedNumber { number, assigned })
}

/// Where zeros stand before a number of a country that writes none there, each reading takes one away, and one person would
/// be several.
fn reads_as_itself(number: &PhoneNumber) -> bool {
    rlibphonenumber::PhoneNumber::parse(number.as_str(), None).is_ok_and(|again| {
        let again: String = again.format_as(PhoneNumberFormat::E164).into();
        again == number.as_str()
    })
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber(…{})", &self.0[self.0.len().saturating_sub(2)..])
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_e164(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn e164(text: &str, region: Option<&str>) -> Result<(String, bool), InvalidNumber> {
        let region = region.map(|region| region.parse().unwrap());
        PhoneNumber::parse(text, region).map(|parsed| (parsed.number.to_string(), parsed.assigned))
    }

    #[test]
    fn every_usual_notation_is_one_number() {
        for text in
            ["0812 3456 7890", "62812-3456-7890", "+62 812 3456 7890", "006281234567890", "\u{feff}+6281234567890"]
        {
            assert_eq!(e164(text, Some("ID")), Ok(("+6281234567890".into(), true)), "{text}");
        }
        assert_eq!(e164("+60-12-3456789", None), Ok(("+60123456789".into(), true)));
        assert_eq!(e164("6281234567890", None), Ok(("+6281234567890".into(), true)));
    }

    #[test]
    fn the_test_numbers_are_possible_but_not_assigned() {
        assert_eq!(e164("+1 555-0100", None), Ok(("+15550100".into(), false)));
    }

    #[test]
    fn what_cannot_be_a_number_is_refused_with_the_reason() {
        assert_eq!(e164("0812 3456 7890", None), Err(InvalidNumber::NoCountryCode));
        assert_eq!(e164("+999123456789", None), Err(InvalidNumber::UnknownCountryCode));
        assert_eq!(e164("+6281", None), Err(InvalidNumber::TooShort));
        assert_eq!(e164("+628123456789012345", None), Err(InvalidNumber::TooLong));
        for garbage in ["", "abc", "n/a", "1-800-FLOWERS", &"1".repeat(1_000_000), "½⅓¼¾", "💥"] {
            assert_eq!(e164(garbage, Some("ID")), Err(InvalidNumber::NotANumber));
        }
    }

    #[test]
    fn a_number_is_where_its_country_is() {
        let zone = |text: &str| PhoneNumber::from_e164(text).unwrap().timezone();
        assert_eq!(zone("+6591234567"), Some(chrono_tz::Asia::Singapore));
        assert_eq!(zone("+966512345678"), Some(chrono_tz::Asia::Riyadh));
        assert_eq!(zone("+6281234567890"), None, "Indonesia has three");
        assert_eq!(zone("+12125550100"), None);
        assert_eq!(zone("+15550100"), None, "no country has it");
    }

    #[test]
    fn debug_hides_the_number() {
        let number = PhoneNumber::from_e164("+6281234567890").unwrap();
        assert_eq!(format!("{number:?}"), "PhoneNumber(…90)");
    }

    #[test]
    fn a_number_that_would_read_as_another_is_refused() {
        assert_eq!(e164(";0000546252643", Some("ID")), Err(InvalidNumber::NotANumber));
    }

    proptest! {
        #[test]
        fn what_was_read_reads_as_itself(text in "[+0-9;() -]{4,18}", at_home in any::<bool>()) {
            if let Ok((number, assigned)) = e164(&text, at_home.then_some("ID")) {
                prop_assert_eq!(e164(&number, Some("ID")), Ok((number, assigned)));
            }
        }
    }
}
