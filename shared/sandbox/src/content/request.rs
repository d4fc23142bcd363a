//! The envelope of a call to `/messages`: is it a message or a read receipt, for whom, and is its content in order?

use serde_json::Value;

use crate::api::error::ApiError;
use crate::content::fields::Fields;
use crate::content::template::{self, TemplateUse};
use crate::content::{interactive, media, recipient, simple};

/// The most characters of `biz_opaque_callback_data`.
const OPAQUE_CHARACTERS_MAX: usize = 512;

/// The most characters of an id of a message, a media object or the like; the platform names no bound.
const ID_CHARACTERS_MAX: usize = 512;

/// A message to be sent.
pub(crate) struct SendRequest<'a> {
    /// The recipient as it was given.
    pub(crate) to: &'a str,
    /// The recipient's digits.
    pub(crate) digits: String,
    /// The business's own data, echoed in status webhooks.
    pub(crate) opaque: Option<&'a str>,
    /// The template, when it is a template message.
    pub(crate) template: Option<TemplateUse<'a>>,
}

/// Whether a body asks to mark a message as read, in order or not.
pub(crate) fn is_mark_read(body: &Value) -> bool {
    body.get("status").is_some_and(Value::is_string) && body.get("to").is_none()
}

/// Checks a body that asks to mark a message as read.
pub(crate) fn check_mark_read(body: &Value) -> Result<(), ApiError> {
    let fields = envelope(body)?;
    if fields.get("status").and_then(Value::as_str) != Some("read") {
        return Err(ApiError::parameter("Param status must be one of {READ}."));
    }
    fields.text("message_id", ID_CHARACTERS_MAX).map(drop)
}

/// Checks a body that asks to send a message.
pub(crate) fn parse_send(body: &Value) -> Result<SendRequest<'_>, ApiError> {
    let fields = envelope(body)?;
    match fields.get("recipient_type").map(Value::as_str) {
        None | Some(Some("individual")) => {}
        Some(Some("group")) => return Err(ApiError::with_details(131_009, "The sandbox has no groups.")),
        Some(_) => return Err(ApiError::parameter("Param recipient_type must be one of {INDIVIDUAL, GROUP}.")),
    }
    let to = match fields.get("to") {
        Some(Value::String(to)) if !to.trim().is_empty() => to,
        None | Some(Value::String(_)) => return Err(ApiError::parameter("The parameter to is required.")),
        Some(_) => return Err(ApiError::parameter("Param to must be a string.")),
    };
    let digits = recipient::digits(to)?;
    let opaque = fields.optional_text("biz_opaque_callback_data", OPAQUE_CHARACTERS_MAX)?;
    if let Some(context) = fields.optional_object("context", "context")? {
        context.text("message_id", ID_CHARACTERS_MAX)?;
    }
    let template = parse_content(fields)?;
    Ok(SendRequest { to, digits, opaque, template })
}

fn envelope(body: &Value) -> Result<Fields<'_>, ApiError> {
    let Value::Object(map) = body else {
        return Err(ApiError::malformed("it is another kind of value"));
    };
    let fields = Fields::new(map, "body");
    match fields.get("messaging_product").map(Value::as_str) {
        Some(Some("whatsapp")) => Ok(fields),
        None => Err(ApiError::parameter("The parameter messaging_product is required.")),
        Some(_) => Err(ApiError::parameter("Param messaging_product must be one of {WHATSAPP}.")),
    }
}

