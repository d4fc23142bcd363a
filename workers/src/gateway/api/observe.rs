//! Each request has an id, taken or made: in its answer, in whatever is logged meanwhile, and nowhere a number or a text.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use kabar_telemetry::names::{self, field, span};
use tracing::Instrument as _;

use crate::traces::Arrival;

/// The header that carries the id, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over, in characters.
const MOST_ID_CHARS: usize = 128;

/// By which callers say where they are in a trace (W3C's Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The door that traces name.
const DOOR: &str = "http";

/// A request that brings jobs.
pub(super) fn arrival(headers: &HeaderMap) -> Arrival {
    Arrival::now(DOOR, headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()))
}

/// Gives the request its id, and counts what it came to.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = id_of(&request);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let method = request.method().as_str().to_owned();
    // The route and not the path, which may hold a phone number.
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = matched.unwrap_or("none").to_owned();
    let in_span = tracing::info_span!(span::REQUEST, request_id = id.to_str().unwrap_or_default(), method, route);
    let mut response = next.run(request).instrument(in_span.clone()).await;
    let status = response.status().as_u16();
    in_span.in_scope(|| tracing::debug!(status, elapsed_ms = began.elapsed().as_millis() as u64, "answered"));
    if matches!(method.as_str(), "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH") {
        metrics::counter!(
            names::HTTP_REQUESTS,
            field::METHOD => method.clone(), field::ROUTE => route.clone(), field::STATUS => status.to_string()
        )
        .increment(1);
        metrics::histogram!(names::HTTP_DURATION, field::METHOD => method, field::ROUTE => route)
            .record(began.elapsed().as_secs_f64());
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The caller's own id, where it is one that may stand in a log; else a new one.
fn id_of(request: &Request) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(&byte);
    let fits = |value: &&HeaderValue| {
        (1..=MOST_ID_CHARS).contains(&value.len()) && value.as_bytes().iter().copied().all(plain)
    };
    let given = request.headers().get(REQUEST_ID).filter(fits).cloned();
    given
        .or_else(|| HeaderValue::from_str(&format!("{:032x}", fastrand::u128(..))).ok())
        .unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn an_id_is_taken_over_unless_a_log_would_suffer() {
        let id = |text: &[u8]| {
            let request = Request::builder().header(REQUEST_ID, HeaderValue::from_bytes(text).unwrap());
            id_of(&request.body(Body::empty()).unwrap())
        };
        assert_eq!(id(b"01J-a.b:c"), "01J-a.b:c");
        for odd in [&b""[..], b"a b", b"\xff", &[b'x'; 129]] {
            assert_eq!(id(odd).len(), 32);
        }
    }
}
