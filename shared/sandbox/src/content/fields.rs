//! Reading fields of a JSON object with the errors that the platform gives: 131008 for a missing one, 100 for one of
//! the wrong kind or length.

use serde_json::{Map, Value};

use crate::api::error::ApiError;

/// A JSON object and the name that errors call it by.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    name: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(map: &'a Map<String, Value>, name: &'static str) -> Self {
        Self { map, name }
    }

    /// A value seen as an object; what else it is, is an error.
    pub(crate) fn of(value: &'a Value, name: &'static str) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self { map, name }),
            _ => Err(ApiError::parameter(format!("Param {name} must be a JSON object."))),
        }
    }

    pub(crate) fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn missing(&self, field: &str) -> ApiError {
        ApiError::with_details(131_008, format!("Parameter {}['{field}'] is missing.", self.name))
    }

    pub(crate) fn invalid(&self, field: &str, problem: &str) -> ApiError {
        ApiError::with_details(131_009, format!("Parameter {}['{field}'] {problem}.", self.name))
    }

    fn of_kind(&self, field: &str, kind: &str) -> ApiError {
        ApiError::parameter(format!("Param {}['{field}'] must be {kind}.", self.name))
    }

    /// A text of at most `max` characters, if the field is there.
    pub(crate) fn optional_text(&self, field: &str, max: usize) -> Result<Option<&'a str>, ApiError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.of_kind(field, "a string"))?;
        // Bytes are never fewer than characters, so that most texts need no counting.
        if text.len() > max && text.chars().count() > max {
            return Err(self.of_kind(field, &format!("at most {max} characters long")));
        }
        Ok(Some(text))
    }

    /// A text of 1 to `max` characters.
    pub(crate) fn text(&self, field: &str, max: usize) -> Result<&'a str, ApiError> {
        match self.optional_text(field, max)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.missing(field)),
        }
    }

    /// An object that must be there, called `name` in errors.
    pub(crate) fn object(&self, field: &str, name: &'static str) -> Result<Self, ApiError> {
        self.optional_object(field, name)?.ok_or_else(|| self.missing(field))
    }

    pub(crate) fn optional_object(&self, field: &str, name: &'static str) -> Result<Option<Self>, ApiError> {
        self.get(field).map(|value| Self::of(value, name)).transpose()
    }

    /// A list of 1 to `max` items.
    pub(crate) fn list(&self, field: &str, max: usize) -> Result<&'a [Value], ApiError> {
        let list = self.optional_list(field)?.filter(|list| !list.is_empty()).ok_or_else(|| self.missing(field))?;
        if list.len() > max {
            return Err(self.of_kind(field, &format!("a list of at most {max} items")));
        }
        Ok(list)
    }

    pub(crate) fn optional_list(&self, field: &str) -> Result<Option<&'a [Value]>, ApiError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.of_kind(field, "a list")),
        }
    }

    /// A number from `-limit` to `limit`, given as one or as a text.
    pub(crate) fn number(&self, field: &str, limit: f64) -> Result<f64, ApiError> {
        let value = self.get(field).ok_or_else(|| self.missing(field))?;
        let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        number
            .filter(|number| number.abs() <= limit)
            .ok_or_else(|| self.invalid(field, &format!("must be a number from -{limit} to {limit}")))
    }
}
