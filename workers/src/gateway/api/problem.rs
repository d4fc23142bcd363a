//! What went wrong, as RFC 9457 tells it: a type that programs may go by, and the field, value and way out for people.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use kabar_domain::job::InvalidJob;
use kabar_store::StoreError;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::admission::Refusal;

/// The longest value that a problem repeats, in characters.
const MOST_SHOWN_CHARS: usize = 100;

/// How soon to try again while something is away, in seconds.
const AWAY_SECONDS: u64 = 1;

/// What kind of problem it is. The names are an interface: they are not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The body is no JSON, or no file of the kind that is wanted.
    Malformed,
    /// A parameter of the path or the query is not what it may be.
    InvalidParameter,
    /// There is no key and no token, or it is worth nothing.
    Unauthenticated,
    /// The key or the token may not do this.
    MissingScope,
    /// There is no such thing, or no such route.
    NotFound,
    /// The route takes other methods.
    MethodNotAllowed,
    /// The id belongs to another job.
    IdTaken,
    /// It cannot be done as things stand.
    NotPossible,
    /// The body is larger than is taken.
    TooLarge,
    /// The body is of a type that is not taken.
    UnsupportedType,
    /// The body is JSON, but not what is wanted.
    Invalid,
    /// The key or token has enqueued enough for now.
    OverLimit,
    /// The fault is ours.
    Internal,
    /// The ledger, or the keys of the identity provider, are away.
    Unavailable,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 14] = [
        Self::Malformed,
        Self::InvalidParameter,
        Self::Unauthenticated,
        Self::MissingScope,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::IdTaken,
        Self::NotPossible,
        Self::TooLarge,
        Self::UnsupportedType,
        Self::Invalid,
        Self::OverLimit,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The status code, the last part of the type, and the title.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed-body", "The body cannot be read"),
            Self::InvalidParameter => (StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is not valid"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "A valid key or token is needed"),
            Self::MissingScope => (StatusCode::FORBIDDEN, "missing-scope", "The key or token may not do this"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The route takes other methods")
            }
            Self::IdTaken => (StatusCode::CONFLICT, "id-taken", "The id belongs to another job"),
            Self::NotPossible => (StatusCode::CONFLICT, "not-possible", "It cannot be done as things stand"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::UnsupportedType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-type", "The body's type is not taken")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The body is not valid"),
            Self::OverLimit => {
                (StatusCode::TOO_MANY_REQUESTS, "over-limit", "The key or token has enqueued enough for now")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something is wrong with kabar"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Something that is needed is away"),
        }
    }

    /// The status code of the answer.
    pub(super) const fn status(self) -> StatusCode {
        self.row().0
    }

    /// What programs may go by.
    pub(super) fn type_uri(self) -> String {
        format!("urn:kabar:problem:{}", self.row().1)
    }
}

/// A problem, on its way to whoever asked.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    /// Apart, since results should be small where all went well.
    more: Box<More>,
}

/// What more there may be to say of a problem.
#[derive(Debug, Clone, Default)]
struct More {
    field: Option<String>,
    value: Option<Value>,
    fix: Option<String>,
    retry_after_seconds: Option<u64>,
    challenge: Option<String>,
}

/// What went wrong, in the form of RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// What kind of problem it is; programs may go by it.
    r#type: String,
    /// The kind, for people.
    title: &'static str,
    /// The status code of the answer.
    status: u16,
    /// What went wrong here, for people.
    detail: String,
    /// Which field or parameter is meant, as a path such as `jobs[3].to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// What was given there; long texts are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false, schema_with = any_value)]
    value: Option<Value>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fix: Option<String>,
}

fn any_value() -> utoipa::openapi::schema::Object {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::SchemaType::AnyValue)
        .description(Some("What was given there; long texts are cut."))
        .build()
}

