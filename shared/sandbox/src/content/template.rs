//! Template messages: which template they use, and whether their parameters are well formed.
//!
//! Whether the template exists and takes that many parameters is for [`templates`](crate::templates) to say.

use crate::api::error::ApiError;
use crate::content::fields::Fields;
use crate::content::media;

const NAME_CHARACTERS_MAX: usize = 512;
const LANGUAGE_CHARACTERS_MAX: usize = 16;
const PARAMETER_CHARACTERS_MAX: usize = 32_768;

/// The template that a message uses.
#[derive(Clone, Copy)]
pub(crate) struct TemplateUse<'a> {
    pub(crate) name: &'a str,
    pub(crate) language: &'a str,
    /// How many parameters the message gives for the template's body.
    pub(crate) body_parameters: usize,
}

pub(crate) fn parse<'a>(template: Fields<'a>) -> Result<TemplateUse<'a>, ApiError> {
    let name = template.text("name", NAME_CHARACTERS_MAX)?;
    let language = template.object("language", "template['language']")?.text("code", LANGUAGE_CHARACTERS_MAX)?;
    let mut body_parameters = 0;
    for component in template.optional_list("components")?.unwrap_or_default() {
        let component = Fields::of(component, "template['components'][]")?;
        let parameters = component.optional_list("parameters")?.unwrap_or_default();
        match component.text("type", 32)? {
            kind if kind.eq_ignore_ascii_case("body") => body_parameters += parameters.len(),
            kind if kind.eq_ignore_ascii_case("button") => check_button(component)?,
            _ => {}
        }
        for parameter in parameters {
            check_parameter(Fields::of(parameter, "parameters[]")?)?;
        }
    }
    Ok(TemplateUse { name, language, body_parameters })
}

fn check_button(button: Fields<'_>) -> Result<(), ApiError> {
    button.text("sub_type", 64)?;
    let index = button.get("index").ok_or_else(|| button.missing("index"))?;
    let number = index.as_u64().or_else(|| index.as_str().and_then(|text| text.parse().ok()));
    match number {
        Some(0..=9) => Ok(()),
        _ => Err(button.invalid("index", "must be from 0 to 9")),
    }
}

fn check_parameter(parameter: Fields<'_>) -> Result<(), ApiError> {
    match parameter.text("type", 32)? {
        "text" => check_text(parameter.text("text", PARAMETER_CHARACTERS_MAX)?),
        "currency" => parameter.object("currency", "currency")?.text("fallback_value", 1_024).map(drop),
        "date_time" => parameter.object("date_time", "date_time")?.text("fallback_value", 1_024).map(drop),
        "image" => media::check(parameter.object("image", "image")?, media::Caption::None),
        "video" => media::check(parameter.object("video", "video")?, media::Caption::None),
        "document" => media::check(parameter.object("document", "document")?, media::Caption::None),
        // Payloads, coupon codes, locations and whatever comes next: only their kind is looked at.
        _ => Ok(()),
    }
}

/// A parameter's text may hold no new line, no tab and no more than four spaces in a row.
fn check_text(text: &str) -> Result<(), ApiError> {
    if text.contains(['\n', '\r', '\t']) || text.contains("     ") {
        return Err(ApiError::with_details(
            132_012,
            "A text parameter has a new line, a tab or more than four spaces in a row.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn code(template: &Value) -> i64 {
        match Fields::of(template, "template").and_then(parse) {
            Ok(_) => 0,
            Err(error) => error.code(),
        }
    }

    fn with_text(text: &str) -> Value {
        json!({"name": "due", "language": {"code": "id"}, "components": [
            {"type": "BODY", "parameters": [{"type": "text", "text": "one"}, {"type": "text", "text": text}]}
        ]})
    }

    #[test]
    fn name_and_language_are_required() {
        assert_eq!(code(&json!({"language": {"code": "id"}})), 131_008);
        assert_eq!(code(&json!({"name": "due"})), 131_008);
        assert_eq!(code(&json!({"name": "due", "language": {}})), 131_008);
        assert_eq!(code(&json!({"name": "due", "language": {"code": "id"}})), 0);
    }

    #[test]
    fn body_parameters_are_counted() {
        let template = with_text("two");
        let used = Fields::of(&template, "template").and_then(parse).unwrap();
        assert_eq!((used.name, used.language, used.body_parameters), ("due", "id", 2));
    }

    #[test]
    fn parameters_must_be_well_formed() {
        assert_eq!(code(&with_text("two\nlines")), 132_012);
        assert_eq!(code(&with_text("a     b")), 132_012);
        assert_eq!(code(&with_text("a    b")), 0);
        assert_eq!(code(&with_text("")), 131_008);
        let button = |index: Value| {
            json!({"name": "due", "language": {"code": "id"}, "components": [
                {"type": "button", "sub_type": "url", "index": index, "parameters": [{"type": "text", "text": "x"}]}
            ]})
        };
        assert_eq!(code(&button(json!("0"))), 0);
        assert_eq!(code(&button(json!("x"))), 131_009);
    }
}
