//! The one task that posts webhooks. It posts one batch at a time and goes on when that one is settled, which keeps the
//! order of each message's statuses also when a post is tried again; what becomes due meanwhile goes into the next
//! batch, so that it keeps up by batching more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use reqwest::header::CONTENT_TYPE;
use tokio_util::sync::CancellationToken;

use crate::config::WebhookTarget;
use crate::error::SandboxError;
use crate::webhooks::outbox::{Batch, Next, Outbox};
use crate::webhooks::payload;

/// How long one post may take.
const POST_TIME_MAX: Duration = Duration::from_secs(10);

/// How often a batch is posted before it is given up. With the pauses between them that is about five minutes, enough
/// for a receiver to be restarted. (The platform goes on for days.)
const POSTS_MAX: u32 = 150;

/// The first pause between two posts of a batch; each further one is twice as long up to the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Answers longer than this are not read to their end, which costs their connection.
const ANSWER_BYTES_READ_MAX: u64 = 64 * 1024;

/// Posts what the outbox has to post.
pub(crate) struct Poster {
    outbox: Arc<Outbox>,
    waba_id: String,
    client: reqwest::Client,
    stop: CancellationToken,
}

impl Poster {
    pub(crate) fn new(outbox: Arc<Outbox>, waba_id: String, stop: CancellationToken) -> Result<Self, SandboxError> {
        // Fails if the process has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(POST_TIME_MAX)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(SandboxError::WebhookClient)?;
        Ok(Self { outbox, waba_id, client, stop })
    }

    /// Runs until it is stopped.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.post_all() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn post_all(&self) {
        loop {
            match self.outbox.next(Instant::now()) {
                Next::Post(batch) => {
                    let posted = self.post_batch(&batch).await;
                    self.outbox.finish(batch, posted);
                }
                Next::WaitUntil(due) => {
                    // Its outcome does not matter: either way it is time to look again.
                    let _ = tokio::time::timeout_at(due.into(), self.outbox.wake.notified()).await;
                }
                Next::Wait => self.outbox.wake.notified().await,
            }
        }
    }

    /// Posts a batch until it is answered with 200, or gives it up.
    async fn post_batch(&self, batch: &Batch) -> bool {
        let body = match payload::write(&self.waba_id, &batch.updates) {
            Ok(body) => Bytes::from(body),
            Err(error) => {
                tracing::error!(%error, "a webhook could not be written");
                return false;
            }
        };
        let mut pause = PAUSE_MIN;
        for posts in 1..=POSTS_MAX {
            let Some(target) = self.outbox.target() else { return false };
            if self.post(&target, body.clone()).await {
                return true;
            }
            self.outbox.post_failed();
            if posts == 1 {
                tracing::warn!(updates = batch.updates.len(), "a webhook was not answered with 200; trying again");
            }
            // A new target is worth an immediate try.
            let _ = tokio::time::timeout(pause, self.outbox.target_changed.notified()).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        tracing::warn!(updates = batch.updates.len(), "a webhook was given up");
        false
    }

    async fn post(&self, target: &WebhookTarget, body: Bytes) -> bool {
        let request = self
            .client
            .post(&target.url)
            .header(CONTENT_TYPE, "application/json")
            .header("X-Hub-Signature-256", payload::signature(&target.app_secret, &body))
            .body(body);
        match request.send().await {
            Ok(response) => {
                let accepted = response.status() == reqwest::StatusCode::OK;
                if response.content_length().is_none_or(|length| length <= ANSWER_BYTES_READ_MAX) {
                    // Read only so that the connection can be used again.
                    let _ = response.bytes().await;
                }
                accepted
            }
            Err(error) => {
                tracing::debug!(error = %error.without_url(), "a webhook could not be posted");
                false
            }
        }
    }
}
