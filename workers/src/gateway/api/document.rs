//! The API's own description: OpenAPI 3.1, made from the routes, and a page that shows it to people.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{Html, IntoResponse},
};
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema},
};

use super::problem::{Kind, ProblemBody};
use crate::cli::{JOB_COMPONENT, job_components};

/// What the API is, for whoever reads its description.
const ABOUT: &str = "Sends WhatsApp messages exactly as fast as the sender's limit allows, and loses nothing.\n\n\
    Every route needs a key (`kabar key add`), or a token (JWT) of the identity provider that the operator trusts, with the \
    scope that it names; `admin` may do all. Each answer \
    has an `x-request-id`, the caller's own where the request had one. Bodies may be packed with gzip, and answers are \
    for whoever accepts that. A problem is told as in RFC 9457: programs go by its `type`.";

/// What `POST /v1/jobs` takes.
pub(super) struct JobOrJobs;

impl PartialSchema for JobOrJobs {
    fn schema() -> RefOr<Schema> {
        let job = || Ref::from_schema_name(JOB_COMPONENT);
        let jobs = ArrayBuilder::new().items(job()).min_items(Some(1)).max_items(Some(1_000));
        let several = ObjectBuilder::new().property("jobs", jobs).required("jobs");
        OneOfBuilder::new().item(job()).item(several).into()
    }
}

impl ToSchema for JobOrJobs {}

/// What `POST /v1/broadcasts:preview` takes.
pub(super) struct OneJob;

impl PartialSchema for OneJob {
    fn schema() -> RefOr<Schema> {
        Ref::from_schema_name(JOB_COMPONENT).into()
    }
}

impl ToSchema for OneJob {}

/// The description as JSON, with a line break at its end.
pub(crate) fn openapi() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", describe()));
    &TEXT
}

/// The description, for machines.
pub(super) async fn json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi())
}

/// The description, for people. It needs nothing from elsewhere.
pub(super) async fn page() -> impl IntoResponse {
    const POLICY: &str =
        "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'";
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("docs.html")))
}

fn describe() -> Value {
    let (_, mut api) = super::routes(|_, routes| routes).split_for_parts();
    api.info.title = "kabar".to_owned();
    api.info.description = Some(ABOUT.to_owned());
    // The version of the interface, which the path names, too; not the program's.
    api.info.version = "1".to_owned();
    let mut document = serde_json::to_value(api).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({"key": {"type": "http", "scheme": "bearer",
        "description": "A key that `kabar key add` printed, or a token (JWT) of the identity provider. The scopes that a \
            route names are the key's or the token's."}});
    let problem = &mut document["components"]["schemas"]["Problem"];
    *problem = serde_json::to_value(ProblemBody::schema()).unwrap_or_default();
    problem["properties"]["type"]["enum"] = Kind::ALL.map(Kind::type_uri).as_slice().into();
    for (name, schema) in job_components() {
        document["components"]["schemas"][name] = schema;
    }
    if let Some(paths) = document["paths"].as_object_mut() {
        for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
            complete(operation);
        }
    }
    document
}

/// Adds the answers that each route may give, and the form of those that tell of a problem.
fn complete(operation: &mut Value) {
    let takes_something = operation.get("parameters").is_some() || operation.get("requestBody").is_some();
    let usual = [
        (Kind::InvalidParameter, "A parameter is not valid, or the body cannot be read"),
        (Kind::Unauthenticated, "There is no key and no token, or it is worth nothing"),
        (Kind::MissingScope, "The key or the token has not the scope that is needed"),
        (Kind::Internal, "The fault is kabar's; its log says more under the request's id"),
        (Kind::Unavailable, "The ledger is away, or the keys of the identity provider; try again"),
    ];
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (kind, description) in usual {
        if kind != Kind::InvalidParameter || takes_something {
            let status = kind.status().as_str().to_owned();
            responses.entry(status).or_insert_with(|| json!({"description": description}));
        }
    }
    for (status, response) in responses.iter_mut() {
        if !status.starts_with('2') {
            response["content"] =
                json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
        }
        response["headers"] = json!({"x-request-id": {"schema": {"type": "string"}}});
        if matches!(status.as_str(), "429" | "503") {
            response["headers"]["retry-after"] =
                json!({"description": "Seconds", "schema": {"type": "integer", "minimum": 1}});
        }
    }
    responses.sort_keys();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the description lies in the repository, for whoever writes against it and for whoever reviews a change.
    const SNAPSHOT: &str = include_str!("../../../openapi.json");

    #[test]
    fn the_snapshot_is_the_description() {
        assert!(
            openapi() == SNAPSHOT,
            "the API has changed: look at the difference, then `kabar schema openapi > workers/openapi.json`"
        );
    }

    #[test]
    fn whatever_the_description_refers_to_is_there() {
        let document = describe();
        let text = document.to_string();
        let mut references = 0;
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
            references += 1;
        }
        assert!(references > 50, "{references}");
    }

    /// Parts of schemas that demand an object without properties beside something else.
    fn contradictions(schema: &Value) -> usize {
        let empty = |part: &Value| part["type"] == "object" && part.get("properties").is_none();
        match schema {
            Value::Object(fields) => {
                let own =
                    fields.get("allOf").and_then(Value::as_array).into_iter().flatten().filter(|part| empty(part));
                own.count() + fields.values().map(contradictions).sum::<usize>()
            }
            Value::Array(items) => items.iter().map(contradictions).sum(),
            _ => 0,
        }
    }

    /// As inlining a schema beside a description made them: a time that had to be an object, too.
    #[test]
    fn no_schema_contradicts_itself() {
        assert_eq!(contradictions(&describe()), 0);
        assert_eq!(contradictions(&json!([{"allOf": [{"type": "string"}, {"type": "object"}]}])), 1);
    }

    #[test]
    fn every_route_says_what_it_is_what_it_needs_and_how_it_refuses() {
        let document = describe();
        let mut routes = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let route = format!("{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{route}");
                assert_eq!(operation["security"][0]["key"].as_array().map(Vec::len), Some(1), "{route}");
                for status in ["401", "403", "500", "503"] {
                    let content = &operation["responses"][status]["content"];
                    assert!(content.get("application/problem+json").is_some(), "{route}: {status}");
                }
                routes += 1;
            }
        }
        assert_eq!(routes, 33);
    }
}
