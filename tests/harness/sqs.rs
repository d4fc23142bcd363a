//! Queues of their own on the test server for Amazon SQS.

use std::time::Duration;

use kabar_queue::{Queue, SqsOptions, SqsQueue, SqsServer};

use crate::Home;

/// Names the server, by its address `http://HOST:PORT`. `tests/run` sets it.
const SERVER: &str = "KABAR_TEST_SQS_URL";

/// How long taken items are hidden in tests: as short as SQS counts without a busy machine taking longer to settle one.
const HIDDEN_FOR: Duration = Duration::from_secs(5);

/// The queues of one test. They stay until the server goes.
#[derive(Debug, Clone)]
pub struct TestSqs {
    /// What their names begin with.
    pub prefix: String,
    /// Where the server is.
    pub url: String,
}

impl TestSqs {
    /// A prefix that nobody has; its queues are not made yet.
    ///
    /// # Panics
    /// When no server is named.
    #[must_use]
    pub fn fresh() -> Self {
        let url = std::env::var(SERVER).unwrap_or_else(|_| panic!("{SERVER} is not set: run tests/run"));
        Self { prefix: format!("kabar-test-{:016x}", fastrand::u64(..)), url }
    }

    /// The same queues, reached another way.
    #[must_use]
    pub fn at(&self, url: impl Into<String>) -> Self {
        Self { url: url.into(), ..self.clone() }
    }

    /// A connection of its own.
    ///
    /// # Panics
    /// When there is none.
    pub async fn open(&self) -> Queue {
        let server = SqsServer::Local { url: self.url.clone() };
        let options = SqsOptions { hidden_for: HIDDEN_FOR, server, ..SqsOptions::new(&self.prefix) };
        Queue::Sqs(SqsQueue::open(options).await.expect("a client for SQS can be made"))
    }

    /// Lets the time pass for which taken items are hidden. The server has a clock of its own, so there is no other way.
    pub async fn pass_hidden_time(&self) {
        tokio::time::sleep(HIDDEN_FOR + Duration::from_millis(500)).await;
    }

    /// A home whose processes use these queues, by the variables that every program of AWS reads.
    #[must_use]
    pub fn home(&self) -> Home {
        Home::new()
            .with("KABAR_QUEUE_URL", format!("sqs://{}", self.prefix))
            .with("AWS_ENDPOINT_URL_SQS", self.url.clone())
            .with("AWS_REGION", "us-east-1")
            .with("AWS_ACCESS_KEY_ID", "test")
            .with("AWS_SECRET_ACCESS_KEY", "test")
            .with("AWS_EC2_METADATA_DISABLED", "true")
    }
}
