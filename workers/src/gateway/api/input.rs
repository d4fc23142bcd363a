//! What requests bring, read so that each mistake is answered with a problem.

use std::sync::Arc;

use axum::{
    body::{Bytes, to_bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use kabar_domain::json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    super::Gateway,
    problem::{Kind, Problem},
};

/// The parameters of a path; most have one.
pub(super) struct Path<T = String>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(parameters)) => Ok(Self(parameters)),
            Err(error) => Err(Problem::new(Kind::InvalidParameter, error.body_text())),
        }
    }
}

/// The parameters of a query.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => {
                let text = error.body_text();
                let told = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                let problem = Problem::new(Kind::InvalidParameter, told);
                // The parameter stands first, as `limit: …`.
                Err(match told.split_once(": ") {
                    Some((field, _)) if !field.contains(' ') => problem.of(field),
                    _ => problem,
                })
            }
        }
    }
}

/// A body of JSON, read strictly.
pub(super) struct Json(pub(super) Value);

impl FromRequest<Arc<Gateway>> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(unsupported(request.headers(), "application/json"));
        }
        read(&body(request, gateway).await?).map(Self)
    }
}

/// A body of JSON that may be left out.
pub(super) struct OptionalJson(pub(super) Option<Value>);

impl FromRequest<Arc<Gateway>> for OptionalJson {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let body = body(request, gateway).await?;
        if body.is_empty() {
            return Ok(Self(None));
        }
        if !is_json(&headers) {
            return Err(unsupported(&headers, "application/json"));
        }
        read(&body).map(|value| Self(Some(value)))
    }
}

/// The whole body, as far as the settings allow.
async fn body(request: Request, gateway: &Gateway) -> Result<Bytes, Problem> {
    let limit = gateway.context.settings.gateway.body_limit_bytes;
    if let Some(encoding) = request.headers().get(header::CONTENT_ENCODING) {
        // What could be unpacked has no such header any more.
        let given = encoding.to_str().unwrap_or("?");
        return Err(Problem::new(Kind::UnsupportedType, format!("the encoding {given:?} is not taken"))
            .of("content-encoding")
            .fix("send the body as it is, or with gzip"));
    }
    to_bytes(request.into_body(), limit).await.map_err(|error| {
        if is_over_limit(&error) {
            Problem::new(Kind::TooLarge, format!("the body has more than {limit} bytes"))
                .fix("split it; gateway.body_limit_bytes sets the limit, which counts what gzip unpacks")
        } else {
            Problem::new(Kind::Malformed, "the body broke off, or its gzip cannot be unpacked")
        }
    })
}

fn is_over_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn read(body: &[u8]) -> Result<Value, Problem> {
    if let Err(error) = std::str::from_utf8(body) {
        let at = error.valid_up_to();
        return Err(Problem::new(Kind::Malformed, format!("the body is not UTF-8: byte {at} is none of it")));
    }
    json::parse(body).map_err(|error| {
        Problem::new(Kind::Malformed, format!("not JSON: {error}"))
            .fix("send one JSON value in UTF-8, with each field once")
    })
}

/// A body's value as what a route wants.
pub(super) fn typed<T: DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|error| {
        let told = error.to_string();
        // The field stands between the first pair of ticks, where one is meant.
        let field = told.split('`').nth(1).filter(|_| told.contains("field")).map(str::to_owned);
        let problem = Problem::new(Kind::Invalid, told);
        match field {
            Some(field) => problem.of(field),
            None => problem,
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("charset")));
    essence.eq_ignore_ascii_case("application/json")
        && charset.is_none_or(|(_, charset)| charset.trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

fn unsupported(headers: &HeaderMap, wanted: &str) -> Problem {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let detail = match given {
        Some(given) => format!("the body is said to be {given:?}"),
        None => "the body's type is not said".to_owned(),
    };
    Problem::new(Kind::UnsupportedType, detail).of("content-type").fix(format!("send `Content-Type: {wanted}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_utf_8_is_taken_and_nothing_else() {
        let taken = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            is_json(&headers)
        };
        assert!(taken("application/json") && taken("Application/JSON; charset=\"UTF-8\""));
        assert!(!taken("application/json; charset=latin1") && !taken("text/plain") && !is_json(&HeaderMap::new()));
    }
}
