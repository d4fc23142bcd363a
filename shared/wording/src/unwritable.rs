//! Why a value cannot be written. No text here holds the value itself: it may be told in a log.

/// Why a value cannot be written in a language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// Not the code of a language with words of its own in CLDR.
    #[error("the language {0:?} is not known to Unicode's CLDR; write the value as a text")]
    Language(String),
    /// Not a date.
    #[error("is not a date: write it as 2026-12-12")]
    Date,
    /// Not a time of day.
    #[error("is not a time of day: write it as 09:30")]
    Time,
    /// Not a decimal number.
    #[error("is not a number: write digits with a point before decimals and no separators, as 2500000 or -12.50")]
    Number,
    /// Not the code of a currency.
    #[error("is not a currency: give its code in ISO 4217, such as IDR or USD")]
    Currency,
    /// More decimals than the currency has.
    #[error("has more decimals than {currency} has: at most {most}")]
    Decimals {
        /// The currency.
        currency: &'static str,
        /// How many decimals its smallest unit has.
        most: u8,
    },
}
