//! Message ids: opaque to clients, unique within a sandbox and across its restarts.

/// Makes message ids.
#[derive(Debug)]
pub(crate) struct Wamids {
    /// Differs with each start, whatever the seed, so that a ledger that outlives the sandbox never sees an id twice.
    start: u64,
    count: u64,
}

impl Wamids {
    pub(crate) fn new() -> Self {
        Self { start: fastrand::u64(..), count: 0 }
    }

    pub(crate) fn next(&mut self) -> String {
        self.count += 1;
        format!("wamid.HBgL{:016X}{:016X}", self.start, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_repeat() {
        let (mut one, mut other) = (Wamids::new(), Wamids::new());
        let ids: std::collections::HashSet<String> = (0..1_000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(ids.len(), 2_000);
        assert!(ids.iter().all(|id| id.starts_with("wamid.")));
    }
}