fn parse_content<'a>(fields: Fields<'a>) -> Result<Option<TemplateUse<'a>>, ApiError> {
    let kind = fields.optional_text("type", 64)?.unwrap_or("text");
    match kind {
        "template" => return template::parse(fields.object("template", "template")?).map(Some),
        "text" => simple::check_text(fields.object("text", "text")?)?,
        "image" => media::check(fields.object("image", "image")?, media::Caption::Allowed)?,
        "video" => media::check(fields.object("video", "video")?, media::Caption::Allowed)?,
        "document" => media::check(fields.object("document", "document")?, media::Caption::Allowed)?,
        "audio" => media::check(fields.object("audio", "audio")?, media::Caption::None)?,
        "sticker" => media::check(fields.object("sticker", "sticker")?, media::Caption::None)?,
        "location" => simple::check_location(fields.object("location", "location")?)?,
        "contacts" => simple::check_contacts(fields.list("contacts", simple::CONTACTS_MAX)?)?,
        "reaction" => simple::check_reaction(fields.object("reaction", "reaction")?)?,
        "interactive" => interactive::check(fields.object("interactive", "interactive")?)?,
        other => {
            return Err(ApiError::parameter(format!(
                "Param type must be one of {{AUDIO, CONTACTS, DOCUMENT, IMAGE, INTERACTIVE, LOCATION, REACTION, \
                 STICKER, TEMPLATE, TEXT, VIDEO}} - got \"{other}\"."
            )));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(body: Value) -> i64 {
        match parse_send(&body) {
            Ok(_) => 0,
            Err(error) => error.code(),
        }
    }

    fn message(kind: &str, content: Value) -> Value {
        json!({"messaging_product": "whatsapp", "to": "+1 555-0100", "type": kind, kind: content})
    }

    #[test]
    fn the_envelope_is_checked_field_by_field() {
        assert_eq!(code(message("text", json!({"body": "hello"}))), 0);
        assert_eq!(code(json!([])), 100);
        assert_eq!(code(json!({"to": "15550100"})), 100);
        assert_eq!(code(json!({"messaging_product": "sms", "to": "15550100"})), 100);
        assert_eq!(code(json!({"messaging_product": "whatsapp", "type": "text", "text": {"body": "x"}})), 100);
        assert_eq!(code(json!({"messaging_product": "whatsapp", "to": 15_550_100})), 100);
        assert_eq!(code(json!({"messaging_product": "whatsapp", "to": "someone", "text": {"body": "x"}})), 131_009);
        assert_eq!(code(message("fax", json!({}))), 100);
        assert_eq!(code(json!({"messaging_product": "whatsapp", "to": "15550100", "type": "text"})), 131_008);
    }

    #[test]
    fn the_opaque_data_is_kept_and_bounded() {
        let mut body = message("text", json!({"body": "hello"}));
        body["biz_opaque_callback_data"] = json!("é".repeat(512));
        let send = parse_send(&body).unwrap();
        assert_eq!(send.opaque.unwrap().chars().count(), 512);
        assert_eq!(send.to, "+1 555-0100");
        assert_eq!(send.digits, "15550100");
        body["biz_opaque_callback_data"] = json!("x".repeat(513));
        assert_eq!(code(body), 100);
    }

    #[test]
    fn marking_as_read_needs_the_message() {
        let body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.X"});
        assert!(is_mark_read(&body) && check_mark_read(&body).is_ok());
        let body = json!({"messaging_product": "whatsapp", "status": "read"});
        assert_eq!(check_mark_read(&body).unwrap_err().code(), 131_008);
        assert!(!is_mark_read(&message("text", json!({"body": "hello"}))));
    }

    #[test]
    fn every_kind_of_content_has_its_limits() {
        let accepted = [
            ("image", json!({"link": "https://example.com/a.png", "caption": "a"})),
            ("video", json!({"id": "123"})),
            ("audio", json!({"id": "123", "voice": true})),
            ("document", json!({"id": "123", "filename": "a.pdf"})),
            ("sticker", json!({"id": "123"})),
            ("location", json!({"latitude": -6.2, "longitude": "106.8"})),
            ("contacts", json!([{"name": {"formatted_name": "Ana"}, "phones": [{"phone": "+15550100"}]}])),
            ("reaction", json!({"message_id": "wamid.X", "emoji": ""})),
        ];
        for (kind, content) in accepted {
            assert_eq!(code(message(kind, content)), 0, "{kind}");
        }
        let refused = [
            ("text", json!({"body": ""}), 131_008),
            ("text", json!({"body": "x".repeat(4_097)}), 100),
            ("text", json!({"body": 5}), 100),
            ("image", json!({}), 131_008),
            ("image", json!({"link": "ftp://example.com"}), 131_009),
            ("image", json!({"id": "1", "caption": "x".repeat(1_025)}), 100),
            ("sticker", json!({"id": "1", "caption": "x"}), 100),
            ("location", json!({"latitude": 91, "longitude": 0}), 131_009),
            ("location", json!({"latitude": 9}), 131_008),
            ("contacts", json!([]), 131_008),
            ("contacts", json!([{"phones": []}]), 131_008),
            ("reaction", json!({"emoji": "x"}), 131_008),
        ];
        for (kind, content, expected) in refused {
            assert_eq!(code(message(kind, content.clone())), expected, "{kind} {content}");
        }
    }
}
