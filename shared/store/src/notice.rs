//! How a process notices that others have left it work: bells ring inside a process alone.

use std::time::Duration;

use crate::{
    Store, Topic,
    db::{Db, args, row, statements},
    error::{StoreError, StoreResult},
};

statements! {
    /// Each value is the far end of an index, so a look costs the same however much there is.
    GLANCE = "select (select max(id) from jobs where state = 'accepted') as jobs, (select max(id) from messages) as messages,
  (select max(id) from line_items) as items, (select max(id) from events where state = 'new') as events";
}

row! {
    /// The newest work of each kind on Postgres. What is written there later has a higher id, but for transactions that
    /// overtake each other; those are found when workers look by themselves.
    #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
    struct Glance {
        jobs: Option<i64>,
        messages: Option<i64>,
        items: Option<i64>,
        events: Option<i64>,
    }
}

impl Glance {
    /// What there is work in that was not there at the look before.
    fn new_since(&self, before: &Self) -> impl Iterator<Item = Topic> {
        let topics: [(Option<i64>, Option<i64>, &[Topic]); 4] = [
            (self.jobs, before.jobs, &[Topic::Jobs]),
            (self.messages, before.messages, &[Topic::Messages]),
            (self.items, before.items, &[Topic::Tickets, Topic::IncomingJobs]),
            (self.events, before.events, &[Topic::Events]),
        ];
        let news = topics.into_iter().filter(|(now, before, _)| now.is_some() && now != before);
        news.flat_map(|(_, _, topics)| topics.iter().copied())
    }
}

impl Store {
    /// Looks again and again whether another process has left work, and rings the bells of it, until dropped.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn notice_other_processes(&self, every: Duration) -> StoreResult<()> {
        match &self.db {
            Db::Sqlite { writer, .. } => self.notice_by_version(writer, every).await,
            Db::Postgres(_) => self.notice_by_glance(every).await,
        }
    }

    /// The version changes for a connection when any *other* one commits. A process writes to SQLite through one
    /// connection, so on that it changes for other processes' writes alone. It does not tell what was written.
    async fn notice_by_version(&self, writer: &sqlx::SqlitePool, every: Duration) -> StoreResult<()> {
        let failed = |source| StoreError::statement("pragma data_version", source);
        let mut last: i64 = 0;
        loop {
            let (version,): (i64,) = sqlx::query_as("pragma data_version").fetch_one(writer).await.map_err(failed)?;
            if version != last {
                last = version;
                Topic::ALL.into_iter().for_each(|topic| self.wake.ring(topic));
            }
            tokio::time::sleep(every).await;
        }
    }

    /// This process's own writes ring once more; an idle look does no harm.
    async fn notice_by_glance(&self, every: Duration) -> StoreResult<()> {
        let mut last = Glance::default();
        loop {
            let now: Glance = self.db.optional(GLANCE, args![]).await?.unwrap_or_default();
            now.new_since(&last).for_each(|topic| self.wake.ring(topic));
            last = now;
            tokio::time::sleep(every).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_rings() {
        let before = Glance { jobs: Some(3), messages: Some(9), items: None, events: Some(1) };
        let now = Glance { jobs: None, messages: Some(9), items: Some(4), events: Some(2) };
        let rung: Vec<Topic> = now.new_since(&before).collect();
        assert_eq!(rung, [Topic::Tickets, Topic::IncomingJobs, Topic::Events]);
        assert_eq!(now.new_since(&now).count(), 0);
    }
}
