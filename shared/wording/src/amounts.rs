//! Numbers and amounts of money, exact to the last decimal.

use fixed_decimal::Decimal;
use icu_decimal::DecimalFormatter;
use icu_experimental::dimension::currency::{CurrencyType, formatter::CurrencyFormatter};

use crate::{
    Language, Unwritable, currencies,
    fractions::{WithDecimals, shown_when_whole},
    with_plain_spaces,
};

/// The most digits of a number, on both sides of the point together.
const MOST_DIGITS: usize = 30;

/// A decimal written as `2500.50`, as the language writes it: `2.500,50`. Its decimals stay as they were given.
///
/// # Errors
/// When it is no decimal of at most 30 digits, or the language has no words.
pub fn number(number: &str, language: &Language) -> Result<String, Unwritable> {
    let number = decimal(number)?;
    let written = DecimalFormatter::try_new(language.locale().clone().into(), Default::default())
        .map_err(|_| Unwritable::Language(language.locale().to_string()))?;
    Ok(with_plain_spaces(&written.format(&number).to_string()))
}

/// An amount written as `2500000` with the ISO code of its currency, as the language writes it: `Rp 2.500.000`. A whole
/// amount has the decimals that are usual for the currency (none for IDR, two for USD), any other those of its smallest
/// unit.
///
/// # Errors
/// When it is no decimal of at most 30 digits, the currency is not in use or has fewer decimals, or the language has no
/// words.
pub fn money(amount: &str, currency: &str, language: &Language) -> Result<String, Unwritable> {
    let mut amount = decimal(amount)?;
    let currency = currencies::find(currency).ok_or(Unwritable::Currency)?;
    let code = CurrencyType::try_from_str(currency.code).map_err(|_| Unwritable::Currency)?;
    amount.absolute.trim_end();
    let decimals = u8::try_from(-amount.absolute.nonzero_magnitude_end().min(0)).unwrap_or(u8::MAX);
    if decimals > currency.decimals {
        return Err(Unwritable::Decimals { currency: currency.code, most: currency.decimals });
    }
    let usual = shown_when_whole(code).unwrap_or(currency.decimals);
    let shown = WithDecimals(if decimals == 0 { usual } else { currency.decimals });
    let written =
        CurrencyFormatter::try_new_symbol_unstable(&shown, language.locale().clone().into(), code, Default::default())
            .map_err(|_| Unwritable::Language(language.locale().to_string()))?;
    Ok(with_plain_spaces(&written.format_fixed_decimal(&amount).to_string()))
}

/// Digits with at most one sign and one point; no exponent, no separators.
fn decimal(text: &str) -> Result<Decimal, Unwritable> {
    let text = text.trim();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() > MOST_DIGITS {
        return Err(Unwritable::Number);
    }
    text.parse().map_err(|_| Unwritable::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(code: &str) -> Language {
        code.parse().unwrap()
    }

    #[test]
    fn money_is_written_as_the_language_does() {
        for (code, amount, currency, expected) in [
            ("id", "2500000", "IDR", "Rp 2.500.000"),
            ("id", "2500000.00", "idr", "Rp 2.500.000"),
            ("id", "2500000.5", "IDR", "Rp 2.500.000,50"),
            ("en", "2500000", "IDR", "IDR 2,500,000"),
            ("en_US", "10", "USD", "$10.00"),
            ("en_US", "-1234.5", "USD", "-$1,234.50"),
            ("ja", "1000", "JPY", "￥1,000"),
            ("en", "1.5", "KWD", "KWD 1.500"),
            ("de", "0.05", "EUR", "0,05 €"),
            ("fr", "1234567.89", "EUR", "1 234 567,89 €"),
            ("hi", "2500000", "INR", "₹25,00,000.00"),
            ("ms", "99.9", "MYR", "RM 99.90"),
        ] {
            assert_eq!(money(amount, currency, &of(code)).unwrap(), expected, "{amount} {currency} in {code}");
        }
    }

    #[test]
    fn amounts_beyond_every_float_stay_exact() {
        let written = money("12345678901234567890123456.78", "IDR", &of("id")).unwrap();
        assert_eq!(written, "Rp 12.345.678.901.234.567.890.123.456,78");
    }

    #[test]
    fn what_is_no_amount_or_currency_is_refused() {
        for amount in ["", "1e6", "1,000", "1.", ".5", "+1", "--1", "Rp1", "NaN", "0x1", &"9".repeat(31), "1.2.3", "١"]
        {
            assert_eq!(money(amount, "IDR", &of("id")), Err(Unwritable::Number), "{amount}");
        }
        for currency in ["", "Rp", "RUPIAH", "XXX"] {
            assert_eq!(money("1", currency, &of("id")), Err(Unwritable::Currency), "{currency}");
        }
        let finer = money("1.5", "JPY", &of("id")).unwrap_err().to_string();
        assert_eq!(finer, "has more decimals than JPY has: at most 0");
        assert!(money("1.555", "IDR", &of("id")).is_err());
    }

    #[test]
    fn numbers_keep_their_decimals() {
        assert_eq!(number("2500.50", &of("id")).unwrap(), "2.500,50");
        assert_eq!(number("1234567", &of("en")).unwrap(), "1,234,567");
        assert_eq!(number("-0.125", &of("de")).unwrap(), "-0,125");
    }

    proptest! {
        #[test]
        fn every_digit_of_an_amount_is_written(whole in 0_u64.., cents in 0_u8..100) {
            let written = money(&format!("{whole}.{cents:02}"), "EUR", &of("id")).unwrap();
            let digits: String = written.chars().filter(char::is_ascii_digit).collect();
            prop_assert_eq!(digits, format!("{whole}{cents:02}"));
        }

        #[test]
        fn any_text_is_written_or_refused(text in ".{0,40}", currency in ".{0,4}") {
            let _ = (number(&text, &of("id")), money(&text, &currency, &of("id")));
        }
    }
}
