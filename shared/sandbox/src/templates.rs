//! The account's templates, in memory. While there is none, template messages of any name are accepted; as soon as one
//! is registered, messages are held against the list as on the platform.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::RwLock;

use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::content::template::TemplateUse;

/// The most templates of a verified business.
pub(crate) const TEMPLATES_MAX: usize = 6_000;

/// The registered templates by name, each in its languages.
#[derive(Default)]
pub(crate) struct Templates {
    by_name: RwLock<BTreeMap<String, Vec<Template>>>,
}

/// One template in one language.
#[derive(Clone)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) status: String,
    /// How many different placeholders its body has.
    body_parameters: usize,
    /// Category in the lower case that prices are given in.
    price_category: &'static str,
    /// What the list shows.
    pub(crate) shown: Map<String, Value>,
}

impl Template {
    /// A template as it was registered; `shown` is its JSON with id and status.
    pub(crate) fn new(name: String, language: String, status: String, shown: Map<String, Value>) -> Self {
        let body_parameters = placeholders(body_text(&shown));
        let price_category = match shown.get("category").and_then(Value::as_str) {
            Some("MARKETING") => "marketing",
            Some("AUTHENTICATION") => "authentication",
            _ => "utility",
        };
        Self { name, language, status, body_parameters, price_category, shown }
    }
}

impl Templates {
    /// Adds a template. The same name and language twice, or more than the platform's bound, is an error.
    pub(crate) fn register(&self, template: Template) -> Result<(), ApiError> {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if by_name.values().map(Vec::len).sum::<usize>() >= TEMPLATES_MAX {
            return Err(ApiError::parameter(format!("The account has its {TEMPLATES_MAX} templates already.")));
        }
        let languages = by_name.entry(template.name.clone()).or_default();
        if languages.iter().any(|known| known.language == template.language) {
            return Err(ApiError::parameter("There is already a template of this name in this language."));
        }
        languages.push(template);
        Ok(())
    }

    /// Every template in the order of their names.
    pub(crate) fn all(&self) -> Vec<Template> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.values().flatten().cloned().collect()
    }

    /// Whether a message may use its template; answers the category that it is priced in.
    pub(crate) fn check(&self, used: &TemplateUse<'_>) -> Result<&'static str, ApiError> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if by_name.is_empty() {
            return Ok("utility");
        }
        let languages = by_name.get(used.name).map(Vec::as_slice).unwrap_or_default();
        let template = languages.iter().find(|known| known.language == used.language).ok_or_else(|| {
            let details = format!("template name ({}) does not exist in {}", used.name, used.language);
            ApiError::with_details(132_001, details)
        })?;
        match template.status.as_str() {
            "APPROVED" | "REINSTATED" => {}
            "PAUSED" => return Err(ApiError::of_code(132_015)),
            "DISABLED" => return Err(ApiError::of_code(132_016)),
            other => {
                let details = format!("template name ({}) is {other} in {}", used.name, used.language);
                return Err(ApiError::with_details(132_001, details));
            }
        }
        if template.body_parameters != used.body_parameters {
            return Err(ApiError::with_details(
                132_000,
                format!(
                    "body: number of localizable_params ({}) does not match the expected number of params ({})",
                    used.body_parameters, template.body_parameters
                ),
            ));
        }
        Ok(template.price_category)
    }
}

fn body_text(shown: &Map<String, Value>) -> &str {
    let components = shown.get("components").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_body = |component: &&Value| {
        component.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("body"))
    };
    components.iter().find(is_body).and_then(|body| body.get("text")).and_then(Value::as_str).unwrap_or_default()
}

/// How many different `{{placeholders}}` a text has.
fn placeholders(text: &str) -> usize {
    let mut seen: Vec<&str> = text
        .split("{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}"))
        .map(|(name, _)| name.trim())
        .filter(|name| !name.is_empty())
        .collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_placeholders_count_once() {
        assert_eq!(placeholders("Hello {{1}}, pay {{ 2 }} by {{3}}. Thanks, {{1}}."), 3);
        assert_eq!(placeholders("Hello {{name}} {{"), 1);
        assert_eq!(placeholders("Hello"), 0);
    }
}
