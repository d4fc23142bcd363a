//! Values that occur in many places, with their form as JSON.

use chrono::{DateTime, SecondsFormat};
use kabar_domain::message::{MessageState, StateCounts};
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// A time in Unix milliseconds; as JSON in RFC 3339, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) i64);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Beyond what calendars reach: as near as they come.
        let time = DateTime::from_timestamp_millis(self.0).unwrap_or(DateTime::UNIX_EPOCH);
        serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

impl ToSchema for Timestamp {}

/// Where a message is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct State(pub(crate) MessageState);

impl PartialSchema for State {
    fn schema() -> RefOr<Schema> {
        let names = MessageState::ALL.map(MessageState::as_str);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

impl ToSchema for State {}

/// How many messages are now in each state, each message in exactly one, zeros included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Counts(pub(crate) StateCounts);

impl PartialSchema for Counts {
    fn schema() -> RefOr<Schema> {
        let counts = MessageState::ALL.into_iter().fold(ObjectBuilder::new(), |object, state| {
            let count = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
            object.property(state.as_str(), count).required(state.as_str())
        });
        counts.description(Some("How many messages are now in each state, each message in exactly one.")).into()
    }
}

impl ToSchema for Counts {}

/// The most messages per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Rate(pub(crate) kabar_domain::pace::Rate);

impl PartialSchema for Rate {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(1_000));
        let unlimited = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["unlimited"]));
        OneOfBuilder::new().item(number).item(unlimited).description(Some("Messages per second.")).into()
    }
}

impl ToSchema for Rate {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let json = |ms| serde_json::to_string(&Timestamp(ms)).unwrap();
        assert_eq!(json(1_000_000_000_000), "\"2001-09-09T01:46:40Z\"");
        assert_eq!(json(1_000_000_000_500), "\"2001-09-09T01:46:40.500Z\"");
    }
}
