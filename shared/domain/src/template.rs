//! A provider-approved message form, with the parameters that it needs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::{Header, Params, TemplateContent};

mod buttons;
mod parameters;
mod render;

pub use parameters::{Parameter, Place};

/// The longest template name, in characters; lower-case letters, digits and `_` (Cloud API, message templates).
pub const MAX_NAME_CHARS: usize = 512;

/// A template as its provider's object describes it, reduced to what is checked before anything is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// The language code, such as `id` or `en_US`.
    pub language: String,
    /// MARKETING, UTILITY or AUTHENTICATION.
    #[serde(default)]
    pub category: String,
    /// APPROVED, PAUSED, DISABLED and so on; a template added by hand without one counts as approved.
    #[serde(default = "approved")]
    pub status: String,
    /// NAMED or POSITIONAL, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_format: Option<String>,
    /// Why it was rejected, in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_reason: Option<String>,
    /// The template's components as the provider gives them: HEADER, BODY, FOOTER, BUTTONS.
    #[serde(default)]
    pub components: Vec<Value>,
}

fn approved() -> String {
    "APPROVED".to_owned()
}

/// Why a template object was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Not the JSON object of a template.
    #[error("not a template object: {0}")]
    Shape(String),
    /// The name breaks the platform's rule.
    #[error("template name {0:?}: use lower-case letters, digits and _ (at most {MAX_NAME_CHARS})")]
    Name(String),
    /// No BODY component.
    #[error("template {0:?} has no BODY component: add {{\"type\":\"BODY\",\"text\":\"…\"}} to \"components\"")]
    NoBody(String),
}

/// Why a message does not fit its template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Parameters that the template does not have.
    #[error("template {template:?} has no parameter {unknown}; it has {known}")]
    Unknown {
        /// The template.
        template: String,
        /// What was given too much.
        unknown: String,
        /// What it has.
        known: String,
    },
    /// Parameters that the template needs.
    #[error("template {template:?} needs parameter {missing}; add it to \"params\"")]
    Missing {
        /// The template.
        template: String,
        /// What was not given.
        missing: String,
    },
    /// A header or button takes a value and none was given, or the other way round.
    #[error("template {template:?} {problem}")]
    Part {
        /// The template.
        template: String,
        /// What is wrong.
        problem: String,
    },
}

impl Template {
    /// Reads the Cloud API's template object.
    ///
    /// # Errors
    /// When it is no template object, its name breaks the rule, or it has no body.
    pub fn parse(object: Value) -> Result<Self, InvalidTemplate> {
        let template: Self =
            serde_json::from_value(object).map_err(|error| InvalidTemplate::Shape(error.to_string()))?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if template.name.is_empty()
            || template.name.chars().count() > MAX_NAME_CHARS
            || !template.name.chars().all(fits)
        {
            return Err(InvalidTemplate::Name(template.name));
        }
        if template.text_of("BODY").is_none() {
            return Err(InvalidTemplate::NoBody(template.name));
        }
        Ok(template)
    }

    /// A template of which no more is known than its status.
    #[must_use]
    pub fn with_status(name: &str, language: &str, status: &str) -> Self {
        Self {
            name: name.to_owned(),
            language: language.to_owned(),
            category: String::new(),
            status: status.to_owned(),
            parameter_format: None,
            rejected_reason: None,
            components: Vec::new(),
        }
    }

    /// Whether messages with it may be sent now.
    #[must_use]
    pub fn is_sendable(&self) -> bool {
        matches!(self.status.as_str(), "APPROVED" | "REINSTATED")
    }

    /// Whether it will never be sendable again.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        matches!(self.status.as_str(), "DISABLED" | "DELETED" | "REJECTED" | "PENDING_DELETION")
    }

    /// Checks a message's parameters against the template's.
    ///
    /// # Errors
    /// The first misfit: an unknown or missing parameter, or a header or button of the wrong kind.
    pub fn check(&self, content: &TemplateContent) -> Result<(), Misfit> {
        if content.components.is_some() {
            return Ok(());
        }
        let known = self.text_of("BODY").map(placeholders).unwrap_or_default();
        let given: Vec<String> = match &content.params {
            Params::Positional(values) => (1..=values.len()).map(|number| number.to_string()).collect(),
            Params::Named(values) => values.keys().cloned().collect(),
        };
        let list = |names: &[&String]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let unknown: Vec<_> = given.iter().filter(|name| !known.contains(*name)).collect();
        if !unknown.is_empty() {
            let known: Vec<_> = known.iter().collect();
            let known = if known.is_empty() { "none".to_owned() } else { list(&known) };
            return Err(Misfit::Unknown { template: self.name.clone(), unknown: list(&unknown), known });
        }
        let missing: Vec<_> = known.iter().filter(|name| !given.contains(*name)).collect();
        if !missing.is_empty() {
            return Err(Misfit::Missing { template: self.name.clone(), missing: list(&missing) });
        }
        self.check_header(content.header.as_ref())?;
        self.check_buttons(&content.buttons)
    }

    /// What it says with these values, as people will read it: header, body and footer, one below the other. Values that
    /// are not given stay as their placeholders.
    #[must_use]
    pub fn rendered(&self, content: &TemplateContent) -> String {
        render::text(self, content)
    }

    /// Everything that its messages give values for, in the order of its parts.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        parameters::of(self)
    }

    fn check_header(&self, given: Option<&Header>) -> Result<(), Misfit> {
        let misfit = |problem: String| Err(Misfit::Part { template: self.name.clone(), problem });
        let component = self.component("HEADER");
        let format = component.and_then(|c| c.get("format")).and_then(Value::as_str).unwrap_or("TEXT");
        let needs_text = self.text_of("HEADER").is_some_and(|text| !placeholders(text).is_empty());
        let needed = match (component, format) {
            (None, _) => None,
            (Some(_), "TEXT") => needs_text.then_some("text"),
            (Some(_), "IMAGE") => Some("image"),
            (Some(_), "VIDEO") => Some("video"),
            (Some(_), "DOCUMENT") => Some("document"),
            (Some(_), "LOCATION") => Some("location"),
            _ => return Ok(()),
        };
        match (needed, given.map(Header::kind)) {
            (Some(needed), Some(given)) if needed == given => Ok(()),
            (None, None) => Ok(()),
            (Some(needed), _) => {
                misfit(format!("needs a header of kind {needed}; add \"header\": {{\"{needed}\": …}}"))
            }
            (None, Some(_)) => misfit("takes no header value; leave \"header\" out".to_owned()),
        }
    }

    fn component(&self, kind: &str) -> Option<&Value> {
        self.components
            .iter()
            .find(|c| c.get("type").and_then(Value::as_str).is_some_and(|t| t.eq_ignore_ascii_case(kind)))
    }

    fn text_of(&self, kind: &str) -> Option<&str> {
        self.component(kind)?.get("text")?.as_str()
    }
}

