//! What a message says: the Cloud API's shapes, checked once at the door.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use kabar_wording::Unwritable;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use crate::message::SkipReason;

mod limits;
mod placeholder;
mod value;

pub use limits::InvalidContent;
pub use placeholder::CannotFill;
pub use value::{Money, ParamValue, TypedValue};

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
    Positional(Vec<ParamValue>),
    /// By name.
    Named(BTreeMap<String, ParamValue>),
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
        let value = |name: &str, value: Value| {
            serde_json::from_value::<ParamValue>(value).map_err(|error| D::Error::custom(format!("{name}: {error}")))
        };
        match Value::deserialize(deserializer)? {
            Value::Array(values) => {
                let numbered = values.into_iter().enumerate();
                Ok(Self::Positional(
                    numbered.map(|(at, one)| value(&format!("[{at}]"), one)).collect::<Result<_, _>>()?,
                ))
            }
            Value::Object(mut values) => {
                let numbered = (1..=values.len()).map(|number| number.to_string());
                if numbered.clone().all(|number| values.contains_key(&number)) {
                    let values = numbered.filter_map(|number| values.remove(&number).map(|one| value(&number, one)));
                    Ok(Self::Positional(values.collect::<Result<_, _>>()?))
                } else {
                    let values = values.into_iter().map(|(name, one)| Ok((name.clone(), value(&name, one)?)));
                    Ok(Self::Named(values.collect::<Result<_, D::Error>>()?))
                }
            }
            _ => Err(D::Error::custom("params must be a list of values or an object of values by name")),
        }
    }
}

/// The value for a template's header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// For a text header with a variable.
    Text(ParamValue),
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

    /// The language of its values: the template's, else English, which nothing is written in.
    #[must_use]
    pub fn language(&self) -> &str {
        if let Self::Template(template) = self { &template.language } else { "en" }
    }

    /// Checks the platform's limits. What takes a field is not judged before it is filled.
    ///
    /// # Errors
    /// The first limit that is broken, with the field and what is allowed.
    pub fn check(&self) -> Result<(), InvalidContent> {
        limits::check(self, limits::Fields::Open)
    }

    /// Checks the platform's limits of content that takes no fields, or whose fields were filled.
    ///
    /// # Errors
    /// The first limit that is broken, with the field and what is allowed.
    pub fn check_filled(&self) -> Result<(), InvalidContent> {
        limits::check(self, limits::Fields::Filled)
    }

    /// The fields that its values take from the recipient.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<String> {
        placeholder::fields(self)
    }

    /// Those of its fields that a date, time, number or amount takes.
    #[must_use]
    pub fn typed_fields(&self) -> BTreeSet<String> {
        placeholder::typed_fields(self)
    }

    /// The content for one recipient: every `{field}` replaced by the recipient's value, and dates, times, numbers and
    /// amounts written in the template's language.
    ///
    /// # Errors
    /// The first field that the recipient does not have or that is empty, or whose value is none of its kind.
    pub fn for_recipient(&self, fields: &Fields) -> Result<Self, CannotFill> {
        let filled = placeholder::fill(self, fields)?;
        if self.is_typed() { Ok(filled.written()?) } else { Ok(filled) }
    }

    /// Whether any of its values is a date, time, number or amount.
    fn is_typed(&self) -> bool {
        let Self::Template(template) = self else { return false };
        let header = if let Some(Header::Text(value)) = &template.header { Some(value) } else { None };
        let typed = |value: &ParamValue| value.as_text().is_none();
        header.is_some_and(typed)
            || match &template.params {
                Params::Positional(values) => values.iter().any(typed),
                Params::Named(values) => values.values().any(typed),
            }
    }

    /// Whether it can be sent with these values of a recipient.
    ///
    /// # Errors
    /// Why the recipient is skipped: a value is missing or empty, is none of its kind, or breaks a limit.
    pub fn suits(&self, fields: &Fields) -> Result<(), SkipReason> {
        match self.for_recipient(fields) {
            Ok(filled) => filled.check_filled().map_err(|_| SkipReason::InvalidParameter),
            Err(CannotFill::Missing(_)) => Err(SkipReason::MissingParameter),
            Err(CannotFill::Unwritable(_)) => Err(SkipReason::InvalidParameter),
        }
    }

    /// The content of a reminder that is due on this day: in a date, `{due}` is that day. Texts stay as they are.
    #[must_use]
    pub fn due_on(&self, due: NaiveDate) -> Self {
        placeholder::due_on(self, due)
    }

    /// The content with dates, times, numbers and amounts written in the template's language.
    ///
    /// # Errors
    /// When a value is none of its kind, or CLDR does not know the language.
    pub fn written(&self) -> Result<Self, Unwritable> {
        let Self::Template(template) = self else { return Ok(self.clone()) };
        let language = template.language.as_str();
        template.map_values(|value| Ok(ParamValue::Text(value.written(language)?.into_owned()))).map(Self::Template)
    }
}

impl TemplateContent {
    /// The template with the values of body and header changed.
    fn map_values<E>(&self, mut change: impl FnMut(&ParamValue) -> Result<ParamValue, E>) -> Result<Self, E> {
        let params = match &self.params {
            Params::Positional(values) => Params::Positional(values.iter().map(&mut change).collect::<Result<_, _>>()?),
            Params::Named(values) => Params::Named(
                values.iter().map(|(name, value)| Ok((name.clone(), change(value)?))).collect::<Result<_, _>>()?,
            ),
        };
        let header = match &self.header {
            Some(Header::Text(value)) => Some(Header::Text(change(value)?)),
            other => other.clone(),
        };
        let (buttons, components) = (self.buttons.clone(), self.components.clone());
        Ok(Self { name: self.name.clone(), language: self.language.clone(), params, header, buttons, components })
    }
}
