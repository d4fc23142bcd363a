//! The platform's limits, checked before anything is enqueued. Source of every figure: the Cloud API's message reference.

use serde_json::Value;

use super::{Content, Header, Media, ParamValue, Params, TemplateContent};

/// The longest text body, in characters.
const MAX_TEXT_CHARS: usize = 4_096;
/// The longest caption, in characters.
const MAX_CAPTION_CHARS: usize = 1_024;
/// The longest value of a template parameter, in characters: no rendered body may be longer.
const MAX_PARAM_CHARS: usize = 1_024;
/// The most reply buttons of an interactive message.
const MAX_REPLY_BUTTONS: usize = 3;
/// The most values for a template's body.
const MAX_PARAMS: usize = 100;

/// A limit that a content breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("content.{field}: {problem}")]
pub struct InvalidContent {
    /// Where, as a path below `content`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Result<(), InvalidContent> {
    Err(InvalidContent { field: field.into(), problem: problem.into() })
}

/// Whether the fields of a content were filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    /// What takes one cannot be judged yet.
    Open,
    /// Everything is as it will be sent.
    Filled,
}

pub(super) fn check(content: &Content, fields: Fields) -> Result<(), InvalidContent> {
    let kind = content.kind();
    match content {
        Content::Template(template) => check_template(template, fields),
        Content::Text(text) if text.body.trim().is_empty() => invalid("text.body", "is empty; write the text"),
        Content::Text(text) => at_most("text.body", &text.body, MAX_TEXT_CHARS),
        Content::Image(media)
        | Content::Video(media)
        | Content::Audio(media)
        | Content::Document(media)
        | Content::Sticker(media) => check_media(kind, media),
        Content::Interactive(value) => check_interactive(value),
        Content::Contacts(Value::Array(cards)) if !cards.is_empty() => Ok(()),
        Content::Contacts(_) => invalid(kind, "must be a list of at least one contact"),
        Content::Location(value) => {
            let has = |key| {
                value.get(key).is_some_and(|v| v.is_number() || v.as_str().is_some_and(|s| s.parse::<f64>().is_ok()))
            };
            if has("latitude") && has("longitude") { Ok(()) } else { invalid(kind, "needs latitude and longitude") }
        }
        Content::Reaction(value) => {
            if value.get("message_id").is_some_and(Value::is_string) {
                Ok(())
            } else {
                invalid(kind, "needs message_id")
            }
        }
    }
}

fn check_template(template: &TemplateContent, fields: Fields) -> Result<(), InvalidContent> {
    if template.name.is_empty() {
        return invalid("template.name", "is empty; name the template");
    }
    if template.language.is_empty() {
        return invalid("template.language", "is empty; give its language code, such as id or en_US");
    }
    if template.components.is_some()
        && !(template.params.is_empty() && template.header.is_none() && template.buttons.is_empty())
    {
        return invalid(
            "template.components",
            "stands in the place of params, header and buttons; give one or the other",
        );
    }
    let check_value = |field: &str, value: &ParamValue| check_value(field, value, &template.language, fields);
    let count = match &template.params {
        Params::Positional(values) => {
            for (index, value) in values.iter().enumerate() {
                check_value(&format!("template.params[{index}]"), value)?;
            }
            values.len()
        }
        Params::Named(values) => {
            for (name, value) in values {
                check_value(&format!("template.params.{name}"), value)?;
            }
            values.len()
        }
    };
    if count > MAX_PARAMS {
        return invalid("template.params", format!("has {count} values; at most {MAX_PARAMS} are allowed"));
    }
    match &template.header {
        Some(Header::Image(media) | Header::Video(media) | Header::Document(media)) => {
            check_media("template.header", media)
        }
        Some(Header::Text(value)) => check_value("template.header.text", value),
        Some(Header::Location(_)) | None => Ok(()),
    }
}

fn check_value(field: &str, value: &ParamValue, language: &str, fields: Fields) -> Result<(), InvalidContent> {
    let typed = match value {
        ParamValue::Text(text) => return check_param(field, text),
        ParamValue::Typed(typed) => typed,
    };
    let judged = if fields == Fields::Open { typed.with_stand_ins() } else { typed.clone() };
    ParamValue::Typed(judged).written(language).map_or_else(|error| invalid(field, error.to_string()), |_| Ok(()))
}

