//! What became of a recipient, as a row of CSV.

use chrono::{DateTime, SecondsFormat};
use kabar_store::ExportRow;

/// The columns.
pub(crate) const EXPORT_COLUMNS: [&str; 8] =
    ["phone", "name", "state", "reason", "code", "meaning", "attempts", "updated_at"];

/// The values of a row, in the order of the columns.
pub(crate) fn export_record(row: &ExportRow) -> [String; 8] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        row.phone.to_string(),
        text(&row.name),
        row.state.to_string(),
        text(&row.reason),
        row.code.map(|code| code.to_string()).unwrap_or_default(),
        text(&row.meaning),
        row.attempts.to_string(),
        DateTime::from_timestamp_millis(row.updated_at)
            .map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
            .unwrap_or_default(),
    ]
}
