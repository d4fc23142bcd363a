//! Files of people, as commands look through them and tell of them.

use super::{
    output::{note, plural},
    progress::Meter,
};
use crate::people_file::{PeopleFile, Survey};

/// The most lines of one kind that are shown as text.
const MOST_SHOWN: usize = 20;

/// Looks through a whole file, with a progress bar. Keeps every bad row where `all`, else those that are shown.
pub(crate) fn look_through(file: &PeopleFile, all: bool) -> anyhow::Result<Survey> {
    let mut meter = Meter::new("looking through the file, %");
    let most = if all { usize::MAX } else { MOST_SHOWN };
    let survey = Survey::of(file, most, |part| meter.set((part * 100.0) as u64, 100, ""))?;
    meter.finish();
    Ok(survey)
}

/// Says on standard error what is wrong with rows of the file.
pub(crate) fn report(survey: &Survey) {
    for row in survey.bad_rows.iter().take(MOST_SHOWN) {
        note(format!("line {}: {}", row.line, row.reason));
    }
    let more = survey.bad.saturating_sub(MOST_SHOWN as u64);
    if more > 0 {
        note(format!("… and {} (--json lists all)", plural(more, "more bad row")));
    }
    for duplicate in survey.duplicates.iter().take(MOST_SHOWN) {
        note(format!("line {}: {} is in the file before; it counts once", duplicate.line, duplicate.phone));
    }
    if let Some(line) = survey.first_unassigned {
        let numbers = plural(survey.unassigned, "number");
        note(format!("note: {numbers} possible, but not assigned by any numbering plan; the first in line {line}"));
    }
}
