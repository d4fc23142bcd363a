//! Values that must never be shown.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// A text that is never shown: its `Debug` and `Display` say `***`. Not comparable, since a comparison that stops at the
/// first difference tells an attacker how much was right.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub(crate) const MASK: &str = "***";

    /// Takes `text` as a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the place that needs it and no other.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` as a secret; none unless it is printable ASCII, which every header can carry.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let printable = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        printable.then(|| Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

/// The key that seals credentials and message contents in the ledger: 32 bytes, never shown.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Takes `bytes` as the key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves, for the place that seals and no other.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that `text` is in base64, with or without padding.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let any_padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let base64 = GeneralPurpose::new(&alphabet::STANDARD, any_padding);
        base64.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Secret::MASK)
    }
}

/// The secrets in `text`, separated by commas; empty ones are dropped, for an empty key would sign anything.
pub(crate) fn parse_list(text: &str) -> Option<Vec<Secret>> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(Secret::parse).collect()
}

/// `url` without its password and its query, both of which may be secret, however badly it is typed.
pub(crate) fn mask_url(url: &str) -> String {
    const MASK: &str = Secret::MASK;
    let hide_query = |text: &str| match text.split_once('?') {
        Some((before, _)) => format!("{before}?{MASK}"),
        None => text.to_owned(),
    };
    // A password may hold any sign when it is not encoded: what comes before the last @ belongs to it.
    let Some((before, host)) = url.rsplit_once('@') else { return hide_query(url) };
    let Some((scheme, user)) = before.split_once("://") else { return format!("{MASK}@{}", hide_query(host)) };
    let user = user.split([':', '/', '?', '@']).next().unwrap_or_default();
    format!("{scheme}://{user}:{MASK}@{}", hide_query(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_are_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", MasterKey::new([7; 32])), "*** *** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_master_key_is_32_bytes_in_base64() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        assert_eq!(MasterKey::parse(key).unwrap().expose()[31], 31);
        assert!(MasterKey::parse(key.trim_end_matches('=')).is_some());
        assert!(MasterKey::parse("AAEC").is_none() && MasterKey::parse("no base64").is_none());
    }

    #[test]
    fn lists_of_secrets_drop_what_is_empty() {
        let secrets = parse_list("old, new,").unwrap();
        assert_eq!(secrets.iter().map(Secret::expose).collect::<Vec<_>>(), ["old", "new"]);
        assert!(parse_list("").unwrap().is_empty());
        assert!(parse_list("tab\tin,it").is_none());
    }

    #[test]
    fn urls_are_shown_without_passwords() {
        for (url, shown) in [
            ("sqlite://kabar.db", "sqlite://kabar.db"),
            ("postgres://kabar:pw@db:5432/k", "postgres://kabar:***@db:5432/k"),
            ("postgres://kabar:p@w?/x@db/k?sslmode=require", "postgres://kabar:***@db/k?***"),
            ("postgres://db/k?password=pw", "postgres://db/k?***"),
            ("postgres:kabar:pw@db", "***@db"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }
}
