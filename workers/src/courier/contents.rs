//! What jobs say, kept for the batches that follow: a broadcast's content is read once, not once per message.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use kabar_store::{JobContent, Store, StoreResult};

/// The most jobs whose content is kept; then all are forgotten and read again as needed.
const MOST_JOBS: usize = 1_024;

/// The contents of jobs.
#[derive(Debug)]
pub(super) struct Contents {
    store: Store,
    kept: Mutex<HashMap<i64, JobContent>>,
}

impl Contents {
    pub(super) fn new(store: Store) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// The contents of these jobs.
    pub(super) async fn get(&self, job_ids: impl Iterator<Item = i64>) -> StoreResult<HashMap<i64, JobContent>> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            for id in job_ids {
                match kept.get(&id) {
                    Some(content) => drop(found.insert(id, content.clone())),
                    None => missing.push(id),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort_unstable();
        missing.dedup();
        let read = self.store.job_contents(&missing).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + read.len() > MOST_JOBS {
            kept.clear();
        }
        for (id, content) in read {
            if content.for_many {
                kept.insert(id, content.clone());
            }
            found.insert(id, content);
        }
        Ok(found)
    }
}
