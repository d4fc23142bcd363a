//! What the columns of a file are, from its header line.

use std::fmt;

use anyhow::bail;
use kabar_domain::phone::PhoneNumber;

/// Words that people put above a column of phone numbers.
const LIKE_PHONE: [&str; 20] = [
    "phone number",
    "phone_number",
    "phonenumber",
    "telephone",
    "telp",
    "tel",
    "mobile",
    "mobile number",
    "msisdn",
    "whatsapp",
    "whatsapp number",
    "wa",
    "no wa",
    "hp",
    "no hp",
    "no. hp",
    "no_hp",
    "nomor",
    "number",
    "to",
];

/// What each column of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    /// The name of every column, as it is used; empty for one that is passed over.
    names: Vec<String>,
    phone: usize,
    name: Option<usize>,
}

impl Columns {
    pub(super) fn read(header: &::csv::ByteRecord) -> anyhow::Result<Self> {
        let mut names = Vec::with_capacity(header.len());
        for cell in header {
            let Ok(text) = std::str::from_utf8(cell) else {
                bail!("line 1 is not UTF-8: save the file as UTF-8 (in a spreadsheet: \"CSV UTF-8\")");
            };
            names.push(column_name(text));
        }
        let Some(phone) = names.iter().position(|name| name == "phone") else {
            bail!("{}", no_phone(&names));
        };
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| !name.is_empty() && names[..*at].contains(name))
        {
            bail!("the header has two columns {:?}: name them apart", twice.1);
        }
        let name = names.iter().position(|name| name == "name");
        Ok(Self { names, phone, name })
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.names.iter().any(|name| name == field)
    }

    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    pub(super) const fn phone(&self) -> usize {
        self.phone
    }

    pub(super) const fn name(&self) -> Option<usize> {
        self.name
    }

    /// The name of the field in a column; none for those that are no field.
    pub(super) fn field(&self, column: usize) -> Option<&str> {
        let name = self.names.get(column).filter(|name| !name.is_empty())?;
        (column != self.phone && Some(column) != self.name).then_some(name)
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        f.write_str(&names.join(", "))
    }
}

/// `Phone` and `Name` are `phone` and `name`; other names are fields and stand as they are.
fn column_name(text: &str) -> String {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let known = ["phone", "name"].into_iter().find(|known| text.eq_ignore_ascii_case(known));
    known.unwrap_or(text).to_owned()
}

fn no_phone(names: &[String]) -> String {
    if names.iter().any(|name| PhoneNumber::parse(name, "ID".parse().ok()).is_ok()) {
        return "the first line must name the columns, such as phone,name; here it holds a number already".to_owned();
    }
    let near = names.iter().find(|name| {
        let name = name.to_lowercase();
        LIKE_PHONE.contains(&name.as_str()) || distance(&name, "phone") <= 2
    });
    let list = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    match near {
        Some(near) => format!("there is no column \"phone\": rename {near:?} to \"phone\"? The columns are {list}"),
        None => {
            format!("there is no column \"phone\": give the column of the numbers that name. The columns are {list}")
        }
    }
}

/// How many letters must be put in, taken out or replaced to make `left` into `right` (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    // A header cell may have any length, and only short ones are near.
    for (index, letter) in left.chars().take(20).enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
