//! People: who is known, who may not be sent to, and who opted out.

use axum::Json;
use kabar_domain::{phone::PhoneNumber, sender::Channel, wish::Covers};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    access::Caller,
    input::{self, OptionalJson, Path, Query},
    page::{Page, PageQuery},
    person::{self, Person},
    problem::{Kind, Problem},
};
use crate::views::Recipient;

/// What stands for the reason of a block where none is given.
const BLOCKED: &str = "blocked over HTTP";

/// What stands for the reason of an opt-out where none is given.
const BY_A_PERSON: &str = "a person over HTTP";

/// The longest reason of a block or an opt-out, in characters.
const MOST_REASON_CHARS: usize = 500;

/// The people that are known, in the order in which they came
#[utoipa::path(
    get,
    path = "/v1/recipients",
    tag = "recipients",
    security(("key" = ["read"])),
    params(PageQuery),
    responses((status = 200, description = "A page of them", body = Page<Recipient>))
)]
pub(super) async fn list(caller: Caller, Query(query): Query<PageQuery>) -> Result<Json<Page<Recipient>>, Problem> {
    let wanted = query.wanted(0)?;
    let rows = caller.store.recipients(caller.tenant, wanted.after, wanted.look_up()).await?;
    Ok(Json(wanted.page(rows.iter().map(|row| (row.id, row.into())))))
}

/// One person: fields, opt-outs, and blocks with their reasons
#[utoipa::path(
    get,
    path = "/v1/recipients/{phone}",
    tag = "recipients",
    security(("key" = ["read"])),
    params(("phone" = String, Path, description = "The number, as +628123456789")),
    responses(
        (status = 200, description = "The person", body = Recipient),
        (status = 404, description = "The number is not known"),
    )
)]
pub(super) async fn show(caller: Caller, Path(text): Path) -> Result<Json<Recipient>, Problem> {
    as_it_is(&caller, &phone(&caller, &text)?).await
}

/// Write down what is known of a person
///
/// What is left out stays as it is. A number that is not known is written down. The same again changes nothing.
#[utoipa::path(
    put,
    path = "/v1/recipients/{phone}",
    tag = "recipients",
    security(("key" = ["operate"])),
    params(("phone" = String, Path, description = "The number, as +628123456789")),
    request_body(content = Person, content_type = "application/json"),
    responses(
        (status = 200, description = "The person as they are now", body = Recipient),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn put(
    caller: Caller,
    Path(text): Path,
    input::Json(body): input::Json,
) -> Result<Json<Recipient>, Problem> {
    let phone = phone(&caller, &text)?;
    let person = person::person(body, phone.clone())?;
    caller.store.import_recipients(caller.tenant, &[person], None).await?;
    as_it_is(&caller, &phone).await
}

/// Why a person is blocked.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct BlockBody {
    /// Why, for whoever looks.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Send nothing more to a person on WhatsApp
///
/// What waits for the number is skipped. A number that is not known is written down. Blocking again changes the reason.
#[utoipa::path(
    put,
    path = "/v1/recipients/{phone}/block",
    tag = "recipients",
    security(("key" = ["operate"])),
    params(("phone" = String, Path, description = "The number, as +628123456789")),
    request_body(content = Option<BlockBody>, content_type = "application/json"),
    responses(
        (status = 200, description = "The person as they are now", body = Recipient),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn block(
    caller: Caller,
    Path(text): Path,
    OptionalJson(body): OptionalJson,
) -> Result<Json<Recipient>, Problem> {
    let phone = phone(&caller, &text)?;
    let reason = reason(&mut fields(body, &["reason"])?, BLOCKED)?;
    caller.store.block(caller.tenant, &phone, Channel::Whatsapp, &reason).await?;
    as_it_is(&caller, &phone).await
}

/// Lift a person's block on WhatsApp
///
/// Messages that it ended stay ended. Lifting a block that is not there changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/recipients/{phone}/block",
    tag = "recipients",
    security(("key" = ["operate"])),
    params(("phone" = String, Path, description = "The number, as +628123456789")),
    responses(
        (status = 200, description = "The person as they are now", body = Recipient),
        (status = 404, description = "The number is not known"),
    )
)]
pub(super) async fn unblock(caller: Caller, Path(text): Path) -> Result<Json<Recipient>, Problem> {
    let phone = phone(&caller, &text)?;
    caller.store.unblock(caller.tenant, &phone, Channel::Whatsapp).await?;
    as_it_is(&caller, &phone).await
}

/// What a person opts out of.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct OptOutBody {
    /// Of marketing, or of every message, reminders and codes for logging in among them; marketing where it is left out.
    covers: Option<OptOutCovers>,
    /// What said so, for whoever looks.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Which messages an opt-out covers.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) enum OptOutCovers {
    Marketing,
    All,
}

