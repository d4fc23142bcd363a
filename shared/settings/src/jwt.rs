//! Tokens of an identity provider, which open the HTTP API as keys do.

use std::{path::PathBuf, time::Duration};

use crate::{HttpBase, reader::Reader};

/// Settings of the tokens of one identity provider.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// What their `iss` must be, sign by sign.
    pub issuer: String,
    /// One of these must be in their `aud`. There is one at least.
    pub audiences: Vec<String>,
    /// Where the provider's public keys are.
    pub keys: KeysAt,
    /// The claim that names the tenant. None: every token is the tenant `default`'s.
    pub tenant_claim: Option<String>,
    /// The claim with the scopes.
    pub scope_claim: String,
    /// What kabar's scopes begin with there; may be empty.
    pub scope_prefix: String,
    /// The most messages that all tokens of one subject may enqueue in a minute; none: no limit.
    pub messages_per_minute: Option<u32>,
    /// How old the keys become before they are fetched anew.
    pub refresh_every: Duration,
    /// The shortest time between two fetches.
    pub fetch_floor: Duration,
    /// How long the keys are good while they cannot be fetched.
    pub keep: Duration,
}

/// Where an identity provider's public keys (JWKS) are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysAt {
    /// An address that nobody on the way can answer for: https, or this machine.
    Url(HttpBase),
    /// A file.
    File(PathBuf),
}

impl KeysAt {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.contains("://") {
            return HttpBase::parse(text).filter(|address| address.is_allowed(false)).map(Self::Url);
        }
        (!text.is_empty()).then(|| Self::File(PathBuf::from(text)))
    }
}

impl Jwt {
    /// The outer option is none where a value is bad or missing, which has been noted.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let issuer: Option<String> = reader.get("jwt.issuer")?;
        let audiences: Vec<String> = reader.get("jwt.audiences")?;
        let keys: Option<KeysAt> = reader.get("jwt.keys")?;
        let tenant_claim = reader.get("jwt.tenant_claim")?;
        let scope_claim = reader.get("jwt.scope_claim")?;
        let scope_prefix: Option<String> = reader.get("jwt.scope_prefix")?;
        let messages_per_minute = reader.get("jwt.messages_per_minute")?;
        let refresh_every = reader.get("jwt.refresh_every")?;
        let fetch_floor = reader.get("jwt.fetch_floor")?;
        let keep = reader.get("jwt.keep")?;
        reader.require(
            keep > refresh_every,
            &["jwt.keep", "jwt.refresh_every"],
            "keys must be good for longer than until they are fetched anew",
        );
        match (issuer, keys) {
            (None, None) if audiences.is_empty() => Some(None),
            (Some(issuer), Some(keys)) if !audiences.is_empty() => Some(Some(Self {
                issuer,
                audiences,
                keys,
                tenant_claim,
                scope_claim,
                scope_prefix: scope_prefix.unwrap_or_default(),
                messages_per_minute,
                refresh_every,
                fetch_floor,
                keep,
            })),
            _ => {
                reader.contradiction(
                    &["jwt.issuer", "jwt.audiences", "jwt.keys"],
                    "set all three, and tokens of that provider are taken, or none",
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_at_an_address_that_can_be_trusted_or_in_a_file() {
        let address = KeysAt::parse("https://login.example.com/.well-known/jwks.json");
        assert!(matches!(address, Some(KeysAt::Url(url)) if url.as_str().ends_with("/jwks.json")));
        assert!(matches!(KeysAt::parse("http://127.0.0.1:9000/keys"), Some(KeysAt::Url(_))));
        assert_eq!(KeysAt::parse("/etc/kabar/jwks.json"), Some(KeysAt::File("/etc/kabar/jwks.json".into())));
        for none in ["", "http://login.example.com/keys", "ftp://login.example.com/keys", "https://"] {
            assert_eq!(KeysAt::parse(none), None, "{none}");
        }
    }
}
