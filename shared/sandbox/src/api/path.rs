//! Paths of the Graph API: `/{version}/{object}[/{edge}]`, read without copying since every send has one.

use crate::api::error::ApiError;

/// The parts of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GraphPath<'a> {
    /// The object: a phone number id or the business account's id.
    pub(crate) object: &'a str,
}

impl<'a> GraphPath<'a> {
    /// Reads a path, refusing one that does not begin with a version such as `v23.0`.
    pub(crate) fn parse(path: &'a str) -> Result<Self, ApiError> {
        let mut parts = path.split('/').skip(1);
        match (parts.next(), parts.next()) {
            (Some(version), Some(object)) if is_version(version) => Ok(Self { object }),
            _ => Err(ApiError::path_unknown(path)),
        }
    }
}

fn is_version(text: &str) -> bool {
    let numbers = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    numbers.is_some_and(|(major, minor)| is_number(major, 3) && is_number(minor, 1))
}

fn is_number(text: &str, digits_max: usize) -> bool {
    (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text could be the id of an object: 1 to 20 digits.
pub(crate) fn is_id(text: &str) -> bool {
    is_number(text, 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_a_v_and_two_numbers() {
        assert_eq!(GraphPath::parse("/v23.0/123/messages").unwrap().object, "123");
        for path in ["/", "/v23/1/messages", "/23.0/1/messages", "/v.0/1", "/vx.0/1", "/v23.0"] {
            assert!(GraphPath::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn ids_are_digits() {
        assert!(is_id("106540352242922"));
        assert!(!is_id("") && !is_id("abc") && !is_id("123456789012345678901"));
    }
}
