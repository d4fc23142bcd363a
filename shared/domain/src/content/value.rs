//! What stands in the place of a template's parameter: a text, or a value that is written in the template's language.

use std::borrow::Cow;

use kabar_wording::{Language, Unwritable};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;

/// What stands in the place of a template's parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// A text, sent as it is.
    Text(String),
    /// A value that is written in the template's language.
    Typed(TypedValue),
}

/// A value that is written in a language. Its texts are as the producer gave them, and may hold `{field}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypedValue {
    /// A day: `2026-12-12`.
    Date(String),
    /// A time of day: `09:30`.
    Time(String),
    /// A decimal: `2500.50`, or a whole number of JSON.
    #[serde(deserialize_with = "exact")]
    Number(String),
    /// An amount in a currency.
    Money(Money),
}

/// An amount in a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// A decimal: `2500000`, or a whole number of JSON.
    #[serde(deserialize_with = "exact")]
    pub amount: String,
    /// The currency's code in ISO 4217: `IDR`.
    pub currency: String,
}

impl ParamValue {
    /// Its text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Typed(_) => None,
        }
    }

    /// How it is written in the language with this code.
    ///
    /// # Errors
    /// When it is no such value, or CLDR does not know the language.
    pub fn written(&self, language: &str) -> Result<Cow<'_, str>, Unwritable> {
        match self {
            Self::Text(text) => Ok(Cow::Borrowed(text)),
            Self::Typed(value) => value.written(language).map(Cow::Owned),
        }
    }

    /// The value with each of its texts changed.
    pub(super) fn map<E>(&self, mut change: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Text(text) => Self::Text(change(text)?),
            Self::Typed(value) => Self::Typed(value.map(change)?),
        })
    }
}

impl TypedValue {
    fn written(&self, language: &str) -> Result<String, Unwritable> {
        let language: Language = language.parse()?;
        match self {
            Self::Date(day) => kabar_wording::date(day, &language),
            Self::Time(time) => kabar_wording::time(time, &language),
            Self::Number(number) => kabar_wording::number(number, &language),
            Self::Money(Money { amount, currency }) => kabar_wording::money(amount, currency, &language),
        }
    }

    /// The value with each of its texts changed.
    pub(super) fn map<E>(&self, mut change: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Date(day) => Self::Date(change(day)?),
            Self::Time(time) => Self::Time(change(time)?),
            Self::Number(number) => Self::Number(change(number)?),
            Self::Money(Money { amount, currency }) => {
                Self::Money(Money { amount: change(amount)?, currency: change(currency)? })
            }
        })
    }

    /// The value with something valid for each text that takes a field, so that the rest of it can be judged.
    pub(super) fn with_stand_ins(&self) -> Self {
        let or = |text: &str, valid: &str| if text.contains('{') { valid.to_owned() } else { text.to_owned() };
        match self {
            Self::Date(day) => Self::Date(or(day, "2026-12-12")),
            Self::Time(time) => Self::Time(or(time, "09:30")),
            Self::Number(number) => Self::Number(or(number, "0")),
            Self::Money(Money { amount, currency }) => {
                Self::Money(Money { amount: or(amount, "0"), currency: or(currency, "IDR") })
            }
        }
    }
}

impl<'de> Deserialize<'de> for ParamValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Number(number) => Ok(Self::Text(number.to_string())),
            Value::Bool(truth) => Ok(Self::Text(truth.to_string())),
            object @ Value::Object(_) => TypedValue::deserialize(object).map(Self::Typed).map_err(|error| {
                D::Error::custom(format!(
                    "not one of {{\"date\": …}}, {{\"time\": …}}, {{\"number\": …}} and {{\"money\": {{\"amount\": …, \
                     \"currency\": …}}}}: {}",
                    crate::job::without_values(&error.to_string())
                ))
            }),
            Value::Null | Value::Array(_) => {
                Err(D::Error::custom("a parameter must be a text, a number, a date, a time or an amount of money"))
            }
        }
    }
}

impl From<&str> for ParamValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A text, or a whole number of JSON. Other numbers of JSON have been through a binary fraction by now.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err(D::Error::custom("write an amount as a text, such as \"12.50\", so that it stays exact")),
    }
}
