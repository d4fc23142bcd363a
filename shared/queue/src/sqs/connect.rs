//! From the environment to a client: region, credentials and endpoint as every program of AWS finds them.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::{Client, config::Credentials};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::{
    HIDDEN_FOR, MAX_SQS_BODY_BYTES,
    error::{Call, Trouble},
};
use crate::QueueResult;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long one answer may take, beside the wait that was asked for. A call holds at most 1 MiB: slower than 1 Mbit/s
/// would be too slow for a queue.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// How long a call may take with its tries, beside the wait that was asked for: below the 25 s in which a fleet stops.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(20);
/// How often the SDK asks at most. It repeats what got no answer or "later", for every call alike: receiving and deleting
/// twice changes nothing, and a batch that arrived twice is surplus tickets, which claim nothing.
const MOST_ATTEMPTS: u32 = 3;

/// Which queues, where, and how they are used.
#[derive(Debug, Clone)]
pub struct SqsOptions {
    /// What the names of the queues begin with.
    pub prefix: String,
    /// The largest body in bytes, at most [`MAX_SQS_BODY_BYTES`]; the queues must allow it (`MaximumMessageSize`).
    pub body_limit_bytes: usize,
    /// How long an item stays hidden from others after it was received, in whole seconds.
    pub hidden_for: Duration,
    /// Which server answers.
    pub server: SqsServer,
}

/// Which server answers.
#[derive(Debug, Clone)]
pub enum SqsServer {
    /// The one that the `AWS_*` variables and the profile name, with the credentials of the default chain: environment,
    /// profile, web identity, container, machine.
    Aws,
    /// Another that speaks the protocol of SQS, for tests: it takes any credentials.
    Local {
        /// Its address, `http://HOST:PORT`.
        url: String,
    },
}

impl SqsOptions {
    /// The usual ones.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            body_limit_bytes: MAX_SQS_BODY_BYTES,
            hidden_for: HIDDEN_FOR,
            server: SqsServer::Aws,
        }
    }
}

/// A client for this server.
pub(super) async fn client(server: &SqsServer) -> QueueResult<Client> {
    let config = config(server).await;
    if config.region().is_none() {
        return Err(Trouble::NoRegion.during(Call::Open));
    }
    Ok(Client::new(&config))
}

async fn config(server: &SqsServer) -> SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(MOST_ATTEMPTS))
        .timeout_config(timeouts(Duration::ZERO));
    match server {
        SqsServer::Aws => {
            // Given here, since the SDK's own choice would bring a second cryptography, aws-lc, into the program.
            let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
            loader.http_client(http).load().await
        }
        SqsServer::Local { url } => {
            loader
                .http_client(Builder::new().build_http())
                .endpoint_url(url)
                .region(Region::from_static("us-east-1"))
                .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
                .load()
                .await
        }
    }
}

/// The bounds on a call that may wait for `wait` at the server.
pub(super) fn timeouts(wait: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_WITHIN)
        .operation_attempt_timeout(wait + ANSWER_WITHIN)
        .operation_timeout(wait + CALL_WITHIN)
        .build()
}
