//! What a message says: the Cloud API's shapes, checked once at the door.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

mod limits;
mod placeholder;

pub use limits::InvalidContent;
pub use placeholder::MissingField;

/// The values that a recipient brings along, by field name.
pub type Fields = BTreeMap<String, String>;

/// The content of a message, in the Cloud API's own shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A provider-approved template with its values.
    Template(TemplateContent),
    /// Free text, inside the 24-hour service window.
    #[serde(deserialize_with = "text_or_object")]
    Text(TextContent),
    /// An image by `id` or `link`.
    Image(Media),
    /// A video by `id` or `link`.
    Video(Media),
    /// A sound by `id` or `link`.
    Audio(Media),
    /// A document by `id` or `link`.
    Document(Media),
    /// A sticker by `id` or `link`.
    Sticker(Media),
    /// A place.
    Location(Value),
    /// Contact cards.
    Contacts(Value),
    /// Buttons, a list or a link.
    Interactive(Value),
    /// An emoji on an earlier message.
    Reaction(Value),
}

/// A template's name and language with the values for its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateContent {
    /// The template's name.
    pub name: String,
    /// Its language code, such as `id` or `en_US`.
    pub language: String,
    /// Values for the body.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub params: Params,
    /// The value for the header, where it takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// The values for buttons that take one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
    /// The Cloud API's own list of components, in the place of `params`, `header` and `buttons`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<Value>>,
}

/// Values for a template's body.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Params {
    /// By position, the first for `{{1}}`.
    Positional(Vec<String>),
    /// By name.
    Named(BTreeMap<String, String>),
}

impl Default for Params {
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

impl Params {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Positional(values) => values.is_empty(),
            Self::Named(values) => values.is_empty(),
        }
    }
}

/// Lists give positions, objects names; an object numbered 1, 2, 3 … without a gap gives positions, too.
impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "params must be a list of values or an object of values by name")]
        enum Typed {
            List(Vec<Scalar>),
            Object(BTreeMap<String, Scalar>),
        }
        Ok(match Typed::deserialize(deserializer)? {
            Typed::List(values) => Self::Positional(values.into_iter().map(|value| value.0).collect()),
            Typed::Object(mut values) => {
                let numbered = (1..=values.len()).map(|number| number.to_string());
                if numbered.clone().all(|number| values.contains_key(&number)) {
                    Self::Positional(
                        numbered.filter_map(|number| values.remove(&number)).map(|value| value.0).collect(),
                    )
                } else {
                    Self::Named(values.into_iter().map(|(name, value)| (name, value.0)).collect())
                }
            }
        })
    }
}

/// A text, a number or a truth value, written as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Bool(truth) => Ok(Self(truth.to_string())),
            _ => Err(serde::de::Error::custom("a parameter must be a text or a number")),
        }
    }
}

/// The value for a template's header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// For a text header with a variable.
    Text(String),
    /// For an image header.
    Image(Media),
    /// For a video header.
    Video(Media),
    /// For a document header.
    Document(Media),
    /// For a location header.
    Location(Value),
}

impl Header {
    /// The kind, as the Cloud API names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Document(_) => "document",
            Self::Location(_) => "location",
        }
    }
}

/// The value for one button of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// The button's position, from 0; the value's own position in the list where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u8>,
    /// What the button takes.
    #[serde(flatten)]
    pub value: ButtonValue,
}

/// What a button takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ButtonValue {
    /// The end of a link.
    Url(String),
    /// What comes back when a quick reply is tapped.
    QuickReply(String),
    /// The code that is copied.
    CopyCode(String),
}

/// Free text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextContent {
    /// The text, at most 4,096 characters.
    pub body: String,
    /// Whether the first link is shown with a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<bool>,
}

fn text_or_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TextContent, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "text must be {\"body\": \"…\"}")]
    enum Typed {
        Text(String),
        Object(TextContent),
    }
    Ok(match Typed::deserialize(deserializer)? {
        Typed::Text(body) => TextContent { body, preview_url: None },
        Typed::Object(text) => text,
    })
}

/// A file that the provider has (`id`) or fetches (`link`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// The provider's id of an uploaded file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// An http or https address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The text under it, at most 1,024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// The name under which a document is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether a sound is shown as a voice note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<bool>,
}

impl Content {
    /// The kind, as the Cloud API names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Template(_) => "template",
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Document(_) => "document",
            Self::Sticker(_) => "sticker",
            Self::Location(_) => "location",
            Self::Contacts(_) => "contacts",
            Self::Interactive(_) => "interactive",
            Self::Reaction(_) => "reaction",
        }
    }

    /// Checks the platform's limits.
    ///
    /// # Errors
    /// The first limit that is broken, with the field and what is allowed.
    pub fn check(&self) -> Result<(), InvalidContent> {
        limits::check(self)
    }

    /// The fields that its values take from the recipient.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<String> {
        placeholder::fields(self)
    }

    /// The content for one recipient: every `{field}` replaced by the recipient's value.
    ///
    /// # Errors
    /// The first field that the recipient does not have.
    pub fn for_recipient(&self, fields: &Fields) -> Result<Self, MissingField> {
        placeholder::fill(self, fields)
    }
}
