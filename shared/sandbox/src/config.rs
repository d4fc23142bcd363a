//! How a sandbox is set up. Everything has a default that lets any client in, so that a first try needs no settings.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::error::SandboxError;
use crate::faults::Faults;

/// The settings of one sandbox.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Where to listen. Port 0 takes any free port. Default: `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// Access tokens that are accepted. Empty (the default): any bearer token that is not empty.
    pub access_tokens: Vec<String>,
    /// Phone number ids that exist. Empty (the default): any id made of 1 to 20 digits.
    pub phone_number_ids: Vec<String>,
    /// The WhatsApp Business Account that owns the numbers and templates; digits.
    pub waba_id: String,
    /// Each number's own throughput: sends let through in any one second, at least 1. Over it the answer is 130429
    /// with HTTP 400. `None` (the default): unlimited.
    pub rate_per_second: Option<u32>,
    /// Whether a pair of number and recipient is limited to one message per 6 s with bursts to 45 (131056).
    pub pair_limit: bool,
    /// Where webhooks go. `None` (the default): nowhere.
    pub webhook: Option<WebhookTarget>,
    /// What goes wrong from the start.
    pub faults: Faults,
    /// Seed of every random choice of faults and delays. Message ids are not drawn from it: they are unique across
    /// restarts.
    pub seed: u64,
    /// Whether each recorded arrival keeps its request body. That is for tests: the memory that it takes is bounded only
    /// by the number of arrivals that are kept.
    pub record_arrivals: bool,
}

/// Where status and inbound webhooks are posted, and how.
#[derive(Clone)]
pub struct WebhookTarget {
    /// The full URL of the receiver, `http` or `https`.
    pub url: String,
    /// The secret that signs each body.
    pub app_secret: String,
    /// Time between one status of a message and the next, each drawn from half to one and a half of it. At most a day.
    pub delay: Duration,
    /// The share of delivered messages that are also read, 0 to 1.
    pub read_share: f64,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            access_tokens: Vec::new(),
            phone_number_ids: Vec::new(),
            waba_id: "100000000000001".to_owned(),
            rate_per_second: None,
            pair_limit: false,
            webhook: None,
            faults: Faults::default(),
            seed: 0,
            record_arrivals: false,
        }
    }
}

impl SandboxConfig {
    /// Refuses what could never work, before anything listens.
    pub(crate) fn validate(&self) -> Result<(), SandboxError> {
        if self.rate_per_second == Some(0) {
            return Err(SandboxError::invalid("rate_per_second", "must be at least 1"));
        }
        if let Some(target) = &self.webhook {
            target.validate()?;
        }
        self.faults.validate()
    }
}

impl WebhookTarget {
    fn validate(&self) -> Result<(), SandboxError> {
        let url = reqwest::Url::parse(&self.url)
            .map_err(|source| SandboxError::invalid("webhook.url", source.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SandboxError::invalid("webhook.url", "must be http or https"));
        }
        if !(0.0..=1.0).contains(&self.read_share) {
            return Err(SandboxError::invalid("webhook.read_share", "must be from 0 to 1"));
        }
        Ok(())
    }
}

// Written by hand: a derived one would print tokens into logs.
impl fmt::Debug for SandboxConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SandboxConfig")
            .field("listen", &self.listen)
            .field("access_tokens", &format_args!("{} hidden", self.access_tokens.len()))
            .field("phone_number_ids", &self.phone_number_ids)
            .field("waba_id", &self.waba_id)
            .field("rate_per_second", &self.rate_per_second)
            .field("pair_limit", &self.pair_limit)
            .field("webhook", &self.webhook)
            .field("faults", &self.faults)
            .field("seed", &self.seed)
            .field("record_arrivals", &self.record_arrivals)
            .finish()
    }
}

// Written by hand: a derived one would print the secret into logs.
impl fmt::Debug for WebhookTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WebhookTarget")
            .field("url", &self.url)
            .field("app_secret", &format_args!("hidden"))
            .field("delay", &self.delay)
            .field("read_share", &self.read_share)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> WebhookTarget {
        WebhookTarget {
            url: "http://127.0.0.1:1/hook".to_owned(),
            app_secret: "very-secret".to_owned(),
            delay: Duration::ZERO,
            read_share: 0.5,
        }
    }

    #[test]
    fn debug_output_hides_secrets() {
        let config = SandboxConfig {
            access_tokens: vec!["token-one".to_owned()],
            webhook: Some(target()),
            ..SandboxConfig::default()
        };
        let printed = format!("{config:?}");
        assert!(!printed.contains("token-one") && !printed.contains("very-secret"), "{printed}");
    }

    #[test]
    fn impossible_settings_are_refused_by_name() {
        let zero = SandboxConfig { rate_per_second: Some(0), ..SandboxConfig::default() };
        assert!(zero.validate().unwrap_err().to_string().contains("rate_per_second"));
        let url = WebhookTarget { url: "ftp://example.com".to_owned(), ..target() };
        let config = SandboxConfig { webhook: Some(url), ..SandboxConfig::default() };
        assert!(config.validate().unwrap_err().to_string().contains("webhook.url"));
        let share = WebhookTarget { read_share: 1.5, ..target() };
        let config = SandboxConfig { webhook: Some(share), ..SandboxConfig::default() };
        assert!(config.validate().unwrap_err().to_string().contains("read_share"));
    }
}