/// The names inside `{{…}}` of a template text.
fn placeholders(text: &str) -> BTreeSet<String> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reminder() -> Template {
        Template::parse(json!({
            "name": "payment_reminder", "language": "id", "category": "UTILITY",
            "components": [{"type": "BODY", "text": "Halo {{1}}, tagihan {{2}} jatuh tempo."}]
        }))
        .unwrap()
    }

    fn content(params: Value) -> TemplateContent {
        serde_json::from_value(json!({"name": "payment_reminder", "language": "id", "params": params})).unwrap()
    }

    #[test]
    fn parameters_are_checked_with_names() {
        let template = reminder();
        template.check(&content(json!(["Siti", "Rp1"]))).unwrap();
        template.check(&content(json!({"2": "Rp1", "1": "Siti"}))).unwrap();
        let missing = template.check(&content(json!(["Siti"]))).unwrap_err().to_string();
        assert!(missing.contains("\"2\""), "{missing}");
        let unknown = template.check(&content(json!({"1": "a", "2": "b", "nama": "c"}))).unwrap_err().to_string();
        assert!(unknown.contains("nama") && unknown.contains("\"1\", \"2\""), "{unknown}");
    }

    #[test]
    fn a_media_header_must_be_given() {
        let template = Template::parse(json!({
            "name": "t", "language": "id",
            "components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "x"}]
        }))
        .unwrap();
        let plain = serde_json::from_value(json!({"name": "t", "language": "id"})).unwrap();
        assert!(template.check(&plain).unwrap_err().to_string().contains("image"));
    }

    #[test]
    fn buttons_that_take_a_value_must_be_given_one_of_their_kind() {
        let template = Template::parse(json!({
            "name": "t", "language": "id",
            "components": [{"type": "BODY", "text": "x"}, {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Ya"}, {"type": "URL", "text": "Buka", "url": "https://x.example/{{1}}"},
                {"type": "URL", "text": "Situs", "url": "https://x.example/"}, {"type": "COPY_CODE", "example": "A1"}]}]
        }))
        .unwrap();
        let content = |buttons: Value| {
            serde_json::from_value(json!({"name": "t", "language": "id", "buttons": buttons})).unwrap()
        };
        let check = |buttons: Value| template.check(&content(buttons)).map_err(|misfit| misfit.to_string());
        let (url, code) = (json!({"index": 1, "url": "7"}), json!({"index": 3, "copy_code": "A1"}));
        check(json!([url, code])).unwrap();
        check(json!([{"index": 0, "quick_reply": "ya"}, url, code])).unwrap();
        for (buttons, word) in [
            (json!([]), "button 1"),
            (json!([url]), "\"copy_code\""),
            (json!([url, code, {"index": 2, "url": "8"}]), "button 2 takes no url"),
            (json!([url, code, {"index": 4, "url": "8"}]), "no button 4"),
            (json!([{"index": 1, "quick_reply": "7"}, code]), "button 1 takes no quick_reply"),
        ] {
            let problem = check(buttons).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }

    #[test]
    fn parameters_are_told_with_place_kind_and_example() {
        let template = Template::parse(json!({
            "name": "t", "language": "id", "parameter_format": "NAMED",
            "components": [
                {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://x.example/a.png"]}},
                {"type": "BODY", "text": "Halo {{nama}}, {{total}}", "example": {"body_text_named_params": [
                    {"param_name": "total", "example": "Rp 1"}, {"param_name": "nama", "example": "Siti"}]}},
                {"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://x.example/{{1}}",
                    "example": ["https://x.example/7"]}]}]
        }))
        .unwrap();
        let told: Vec<_> = template
            .parameters()
            .into_iter()
            .map(|one| format!("{:?} {} {} {}", one.place, one.name, one.kind, one.example.unwrap_or_default()))
            .collect();
        assert_eq!(
            told,
            [
                "Header header image https://x.example/a.png",
                "Body nama text Siti",
                "Body total text Rp 1",
                "Button 0 url https://x.example/7",
            ]
        );
    }

    #[test]
    fn a_template_without_body_or_with_a_bad_name_is_refused() {
        assert!(matches!(
            Template::parse(json!({"name": "Bad Name", "language": "id"})),
            Err(InvalidTemplate::Name(_))
        ));
        assert!(matches!(Template::parse(json!({"name": "ok", "language": "id"})), Err(InvalidTemplate::NoBody(_))));
    }
}
