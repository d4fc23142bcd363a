//! `POST /{version}/{phone_number_id}/messages`: sending, and marking as read.
//!
//! This is the path that benches measure: the body is parsed once, checks borrow from it, and one short lock decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;

use crate::api::error::{ApiError, json_bytes};
use crate::api::path::GraphPath;
use crate::api::unusual;
use crate::api::usage;
use crate::content::request::{self, SendRequest};
use crate::sends::fate::{Acceptance, Answer, CheckedSend, Decision, Fate, Offer};
use crate::shared::Shared;
use crate::webhooks::update::AcceptedMessage;

/// The most bytes of a body that are read.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long a body may take to arrive after its head.
pub(crate) const BODY_READ_TIME_MAX: Duration = Duration::from_secs(5);

/// Answers a call to the endpoint.
pub(crate) async fn post(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let body = read(body).await;
    let (response, latency) = answer(&shared, at, &head, body);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    response
}

async fn read(body: Body) -> Result<Value, ApiError> {
    match tokio::time::timeout(BODY_READ_TIME_MAX, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => serde_json::from_slice(&bytes).map_err(|error| ApiError::malformed(&error.to_string())),
        Ok(Err(_)) => Err(ApiError::malformed("it could not be read, or is too long")),
        Err(_) => Err(ApiError::malformed("it did not arrive in time")),
    }
}

fn answer(shared: &Shared, at: Instant, head: &Parts, body: Result<Value, ApiError>) -> (Response<Body>, Duration) {
    let path = match GraphPath::parse(head.uri.path()) {
        Ok(path) => path,
        Err(error) => return (error.into_response(), Duration::ZERO),
    };
    let allowed = check_caller(shared, head, path.object);
    match body {
        Ok(body) if request::is_mark_read(&body) => (mark_read(shared, allowed, &body), shared.register().latency()),
        Ok(body) => {
            let checked = allowed.and_then(|()| check_send(shared, &body));
            send(shared, Offer { at, phone_number_id: path.object, checked, body: Some(&body) })
        }
        Err(malformed) => {
            let checked = allowed.and(Err(malformed));
            send(shared, Offer { at, phone_number_id: path.object, checked, body: None })
        }
    }
}

fn check_caller(shared: &Shared, head: &Parts, object: &str) -> Result<(), ApiError> {
    shared.access.check_token(head)?;
    if shared.access.knows_number(object) { Ok(()) } else { Err(ApiError::object_unknown("POST", object)) }
}

fn check_send<'a>(shared: &Shared, body: &'a Value) -> Result<CheckedSend<'a>, ApiError> {
    let request = request::parse_send(body)?;
    let category = match &request.template {
        Some(used) => shared.templates.check(used)?,
        None => "service",
    };
    Ok(CheckedSend { request, category })
}

fn mark_read(shared: &Shared, allowed: Result<(), ApiError>, body: &Value) -> Response<Body> {
    if let Some(error) = shared.register().refusal_of_all() {
        return error.into_response();
    }
    match allowed.and_then(|()| request::check_mark_read(body)) {
        Ok(()) => json_bytes(StatusCode::OK, r#"{"success":true}"#),
        Err(error) => error.into_response(),
    }
}

fn send(shared: &Shared, offer: Offer<'_>) -> (Response<Body>, Duration) {
    let phone_number_id = offer.phone_number_id;
    let Decision { fate, latency, usage } = shared.register().decide(offer);
    let mut response = match fate {
        Fate::HangUp => unusual::hang_up(),
        Fate::ProxyPage => unusual::proxy_page(),
        Fate::Throttle(error) | Fate::Refuse(error) => error.into_response(),
        Fate::Accept(acceptance) => accept(shared, phone_number_id, acceptance),
    };
    usage::tell(&mut response, usage, &shared.access.waba_id);
    (response, latency)
}

/// Writes the answer of a message and leaves its statuses to the poster.
fn accept(shared: &Shared, phone_number_id: &str, acceptance: Acceptance<'_>) -> Response<Body> {
    let Acceptance { send, wamid, fails_with, answer } = acceptance;
    let response = match answer {
        Answer::None => unusual::hang_up(),
        Answer::Whole => json_bytes(StatusCode::OK, success(&send.request, &wamid)),
        Answer::Half => unusual::half_answer(success(&send.request, &wamid)),
    };
    shared.outbox.accepted(AcceptedMessage {
        phone_number_id: phone_number_id.to_owned(),
        wamid,
        recipient: send.request.digits,
        opaque: send.request.opaque.map(str::to_owned),
        category: send.category,
        fails_with,
    });
    response
}

#[derive(Serialize)]
struct Success<'a> {
    messaging_product: &'static str,
    contacts: [Contact<'a>; 1],
    messages: [Message<'a>; 1],
}

#[derive(Serialize)]
struct Contact<'a> {
    input: &'a str,
    wa_id: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_status: Option<&'static str>,
}

fn success(request: &SendRequest<'_>, wamid: &str) -> Vec<u8> {
    let success = Success {
        messaging_product: "whatsapp",
        contacts: [Contact { input: request.to, wa_id: &request.digits }],
        messages: [Message { id: wamid, message_status: request.template.map(|_| "accepted") }],
    };
    // Plain texts in plain structs always serialize.
    serde_json::to_vec(&success).unwrap_or_default()
}
