//! What SQS can carry: text of at least one character, without the characters that XML 1.0 leaves out.
//!
//! It refuses the rest, so an item with them is refused before anything of its call is published. Neither tickets nor jobs
//! are lost by it: JSON writes all of these characters as escapes.

use crate::{QueueError, QueueResult};

/// Whether SQS can carry this body.
///
/// # Errors
/// When it cannot, with the reason.
pub(crate) fn can_carry(body: &str) -> QueueResult<()> {
    if body.is_empty() {
        return Err(QueueError::Unfit { why: "Amazon SQS takes no empty message".to_owned() });
    }
    match body.char_indices().find(|(_, character)| !is_carried(*character)) {
        None => Ok(()),
        Some((at, character)) => Err(QueueError::Unfit {
            why: format!(
                "Amazon SQS takes no character U+{:04X}, which is at byte {at}; in JSON it can be written as an escape",
                u32::from(character)
            ),
        }),
    }
}

/// From the reference of `SendMessage`: `#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF`. Text in
/// Rust holds no surrogates.
const fn is_carried(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_carried() {
        for body in ["x", " two\nlines\t\r", "Terima kasih 🙏 — شكرا", "\u{7f}\u{85}\u{d7ff}\u{e000}\u{fffd}\u{10ffff}"]
        {
            assert!(can_carry(body).is_ok(), "{body:?}");
        }
    }

    #[test]
    fn what_sqs_refuses_is_refused_with_its_place() {
        for character in ['\0', '\u{8}', '\u{b}', '\u{c}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
            let shown = can_carry(&format!("é{character}")).unwrap_err().to_string();
            assert!(shown.contains(&format!("U+{:04X}", u32::from(character))), "{shown}");
            assert!(shown.contains("byte 2"), "{shown}");
        }
        assert!(can_carry("").unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn json_needs_none_of_them() {
        let odd = serde_json::json!({"text": "\u{0}\u{1f}\u{fffe}"}).to_string();
        // A writer of JSON must escape control characters, and may leave the two noncharacters as they are.
        assert!(can_carry(&odd.replace('\u{fffe}', "\\ufffe")).is_ok());
    }
}
