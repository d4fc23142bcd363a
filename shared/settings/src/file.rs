//! The configuration file, and the defaults, which have the same form.

use std::path::{Path, PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    errors,
    kind::Kind,
    problem::{Origin, Problem},
    table::{self, Row},
    typed::AsTyped,
};

/// The configuration file that is read when it is there and none is named.
const USUAL_FILE: &str = "kabar.toml";

/// Reads the file `named`, else `kabar.toml` in `directory` if it is there.
pub(crate) fn read(named: Option<PathBuf>, directory: &Path, typed: &mut AsTyped) {
    let may_be_absent = named.is_none();
    let shown = named.unwrap_or_else(|| PathBuf::from(USUAL_FILE));
    match std::fs::read_to_string(directory.join(&shown)) {
        Ok(text) => {
            Source { text: &text, origin: |line| Origin::File { path: shown.clone(), line } }.read(typed);
        }
        Err(error) if may_be_absent && error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => typed.problems.push(Problem::Unreadable { path: shown, source }),
    }
}

/// Reads the defaults.
pub(crate) fn read_defaults(text: &str, typed: &mut AsTyped) {
    Source { text, origin: |_| Origin::Default }.read(typed);
}

/// A TOML text, and what to call a line of it.
pub(crate) struct Source<'t, F> {
    text: &'t str,
    origin: F,
}

impl<F: Fn(usize) -> Origin> Source<'_, F> {
    /// The line in which the byte at `offset` is.
    pub(crate) fn at(&self, offset: usize) -> Origin {
        let before = self.text.bytes().take(offset);
        (self.origin)(1 + before.filter(|byte| *byte == b'\n').count())
    }

    fn read(&self, typed: &mut AsTyped) {
        // Only the message of an error is shown: the whole error quotes the line, which may hold a secret.
        let document = match DeTable::parse(self.text) {
            Ok(document) => document.into_inner(),
            Err(error) => {
                let origin = self.at(error.span().map_or(0, |span| span.start));
                typed.problems.push(Problem::Syntax { origin, message: error.message().replace('\n', ", ") });
                return;
            }
        };
        for (name, value) in document {
            let at = name.span().start;
            let name = name.into_inner();
            match value.get_ref() {
                DeValue::Table(_) if name == errors::SECTION => errors::read(self, value, typed),
                DeValue::Table(section) if table::is_section(&name) => self.read_section(&name, section, typed),
                _ if table::is_section(&name) || name == errors::SECTION => {
                    typed.problems.push(Problem::BadValue {
                        key: name.into_owned(),
                        value: describe(value.get_ref()).to_owned(),
                        origin: self.at(at),
                        allowed: "a section".to_owned(),
                        nearest: None,
                    });
                }
                DeValue::Table(_) => typed.unknown_setting(&name, self.at(at)),
                scalar => self.read_value(&name, at, scalar, typed),
            }
        }
    }

    fn read_section(&self, section: &str, values: &DeTable<'_>, typed: &mut AsTyped) {
        for (name, value) in values {
            let key = format!("{section}.{}", name.get_ref());
            self.read_value(&key, name.span().start, value.get_ref(), typed);
        }
    }

    fn read_value(&self, name: &str, at: usize, value: &DeValue<'_>, typed: &mut AsTyped) {
        let origin = self.at(at);
        let Some(row) = table::find(name) else { return typed.unknown_setting(name, origin) };
        match text_of(row, value) {
            Some(text) => typed.set(row, &text, origin),
            None => typed.problems.push(Problem::BadValue {
                key: row.key.to_owned(),
                value: describe(value).to_owned(),
                origin,
                allowed: row.kind.to_string(),
                nearest: None,
            }),
        }
    }
}

/// `value` as it would be typed in the environment; a list is its members, separated by commas. None for what no setting
/// may be.
fn text_of(row: &Row, value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(members) if matches!(row.kind, Kind::Origins | Kind::Phrases | Kind::Secrets | Kind::Words) => {
            let text = |member: &Spanned<DeValue<'_>>| match member.get_ref() {
                DeValue::String(text) if !text.contains(',') => Some(text.to_string()),
                _ => None,
            };
            members.iter().map(text).collect::<Option<Vec<_>>>()?.join(",")
        }
        DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

/// What sort of value this is. Never the value itself, which may be secret.
fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
        _ => "a single value",
    }
}
