//! The Cloud API's verification and events.
//!
//! The signature is checked over the raw bytes before anything is read, and success is answered only once the event is in
//! the ledger: the provider repeats what was not answered so for days. A secret of the deployment speaks for every number;
//! a sender's own speaks for that sender alone.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
};
use kabar_domain::sender::ProviderKind;
use kabar_providers::whatsapp_cloud::webhook;
use kabar_telemetry::names::{self, field};
use serde::Deserialize;

use super::Gateway;
use crate::fault::{self, Point};

/// What the Cloud API asks when a webhook is set up.
#[derive(Deserialize)]
pub(super) struct Verification {
    #[serde(rename = "hub.mode", default)]
    mode: String,
    #[serde(rename = "hub.verify_token", default)]
    verify_token: String,
    #[serde(rename = "hub.challenge", default)]
    challenge: String,
}

/// Answers the challenge where the token is ours.
pub(super) async fn verify(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<Verification>,
) -> Result<String, (StatusCode, &'static str)> {
    let Some(token) = &gateway.context.settings.whatsapp.verify_token else {
        return Err((StatusCode::FORBIDDEN, "set WHATSAPP_WEBHOOK_VERIFY_TOKEN to the token that you gave Meta\n"));
    };
    webhook::challenge(token.expose(), &asked.mode, &asked.verify_token, &asked.challenge)
        .map(str::to_owned)
        .ok_or((StatusCode::FORBIDDEN, "the verify token is another\n"))
}

/// Keeps an event whose signature holds.
pub(super) async fn receive(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let signature = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let allowed = match who_speaks(&gateway, signature, &body).await {
        Ok(allowed) => allowed,
        Err((status, reason, text)) => {
            metrics::counter!(names::EVENTS_REJECTED, field::REASON => reason).increment(1);
            return (status, text);
        }
    };
    let Ok(text) = std::str::from_utf8(&body) else {
        metrics::counter!(names::EVENTS_REJECTED, field::REASON => "not_text").increment(1);
        return (StatusCode::BAD_REQUEST, "the body is not UTF-8\n");
    };
    let provider = ProviderKind::WhatsappCloud.as_str();
    match gateway.context.store.append_event(provider, text, allowed.as_deref()).await {
        Ok(()) => {
            metrics::counter!(names::EVENTS_RECEIVED, field::PROVIDER => provider).increment(1);
            fault::pass(Point::BeforeWebhookAnswer);
            (StatusCode::OK, "")
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "an event could not be written down; Meta repeats it"
            );
            (StatusCode::SERVICE_UNAVAILABLE, "try again\n")
        }
    }
}

type Rejected = (StatusCode, &'static str, &'static str);

/// The addresses that the signature speaks for; none: every one.
async fn who_speaks(gateway: &Gateway, signature: &str, body: &[u8]) -> Result<Option<Vec<String>>, Rejected> {
    let settings = &gateway.context.settings.whatsapp;
    let secrets: Vec<&str> = settings.app_secrets.iter().map(|secret| secret.expose()).collect();
    if webhook::verify_signature(&secrets, body, signature).is_some() {
        return Ok(None);
    }
    let senders = gateway.context.store.all_senders().await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the senders' secrets could not be read");
        (StatusCode::SERVICE_UNAVAILABLE, "ledger", "try again\n")
    })?;
    let own: Vec<(&str, String)> =
        senders.iter().filter_map(|sender| Some((sender.app_secret()?, sender.address.clone()))).collect();
    let own_secrets: Vec<&str> = own.iter().map(|(secret, _)| *secret).collect();
    if secrets.is_empty() && own.is_empty() {
        return Err((StatusCode::FORBIDDEN, "no_secret", "set WHATSAPP_APP_SECRET to your app's secret\n"));
    }
    // Several senders may share a secret: it speaks for each of them.
    match webhook::verify_signature(&own_secrets, body, signature) {
        Some(index) => {
            let secret = own_secrets[index];
            Ok(Some(own.into_iter().filter(|(other, _)| *other == secret).map(|(_, address)| address).collect()))
        }
        None => Err((StatusCode::UNAUTHORIZED, "bad_signature", "the signature does not hold\n")),
    }
}
