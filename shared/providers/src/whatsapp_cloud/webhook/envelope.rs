//! The layers around what an event says: `entry[]`, `changes[]`, and pieces of JSON that are read one by one, so that
//! one odd piece does not hide the rest.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::options::UnreadableEvent;

/// The last second that is believed to be a time: the end of the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    entry: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    time: Option<&'a RawValue>,
    #[serde(borrow, default)]
    changes: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct RawChange<'a> {
    field: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Deserialize)]
struct WithMetadata<'a> {
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    phone_number_id: Option<&'a RawValue>,
}

/// One change of one business account.
pub(super) struct Change<'a> {
    /// The business account's id; empty when it is missing.
    pub(super) account: String,
    /// When the event was made, where it says so.
    pub(super) time: Option<DateTime<Utc>>,
    /// What changed.
    pub(super) field: String,
    /// How.
    pub(super) value: &'a RawValue,
}

impl Change<'_> {
    /// The number that it is about, where it says so.
    pub(super) fn phone_number_id(&self) -> Option<String> {
        let metadata = parse::<WithMetadata<'_>>(self.value)?.metadata?;
        text(parse::<Metadata<'_>>(metadata)?.phone_number_id).filter(|id| !id.is_empty())
    }
}

/// Every change in `body`; none in the place of one that cannot be read.
pub(super) fn changes(body: &[u8]) -> Result<Vec<Option<Change<'_>>>, UnreadableEvent> {
    let event: Event<'_> = serde_json::from_slice(body).map_err(|error| UnreadableEvent {
        provider: "whatsapp_cloud",
        kind: if error.is_data() { "JSON of another shape" } else { "broken JSON" },
        line: error.line(),
        column: error.column(),
    })?;
    let mut changes = Vec::new();
    for entry in event.entry {
        let Some(entry) = parse::<Entry<'_>>(entry) else {
            changes.push(None);
            continue;
        };
        let (account, time) = (text(entry.id).unwrap_or_default(), time(entry.time));
        for change in entry.changes.unwrap_or_default() {
            changes.push(parse::<RawChange<'_>>(change).map(|RawChange { field, value }| Change {
                account: account.clone(),
                time,
                field,
                value,
            }));
        }
    }
    Ok(changes)
}

/// A piece of an event in its expected shape; none when it has another.
pub(super) fn parse<'a, T: Deserialize<'a>>(piece: &'a RawValue) -> Option<T> {
    serde_json::from_str(piece.get()).ok()
}

/// A text, or a number as text: ids come as either.
pub(super) fn text(piece: Option<&RawValue>) -> Option<String> {
    let json = piece?.get();
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'0'..=b'9' | b'-' => Some(json.to_owned()),
        _ => None,
    }
}

/// A time in seconds since 1970, which comes as text or number.
pub(super) fn time(piece: Option<&RawValue>) -> Option<DateTime<Utc>> {
    let seconds: i64 = text(piece)?.parse().ok()?;
    if (0..=MAX_SECONDS).contains(&seconds) { DateTime::from_timestamp(seconds, 0) } else { None }
}
