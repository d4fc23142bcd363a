//! Dates, times, numbers and money as a language writes them: `12 Des 2026` and `Rp 2.500.000` in Indonesian,
//! `Dec 12, 2026` and `IDR 2,500,000` in English.
//!
//! The words and patterns are Unicode's (CLDR), compiled in through ICU4X. This is a crate of its own since its data takes
//! longer to build than all rules of the domain together. Amounts are decimals from end to end: no binary fraction ever
//! stands between what was typed and what is written.
//!
//! What is written holds plain spaces alone: CLDR's no-break spaces would turn a text message into one of half the length,
//! and nobody who searches for it types them.

mod amounts;
mod currencies;
mod dates;
mod folding;
mod fractions;
mod language;
mod unwritable;

pub use amounts::{money, number};
pub use dates::{date, time};
pub use folding::folded;
pub use language::Language;
pub use unwritable::Unwritable;

/// A text without no-break spaces.
fn with_plain_spaces(text: &str) -> String {
    text.replace(['\u{a0}', '\u{202f}'], " ")
}
