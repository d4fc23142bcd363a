//! One commit for all who come at once.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::error::{StoreError, StoreResult};

/// Rows that wait to be written. Whoever finds nobody writing writes for all who wait; the others wait for the answer.
#[derive(Debug)]
pub(crate) struct SharedCommit<T> {
    waiting: Mutex<Vec<(T, oneshot::Sender<bool>)>>,
    writing: tokio::sync::Mutex<()>,
}

impl<T> Default for SharedCommit<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }
}

impl<T> SharedCommit<T> {
    /// Has `row` written, by `write` or by another's; durable when answered. Dropped while it writes, none of the rows it
    /// took is written, and those who wait for them are told so.
    ///
    /// # Errors
    /// That of `write` for who wrote, [`StoreError::SharedCommit`] for those who waited.
    pub(crate) async fn share(&self, row: T, write: impl AsyncFnOnce(Vec<T>) -> StoreResult<()>) -> StoreResult<()> {
        let (reply, mut answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((row, reply));
        let turn = tokio::select! {
            biased;
            written = &mut answer => return told(written),
            turn = self.writing.lock() => turn,
        };
        // Answered just before the turn came.
        match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => {}
            written => return told(written.map_err(|_| ())),
        }
        let (rows, replies): (Vec<T>, Vec<_>) =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().unzip();
        let written = write(rows).await;
        for reply in replies {
            // Who waited may have gone.
            let _ = reply.send(written.is_ok());
        }
        drop(turn);
        written
    }
}

fn told<E>(written: Result<bool, E>) -> StoreResult<()> {
    match written {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(StoreError::SharedCommit),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_come_while_one_writes_share_the_next_commit() {
        let shared = SharedCommit::default();
        let (commits, rows) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let write = async |batch: Vec<usize>| {
            commits.fetch_add(1, Ordering::SeqCst);
            rows.fetch_add(batch.len(), Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(())
        };
        let (one, two, three) = tokio::join!(shared.share(1, write), shared.share(2, write), shared.share(3, write));
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        assert_eq!((commits.into_inner(), rows.into_inner()), (2, 3));
    }

    #[tokio::test]
    async fn who_waited_for_a_write_that_failed_or_never_ended_is_told() {
        let shared = SharedCommit::default();
        let fail = async |_| Err(StoreError::WriterEnded);
        let (one, two) = tokio::join!(
            async {
                // Dropped while it writes.
                let writing = shared.share(1, async |_: Vec<i32>| std::future::pending().await);
                tokio::select! { _ = writing => None, () = tokio::task::yield_now() => Some(()) }
            },
            shared.share(2, fail),
        );
        assert!(one.is_some());
        assert!(two.is_err());
        assert!(shared.share(3, async |_| Ok(())).await.is_ok());
    }
}
