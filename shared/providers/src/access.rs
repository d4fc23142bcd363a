//! What a send needs to know: the way to the sender's provider, and the message.

use std::fmt;

use kabar_domain::{content::Content, phone::PhoneNumber, sender::ProviderKind};
use reqwest::header::HeaderValue;

use crate::usage::Usage;

/// The way to a sender's provider.
#[derive(Debug, Clone)]
pub struct Access {
    /// Who carries the sender's messages.
    pub provider: ProviderKind,
    /// The sender's address at the provider; for `whatsapp_cloud` the phone-number id, not the number.
    pub address: String,
    /// The sender's access token.
    pub token: Token,
    /// The address of the API without its version, such as `https://graph.facebook.com`.
    pub api_base: String,
    /// The version of the API, such as `v26.0`.
    pub api_version: String,
}

/// An access token, ready to be put on requests; shown nowhere.
///
/// Any text is taken, so that a sender with a broken token can still be loaded and shown: one that no header can carry
/// halts the sender at its first send.
#[derive(Clone)]
pub struct Token {
    header: Option<HeaderValue>,
}

impl Token {
    /// A token; white space around it is dropped, since files end in a line break.
    #[must_use]
    pub fn new(secret: impl AsRef<str>) -> Self {
        let secret = secret.as_ref().trim();
        let usable = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
        let header = usable.then(|| HeaderValue::try_from(format!("Bearer {secret}")).ok()).flatten();
        Self {
            header: header.map(|mut value| {
                value.set_sensitive(true);
                value
            }),
        }
    }

    /// The value of the `Authorization` header; none when no header can carry the token.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        self.header.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.header.is_some() { "Token(…)" } else { "Token(unusable)" })
    }
}

/// One message to send.
#[derive(Clone, Copy)]
pub struct SendRequest<'a> {
    /// To whom.
    pub to: &'a PhoneNumber,
    /// What. Its limits were checked at the door (`Content::check`).
    pub content: &'a Content,
    /// What receipts bring back: an id without personal data, at most 512 characters; empty for none. Other
    /// applications that listen to the account see it.
    pub opaque: &'a str,
}

impl fmt::Debug for SendRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendRequest")
            .field("to", self.to)
            .field("content", &self.content.kind())
            .field("opaque", &self.opaque)
            .finish()
    }
}

/// What a provider says about a sender's number. Values are the provider's own words.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Number {
    /// The number as people see it.
    pub display_number: Option<String>,
    /// The business name that people see.
    pub verified_name: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `NA` or `UNKNOWN`.
    pub quality: Option<String>,
    /// `STANDARD` (80 messages a second) or a higher level.
    pub throughput: Option<String>,
    /// `CONNECTED` when it can send.
    pub status: Option<String>,
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Number")
            .field("quality", &self.quality)
            .field("throughput", &self.throughput)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A page of a business account's templates.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplatePage {
    /// The provider's template objects.
    pub templates: Vec<serde_json::Value>,
    /// What to ask the next page with; none at the end of the list.
    pub next: Option<String>,
    /// Of the limits on calls that the answer told of, the one of which the most is used.
    pub usage: Option<Usage>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_nowhere() {
        let token = Token::new("EAAGsecret\n");
        assert_eq!(format!("{token:?}"), "Token(…)");
        let header = token.header().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer EAAGsecret");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_unusable() {
        for broken in ["", "  ", "two words", "line\nbreak", "ü"] {
            assert!(Token::new(broken).header().is_none(), "{broken:?}");
        }
    }
}
