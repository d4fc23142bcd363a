//! WhatsApp: the Cloud API, its webhooks, and the sender `default`.

use std::fmt;

use crate::{HttpBase, Secret, reader::Reader};

/// Settings of WhatsApp.
#[derive(Debug, Clone)]
pub struct WhatsApp {
    /// The sender `default`, if the settings define it.
    pub default_sender: Option<DefaultSender>,
    /// The Cloud API's address without its version; a sender may have its own.
    pub api_base: HttpBase,
    /// The Cloud API's version.
    pub api_version: ApiVersion,
    /// The secrets that may have signed a webhook of any sender. None: such webhooks are refused.
    pub app_secrets: Vec<Secret>,
    /// What Meta's verification request must carry. None: it is refused.
    pub verify_token: Option<Secret>,
    /// Whether plain http may leave this machine: see [`HttpBase::is_allowed`].
    pub allow_plain_http: bool,
}

/// A sender that needs no set-up but two settings.
#[derive(Debug, Clone)]
pub struct DefaultSender {
    /// The phone-number id, which is not the phone number: 1 to 64 letters, digits, `-` and `_`.
    pub phone_number_id: String,
    /// The access token.
    pub access_token: Secret,
}

/// A version of the Cloud API: `v`, a number, a dot, a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersion(String);

impl ApiVersion {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
        let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(major) && is_number(minor)).then(|| Self(text.to_owned()))
    }

    /// The version as it stands in addresses, such as `v26.0`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl WhatsApp {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        // Both are judged before either may end this, so that both are reported.
        let default_sender = read_default_sender(reader);
        let api_base: HttpBase = reader.get("whatsapp.api_base")?;
        let allow_plain_http = reader.get("whatsapp.allow_plain_http")?;
        reader.require(
            api_base.is_allowed(allow_plain_http),
            &["whatsapp.api_base", "whatsapp.allow_plain_http"],
            "plain http would show the access token to the network; use https, or allow plain http",
        );
        Some(Self {
            default_sender: default_sender?,
            api_base,
            api_version: reader.get("whatsapp.api_version")?,
            app_secrets: reader.get("whatsapp.app_secrets")?,
            verify_token: reader.get("whatsapp.verify_token")?,
            allow_plain_http,
        })
    }
}

/// The outer option is none where a value is bad or missing, which has been noted.
fn read_default_sender(reader: &mut Reader<'_>) -> Option<Option<DefaultSender>> {
    let phone_number_id: Option<String> = reader.get("whatsapp.phone_number_id")?;
    let access_token: Option<Secret> = reader.get("whatsapp.access_token")?;
    match (phone_number_id, access_token) {
        (Some(phone_number_id), Some(access_token)) => Some(Some(DefaultSender { phone_number_id, access_token })),
        (None, None) => Some(None),
        _ => {
            reader.contradiction(
                &["whatsapp.phone_number_id", "whatsapp.access_token"],
                "set both, which defines the sender `default`, or neither",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_v_and_two_numbers() {
        assert_eq!(ApiVersion::parse("v26.0").unwrap().as_str(), "v26.0");
        for text in ["", "26.0", "v26", "v26.", "v.0", "v26.0.1", "v26.0/x", "latest"] {
            assert!(ApiVersion::parse(text).is_none(), "{text}");
        }
    }
}
