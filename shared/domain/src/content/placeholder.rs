//! `{field}` in a broadcast's values takes the recipient's own; `{{` and `}}` are braces.

use std::{collections::BTreeSet, convert::Infallible};

use chrono::NaiveDate;
use kabar_wording::Unwritable;
use serde_json::Value;

use super::{Button, ButtonValue, Content, Fields, Header, Media, ParamValue, TemplateContent};

/// The field of a reminder's dates that is its due day.
const DUE: &str = "due";

type Change<'a> = dyn FnMut(&str) -> Result<String, CannotFill> + 'a;

/// Why a content cannot be made for a recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotFill {
    /// The recipient has no value for a field.
    #[error("the recipient has no value for {{{0}}}")]
    Missing(String),
    /// A value is no date, time, number or amount, where the content takes one.
    #[error("a value {0}")]
    Unwritable(#[from] Unwritable),
}

pub(super) fn fields(content: &Content) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Every field is given a value here, so nothing can be missing.
    let _ = each_value(content, &mut |text| note_fields(text, &mut found));
    found
}

pub(super) fn typed_fields(content: &Content) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Content::Template(template) = content {
        let _ = template.map_values(|value| match value {
            ParamValue::Text(_) => Ok(value.clone()),
            ParamValue::Typed(_) => value.map(|text| note_fields(text, &mut found)),
        });
    }
    found
}

fn note_fields(text: &str, found: &mut BTreeSet<String>) -> Result<String, CannotFill> {
    replace(text, |field| {
        found.insert(field.to_owned());
        Some(String::new())
    })
}

pub(super) fn fill(content: &Content, fields: &Fields) -> Result<Content, CannotFill> {
    let value_of = |field: &str| fields.get(field).filter(|value| !value.is_empty()).cloned();
    each_value(content, &mut |text| replace(text, value_of))
}

pub(super) fn due_on(content: &Content, due: NaiveDate) -> Content {
    let Content::Template(template) = content else { return content.clone() };
    let filled = template.map_values(|value| match value {
        ParamValue::Text(_) => Ok(value.clone()),
        ParamValue::Typed(_) => value.map(|text| {
            // A field that nothing fills stays, and is no date then.
            replace(text, |field| if field == DUE { Some(due.to_string()) } else { None })
                .or_else(|_| Ok(text.to_owned()))
        }),
    });
    let filled: Result<TemplateContent, Infallible> = filled;
    filled.map_or_else(|never| match never {}, Content::Template)
}

/// Maps every value of a template through `change`; other kinds of content have none.
fn each_value(content: &Content, change: &mut Change<'_>) -> Result<Content, CannotFill> {
    let Content::Template(template) = content else { return Ok(content.clone()) };
    let mut template = template.map_values(|value| value.map(&mut *change))?;
    match &mut template.header {
        Some(Header::Image(media) | Header::Video(media) | Header::Document(media)) => *media = linked(media, change)?,
        Some(Header::Text(_) | Header::Location(_)) | None => {}
    }
    for Button { value, .. } in &mut template.buttons {
        let (ButtonValue::Url(text) | ButtonValue::QuickReply(text) | ButtonValue::CopyCode(text)) = value;
        *text = change(text)?;
    }
    for component in template.components.iter_mut().flatten() {
        *component = json(component, change)?;
    }
    Ok(Content::Template(template))
}

fn linked(media: &Media, change: &mut Change<'_>) -> Result<Media, CannotFill> {
    let mut media = media.clone();
    for text in [&mut media.link, &mut media.filename].into_iter().flatten() {
        *text = change(text)?;
    }
    Ok(media)
}

fn json(value: &Value, change: &mut Change<'_>) -> Result<Value, CannotFill> {
    Ok(match value {
        Value::String(text) => Value::String(change(text)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| json(item, change)).collect::<Result<_, _>>()?),
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(name, item)| json(item, change).map(|item| (name.clone(), item)))
                .collect::<Result<_, _>>()?,
        ),
        other => other.clone(),
    })
}

fn replace(text: &str, mut value_of: impl FnMut(&str) -> Option<String>) -> Result<String, CannotFill> {
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
            replaced.push_str(&value_of(field).ok_or_else(|| CannotFill::Missing(field.to_owned()))?);
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
    use crate::content::Params;

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
        assert_eq!(content.for_recipient(&fields), Err(CannotFill::Missing("code".to_owned())));
        fields.insert("code".to_owned(), "x{y}".to_owned());
        let Content::Template(filled) = content.for_recipient(&fields).unwrap() else { panic!("a template stays one") };
        assert_eq!(filled.params, Params::Positional(vec!["Siti".into(), "1 Des {2026}".into(), "Hemat".into()]));
        assert_eq!(filled.buttons[0].value, ButtonValue::Url("trip/x{y}".into()));
    }

    fn values(content: &Content) -> Vec<&str> {
        let Content::Template(TemplateContent { params: Params::Positional(values), .. }) = content else {
            panic!("positions")
        };
        values.iter().filter_map(ParamValue::as_text).collect()
    }

    #[test]
    fn dates_and_amounts_take_fields_and_are_written_in_the_templates_language() {
        let content: Content = serde_json::from_value(json!({"template": {"name": "t", "language": "id", "params": [
            {"date": "{due}"}, {"money": {"amount": "{total}", "currency": "IDR"}}, "{name}", {"number": 1500}]}}))
        .unwrap();
        assert_eq!(content.typed_fields().into_iter().collect::<Vec<_>>(), ["due", "total"]);
        let mut fields: Fields = [("due", "2026-12-12"), ("total", "2500000"), ("name", "Siti")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let filled = content.for_recipient(&fields).unwrap();
        assert_eq!(values(&filled), ["12 Des 2026", "Rp 2.500.000", "Siti", "1.500"]);
        fields.insert("total".to_owned(), "2,5 juta".to_owned());
        assert_eq!(content.for_recipient(&fields), Err(CannotFill::Unwritable(Unwritable::Number)));
    }

    #[test]
    fn the_dates_of_a_reminder_take_its_due_day_and_its_texts_do_not() {
        let content: Content = serde_json::from_value(json!({"template": {"name": "t", "language": "en",
            "params": [{"date": "{due}"}, "{due}", {"date": "{other}"}]}}))
        .unwrap();
        let due = content.due_on(NaiveDate::from_ymd_opt(2026, 12, 12).unwrap());
        let Content::Template(TemplateContent { params: Params::Positional(params), .. }) = &due else { panic!() };
        assert_eq!(params[0].written("en").unwrap(), "Dec 12, 2026");
        assert_eq!(params[1], "{due}".into());
        assert_eq!(params[2].written("en"), Err(Unwritable::Date));
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
