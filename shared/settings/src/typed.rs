//! The settings as typed: a text for each key, from the highest layer that says something, not yet checked.

use std::collections::BTreeMap;

use kabar_domain::outcome::ErrorRule;

use crate::{
    nearest::nearest,
    problem::{Origin, Problem},
    table::{self, Row},
};

/// A text and where it was typed.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// An error rule: its provider and code, and where it was given.
pub(crate) type Rules = BTreeMap<(String, i64), (ErrorRule, Origin)>;

/// What all layers read so far say, and what was wrong with them.
#[derive(Debug, Default)]
pub(crate) struct AsTyped {
    pub(crate) settings: BTreeMap<&'static str, Typed>,
    pub(crate) rules: Rules,
    pub(crate) problems: Vec<Problem>,
}

impl AsTyped {
    /// Takes `text` for the setting `name`, over what lower layers said. An unknown name is a problem.
    pub(crate) fn set_by_name(&mut self, name: &str, text: &str, origin: Origin) {
        match table::find(name) {
            Some(row) => self.set(row, text, origin),
            None => self.unknown_setting(name, origin),
        }
    }

    /// Takes `text` for the setting of `row`, over what lower layers said.
    pub(crate) fn set(&mut self, row: &Row, text: &str, origin: Origin) {
        self.settings.insert(row.key, Typed { text: text.trim().to_owned(), origin });
    }

    /// Notes that there is no setting or section `name`.
    pub(crate) fn unknown_setting(&mut self, name: &str, origin: Origin) {
        let keys_and_sections = table::keys().chain(table::sections());
        let section = name.split('.').next().unwrap_or_default();
        let beside = table::TABLE.iter().filter(|row| row.section() == section).map(|row| row.key);
        let known: Vec<_> = if table::is_section(section) { beside.collect() } else { table::sections().collect() };
        let known = known.into_iter().map(str::to_owned).collect();
        let nearest = nearest(name, keys_and_sections);
        self.problems.push(Problem::Unknown { name: name.to_owned(), origin, nearest, known });
    }
}
