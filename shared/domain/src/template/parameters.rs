//! What the messages of a template give values for: names, kinds and the examples that it was approved with.

use serde::Serialize;
use serde_json::Value;

use super::{Template, buttons, placeholders};

/// The part of a template that takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The header, `"header"` in a job.
    Header,
    /// The body, `"params"` in a job.
    Body,
    /// A button, `"buttons"` in a job.
    Button,
}

/// One value that messages give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Where it goes.
    pub place: Place,
    /// Its name or number; `header` for a file, a button's position from 0.
    pub name: String,
    /// `text`, a kind of file, or what a button takes.
    pub kind: String,
    /// Whether nothing can be sent without it.
    pub required: bool,
    /// A value as it was shown to whoever approved the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

pub(super) fn of(template: &Template) -> Vec<Parameter> {
    let mut found = Vec::new();
    if let Some(header) = template.component("HEADER") {
        let format = header.get("format").and_then(Value::as_str).unwrap_or("TEXT").to_ascii_lowercase();
        match format.as_str() {
            "text" => found.extend(texts(header, Place::Header, "header_text", "header_text_named_params")),
            kind => found.push(Parameter {
                place: Place::Header,
                name: "header".to_owned(),
                kind: kind.to_owned(),
                required: true,
                example: header.pointer("/example/header_handle/0").and_then(text),
            }),
        }
    }
    if let Some(body) = template.component("BODY") {
        found.extend(texts(body, Place::Body, "body_text", "body_text_named_params"));
    }
    for (index, button) in template.buttons().iter().enumerate() {
        let Some(taken) = buttons::taken(button) else { continue };
        let example = button.get("example").and_then(|example| text(example).or_else(|| example.get(0).and_then(text)));
        found.push(Parameter {
            place: Place::Button,
            name: index.to_string(),
            kind: taken.kind.to_owned(),
            required: taken.required,
            example,
        });
    }
    found
}

/// The values inside a text, with the examples that stand beside it under one of two names.
fn texts(component: &Value, place: Place, positional: &str, named: &str) -> Vec<Parameter> {
    let names = placeholders(component.get("text").and_then(Value::as_str).unwrap_or_default());
    let example = |name: &str| {
        let examples = component.get("example")?;
        let listed = examples.get(named).and_then(Value::as_array).into_iter().flatten();
        let mut of_name = listed.filter(|one| one.get("param_name").and_then(Value::as_str) == Some(name));
        if let Some(example) = of_name.next().and_then(|one| one.get("example")).and_then(text) {
            return Some(example);
        }
        // Several sets of values may be listed; the first will do.
        let list = examples.get(positional)?;
        let list = list.get(0).filter(|first| first.is_array()).unwrap_or(list);
        list.get(name.parse::<usize>().ok()?.checked_sub(1)?).and_then(text)
    };
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by_key(|name| (name.parse::<usize>().unwrap_or(usize::MAX), name.clone()));
    names
        .into_iter()
        .map(|name| Parameter { place, kind: "text".to_owned(), required: true, example: example(&name), name })
        .collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
