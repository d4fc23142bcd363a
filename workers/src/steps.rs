//! The loop that most workers are: a step, then the next at once or after a bell.

use std::{future::Future, time::Duration};

use kabar_store::{StoreError, Topic};
use tokio_util::sync::CancellationToken;

use crate::context::{ERROR_PAUSE, Shared};

/// When the next step comes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    /// At once: there may be more to do.
    Now,
    /// When the bell of a topic rings, at the latest after a while.
    Bell(Topic, Duration),
    /// After a while.
    After(Duration),
}

/// What ends a step early. It is logged, and the step is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("the ledger")]
    Ledger(#[from] StoreError),
    #[error("the queue")]
    Queue(#[from] kabar_queue::QueueError),
}

/// Repeats `step` until `stop`. A step that is under way is finished first.
pub(crate) async fn repeat<F, Step>(worker: &'static str, context: Shared, stop: CancellationToken, mut step: F)
where
    F: FnMut(Shared) -> Step + Send,
    Step: Future<Output = Result<Next, StepError>> + Send,
{
    while !stop.is_cancelled() {
        let next = match step(context.clone()).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(worker, error = &error as &dyn std::error::Error, "a step failed; trying again");
                Next::After(ERROR_PAUSE)
            }
        };
        let pause = async {
            match next {
                // Others on this thread get their turn, however much there is to do.
                Next::Now => tokio::task::yield_now().await,
                Next::Bell(topic, most) => context.store.wake().wait(topic, most).await,
                Next::After(while_) => tokio::time::sleep(while_).await,
            }
        };
        tokio::select! {
            // First: a process that ends gives no more time.
            biased;
            () = stop.cancelled() => {}
            () = pause => {}
        }
    }
}
