//! `GET` and `POST /{version}/{waba_id}/message_templates`: the account's templates.
//!
//! There is no review: a new template is approved at once. As an addition to the platform's API a `status` may be
//! given (`PAUSED`, `DISABLED`, `PENDING`, ...), so that a sender can be tried against one that may not be used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use crate::api::error::{self, ApiError};
use crate::api::path::GraphPath;
use crate::api::usage;
use crate::shared::Shared;
use crate::templates::Template;

/// The most bytes of a template.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Templates on a page when no number is asked for, and at most.
const PAGE_DEFAULT: usize = 25;
const PAGE_MAX: usize = 1_000;

const CATEGORIES: [&str; 3] = ["AUTHENTICATION", "MARKETING", "UTILITY"];

/// Answers with one page of the list.
pub(crate) async fn get(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (head, _) = request.into_parts();
    let at = Instant::now();
    let allowed = check_caller(&shared, &head).and_then(|()| shared.register().count_call(at));
    let mut response = match allowed.and_then(|()| page(&shared, &head)) {
        Ok(page) => error::json(StatusCode::OK, &page),
        Err(error) => error.into_response(),
    };
    usage::tell(&mut response, shared.register().usage(at), &shared.access.waba_id);
    response
}

/// Registers a template.
pub(crate) async fn post(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| ApiError::malformed("it could not be read, or is too long"));
    match check_caller(&shared, &head).and(body).and_then(|body| register(&shared, &body)) {
        Ok(created) => error::json(StatusCode::OK, &created),
        Err(error) => error.into_response(),
    }
}

fn check_caller(shared: &Shared, head: &Parts) -> Result<(), ApiError> {
    let path = GraphPath::parse(head.uri.path())?;
    if let Some(error) = shared.register().refusal_of_all() {
        return Err(error);
    }
    shared.access.check_token(head)?;
    if path.object == shared.access.waba_id {
        Ok(())
    } else {
        Err(ApiError::object_unknown(head.method.as_str(), path.object))
    }
}

fn page(shared: &Shared, head: &Parts) -> Result<Value, ApiError> {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&head.uri).unwrap_or_default();
    let text = |name: &str| query.get(name).map(String::as_str);
    let number = |name: &str, default: usize| match text(name) {
        None => Ok(default),
        Some(given) => given.parse().map_err(|_| ApiError::parameter(format!("Param {name} is not valid."))),
    };
    let after = number("after", 0)?;
    let limit = number("limit", PAGE_DEFAULT)?.clamp(1, PAGE_MAX);
    let found: Vec<Template> = shared
        .templates
        .all()
        .into_iter()
        .filter(|template| text("name").is_none_or(|name| template.name == name))
        .filter(|template| text("status").is_none_or(|status| template.status == status))
        .collect();
    let data: Vec<&Map<String, Value>> = found.iter().skip(after).take(limit).map(|found| &found.shown).collect();
    let end = after + data.len();
    let mut page =
        json!({"data": data, "paging": {"cursors": {"before": after.to_string(), "after": end.to_string()}}});
    if end < found.len() {
        page["paging"]["next"] = json!(format!("{}?after={end}&limit={limit}", head.uri.path()));
    }
    Ok(page)
}

fn register(shared: &Shared, body: &Bytes) -> Result<Value, ApiError> {
    let mut shown: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| ApiError::malformed(&error.to_string()))?;
    let text = |name: &str| {
        let given = shown.get(name).and_then(Value::as_str).filter(|given| !given.is_empty());
        given.map(str::to_owned).ok_or_else(|| ApiError::parameter(format!("The parameter {name} is required.")))
    };
    let (name, language, category) = (text("name")?, text("language")?, text("category")?);
    if !is_name(&name) {
        return Err(ApiError::parameter("Param name may only have lowercase letters, digits and underscores."));
    }
    if !CATEGORIES.contains(&category.as_str()) {
        return Err(ApiError::parameter("Param category must be one of {AUTHENTICATION, MARKETING, UTILITY}."));
    }
    if !shown.get("components").is_some_and(Value::is_array) {
        return Err(ApiError::parameter("The parameter components is required."));
    }
    let status = text("status").unwrap_or_else(|_| "APPROVED".to_owned());
    let id = fastrand::u64(1_000_000_000_000_000..10_000_000_000_000_000).to_string();
    let created = json!({"id": id, "status": status, "category": category});
    shown.insert("id".to_owned(), json!(id));
    shown.insert("status".to_owned(), json!(status));
    shown.entry("parameter_format").or_insert_with(|| json!("POSITIONAL"));
    shared.templates.register(Template::new(name, language, status, shown))?;
    Ok(created)
}

fn is_name(name: &str) -> bool {
    name.len() <= 512 && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}
