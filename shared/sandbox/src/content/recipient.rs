//! Whom a message is for.

use crate::api::error::ApiError;

/// The digits of a recipient's number. A plus, spaces, hyphens, dots and parentheses are tolerated, as the platform
/// does; what is left must be 5 to 15 digits.
pub(crate) fn digits(to: &str) -> Result<String, ApiError> {
    let mut digits = String::with_capacity(to.len());
    for character in to.trim().strip_prefix('+').unwrap_or(to.trim()).chars() {
        match character {
            '0'..='9' => digits.push(character),
            ' ' | '-' | '(' | ')' | '.' => {}
            _ => return Err(invalid()),
        }
    }
    if (5..=15).contains(&digits.len()) { Ok(digits) } else { Err(invalid()) }
}

fn invalid() -> ApiError {
    ApiError::with_details(131_009, "Parameter 'to' is not a phone number.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_tolerated_and_letters_are_not() {
        assert_eq!(digits("+1 555-0100").unwrap(), "15550100");
        assert_eq!(digits("+62 (812) 345-6789").unwrap(), "628123456789");
        assert_eq!(digits("15550100").unwrap(), "15550100");
        for wrong in ["", "+", "abc", "1234", "1234567890123456", "1555+0100"] {
            assert_eq!(digits(wrong).unwrap_err().code(), 131_009, "{wrong}");
        }
    }
}
