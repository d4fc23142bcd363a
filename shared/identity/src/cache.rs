//! The keys that are at hand, and when they are fetched anew.
//!
//! A key that is not known may be a new one of the provider's, or made up; so it has the set fetched again, but not more
//! often than a floor allows, whoever asks. Keys that are known go on to be good while the provider is away, up to a bound:
//! beyond it a key that was withdrawn meanwhile could be used for ever.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use crate::{
    Refusal,
    keys::{Key, KeySet},
    source::{KeysError, Source},
};

/// When keys are fetched, and for how long they are good.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How old keys become before they are fetched anew in the background.
    pub refresh_every: Duration,
    /// The shortest time between two fetches.
    pub fetch_floor: Duration,
    /// How old keys may become while they cannot be fetched.
    pub keep: Duration,
}

/// Keeps the keys of one provider.
#[derive(Debug)]
pub(crate) struct Cache {
    source: Source,
    timing: Timing,
    known: RwLock<Known>,
    /// Held by whoever fetches: one at a time.
    turn: Mutex<()>,
}

/// What is known, and since when.
#[derive(Debug, Clone, Default)]
struct Known {
    keys: Arc<KeySet>,
    had_at: Option<Instant>,
    tried_at: Option<Instant>,
}

impl Known {
    fn younger_than(&self, age: Duration) -> bool {
        self.had_at.is_some_and(|at| at.elapsed() < age)
    }

    fn tried_within(&self, floor: Duration) -> bool {
        self.tried_at.is_some_and(|at| at.elapsed() < floor)
    }
}

impl Cache {
    pub(crate) fn new(source: Source, timing: Timing) -> Self {
        Self { source, timing, known: RwLock::default(), turn: Mutex::new(()) }
    }

    /// The key with this id.
    pub(crate) async fn key(self: &Arc<Self>, id: Option<&str>) -> Result<Arc<Key>, Refusal> {
        let known = self.known();
        let usable = known.younger_than(self.timing.keep);
        match known.keys.find(id).filter(|_| usable) {
            Some(key) => {
                if !known.younger_than(self.timing.refresh_every) && !known.tried_within(self.timing.fetch_floor) {
                    self.refresh_in_background();
                }
                return Ok(key);
            }
            None => self.refresh().await,
        }
        let known = self.known();
        if !known.younger_than(self.timing.keep) {
            return Err(Refusal::Unavailable);
        }
        known.keys.find(id).ok_or(Refusal::UnknownKey)
    }

    /// How many keys are at hand.
    pub(crate) fn count(&self) -> usize {
        self.known().keys.count()
    }

    /// Fetches the keys while others go on with those that are known.
    pub(crate) fn refresh_in_background(self: &Arc<Self>) {
        let cache = self.clone();
        tokio::spawn(async move { cache.refresh().await });
    }

    /// Fetches the keys, unless that was just tried. Who comes meanwhile waits for what comes of it.
    async fn refresh(&self) {
        let _turn = self.turn.lock().await;
        if self.known().tried_within(self.timing.fetch_floor) {
            return;
        }
        if let Err(error) = self.fetch().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the identity provider's keys stay as they were: they could not be fetched");
        }
    }

    /// Fetches the keys now.
    pub(crate) async fn load(&self) -> Result<(), KeysError> {
        let _turn = self.turn.lock().await;
        self.fetch().await
    }

    async fn fetch(&self) -> Result<(), KeysError> {
        self.change(|known| known.tried_at = Some(Instant::now()));
        let keys = self.source.fetch().await?;
        self.change(|known| {
            known.keys = Arc::new(keys);
            known.had_at = Some(Instant::now());
        });
        Ok(())
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const TIMING: Timing =
        Timing { refresh_every: MINUTE, fetch_floor: Duration::from_secs(10), keep: Duration::from_secs(600) };

    /// A provider whose key set is a file.
    fn provider(folder: &Path) -> (Arc<Cache>, impl Fn(&[&str]) + use<>) {
        let path = folder.join("jwks.json");
        let list = {
            let path = path.clone();
            move |ids: &[&str]| {
                let keys: Vec<_> =
                    ids.iter().map(|id| json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": id})).collect();
                fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
            }
        };
        (Arc::new(Cache::new(Source::File(path), TIMING)), list)
    }

    async fn is_known(cache: &Arc<Cache>, id: &str) -> Result<(), Refusal> {
        cache.key(Some(id)).await.map(drop)
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_has_the_set_fetched_but_not_more_often_than_the_floor() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, list) = provider(folder.path());
        list(&["old"]);
        assert_eq!(is_known(&cache, "old").await, Ok(()));
        list(&["old", "new"]);
        assert_eq!(is_known(&cache, "new").await, Err(Refusal::UnknownKey), "the floor holds");
        tokio::time::advance(TIMING.fetch_floor).await;
        assert_eq!(is_known(&cache, "new").await, Ok(()), "rotated in");
        list(&["new"]);
        tokio::time::advance(TIMING.fetch_floor).await;
        assert_eq!(is_known(&cache, "made up").await, Err(Refusal::UnknownKey));
        assert_eq!(is_known(&cache, "old").await, Err(Refusal::UnknownKey), "rotated out");
    }

    #[tokio::test(start_paused = true)]
    async fn known_keys_are_good_while_the_provider_is_away_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, list) = provider(folder.path());
        assert_eq!(is_known(&cache, "a").await, Err(Refusal::Unavailable), "there are none yet");
        list(&["a"]);
        tokio::time::advance(TIMING.fetch_floor).await;
        assert_eq!(is_known(&cache, "a").await, Ok(()));
        fs::remove_file(folder.path().join("jwks.json")).unwrap();
        tokio::time::advance(TIMING.keep - Duration::from_secs(1)).await;
        assert_eq!(is_known(&cache, "a").await, Ok(()));
        tokio::time::advance(TIMING.fetch_floor).await;
        assert_eq!(is_known(&cache, "a").await, Err(Refusal::Unavailable));
    }

    #[tokio::test(start_paused = true)]
    async fn old_keys_are_fetched_anew_in_the_background() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, list) = provider(folder.path());
        list(&["a"]);
        assert_eq!(is_known(&cache, "a").await, Ok(()));
        list(&["b"]);
        tokio::time::advance(TIMING.refresh_every).await;
        assert_eq!(is_known(&cache, "a").await, Ok(()), "nobody waits for the fetch");
        // Whoever fetches has the turn until it is done.
        while cache.known().keys.find(Some("b")).is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(is_known(&cache, "a").await, Err(Refusal::UnknownKey));
    }
}
