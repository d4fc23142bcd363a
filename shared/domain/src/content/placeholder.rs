//! `{field}` in a broadcast's values takes the recipient's own; `{{` and `}}` are braces.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Button, ButtonValue, Content, Fields, Header, Media, Params, TemplateContent};

type Change<'a> = dyn FnMut(&str) -> Result<String, MissingField> + 'a;

/// A field that a recipient does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the recipient has no value for {{{0}}}")]
pub struct MissingField(pub String);

pub(super) fn fields(content: &Content) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Every field is given a value here, so nothing can be missing.
    let _ = each_value(content, &mut |text| {
        replace(text, |field| {
            found.insert(field.to_owned());
            Some(String::new())
        })
    });
    found
}

pub(super) fn fill(content: &Content, fields: &Fields) -> Result<Content, MissingField> {
    each_value(content, &mut |text| replace(text, |field| fields.get(field).cloned()))
}

/// Maps every value of a template through `change`; other kinds of content have none.
fn each_value(content: &Content, change: &mut Change<'_>) -> Result<Content, MissingField> {
    let Content::Template(template) = content else { return Ok(content.clone()) };
    let params = match &template.params {
        Params::Positional(values) => {
            Params::Positional(values.iter().map(|value| change(value)).collect::<Result<_, _>>()?)
        }
        Params::Named(values) => Params::Named(
            values.iter().map(|(name, value)| Ok((name.clone(), change(value)?))).collect::<Result<_, _>>()?,
        ),
    };
    let header = match &template.header {
        Some(Header::Text(text)) => Some(Header::Text(change(text)?)),
        Some(Header::Image(media)) => Some(Header::Image(linked(media, change)?)),
        Some(Header::Video(media)) => Some(Header::Video(linked(media, change)?)),
        Some(Header::Document(media)) => Some(Header::Document(linked(media, change)?)),
        other => other.clone(),
    };
    let buttons = template
        .buttons
        .iter()
        .map(|button| {
            let value = match &button.value {
                ButtonValue::Url(text) => ButtonValue::Url(change(text)?),
                ButtonValue::QuickReply(text) => ButtonValue::QuickReply(change(text)?),
                ButtonValue::CopyCode(text) => ButtonValue::CopyCode(change(text)?),
            };
            Ok(Button { index: button.index, value })
        })
        .collect::<Result<_, _>>()?;
    let components = match &template.components {
        Some(components) => Some(components.iter().map(|value| json(value, change)).collect::<Result<_, _>>()?),
        None => None,
    };
    let (name, language) = (template.name.clone(), template.language.clone());
    Ok(Content::Template(TemplateContent { name, language, params, header, buttons, components }))
}

fn linked(media: &Media, change: &mut Change<'_>) -> Result<Media, MissingField> {
    let mut media = media.clone();
    for text in [&mut media.link, &mut media.filename].into_iter().flatten() {
        *text = change(text)?;
    }
    Ok(media)
}

fn json(value: &Value, change: &mut Change<'_>) -> Result<Value, MissingField> {
    Ok(match value {
        Value::String(text) => Value::String(change(text)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| json(item, change)).collect::<Result<_, _>>()?),
        Value::Object(entries) => Value::Object(
            entries.iter().map(|(name, item)| Ok((name.clone(), json(item, change)?))).collect::<Result<_, _>>()?,
        ),
        other => other.clone(),
    })
}

fn replace(text: &str, mut value_of: impl FnMut(&str) -> Option<String>) -> Result<String, MissingField> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        replaced.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            replaced.push_str(brace);
            rest = after;
        } else if brace == "{"
            && let Some((field, after)) = rest.split_once('}')
        {
            let field = field.trim();
            replaced.push_str(&value_of(field).ok_or_else(|| MissingField(field.to_owned()))?);
            rest = after;
        } else {
            replaced.push_str(brace);
        }
    }
    replaced.push_str(rest);
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn template(params: Value) -> Content {
        serde_json::from_value(json!({"template": {"name": "t", "language": "id", "params": params,
            "buttons": [{"url": "trip/{code}"}]}}))
        .unwrap()
    }

    #[test]
    fn fields_are_found_and_filled() {
        let content = template(json!({"1": "{name}", "2": "1 Des {{2026}}", "3": "{ package }"}));
        assert_eq!(content.fields().into_iter().collect::<Vec<_>>(), ["code", "name", "package"]);
        let mut fields: Fields =
            [("name", "Siti"), ("package", "Hemat")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(content.for_recipient(&fields), Err(MissingField("code".to_owned())));
        fields.insert("code".to_owned(), "x{y}".to_owned());
        let Content::Template(filled) = content.for_recipient(&fields).unwrap() else { panic!("a template stays one") };
        assert_eq!(filled.params, Params::Positional(vec!["Siti".into(), "1 Des {2026}".into(), "Hemat".into()]));
        assert_eq!(filled.buttons[0].value, ButtonValue::Url("trip/x{y}".into()));
    }

    proptest! {
        #[test]
        fn any_text_is_replaced_without_panic(text in ".{0,200}") {
            let _ = replace(&text, |_| Some("v".to_owned()));
        }

        #[test]
        fn escaped_braces_come_back(text in "[^{}]{0,20}[{}]{0,3}[^{}]{0,20}") {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(replace(&escaped, |_| None).unwrap(), text);
        }
    }
}
