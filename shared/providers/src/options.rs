//! What the providers can be told, and what can be wrong with it.

use std::{collections::BTreeMap, time::Duration};

use kabar_domain::outcome::ErrorRule;

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
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
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
