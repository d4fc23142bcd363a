//! Errors in the shape that the Graph API gives them: one envelope, with the HTTP status of the code.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;

use crate::api::codes;

/// The pseudo-code of an HTTP 429 that carries no error object, as some front of the platform is known to answer.
pub(crate) const BARE_TOO_MANY_REQUESTS: i64 = 429;

/// A refusal of one call.
#[derive(Debug)]
pub(crate) struct ApiError {
    http: StatusCode,
    code: i64,
    subcode: Option<u32>,
    kind: &'static str,
    message: Cow<'static, str>,
    details: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// The documented error of a code.
    pub(crate) fn of_code(code: i64) -> Self {
        Self::with_details(code, codes::find(code).details)
    }

    /// The documented error of a code, saying what exactly is wrong.
    pub(crate) fn with_details(code: i64, details: impl Into<Cow<'static, str>>) -> Self {
        let known = codes::find(code);
        Self {
            http: known.http,
            code,
            subcode: None,
            kind: "OAuthException",
            message: format!("(#{code}) {}", known.title).into(),
            details: Some(details.into()),
            retry_after: None,
        }
    }

    /// A parameter that is missing at the top of the body, not valid, or too long: code 100 names it in the message.
    pub(crate) fn parameter(problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self { message: format!("(#100) {problem}").into(), ..Self::with_details(100, problem) }
    }

    /// A body that is not the JSON object that was expected.
    pub(crate) fn malformed(problem: &str) -> Self {
        Self::parameter(format!("The body is not a JSON object: {problem}"))
    }

    /// A call without an access token.
    pub(crate) fn token_missing() -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, 104, "(#104) An access token is required to request this resource.")
    }

    /// A call with an access token that is not, or no longer, accepted.
    pub(crate) fn token_invalid() -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, 190, "Error validating access token: it is not valid or has expired.")
    }

    /// A path whose object does not exist for this caller.
    pub(crate) fn object_unknown(method: &str, object: &str) -> Self {
        let method = method.to_ascii_lowercase();
        Self {
            subcode: Some(33),
            kind: "GraphMethodException",
            ..Self::plain(
                StatusCode::BAD_REQUEST,
                100,
                format!(
                    "Unsupported {method} request. Object with ID '{object}' does not exist, cannot be loaded \
                     due to missing permissions, or does not support this operation"
                ),
            )
        }
    }

    /// A path that is no path of the API.
    pub(crate) fn path_unknown(path: &str) -> Self {
        Self::plain(StatusCode::NOT_FOUND, 2500, format!("Unknown path components: {path}"))
    }

    fn plain(http: StatusCode, code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            http,
            code,
            subcode: None,
            kind: "OAuthException",
            message: message.into(),
            details: None,
            retry_after: None,
        }
    }

    /// The same error asking the client to wait.
    pub(crate) fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    pub(crate) fn code(&self) -> i64 {
        self.code
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Object<'a>,
}

#[derive(Serialize)]
struct Object<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    code: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_subcode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_data: Option<ErrorData<'a>>,
    fbtrace_id: String,
}

#[derive(Serialize)]
struct ErrorData<'a> {
    messaging_product: &'static str,
    details: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut response = if self.code == BARE_TOO_MANY_REQUESTS {
            StatusCode::TOO_MANY_REQUESTS.into_response()
        } else {
            let envelope = Envelope {
                error: Object {
                    message: &self.message,
                    kind: self.kind,
                    code: self.code,
                    error_subcode: self.subcode,
                    error_data: self
                        .details
                        .as_deref()
                        .map(|details| ErrorData { messaging_product: "whatsapp", details }),
                    fbtrace_id: trace_id(),
                },
            };
            json(self.http, &envelope)
        };
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => json_bytes(status, body),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A JSON answer that has been written already.
pub(crate) fn json_bytes(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

fn trace_id() -> String {
    std::iter::once('A').chain(std::iter::repeat_with(fastrand::alphanumeric).take(22)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(error: ApiError) -> (StatusCode, serde_json::Value) {
        let response = error.into_response();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_throttle_has_the_platforms_shape() {
        let (status, body) = body(ApiError::of_code(130_429)).await;
        assert_eq!(status, 400);
        let error = &body["error"];
        assert_eq!(error["message"], "(#130429) Rate limit hit");
        assert_eq!(error["type"], "OAuthException");
        assert_eq!(error["code"], 130_429);
        assert_eq!(error["error_data"]["messaging_product"], "whatsapp");
        assert!(error["error_data"]["details"].is_string());
        assert_eq!(error["fbtrace_id"].as_str().unwrap().len(), 23);
        assert!(error.get("error_subcode").is_none());
    }

    #[tokio::test]
    async fn an_unknown_object_names_itself() {
        let (status, body) = body(ApiError::object_unknown("POST", "12")).await;
        assert_eq!(status, 400);
        assert_eq!(body["error"]["code"], 100);
        assert_eq!(body["error"]["error_subcode"], 33);
        assert_eq!(body["error"]["type"], "GraphMethodException");
        assert!(body["error"]["message"].as_str().unwrap().starts_with("Unsupported post request"));
    }

    #[tokio::test]
    async fn retry_after_is_rounded_up_and_a_bare_429_has_no_body() {
        let error = ApiError::of_code(BARE_TOO_MANY_REQUESTS).retry_after(Some(Duration::from_millis(1_200)));
        let response = error.into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert!(axum::body::to_bytes(response.into_body(), 10).await.unwrap().is_empty());
    }
}
