//! The control endpoints, for whoever runs the sandbox as a process of its own. They ask for no token: the sandbox is a
//! tool for tests and listens on loopback unless told otherwise.
//!
//! | call | does |
//! |---|---|
//! | `GET /healthz` | answers 200 |
//! | `GET /sandbox/arrivals[?limit=N]` | the newest arrivals, oldest first; `at_us` counts from the sandbox's start |
//! | `GET /sandbox/counters` | every counter, and `worst_window` |
//! | `GET /sandbox/faults` | the faults as they are |
//! | `PUT /sandbox/faults` | sets all faults; a missing one has its default |
//! | `POST /sandbox/inbound` | `{"from", "text", "phone_number_id"?}`: posts an inbound text; `{"id"}` |

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::error;
use crate::arrival::Arrival;
use crate::content::recipient;
use crate::counters::Counters;
use crate::faults::Faults;
use crate::shared::Shared;

/// The control endpoints' routes.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/sandbox/arrivals", get(arrivals))
        .route("/sandbox/counters", get(counters))
        .route("/sandbox/faults", get(faults).put(set_faults))
        .route("/sandbox/inbound", post(inbound))
}

#[derive(Deserialize)]
struct ArrivalsQuery {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct ArrivalObject<'a> {
    at_us: u64,
    phone_number_id: &'a str,
    to: &'a str,
    opaque: Option<&'a str>,
    wamid: Option<&'a str>,
    accepted: bool,
    code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a serde_json::Value>,
}

async fn arrivals(State(shared): State<Arc<Shared>>, Query(query): Query<ArrivalsQuery>) -> Response<Body> {
    let arrivals = shared.register().log.newest(query.limit.unwrap_or(usize::MAX));
    let object = |arrival: &Arrival| -> serde_json::Value {
        let since_start = arrival.at.saturating_duration_since(shared.started);
        let object = ArrivalObject {
            at_us: u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX),
            phone_number_id: &arrival.phone_number_id,
            to: &arrival.to,
            opaque: arrival.opaque.as_deref(),
            wamid: arrival.wamid.as_deref(),
            accepted: arrival.accepted,
            code: arrival.code,
            body: arrival.body.as_ref(),
        };
        json!(object)
    };
    let objects: Vec<serde_json::Value> = arrivals.iter().map(object).collect();
    error::json(StatusCode::OK, &json!({"arrivals": objects}))
}

#[derive(Serialize)]
struct CountersObject {
    #[serde(flatten)]
    counters: Counters,
    worst_window: usize,
}

async fn counters(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let worst_window = shared.register().worst_window();
    error::json(StatusCode::OK, &CountersObject { counters: shared.counters(), worst_window })
}

async fn faults(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let faults = shared.register().faults().clone();
    error::json(StatusCode::OK, &faults)
}

async fn set_faults(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    let faults = match serde_json::from_slice::<Faults>(&body) {
        Ok(faults) => faults,
        Err(error) => return refuse(&error.to_string()),
    };
    if let Err(error) = faults.validate() {
        return refuse(&error.to_string());
    }
    shared.set_faults(faults.clone());
    error::json(StatusCode::OK, &faults)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InboundRequest {
    from: String,
    text: String,
    phone_number_id: Option<String>,
}

async fn inbound(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    let request = match serde_json::from_slice::<InboundRequest>(&body) {
        Ok(request) => request,
        Err(error) => return refuse(&error.to_string()),
    };
    if recipient::digits(&request.from).is_err() {
        return refuse("from is not a phone number");
    }
    let id = shared.send_inbound(request.phone_number_id.as_deref(), &request.from, &request.text).await;
    error::json(StatusCode::OK, &json!({"id": id}))
}

fn refuse(reason: &str) -> Response<Body> {
    error::json(StatusCode::BAD_REQUEST, &json!({"error": reason}))
}
