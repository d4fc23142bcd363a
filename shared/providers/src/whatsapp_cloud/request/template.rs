//! A template's values into the platform's list of components. Components without values are left out.

use kabar_domain::content::{Button, ButtonValue, Header, ParamValue, Params, TemplateContent};
use serde::{Serialize, Serializer, ser::Error};
use serde_json::{Value, json};

/// A template as the platform takes it.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    name: &'a str,
    language: Language<'a>,
    #[serde(skip_serializing_if = "Components::is_empty")]
    components: Components<'a>,
}

#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Components<'a> {
    /// As the producer gave them.
    Given(&'a [Value]),
    Built(Vec<Component<'a>>),
}

#[derive(Serialize)]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_type: Option<&'static str>,
    /// The button's position; the platform takes it as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<String>,
    parameters: Vec<Parameter<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Parameter<'a> {
    Text {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter_name: Option<&'a str>,
        text: Text<'a>,
    },
    /// Kinds that are rare enough to be built as they come.
    Other(Value),
}

/// The text of a parameter.
enum Text<'a> {
    Plain(&'a str),
    /// Usually a text by now; a date or an amount is written in the template's language.
    Value {
        value: &'a ParamValue,
        language: &'a str,
    },
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(text) => serializer.serialize_str(text),
            Self::Value { value, language } => {
                serializer.serialize_str(&value.written(language).map_err(S::Error::custom)?)
            }
        }
    }
}

impl<'a> Written<'a> {
    pub(super) fn new(template: &'a TemplateContent) -> Self {
        let components = match &template.components {
            Some(given) => Components::Given(given),
            None => Components::Built(build(template)),
        };
        Self { name: &template.name, language: Language { code: &template.language }, components }
    }
}

impl Components<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Given(given) => given.is_empty(),
            Self::Built(built) => built.is_empty(),
        }
    }
}

fn build(template: &TemplateContent) -> Vec<Component<'_>> {
    let mut components = Vec::with_capacity(2 + template.buttons.len());
    if let Some(header) = &template.header {
        components.push(component("header", vec![header_parameter(header, &template.language)]));
    }
    if !template.params.is_empty() {
        components.push(component("body", body_parameters(&template.params, &template.language)));
    }
    components.extend(template.buttons.iter().enumerate().map(|(position, value)| button(position, value)));
    components
}

fn component<'a>(kind: &'static str, parameters: Vec<Parameter<'a>>) -> Component<'a> {
    Component { kind, sub_type: None, index: None, parameters }
}

fn text<'a>(parameter_name: Option<&'a str>, text: Text<'a>) -> Parameter<'a> {
    Parameter::Text { kind: "text", parameter_name, text }
}

fn body_parameters<'a>(params: &'a Params, language: &'a str) -> Vec<Parameter<'a>> {
    let of = |name, value| text(name, Text::Value { value, language });
    match params {
        Params::Positional(values) => values.iter().map(|value| of(None, value)).collect(),
        Params::Named(values) => values.iter().map(|(name, value)| of(Some(name.as_str()), value)).collect(),
    }
}

fn header_parameter<'a>(header: &'a Header, language: &'a str) -> Parameter<'a> {
    let kind = header.kind();
    Parameter::Other(match header {
        Header::Text(value) => return text(None, Text::Value { value, language }),
        Header::Image(media) | Header::Video(media) | Header::Document(media) => json!({"type": kind, kind: media}),
        Header::Location(place) => json!({"type": kind, kind: place}),
    })
}

fn button(position: usize, button: &Button) -> Component<'_> {
    let index = button.index.map_or(position, usize::from).to_string();
    let (sub_type, parameter) = match &button.value {
        ButtonValue::Url(end) => ("url", text(None, Text::Plain(end))),
        ButtonValue::QuickReply(payload) => {
            ("quick_reply", Parameter::Other(json!({"type": "payload", "payload": payload})))
        }
        ButtonValue::CopyCode(code) => {
            ("copy_code", Parameter::Other(json!({"type": "coupon_code", "coupon_code": code})))
        }
    };
    Component { sub_type: Some(sub_type), index: Some(index), ..component("button", vec![parameter]) }
}
