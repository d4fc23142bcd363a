//! Sealing of credentials and message contents at rest.
//!
//! With a master key, values are AES-256-GCM under a fresh random nonce, written as `sealed:1:` and base64. Without one
//! they are stored as they are. A value tells by its beginning which it is, so a key may be set later: what was plain
//! stays readable, what is written from then on is sealed.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

use crate::error::{StoreError, StoreResult};

const MARK: &str = "sealed:1:";

/// Seals and opens values.
#[derive(Debug)]
pub(crate) struct Sealer(Option<LessSafeKey>);

impl Sealer {
    /// With the master key of 32 bytes, or without.
    pub(crate) fn new(master_key: Option<&[u8; 32]>) -> StoreResult<Self> {
        master_key
            .map(|key| UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new))
            .transpose()
            .map_or(Err(StoreError::Sealed), |key| Ok(Self(key)))
    }

    /// Seals `text` where there is a key.
    pub(crate) fn seal(&self, text: String) -> StoreResult<String> {
        let Some(key) = &self.0 else { return Ok(text) };
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| StoreError::Sealed)?;
        let mut sealed = text.into_bytes();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(MARK), &mut sealed)
            .map_err(|_| StoreError::Sealed)?;
        let whole = [&nonce[..], &sealed].concat();
        Ok(format!("{MARK}{}", STANDARD_NO_PAD.encode(whole)))
    }

    /// Opens what [`Self::seal`] gave, sealed or not.
    pub(crate) fn open(&self, text: String) -> StoreResult<String> {
        let Some(encoded) = text.strip_prefix(MARK) else { return Ok(text) };
        let key = self.0.as_ref().ok_or(StoreError::Sealed)?;
        let mut whole = STANDARD_NO_PAD.decode(encoded).map_err(|_| StoreError::Sealed)?;
        if whole.len() < NONCE_LEN {
            return Err(StoreError::Sealed);
        }
        let mut sealed = whole.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&whole).map_err(|_| StoreError::Sealed)?;
        let opened = key.open_in_place(nonce, Aad::from(MARK), &mut sealed).map_err(|_| StoreError::Sealed)?;
        String::from_utf8(opened.to_vec()).map_err(|_| StoreError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_with_their_key_alone() {
        let sealer = Sealer::new(Some(&[7; 32])).unwrap();
        let sealed = sealer.seal("token".to_owned()).unwrap();
        assert!(sealed.starts_with(MARK) && !sealed.contains("token"));
        assert_ne!(sealed, sealer.seal("token".to_owned()).unwrap(), "nonces are fresh");
        assert_eq!(sealer.open(sealed.clone()).unwrap(), "token");
        assert!(Sealer::new(Some(&[8; 32])).unwrap().open(sealed.clone()).is_err());
        assert!(Sealer::new(None).unwrap().open(sealed).is_err());
    }

    #[test]
    fn plain_values_stay_readable_when_a_key_comes_later() {
        assert_eq!(Sealer::new(Some(&[7; 32])).unwrap().open("plain".to_owned()).unwrap(), "plain");
    }
}
