//! What commands print: aligned tables for people, JSON for programs, notes on standard error.

use std::{
    fmt,
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use kabar_domain::message::{MessageState, StateCounts};
use serde::Serialize;

/// Prints `text` and a line break on standard output.
pub(crate) fn print(text: impl fmt::Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("cannot write to standard output")
}

/// Prints `value` as JSON.
pub(crate) fn print_json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    print(serde_json::to_string_pretty(value).context("cannot write this as JSON")?)
}

/// Prints `value` where JSON was asked for, else what `text` says.
pub(crate) fn show<T: Serialize + ?Sized>(json: bool, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    if json { print_json(value) } else { print(text().trim_end()) }
}

/// Says something beside the output, on standard error.
pub(crate) fn note(text: impl fmt::Display) {
    // Whether anybody reads notes changes nothing about the command.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A time in Unix milliseconds as RFC 3339 in UTC.
pub(crate) fn time(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms)
        .map_or_else(|| "never".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The same, or `-`.
pub(crate) fn time_or_dash(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), time)
}

/// A text, or `-`.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// The states that have messages, with how many: `queued 3, accepted 10`.
pub(crate) fn counts(counts: &StateCounts) -> String {
    let states = MessageState::ALL.into_iter().map(|state| (state, counts.get(state))).filter(|(_, count)| *count > 0);
    let texts: Vec<String> = states.map(|(state, count)| format!("{state} {}", number(count))).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// The messages of which nobody knows whether they left, and the commands that list them; of all jobs, or of one.
pub(crate) fn attention(counts: &StateCounts, job: Option<&str>) -> Option<String> {
    let of = job.map_or_else(String::new, |id| format!(" --job {id}"));
    let list = |state: MessageState, what: &str| {
        let count = counts.get(state);
        (count > 0).then(|| format!("{} {what} (`kabar message list --state {state}{of}`)", number(count)))
    };
    let parts: Vec<String> =
        [list(MessageState::Unresolved, "wait for a person"), list(MessageState::InDoubt, "wait for a receipt")]
            .into_iter()
            .flatten()
            .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 recipient`, `2 recipients`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// A length of time in its two largest units: `2 h 5 min`.
pub(crate) fn length(length: Duration) -> String {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let parts: Vec<String> = units
        .iter()
        .scan(seconds, |left, (size, unit)| {
            let count = *left / size;
            *left %= size;
            Some((count, *unit))
        })
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// Rows under headings, aligned by spaces. Signs that would steer a terminal are shown as spaces.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    /// A table without headings: names and what they are.
    pub(crate) const fn of_facts() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let plain = |cell: String| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.rows.push(cells.map(plain).to_vec());
    }

    /// Adds a name and what it is.
    pub(crate) fn fact(&mut self, name: &str, value: impl Into<String>) {
        self.row([name.to_owned(), value.into()]);
    }

    /// The table, or `none` where it has no rows but its headings.
    pub(crate) fn or(&self, none: &str) -> String {
        if self.rows.len() < 2 { none.to_owned() } else { self.to_string() }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for (column, cell) in self.rows.iter().flat_map(|row| row.iter().enumerate()) {
            widths[column] = widths[column].max(cell.chars().count());
        }
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let end = if index + 1 < self.rows.len() { "\n" } else { "" };
            write!(f, "{}{end}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_steer_no_terminal() {
        let mut table = Table::new(["NAME", "STATE"]);
        assert_eq!(table.or("there are none"), "there are none");
        table.row(["é\u{1b}[31m".to_owned(), "active".to_owned()]);
        table.row(["longer name".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "NAME         STATE\né [31m       active\nlonger name");
    }

    #[test]
    fn numbers_times_and_lengths_are_plain() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((plural(1, "row"), plural(2_000, "row")), ("1 row".to_owned(), "2,000 rows".to_owned()));
        assert_eq!(time(1_000_000_000_000), "2001-09-09T01:46:40Z");
        assert_eq!(time(i64::MAX), "never");
        let lengths = [0, 59, 3_600, 7_500, 90_061].map(|seconds| length(Duration::from_secs(seconds)));
        assert_eq!(lengths, ["0 s", "59 s", "1 h", "2 h 5 min", "1 d 1 h"]);
        assert_eq!(length(Duration::from_millis(1)), "1 s");
    }

    #[test]
    fn what_needs_attention_is_told_with_where_to_look() {
        let mut some = StateCounts::default();
        assert_eq!(attention(&some, None), None);
        some.add(MessageState::Unresolved, 2);
        assert_eq!(
            attention(&some, Some("b")).unwrap(),
            "2 wait for a person (`kabar message list --state unresolved --job b`)"
        );
    }

    #[test]
    fn only_states_with_messages_are_shown() {
        let mut some = StateCounts::default();
        assert_eq!(counts(&some), "none");
        some.add(MessageState::Accepted, 1_000);
        some.add(MessageState::Queued, 3);
        assert_eq!(counts(&some), "queued 3, accepted 1,000");
    }
}
