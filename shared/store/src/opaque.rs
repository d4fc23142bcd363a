//! What a send carries along so that a receipt can name its attempt.
//!
//! The text is `k1.MESSAGE.NUMBER.MAC`. Every application that is subscribed to the business account sees it, so it holds
//! no personal data, and an HMAC under a key of this ledger keeps foreign values from settling our attempts.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

use crate::{
    Store,
    db::{args, statements},
    error::{StoreError, StoreResult},
};

const VERSION: &str = "k1";
const FACT: &str = "opaque_key";
/// 96 bits of HMAC-SHA-256: beyond guessing, and short enough for any provider's field.
const MAC_BYTES: usize = 12;

statements! {
    KEY = "select value from facts where name = $1";
    SET_KEY = "insert into facts (name, value) values ($1, $2) on conflict (name) do nothing";
}

impl Store {
    /// Makes the ledger's key where there is none, and keeps it at hand.
    pub(crate) async fn ensure_opaque_key(&self) -> StoreResult<()> {
        self.opaque_key
            .get_or_try_init(async || {
                let mut random = [0; 32];
                SystemRandom::new().fill(&mut random).map_err(|_| StoreError::Sealed)?;
                let fresh = self.sealer.seal(URL_SAFE_NO_PAD.encode(random))?;
                let mut tx = self.db.begin().await?;
                tx.execute(SET_KEY, args![FACT, fresh]).await?;
                let (stored,): (String,) = tx.one(KEY, args![FACT]).await?;
                tx.commit().await?;
                let key = URL_SAFE_NO_PAD.decode(self.sealer.open(stored)?).map_err(|_| StoreError::Sealed)?;
                Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
            })
            .await
            .map(drop)
    }

    /// What the attempt carries along; none before the ledger's key is at hand.
    pub(crate) fn opaque(&self, message_id: i64, number: i64) -> Option<String> {
        let text = format!("{VERSION}.{message_id}.{number}");
        let mac = hmac::sign(self.opaque_key.get()?, text.as_bytes());
        Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(&mac.as_ref()[..MAC_BYTES])))
    }

    /// The message and the number of the attempt that `opaque` names; none where it is not ours.
    #[must_use]
    pub fn attempt_of(&self, opaque: &str) -> Option<(i64, i64)> {
        let mut parts = opaque.split('.');
        let (version, message, number) = (parts.next()?, parts.next()?, parts.next()?);
        let (message, number) = (message.parse().ok()?, number.parse().ok()?);
        let ours = self.opaque(message, number)?;
        // Comparing public HMACs of our own making in constant time: a guesser learns nothing from how long it takes.
        let same = ring::digest::digest(&ring::digest::SHA256, ours.as_bytes()).as_ref()
            == ring::digest::digest(&ring::digest::SHA256, opaque.as_bytes()).as_ref();
        (version == VERSION && same).then_some((message, number))
    }
}