/// A parameter may hold no line break, tab or long run of spaces, and no more characters than a body.
fn check_param(field: &str, value: &str) -> Result<(), InvalidContent> {
    if value.is_empty() {
        return invalid(field, "is empty; the platform refuses empty parameters");
    }
    if value.contains(['\n', '\r', '\t']) || value.contains("     ") {
        return invalid(
            field,
            "has a line break, a tab or more than four spaces in a row; the platform refuses these in parameters",
        );
    }
    at_most(field, value, MAX_PARAM_CHARS)
}

fn check_media(field: &str, media: &Media) -> Result<(), InvalidContent> {
    match (&media.id, &media.link) {
        (Some(_), None) => {}
        (None, Some(link)) if link.starts_with("https://") || link.starts_with("http://") => {}
        (None, Some(_)) => return invalid(format!("{field}.link"), "must be an http or https address"),
        _ => return invalid(field, "needs either id or link"),
    }
    media.caption.as_ref().map_or(Ok(()), |caption| at_most(&format!("{field}.caption"), caption, MAX_CAPTION_CHARS))
}

fn check_interactive(value: &Value) -> Result<(), InvalidContent> {
    let Some(kind) = value.get("type").and_then(Value::as_str) else {
        return invalid("interactive.type", "is missing; give button, list, cta_url …");
    };
    if value.get("action").is_none() {
        return invalid("interactive.action", "is missing");
    }
    let buttons = value.pointer("/action/buttons").and_then(Value::as_array).map_or(0, Vec::len);
    if kind == "button" && !(1..=MAX_REPLY_BUTTONS).contains(&buttons) {
        return invalid(
            "interactive.action.buttons",
            format!("has {buttons} buttons; 1 to {MAX_REPLY_BUTTONS} are allowed"),
        );
    }
    Ok(())
}

fn at_most(field: &str, text: &str, most: usize) -> Result<(), InvalidContent> {
    let count = text.chars().count();
    if count > most { invalid(field, format!("has {count} characters; at most {most} are allowed")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(content: Value) -> String {
        serde_json::from_value::<Content>(content).unwrap().check().unwrap_err().to_string()
    }

    #[test]
    fn limits_name_the_field_and_what_is_allowed() {
        let long = "x".repeat(1_000_000);
        assert!(problem(json!({"text": {"body": long}})).contains("text.body: has 1000000 characters; at most 4096"));
        let params = json!({"template": {"name": "t", "language": "id", "params": ["ok", long]}});
        assert!(problem(params).contains("template.params[1]: has 1000000"));
        assert!(
            problem(json!({"template": {"name": "t", "language": "id", "params": ["a\nb"]}})).contains("line break")
        );
        assert!(problem(json!({"image": {"link": "ftp://x"}})).contains("image.link"));
        assert!(problem(json!({"image": {}})).contains("either id or link"));
        let buttons = json!({"interactive": {"type": "button", "action": {"buttons": [{}, {}, {}, {}]}}});
        assert!(problem(buttons).contains("4 buttons; 1 to 3"));
    }

    #[test]
    fn dates_and_amounts_are_judged_as_far_as_they_are_known() {
        let of = |value: Value| json!({"template": {"name": "t", "language": "id", "params": ["x", value]}});
        let read = |value: Value| serde_json::from_value::<Content>(of(value));
        assert!(problem(of(json!({"date": "12/12/2026"}))).starts_with("content.template.params[1]: is not a date"));
        let currency = json!({"money": {"amount": "{total}", "currency": "Rp"}});
        assert!(problem(of(currency)).contains("ISO 4217"));
        let open = read(json!({"money": {"amount": "{total}", "currency": "IDR"}})).unwrap();
        open.check().unwrap();
        assert!(open.check_filled().unwrap_err().problem.contains("is not a number"));
        for (shape, word) in [
            (json!({"dat": "2026-12-12"}), "unknown variant `dat`"),
            (json!({"money": {"amount": 2.5, "currency": "IDR"}}), "stays exact"),
            (json!({"money": {"amount": "1"}}), "missing field `currency`"),
            (json!({"money": {"amount": "1", "currency": "IDR", "unit": 1}}), "unknown field `unit`"),
            (json!([1]), "must be a text"),
        ] {
            let error = read(shape).unwrap_err().to_string();
            assert!(error.starts_with("[1]: ") && error.contains(word), "{error}");
        }
    }

    #[test]
    fn text_may_be_given_short() {
        serde_json::from_value::<Content>(json!({"text": "Halo"})).unwrap().check().unwrap();
    }
}
