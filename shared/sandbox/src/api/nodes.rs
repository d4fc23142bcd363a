//! `GET /{version}/{object}`: what a phone number, or the business account, says of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use crate::api::error::{self, ApiError};
use crate::api::path::GraphPath;
use crate::numbers;
use crate::shared::Shared;

/// Answers a call to the endpoint.
pub(crate) async fn get(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    match node(&shared, request) {
        Ok(fields) => error::json(StatusCode::OK, &fields),
        Err(error) => error.into_response(),
    }
}

fn node(shared: &Shared, request: Request) -> Result<Map<String, Value>, ApiError> {
    let (head, _) = request.into_parts();
    let path = GraphPath::parse(head.uri.path())?;
    if let Some(error) = shared.register().refusal_of_all() {
        return Err(error);
    }
    shared.access.check_token(&head)?;
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&head.uri).unwrap_or_default();
    let asked = query.get("fields").map(String::as_str);
    if path.object == shared.access.waba_id {
        return select(account(path.object), asked.unwrap_or("name,timezone_id,currency"));
    }
    if shared.access.knows_number(path.object) {
        return select(numbers::fields(path.object), asked.unwrap_or(numbers::DEFAULT_FIELDS));
    }
    Err(ApiError::object_unknown("GET", path.object))
}

fn account(waba_id: &str) -> Map<String, Value> {
    let fields = json!({
        "id": waba_id,
        "name": "Sandbox account",
        "timezone_id": "1",
        "currency": "USD",
        "account_review_status": "APPROVED",
        "health_status": {"can_send_message": "AVAILABLE", "entities": [
            {"entity_type": "WABA", "id": waba_id, "can_send_message": "AVAILABLE"}
        ]},
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Those fields that were asked for, and always the id. What stands in braces after a field is ignored.
fn select(mut known: Map<String, Value>, asked: &str) -> Result<Map<String, Value>, ApiError> {
    let mut selected = Map::new();
    let mut depth = 0_u32;
    let names = asked.split(|character| {
        depth = match character {
            '{' => depth + 1,
            '}' => depth.saturating_sub(1),
            _ => depth,
        };
        character == ',' && depth == 0
    });
    for name in names.filter_map(|field| field.split('{').next()).map(str::trim).filter(|name| !name.is_empty()) {
        if selected.contains_key(name) {
            continue;
        }
        let value = known
            .remove(name)
            .ok_or_else(|| ApiError::parameter(format!("Tried accessing nonexisting field ({name})")))?;
        selected.insert(name.to_owned(), value);
    }
    if let Some(id) = known.remove("id") {
        selected.insert("id".to_owned(), id);
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_asked_for_and_the_id() {
        let fields = select(numbers::fields("42"), "status, throughput{level,x},status").unwrap();
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(names, ["id", "status", "throughput"]);
        assert_eq!(select(numbers::fields("42"), "colour").unwrap_err().code(), 100);
        assert!(select(numbers::fields("42"), numbers::DEFAULT_FIELDS).is_ok());
        assert!(select(account("1"), "name,timezone_id,currency").is_ok());
    }
}
