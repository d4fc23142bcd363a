//! NDJSON: a JSON object a line, as a job lists its recipients: `{"to": …, "name"?: …, "params"?: {…}}`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
};

use anyhow::bail;
use kabar_domain::{content::Fields, job::AudienceMember, phone::DefaultRegion};

use super::{BadRow, Details, MAX_ROW_BYTES, RecipientRow, Row, row};

/// The rows of an NDJSON file.
pub(super) struct NdjsonRows {
    reader: BufReader<File>,
    region: Option<DefaultRegion>,
    /// The line at hand.
    text: Vec<u8>,
    line: u64,
    bytes: u64,
}

impl NdjsonRows {
    pub(super) fn new(file: File, region: Option<DefaultRegion>) -> Self {
        Self { reader: BufReader::new(file), region, text: Vec::new(), line: 0, bytes: 0 }
    }

    /// How many bytes were read.
    pub(super) const fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// The next row that is not blank.
    pub(super) fn read(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            self.text.clear();
            let one = self.reader.by_ref().take(MAX_ROW_BYTES as u64 + 1).read_until(b'\n', &mut self.text)?;
            if one == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.bytes += one as u64;
            if one > MAX_ROW_BYTES {
                bail!("line {} is longer than {} MB: give each person a line", self.line, MAX_ROW_BYTES >> 20);
            }
            let text = self.text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.text).trim_ascii();
            if !text.is_empty() {
                let read = recipient(text, self.line, self.region);
                return Ok(Some(
                    read.map_or_else(|reason| Row::Bad(BadRow { line: self.line, reason }), Row::Recipient),
                ));
            }
        }
    }
}

fn recipient(text: &[u8], line: u64, region: Option<DefaultRegion>) -> Result<RecipientRow, String> {
    let (member, assigned) = AudienceMember::from_json(text, region).map_err(|error| error.to_string())?;
    let mut fields = Fields::new();
    for (field, value) in member.params {
        let Some(value) = value.as_text() else {
            return Err(format!(
                "params.{field}: must be a text or a number: let the content write it, as {{\"date\": \"{{{field}}}\"}}"
            ));
        };
        let value = value.trim();
        row::check_value(&field, value)?;
        if !value.is_empty() {
            fields.insert(field, value.to_owned());
        }
    }
    let name = member.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    name.map_or(Ok(()), |name| row::check_value("name", name))?;
    let (name, details) = (name.map(str::to_owned), Details::default());
    Ok(RecipientRow { line, phone: member.to, assigned, name, fields, details })
}
