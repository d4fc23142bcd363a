//! What the sandbox does wrong on purpose, as a plain value that can be swapped while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::SandboxError;

/// The faults of a sandbox. The default has none. Shares are probabilities from 0 to 1, drawn per send.
///
/// Setting faults anew starts their counts anew: bursts begin from zero and an expired token is good again.
///
/// As JSON (for `PUT /sandbox/faults`) a missing field has its default, an unknown one is an error, and times are whole
/// milliseconds in fields that end in `_ms`: `latency_ms`, `latency_jitter_ms`, `retry_after_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Time between deciding on a call to `/messages` and answering it. The message is accepted before it, so a client that gives
    /// up waiting has been served all the same. At most an hour, jitter included.
    #[serde(rename = "latency_ms", with = "milliseconds")]
    pub latency: Duration,
    /// Up to this much more latency, drawn evenly.
    #[serde(rename = "latency_jitter_ms", with = "milliseconds")]
    pub latency_jitter: Duration,
    /// Share of sends answered with a 5xx error of the platform; nothing is accepted.
    pub server_error_share: f64,
    /// Share of sends that are accepted (webhooks follow) and whose connection is then closed without an answer.
    pub drop_after_accept_share: f64,
    /// Share of sends whose connection is closed without an answer; nothing is accepted.
    pub drop_before_accept_share: f64,
    /// Share of sends answered with HTTP 502 and an HTML page, as a proxy on the way would; nothing is accepted.
    pub html_share: f64,
    /// Share of sends that are accepted and whose answer breaks off in the middle of its JSON.
    pub half_answer_share: f64,
    /// Every N-th send starts a burst of throttling; 0 counts as 1.
    pub throttle_every: Option<u32>,
    /// How many sends each burst refuses, its first included; 0 counts as 1.
    pub throttle_burst: u32,
    /// The code that a burst answers with; 429 means a bare HTTP 429 without a body. Default: 130429.
    pub throttle_code: i64,
    /// The sends and looks at the list of templates that the application may make in any hour, all its numbers together. Answers
    /// to them tell how much of it is used up (`X-App-Usage`); more is answered with 4. Setting faults anew starts the count
    /// anew.
    pub app_calls_per_hour: Option<u32>,
    /// The same for the business account (`X-Business-Use-Case-Usage`, 80007).
    pub account_calls_per_hour: Option<u32>,
    /// `Retry-After` on every throttle, rounded up to whole seconds.
    #[serde(rename = "retry_after_ms", with = "optional_milliseconds")]
    pub retry_after: Option<Duration>,
    /// After this many sends every call answers 190, until the faults are set again.
    pub token_expires_after: Option<u64>,
    /// Share of status updates that are never posted.
    pub webhook_loss_share: f64,
    /// Share of status updates that are posted twice.
    pub webhook_duplicate_share: f64,
    /// Whether the statuses of a message come in any order.
    pub webhook_shuffle: bool,
    /// Recipients (digits, no plus) whose sends are refused, and the code they are refused with.
    pub fail_codes: BTreeMap<String, i64>,
    /// Whether every call is answered with code 2 and HTTP 503. The control endpoints stay up.
    pub down: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
            server_error_share: 0.0,
            drop_after_accept_share: 0.0,
            drop_before_accept_share: 0.0,
            html_share: 0.0,
            half_answer_share: 0.0,
            throttle_every: None,
            throttle_burst: 0,
            throttle_code: 130_429,
            app_calls_per_hour: None,
            account_calls_per_hour: None,
            retry_after: None,
            token_expires_after: None,
            webhook_loss_share: 0.0,
            webhook_duplicate_share: 0.0,
            webhook_shuffle: false,
            fail_codes: BTreeMap::new(),
            down: false,
        }
    }
}

impl Faults {
    /// Refuses values that could never work, naming the field.
    pub(crate) fn validate(&self) -> Result<(), SandboxError> {
        let shares = [
            ("server_error_share", self.server_error_share),
            ("drop_after_accept_share", self.drop_after_accept_share),
            ("drop_before_accept_share", self.drop_before_accept_share),
            ("html_share", self.html_share),
            ("half_answer_share", self.half_answer_share),
            ("webhook_loss_share", self.webhook_loss_share),
            ("webhook_duplicate_share", self.webhook_duplicate_share),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(SandboxError::invalid(name, "must be from 0 to 1"));
            }
        }
        let is_digits = |recipient: &String| recipient.bytes().all(|byte| byte.is_ascii_digit());
        if !self.fail_codes.keys().all(is_digits) {
            return Err(SandboxError::invalid("fail_codes", "recipients must be digits, without a plus"));
        }
        Ok(())
    }
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod optional_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::milliseconds::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_value_are_the_same_faults() {
        let faults = Faults {
            latency: Duration::from_millis(20),
            throttle_every: Some(10),
            retry_after: Some(Duration::from_secs(2)),
            fail_codes: BTreeMap::from([("628123456789".to_owned(), 131_049)]),
            ..Faults::default()
        };
        let json = serde_json::to_string(&faults).unwrap();
        assert_eq!(serde_json::from_str::<Faults>(&json).unwrap(), faults);
        assert_eq!(serde_json::from_str::<Faults>("{}").unwrap(), Faults::default());
    }

    #[test]
    fn unknown_fields_and_impossible_shares_are_refused() {
        assert!(serde_json::from_str::<Faults>(r#"{"latency":1}"#).is_err());
        let faults = Faults { html_share: 1.01, ..Faults::default() };
        assert!(faults.validate().unwrap_err().to_string().contains("html_share"));
        assert!(Faults { down: true, html_share: 1.0, ..Faults::default() }.validate().is_ok());
    }
}
