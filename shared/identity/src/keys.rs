//! A provider's key set (JWKS, RFC 7517): which key has which id, and by which one algorithm it verifies.

use std::sync::Arc;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

/// The most keys of a set that are looked at.
const MOST_KEYS: usize = 100;

/// A key that verifies signatures.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    /// The one algorithm that it verifies by.
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// The keys of a set that can be used here.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Arc<Key>>);

impl KeySet {
    /// Reads a set. Keys that are for something else, of an algorithm that is not taken or damaged are left out, for
    /// providers list such, too. None if it is no key set.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(text).ok()?;
        let listed = set.get("keys")?.as_array()?;
        Some(Self(listed.iter().take(MOST_KEYS).filter_map(Key::read).map(Arc::new).collect()))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The key with this id. A token that names none can only mean the one key of a set.
    pub(crate) fn find(&self, id: Option<&str>) -> Option<Arc<Key>> {
        match (id, self.0.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)).cloned(),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let common = &jwk.common;
        let verifies = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let algorithm = algorithm(&jwk).filter(|_| verifies)?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithm, key })
    }
}

/// The algorithm that a key says it is for, if its type can do that; where it says none, the usual one of its type.
/// Never a symmetric one: whoever may read the set could sign with such a key.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let of_its_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => return None,
    };
    match jwk.common.key_algorithm {
        None => of_its_type.first().copied(),
        Some(named) => Algorithm::try_from(named).ok().filter(|named| of_its_type.contains(named)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rsa(fields: Value) -> Value {
        let mut key = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
        for (name, value) in fields.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    fn read(keys: &[Value]) -> KeySet {
        KeySet::read(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_key_verifies_by_one_algorithm() {
        let point = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (key, expected) in [
            (rsa(json!({})), Algorithm::RS256),
            (rsa(json!({"alg": "PS512", "use": "sig"})), Algorithm::PS512),
            (json!({"kty": "EC", "crv": "P-256", "x": point, "y": point}), Algorithm::ES256),
            (json!({"kty": "EC", "crv": "P-384", "x": point, "y": point, "key_ops": ["verify"]}), Algorithm::ES384),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": point, "alg": "EdDSA"}), Algorithm::EdDSA),
        ] {
            let set = read(std::slice::from_ref(&key));
            assert_eq!(set.find(None).map(|key| key.algorithm), Some(expected), "{key}");
        }
    }

    #[test]
    fn what_cannot_verify_a_token_is_left_out() {
        let point = "AAAA";
        let set = read(&[
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}),
            json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
            rsa(json!({"alg": "HS256"})),
            rsa(json!({"alg": "ES256"})),
            rsa(json!({"alg": "RSA-OAEP"})),
            rsa(json!({"alg": "none"})),
            rsa(json!({"use": "enc"})),
            rsa(json!({"key_ops": ["encrypt"]})),
            json!({"kty": "EC", "crv": "P-521", "x": point, "y": point}),
            json!({"kty": "EC", "crv": "P-256", "x": point, "y": point, "alg": "ES384"}),
            json!({"kty": "RSA", "n": "not base64!", "e": "AQAB"}),
            json!({"kty": "RSA"}),
            json!("no key"),
        ]);
        assert_eq!(set.count(), 0, "{set:?}");
    }

    #[test]
    fn a_key_is_found_by_its_id_and_without_one_only_where_it_is_the_only_one() {
        let set = read(&[rsa(json!({"kid": "a"})), rsa(json!({"kid": "b", "alg": "RS512"}))]);
        assert_eq!(set.find(Some("b")).map(|key| key.algorithm), Some(Algorithm::RS512));
        assert!(set.find(Some("c")).is_none() && set.find(None).is_none());
    }

    #[test]
    fn what_is_no_key_set_is_none() {
        for text in ["", "[]", "{}", "{\"keys\": {}}", "<html>"] {
            assert!(KeySet::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