/// Send a person no more marketing, or nothing any more
///
/// What waits of that for the number is skipped. A number that is not known is written down. People do so themselves by a STOP
/// word, and take it back by a START word.
#[utoipa::path(
    put,
    path = "/v1/recipients/{phone}/opt-out",
    tag = "recipients",
    security(("key" = ["operate"])),
    params(("phone" = String, Path, description = "The number, as +628123456789")),
    request_body(content = Option<OptOutBody>, content_type = "application/json"),
    responses(
        (status = 200, description = "The person as they are now", body = Recipient),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn opt_out(
    caller: Caller,
    Path(text): Path,
    OptionalJson(body): OptionalJson,
) -> Result<Json<Recipient>, Problem> {
    let phone = phone(&caller, &text)?;
    let mut fields = fields(body, &["covers", "reason"])?;
    let (covers, source) = (covers(&mut fields)?, reason(&mut fields, BY_A_PERSON)?);
    caller.store.opt_out(caller.tenant, &phone, Channel::Whatsapp, covers, &source).await?;
    as_it_is(&caller, &phone).await
}

/// Take back what a person opted out of
///
/// Messages that it ended stay ended. Who has not opted out stays as they are.
#[utoipa::path(
    delete,
    path = "/v1/recipients/{phone}/opt-out",
    tag = "recipients",
    security(("key" = ["operate"])),
    params(("phone" = String, Path, description = "The number, as +628123456789")),
    responses(
        (status = 200, description = "The person as they are now", body = Recipient),
        (status = 404, description = "The number is not known"),
    )
)]
pub(super) async fn opt_in(caller: Caller, Path(text): Path) -> Result<Json<Recipient>, Problem> {
    let phone = phone(&caller, &text)?;
    caller.store.opt_in(caller.tenant, &phone, Channel::Whatsapp, BY_A_PERSON).await?;
    as_it_is(&caller, &phone).await
}

/// The fields of a body that may be left out; none beside those that are `known`.
fn fields(body: Option<Value>, known: &[&str]) -> Result<Map<String, Value>, Problem> {
    let fields = match body {
        None | Some(Value::Null) => return Ok(Map::new()),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(Problem::new(Kind::Invalid, "the body must be an object, or left out")),
    };
    if let Some(other) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        let problem = format!("{other}: is not known; known are: {}", known.join(", "));
        return Err(Problem::new(Kind::Invalid, problem).of(other));
    }
    Ok(fields)
}

fn reason(fields: &mut Map<String, Value>, left_out: &str) -> Result<String, Problem> {
    match fields.remove("reason").unwrap_or_default() {
        Value::Null => Ok(left_out.to_owned()),
        Value::String(text) if text.chars().count() <= MOST_REASON_CHARS => Ok(text),
        other => {
            let problem = format!("reason: must be a text of at most {MOST_REASON_CHARS} characters");
            Err(Problem::new(Kind::Invalid, problem).of("reason").given(Some(&other)))
        }
    }
}

fn covers(fields: &mut Map<String, Value>) -> Result<Covers, Problem> {
    match fields.remove("covers").unwrap_or_default() {
        Value::Null => Ok(Covers::Marketing),
        given => given.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Problem::new(Kind::Invalid, "covers: must be marketing or all").of("covers").given(Some(&given))
        }),
    }
}

fn phone(caller: &Caller, text: &str) -> Result<PhoneNumber, Problem> {
    let parsed = PhoneNumber::parse(text, caller.door.default_region);
    parsed.map(|parsed| parsed.number).map_err(|error| Problem::parameter("phone", text, error.to_string()))
}

async fn as_it_is(caller: &Caller, phone: &PhoneNumber) -> Result<Json<Recipient>, Problem> {
    Ok(Json(Recipient::from(&caller.store.recipient(caller.tenant, phone).await?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reason_may_be_left_out_and_is_a_text() {
        let reason = |body| super::reason(&mut fields(body, &["reason"])?, BLOCKED);
        for none in [None, Some(json!(null)), Some(json!({})), Some(json!({"reason": null}))] {
            assert_eq!(reason(none).unwrap(), BLOCKED);
        }
        assert_eq!(reason(Some(json!({"reason": "asked"}))).unwrap(), "asked");
        for refused in [json!([]), json!({"reason": 7}), json!({"reason": "x".repeat(501)}), json!({"why": "x"})] {
            assert!(reason(Some(refused.clone())).is_err(), "{refused}");
        }
    }

    #[test]
    fn an_opt_out_covers_marketing_or_all() {
        let covers = |body| super::covers(&mut fields(body, &["covers"])?);
        assert_eq!(covers(None).unwrap(), Covers::Marketing);
        assert_eq!(covers(Some(json!({"covers": "all"}))).unwrap(), Covers::All);
        for refused in [json!({"covers": "utility"}), json!({"covers": true})] {
            assert!(covers(Some(refused.clone())).is_err(), "{refused}");
        }
    }
}
