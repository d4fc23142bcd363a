//! Calls of up to ten entries each, of which SQS answers one by one whether it did them.

use std::time::Duration;

use aws_sdk_sqs::{
    error::{BuildError, SdkError},
    operation::{
        change_message_visibility_batch::ChangeMessageVisibilityBatchError,
        delete_message_batch::DeleteMessageBatchError, send_message_batch::SendMessageBatchError,
    },
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        SendMessageBatchRequestEntry,
    },
};
use futures_util::{StreamExt as _, stream};

use super::{
    SqsQueue,
    error::{Call, Trouble, said},
};
use crate::{Line, QueueResult};

/// The most entries of one call, by the reference of the batch actions.
const MOST_ENTRIES: usize = 10;
/// How many calls go at the same time: at 20 ms each, 4,000 items a second.
const CALLS_AT_ONCE: usize = 8;
/// How often entries that SQS failed are asked for in all.
const MOST_TRIES: u32 = 5;
/// The wait before the second try; it doubles with each: 1.5 s in all.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Splits texts into calls: at most ten each, and at most `most_bytes` together.
pub(super) fn groups(texts: &[String], most_bytes: usize) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for text in texts {
        match groups.last_mut() {
            Some(group) if group.len() < MOST_ENTRIES && bytes + text.len() <= most_bytes => {
                bytes += text.len();
                group.push(text.clone());
            }
            _ => {
                bytes = text.len();
                groups.push(vec![text.clone()]);
            }
        }
    }
    groups
}

/// What became of the entries of one call, which are named by their place.
struct Answer {
    done: Vec<String>,
    failed: Vec<BatchResultErrorEntry>,
}

/// What became of one entry.
enum Fate<'a> {
    Done,
    /// To be asked for again, for the reason given.
    Again(String),
    /// Asking again would not help.
    Refused(&'a BatchResultErrorEntry),
}

impl Answer {
    fn fate(&self, place: usize) -> Fate<'_> {
        let id = place.to_string();
        match self.failed.iter().find(|failed| failed.id == id) {
            // A throttled key of encryption counts as the caller's fault, but passes.
            Some(failed) if failed.sender_fault && !failed.code.contains("Throttl") => Fate::Refused(failed),
            Some(failed) => Fate::Again(said(&failed.code, failed.message())),
            None if self.done.contains(&id) => Fate::Done,
            None => Fate::Again("an answer that left it out".to_owned()),
        }
    }
}

impl SqsQueue {
    /// Sends, deletes or shows these entries: bodies, or the receipts of what was received. Every group is tried, whatever
    /// comes of another.
    pub(super) async fn in_batches(&self, call: Call, line: Line, groups: Vec<Vec<String>>) -> QueueResult<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let url = self.url(line).await?;
        let calls = groups.into_iter().map(|group| self.until_done(call, line, url, group));
        let results: Vec<QueueResult<()>> = stream::iter(calls).buffer_unordered(CALLS_AT_ONCE).collect().await;
        results.into_iter().collect()
    }

    /// Asks for the entries of one group, and again for those that SQS failed, until each is done.
    async fn until_done(&self, call: Call, line: Line, url: &str, mut entries: Vec<String>) -> QueueResult<()> {
        let mut wait = FIRST_WAIT;
        let mut tries = 0;
        loop {
            let answer = self.ask(call, line, url, &entries).await?;
            let (mut again, mut first) = (Vec::new(), None);
            for (place, entry) in entries.into_iter().enumerate() {
                match answer.fate(place) {
                    Fate::Done => {}
                    Fate::Again(why) => {
                        first.get_or_insert(why);
                        again.push(entry);
                    }
                    Fate::Refused(failed) if call == Call::Send => {
                        let why = said(&failed.code, failed.message());
                        return Err(Trouble::Entries { count: 1, why }.during(call));
                    }
                    // Its receipt no longer counts: the item is gone, or shown again and perhaps another's by now.
                    Fate::Refused(failed) => {
                        tracing::debug!(code = failed.code, "an item is no longer in this process's hands");
                    }
                }
            }
            let Some(why) = first else { return Ok(()) };
            tries += 1;
            if tries == MOST_TRIES {
                return Err(Trouble::Entries { count: again.len(), why }.during(call));
            }
            entries = again;
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    /// One call with these entries.
    async fn ask(&self, call: Call, line: Line, url: &str, entries: &[String]) -> QueueResult<Answer> {
        match call {
            Call::Send => self.send(url, entries).await.map_err(|error| self.explain(call, line, error)),
            Call::Delete => self.delete(url, entries).await.map_err(|error| self.explain(call, line, error)),
            _ => self.show(url, entries).await.map_err(|error| self.explain(call, line, error)),
        }
    }

    async fn send(&self, url: &str, bodies: &[String]) -> Result<Answer, SdkError<SendMessageBatchError>> {
        let entries =
            requests(bodies, |id, body| SendMessageBatchRequestEntry::builder().id(id).message_body(body).build())
                .map_err(SdkError::construction_failure)?;
        let answer = self.shared.client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await?;
        Ok(Answer { done: answer.successful.into_iter().map(|done| done.id).collect(), failed: answer.failed })
    }

    async fn delete(&self, url: &str, receipts: &[String]) -> Result<Answer, SdkError<DeleteMessageBatchError>> {
        let entries = requests(receipts, |id, receipt| {
            DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(receipt).build()
        })
        .map_err(SdkError::construction_failure)?;
        let answer = self.shared.client.delete_message_batch().queue_url(url).set_entries(Some(entries)).send().await?;
        Ok(Answer { done: answer.successful.into_iter().map(|done| done.id).collect(), failed: answer.failed })
    }

    async fn show(
        &self,
        url: &str,
        receipts: &[String],
    ) -> Result<Answer, SdkError<ChangeMessageVisibilityBatchError>> {
        let entries = requests(receipts, |id, receipt| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder();
            entry.id(id).receipt_handle(receipt).visibility_timeout(0).build()
        })
        .map_err(SdkError::construction_failure)?;
        let asked = self.shared.client.change_message_visibility_batch().queue_url(url);
        let answer = asked.set_entries(Some(entries)).send().await?;
        Ok(Answer { done: answer.successful.into_iter().map(|done| done.id).collect(), failed: answer.failed })
    }
}

/// One entry for each text, named by its place.
fn requests<T>(texts: &[String], entry: impl Fn(String, &str) -> Result<T, BuildError>) -> Result<Vec<T>, BuildError> {
    texts.iter().enumerate().map(|(place, text)| entry(place.to_string(), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lengths: &[usize]) -> Vec<String> {
        lengths.iter().map(|length| "x".repeat(*length)).collect()
    }

    fn lengths(groups: &[Vec<String>]) -> Vec<Vec<usize>> {
        groups.iter().map(|group| group.iter().map(String::len).collect()).collect()
    }

    #[test]
    fn groups_are_bounded_by_number_and_by_bytes() {
        assert!(groups(&[], 100).is_empty());
        assert_eq!(lengths(&groups(&texts(&[1; 23]), 100)).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 3]);
        assert_eq!(lengths(&groups(&texts(&[60, 40, 1, 99, 2]), 100)), [vec![60, 40], vec![1, 99], vec![2]]);
        // The largest allowed fills a call by itself.
        assert_eq!(lengths(&groups(&texts(&[1, 100, 1]), 100)), [vec![1], vec![100], vec![1]]);
    }
}
