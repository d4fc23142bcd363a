//! The platform's errors: how they are written, and what to decide about each.
//!
//! The table is `errors.toml`. Only the code counts: titles change, subcodes are not to be relied on, and the HTTP
//! status of a code differs between Meta's own pages (throttles come as 400).

use std::collections::BTreeMap;

use kabar_domain::outcome::{Decision, ErrorRule, Outcome, Scope};
use serde_json::Value;

use crate::{endpoint::halt, mask::mask, options::ProviderError, policy::Policy};

const PROVIDER: &str = "whatsapp_cloud";

/// The code for any unsuitable parameter, and the code for a number that is gone.
const BAD_PARAMETER: i64 = 100;
const NUMBER_GONE: i64 = 33;

/// The longest trace id that is logged, in characters.
const MAX_TRACE_CHARS: usize = 64;

/// The shipped table with `overrides`.
pub(crate) fn policy(overrides: &BTreeMap<i64, ErrorRule>) -> Result<Policy, ProviderError> {
    Policy::load(PROVIDER, include_str!("errors.toml"), overrides)
}

/// One error, as it comes in answers (`error`) and in receipts (`errors[]`).
#[derive(Debug, Clone, Copy)]
pub(super) struct GraphError<'a> {
    pub(super) code: i64,
    message: &'a str,
    details: Option<&'a str>,
    is_transient: bool,
    trace: &'a str,
}

impl<'a> GraphError<'a> {
    /// Reads an error object; none when it has no code, and then it decides nothing.
    pub(super) fn read(error: &'a Value) -> Option<Self> {
        let code = error.get("code")?;
        let code = code.as_i64().or_else(|| code.as_str()?.trim().parse().ok())?;
        let text = |key: &str| error.get(key).and_then(Value::as_str);
        // Template endpoints give `error_data` as a text.
        let details = error.get("error_data").and_then(|data| data.as_str().or_else(|| data.get("details")?.as_str()));
        Some(Self {
            code,
            message: text("message").unwrap_or_default(),
            details: details.filter(|details| !details.trim().is_empty()),
            is_transient: error.get("is_transient").and_then(Value::as_bool).unwrap_or(false),
            trace: text("fbtrace_id").unwrap_or_default(),
        })
    }

    /// The id by which the provider's support finds the request, fit for a log.
    pub(super) fn trace(&self) -> String {
        self.trace.chars().filter(char::is_ascii_graphic).take(MAX_TRACE_CHARS).collect()
    }

    /// Whether it says that the object in the path is missing: Graph files that under "bad parameter", and then every
    /// message of the sender would meet it.
    fn names_the_number(&self) -> bool {
        self.code == BAD_PARAMETER
            && (self.message.contains("Object with ID") || self.message.starts_with("Unsupported post request"))
    }
}

/// What to decide about `error`, which came with `status`, or in a receipt without one.
pub(super) fn decide(error: &GraphError<'_>, status: Option<u16>, policy: &Policy) -> Outcome {
    let row = if error.names_the_number() { NUMBER_GONE } else { error.code };
    let mut outcome = match policy.rule(row) {
        Some(rule) => Outcome::by_rule(error.code, rule),
        None => unknown(error, status),
    };
    if let Some(details) = error.details {
        outcome.meaning = format!("{} ({})", outcome.meaning, mask(details));
    }
    outcome
}

/// The default rule: passing when the provider or the status says so, else final; always worth a look.
///
/// An unknown code under 401 halts, as a bare 401 does: it speaks of the token, and the next message has the same one.
fn unknown(error: &GraphError<'_>, status: Option<u16>) -> Outcome {
    let meaning = format!("code {} is not in the error table", error.code);
    let advice = format!("Look it up in Meta's error reference and set [errors.{PROVIDER}.{}].", error.code);
    let decision = match status {
        Some(401) => return Outcome { code: Some(error.code), ..halt(meaning, advice) },
        Some(429 | 500..) => Decision::Retry,
        _ if error.is_transient => Decision::Retry,
        _ => Decision::Failed,
    };
    Outcome { scope: Scope::Message, code: Some(error.code), advice, alert: true, ..Outcome::of(decision, meaning) }
}

#[cfg(test)]
mod tests;
