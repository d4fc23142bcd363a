//! One row of CSV: a recipient, or the reason why it is none.

use anyhow::bail;
use kabar_domain::{
    content::Fields,
    phone::{DefaultRegion, PhoneNumber},
};

use super::{BadRow, Details, RecipientRow, Row, columns::Columns};

/// The longest value of a field, in characters. No message can carry more.
const MAX_VALUE_CHARS: usize = 4_096;

/// How much of what was typed for a number an error shows, in characters.
const SHOWN_CHARS: usize = 30;

/// The row; none for one that is blank. A row that is no UTF-8 is an error: the file is in another encoding.
pub(super) fn read(
    record: &::csv::ByteRecord,
    line: u64,
    columns: &Columns,
    region: Option<DefaultRegion>,
) -> anyhow::Result<Option<Row>> {
    let mut cells = Vec::with_capacity(record.len());
    for cell in record {
        let Ok(text) = std::str::from_utf8(cell) else {
            bail!("line {line} is not UTF-8: save the file as UTF-8 (in a spreadsheet: \"CSV UTF-8\")");
        };
        cells.push(text.trim());
    }
    if cells.iter().all(|cell| cell.is_empty()) {
        return Ok(None);
    }
    Ok(Some(match recipient(&cells, line, columns, region) {
        Ok(recipient) => Row::Recipient(recipient),
        Err(reason) => Row::Bad(BadRow { line, reason }),
    }))
}

fn recipient(
    cells: &[&str],
    line: u64,
    columns: &Columns,
    region: Option<DefaultRegion>,
) -> Result<RecipientRow, String> {
    if cells.len() != columns.count() {
        let (has, wanted) = (cells.len(), columns.count());
        let fields = if has == 1 { "field" } else { "fields" };
        return Err(format!(
            "has {has} {fields}, the header has {wanted}: put values that hold the separator in \"quotes\""
        ));
    }
    let typed = cells[columns.phone()];
    if typed.is_empty() {
        return Err("has no phone number".to_owned());
    }
    let parsed = PhoneNumber::parse(typed, region).map_err(|error| format!("phone {:?}: {error}", shown(typed)))?;
    let mut fields = Fields::new();
    for (column, value) in cells.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
        check_value(columns.field(column).unwrap_or("name"), value)?;
        if let Some(field) = columns.field(column) {
            fields.insert(field.to_owned(), (*value).to_owned());
        }
    }
    let name = columns.name().map(|column| cells[column]).filter(|name| !name.is_empty()).map(str::to_owned);
    let details = Details::default();
    Ok(RecipientRow { line, phone: parsed.number, assigned: parsed.assigned, name, fields, details })
}

/// Refuses a value that no message can carry.
pub(super) fn check_value(field: &str, value: &str) -> Result<(), String> {
    let count = value.chars().count();
    if count > MAX_VALUE_CHARS {
        return Err(format!("{field} has {count} characters; at most {MAX_VALUE_CHARS} are allowed"));
    }
    if value.contains('\0') { Err(format!("{field} holds a NUL: it is not text")) } else { Ok(()) }
}

fn shown(typed: &str) -> String {
    let mut text: String = typed.chars().take(SHOWN_CHARS).collect();
    if text.len() < typed.len() {
        text.push('…');
    }
    text
}

/// What keeps the reader from going on.
pub(super) fn unreadable(error: ::csv::Error) -> anyhow::Error {
    let line = error.position().map(::csv::Position::line);
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => anyhow::Error::new(error),
        other => anyhow::anyhow!("line {}: {other:?}", line.unwrap_or(1)),
    }
}
