//! Why a sandbox could not start.

use std::net::SocketAddr;

/// A failure to start a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A setting has a value that could never work.
    #[error("sandbox setting {setting}: {reason}")]
    Invalid {
        /// The setting, as it is named in the configuration.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The address could not be listened on.
    #[error("the sandbox cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The HTTP client that posts webhooks could not be built.
    #[error("the sandbox cannot build its webhook client")]
    WebhookClient(#[source] reqwest::Error),
}

impl SandboxError {
    pub(crate) fn invalid(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { setting, reason: reason.into() }
    }
}
