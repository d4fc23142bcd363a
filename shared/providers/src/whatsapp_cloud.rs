//! The WhatsApp Business Cloud API, called directly.
//!
//! Source of every fact below this module: Meta's Cloud API documentation and its published OpenAPI file (Graph v23.0
//! to v26.0, read December 2025 to September 2026).

mod errors;
pub(crate) mod request;
mod response;
pub(crate) mod templates;
mod usage;
pub mod webhook;

use kabar_domain::outcome::{Decision, Outcome};

use crate::{
    access::{Access, Number, SendRequest},
    endpoint,
    exchange::Http,
    policy::Policy,
    usage::Sent,
};

pub(crate) use errors::policy;

/// What [`check`] asks of the number.
const NUMBER_FIELDS: &str = "?fields=display_phone_number,verified_name,quality_rating,throughput,status";

pub(crate) async fn send(http: &Http, policy: &Policy, access: &Access, request: &SendRequest<'_>) -> Sent {
    let url = match endpoint::url(access, "/messages", http.allows_plain_http()) {
        Ok(url) => url,
        Err(halt) => return halt.into(),
    };
    let Ok(body) = request::body(request) else {
        return Outcome::of(Decision::Failed, "the content cannot be written as JSON").into();
    };
    match http.post(url, &access.token, body).await {
        Ok(answer) => Sent { outcome: response::read_send(&answer, policy), usage: usage::read(&answer.headers) },
        Err(outcome) => outcome.into(),
    }
}

pub(crate) async fn check(http: &Http, policy: &Policy, access: &Access) -> Result<Number, Outcome> {
    let url = endpoint::url(access, NUMBER_FIELDS, http.allows_plain_http())?;
    let number = match http.get(url, &access.token).await {
        Ok(answer) => response::read_number(&answer, policy),
        Err(outcome) => Err(outcome),
    };
    number.map_err(response::asked)
}
