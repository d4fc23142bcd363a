//! A first look at a file, which tells what it is, and what is no file of people at all.

use std::io::{Read, Seek};

use anyhow::bail;

/// How much of the file is looked at, in bytes.
const SNIFF_BYTES: u64 = 64 << 10;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Rows of fields, by what separates them.
    Csv { delimiter: u8 },
    /// A JSON object a line.
    Ndjson,
}

/// How the file is written; or that it is no text in UTF-8, and what to do.
pub(super) fn sniff(file: &mut (impl Read + Seek)) -> anyhow::Result<Form> {
    let mut head = Vec::new();
    file.by_ref().take(SNIFF_BYTES).read_to_end(&mut head)?;
    file.rewind()?;
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        bail!("it is UTF-16: save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\")");
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        bail!("it is a spreadsheet, not CSV: save it as \"CSV UTF-8\"");
    }
    if head.contains(&0) {
        bail!("it is not text: save it as CSV in UTF-8");
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    let lines = head.split(|byte| matches!(byte, b'\n' | b'\r'));
    let Some(first) = lines.into_iter().map(<[u8]>::trim_ascii).find(|line| !line.is_empty()) else {
        bail!("it is empty: give CSV, whose first line names the columns, such as phone,name, or NDJSON");
    };
    match first[0] {
        b'{' => Ok(Form::Ndjson),
        b'[' => bail!("it is a JSON list: give each of its objects a line, without commas between them (NDJSON)"),
        _ => Ok(Form::Csv { delimiter: delimiter(first) }),
    }
}

/// The separator that is in the header most often, outside of quotation marks.
fn delimiter(header: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in header {
        quoted ^= *byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(delimiter, _)| !quoted && delimiter == byte) {
            *count += 1;
        }
    }
    // Of equals, the first stands.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| delimiter)
}
