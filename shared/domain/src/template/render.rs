//! A template with a message's values, as people will read it.

use std::borrow::Cow;

use super::Template;
use crate::content::{Header, Params, TemplateContent};

pub(super) fn text(template: &Template, content: &TemplateContent) -> String {
    let language = content.language.as_str();
    let header = |name: &str| match (&content.header, name) {
        (Some(Header::Text(value)), _) => value.written(language).ok(),
        _ => None,
    };
    let body = |name: &str| {
        let value = match &content.params {
            Params::Positional(values) => values.get(name.parse::<usize>().ok()?.checked_sub(1)?),
            Params::Named(values) => values.get(name),
        };
        value.and_then(|value| value.written(language).ok())
    };
    let parts = [
        template.text_of("HEADER").map(|text| filled(text, header)),
        template.text_of("BODY").map(|text| filled(text, body)),
        template.text_of("FOOTER").map(str::to_owned),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// A template's text with its placeholders replaced where there is a value.
fn filled<'v>(text: &str, value_of: impl Fn(&str) -> Option<Cow<'v, str>>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once("}}") else {
            filled.push_str("{{");
            rest = after;
            continue;
        };
        match value_of(name.trim()) {
            Some(value) => filled.push_str(&value),
            None => filled.push_str(&format!("{{{{{name}}}}}")),
        }
        rest = behind;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_take_the_places_of_their_names() {
        let template = Template::parse(json!({"name": "t", "language": "id", "components": [
            {"type": "HEADER", "format": "TEXT", "text": "Tagihan {{1}}"},
            {"type": "BODY", "text": "Halo {{1}}, {{ 2 }} jatuh tempo {{3}}. {{"},
            {"type": "FOOTER", "text": "Terima kasih"}]}))
        .unwrap();
        let content: TemplateContent = serde_json::from_value(json!({"name": "t", "language": "id",
            "header": {"text": "7781"},
            "params": ["Siti", {"money": {"amount": "2500000", "currency": "IDR"}}]}))
        .unwrap();
        let expected = "Tagihan 7781\nHalo Siti, Rp 2.500.000 jatuh tempo {{3}}. {{\nTerima kasih";
        assert_eq!(template.rendered(&content), expected);
    }
}
