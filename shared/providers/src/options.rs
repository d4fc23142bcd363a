//! What the providers can be told, and what can be wrong with it.

use std::{collections::BTreeMap, time::Duration};

use kabar_domain::outcome::ErrorRule;
use kabar_http::{ClientError, ClientOptions};

/// The fewest bytes of an answer that must be read for any to fit.
const LEAST_ANSWER_BYTES: usize = 1_024;

/// How requests are made. [`Default`] is what the settings ship with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest time to resolve, connect and shake hands. Shorter than `request_timeout`, so that a connection that
    /// never came about is known as such and is not taken for doubt.
    pub connect_timeout: Duration,
    /// The longest time for a whole request, from its start to the last byte of the answer.
    pub request_timeout: Duration,
    /// How much of an answer is read, in bytes. Answers to sends have some hundred.
    pub max_answer_bytes: usize,
    /// The most idle connections kept open to one host.
    pub max_idle_per_host: usize,
    /// Whether tokens may travel unencrypted to other machines. To this machine they always may.
    pub allow_plain_http: bool,
    /// Rules that replace rows of the shipped error table of `whatsapp_cloud`, by code.
    pub errors: BTreeMap<i64, ErrorRule>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            max_answer_bytes: 64 * 1024,
            max_idle_per_host: 1_024,
            allow_plain_http: false,
            errors: BTreeMap::new(),
        }
    }
}

impl Options {
    /// What the HTTP client is told of them.
    ///
    /// # Errors
    /// When what is read of an answer is too little.
    pub(crate) fn client(&self) -> Result<ClientOptions, ProviderError> {
        if self.max_answer_bytes < LEAST_ANSWER_BYTES {
            let problem = format!("is too small for any answer; give at least {LEAST_ANSWER_BYTES}");
            return Err(ProviderError::Option { option: "max_answer_bytes", problem });
        }
        Ok(ClientOptions {
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            max_idle_per_host: self.max_idle_per_host,
        })
    }
}

/// What keeps the providers from being set up or used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// An option has a value that cannot work.
    #[error("{option}: {problem}")]
    Option {
        /// Which.
        option: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// A row of an error table cannot work.
    #[error("errors.{provider}.{code}: {problem}")]
    Rule {
        /// Whose table.
        provider: &'static str,
        /// The row's key.
        code: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// A shipped error table cannot be read: a fault in this program.
    #[error("the shipped error table of {provider} cannot be read")]
    Table {
        /// Whose table.
        provider: &'static str,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// An API base that requests with a token may not go to.
    #[error("the API base {base:?} {problem}")]
    Base {
        /// As given, without credentials.
        base: String,
        /// What is wrong and what is allowed.
        problem: &'static str,
    },
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A message's content cannot be written as JSON.
    #[error("the message cannot be written as JSON")]
    Body(#[source] serde_json::Error),
}

/// An event that is no event: not JSON, or without the list that every event has.
///
/// Says where, never what: events hold phone numbers and message texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event of {provider}: {kind} at line {line}, column {column}")]
pub struct UnreadableEvent {
    pub(crate) provider: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) line: usize,
    pub(crate) column: usize,
}