impl Problem {
    /// A problem of a kind; `detail` says what went wrong here.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), more: Box::default() }
    }

    /// The same, about this field or parameter.
    pub(super) fn of(mut self, field: impl Into<String>) -> Self {
        self.more.field = Some(field.into());
        self
    }

    /// The same, with what was given there. Only what stands for itself is repeated: texts, numbers, words.
    pub(super) fn given(mut self, value: Option<&Value>) -> Self {
        self.more.value = match value {
            Some(Value::String(text)) => Some(text.chars().take(MOST_SHOWN_CHARS).collect::<String>().into()),
            Some(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => Some(value.clone()),
            Some(Value::Array(_) | Value::Object(_)) | None => None,
        };
        self
    }

    /// The same, with what to do about it.
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.more.fix = Some(fix.into());
        self
    }

    /// The same, saying how a key is to be shown; `more` is the rest of the header.
    pub(super) fn challenge(mut self, more: &str) -> Self {
        self.more.challenge = Some(format!("Bearer realm=\"kabar\"{more}"));
        self
    }

    /// Nothing is at this path.
    pub(super) fn no_route() -> Self {
        Self::new(Kind::NotFound, "nothing is at this path").fix("see /docs for what there is")
    }

    /// What is needed is away for the moment; `fix` says what to do meanwhile.
    pub(super) fn away(detail: impl Into<String>, fix: &str) -> Self {
        let mut problem = Self::new(Kind::Unavailable, detail);
        problem.more.retry_after_seconds = Some(AWAY_SECONDS);
        problem.fix(fix)
    }

    /// A parameter of the path or the query is not what it may be.
    pub(super) fn parameter(name: &str, given: &str, problem: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, format!("{name}: {}", problem.into()))
            .of(name)
            .given(Some(&Value::from(given)))
    }

    /// A job that cannot be understood; `place` is where in the body it stands, `body` the job.
    pub(super) fn job(place: &str, error: &InvalidJob, body: &Value) -> Self {
        let field = if place.is_empty() { error.field.clone() } else { format!("{place}.{}", error.field) };
        Self::new(Kind::Invalid, format!("{field}: {}", error.problem)).of(field).given(at(body, &error.field))
    }

    /// A job that is not taken in; `place` is where in the body it stands.
    pub(super) fn refused(place: &str, refusal: Refusal) -> Self {
        let field = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        match refusal {
            Refusal::Ledger(error) => Self::enqueue(place, error),
            other => Self::new(Kind::Invalid, other.to_string()).of(field("content.template")),
        }
    }

    /// A job that the ledger does not take; `place` is where in the body it stands.
    pub(super) fn enqueue(place: &str, error: StoreError) -> Self {
        let field = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        match error {
            // What a job names and is not there is the job's fault, not the path's.
            StoreError::NotFound { what: "sender", ref name, .. } => {
                Self::new(Kind::Invalid, error.to_string()).of(field("sender")).given(Some(&name.as_str().into()))
            }
            StoreError::NotFound { what: "group", ref name, .. } => Self::new(Kind::Invalid, error.to_string())
                .of(field("audience.group"))
                .given(Some(&name.as_str().into())),
            StoreError::DifferentJob(ref id) => Self::new(Kind::IdTaken, error.to_string())
                .of(field("id"))
                .given(Some(&id.as_str().into()))
                .fix("use another id, or send the job exactly as before"),
            other => other.into(),
        }
    }
}

/// The value at a path such as `audience.recipients[1].to`.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = value;
    for part in path.split(['.', '[']) {
        value = match part.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?)?,
            None => value.get(part)?,
        };
    }
    Some(value)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::new(Kind::NotFound, error.to_string()),
            StoreError::Refused(problem) => Self::new(Kind::NotPossible, problem),
            StoreError::OverLimit { per_minute, wait_ms } => {
                let seconds = wait_ms.div_ceil(1_000).max(1);
                let mut problem = Self::new(Kind::OverLimit, error.to_string()).given(Some(&per_minute.into()));
                problem.more.retry_after_seconds = Some(seconds);
                problem.fix(format!("try again in {seconds} s, or ask for a higher limit"))
            }
            error if error.is_passing() => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the ledger is away");
                let detail = "the ledger cannot be reached at the moment";
                Self::away(detail, "try again: the same id again is the same job")
            }
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request to the API failed");
                Self::new(Kind::Internal, "the log says why, under the id of this request")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _, title) = self.kind.row();
        let body = ProblemBody {
            r#type: self.kind.type_uri(),
            title,
            status: status.as_u16(),
            detail: self.detail,
            field: self.more.field,
            value: self.more.value,
            fix: self.more.fix,
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.more.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.more.challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kabar_domain::job::{Door, Job};
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_a_type_of_its_own() {
        assert_eq!(Kind::ALL.iter().map(|kind| kind.type_uri()).collect::<BTreeSet<_>>().len(), Kind::ALL.len());
    }

    #[test]
    fn a_problem_of_a_job_names_the_place_and_shows_the_value() {
        let body = json!({"type": "broadcast", "id": "a", "content": {"text": "x"},
            "audience": {"recipients": [{"to": "+6281234567890"}, {"to": "nobody"}]}});
        let error = Job::from_value(body.clone(), Door::default(), None).unwrap_err();
        let problem = Problem::job("jobs[7]", &error, &body);
        assert_eq!(problem.more.field.as_deref(), Some("jobs[7].audience.recipients[1].to"));
        assert_eq!(problem.more.value, Some(json!("nobody")));
        assert!(problem.detail.ends_with("not a phone number"), "{}", problem.detail);
    }

    #[test]
    fn what_was_given_is_cut_and_never_a_whole_structure() {
        let long = Problem::new(Kind::Invalid, "").given(Some(&"x".repeat(5_000).into()));
        assert_eq!(long.more.value.unwrap().as_str().unwrap().len(), MOST_SHOWN_CHARS);
        assert_eq!(Problem::new(Kind::Invalid, "").given(Some(&json!([1]))).more.value, None);
    }
}
