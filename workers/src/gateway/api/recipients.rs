//! People: who is known, and who may not be sent to.

use axum::Json;
use kabar_domain::{phone::PhoneNumber, sender::Channel};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    access::Caller,
    input::{OptionalJson, Path, Query},
    page::{Page, PageQuery},
    problem::{Kind, Problem},
};
use crate::views::Recipient;

/// The longest reason of a block, in characters.
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

/// One person: fields, consent, and blocks with their reasons
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
    let reason = reason(body)?;
    caller.store.block(caller.tenant, &phone, Channel::Whatsapp, &reason).await?;
    as_it_is(&caller, &phone).await
}

fn reason(body: Option<Value>) -> Result<String, Problem> {
    let Some(body) = body.filter(|body| !body.is_null()) else { return Ok("blocked over HTTP".to_owned()) };
    let Value::Object(mut fields) = body else {
        return Err(Problem::new(Kind::Invalid, "the body must be an object, or left out"));
    };
    let reason = fields.remove("reason").unwrap_or_default();
    if let Some(other) = fields.keys().next() {
        return Err(Problem::new(Kind::Invalid, format!("{other}: is not known; give reason alone")).of(other));
    }
    match reason {
        Value::Null => Ok("blocked over HTTP".to_owned()),
        Value::String(text) if text.chars().count() <= MOST_REASON_CHARS => Ok(text),
        other => {
            let problem = format!("reason: must be a text of at most {MOST_REASON_CHARS} characters");
            Err(Problem::new(Kind::Invalid, problem).of("reason").given(Some(&other)))
        }
    }
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
        for none in [None, Some(json!(null)), Some(json!({})), Some(json!({"reason": null}))] {
            assert_eq!(reason(none).unwrap(), "blocked over HTTP");
        }
        assert_eq!(reason(Some(json!({"reason": "asked"}))).unwrap(), "asked");
        for refused in [json!([]), json!({"reason": 7}), json!({"reason": "x".repeat(501)}), json!({"why": "x"})] {
            assert!(reason(Some(refused.clone())).is_err(), "{refused}");
        }
    }
}
