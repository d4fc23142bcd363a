//! `kabar broadcast start --dry-run`: for whom it would be, who would be left out and why, how long it would take.

use std::time::Duration;

use anyhow::bail;
use kabar_domain::{
    job::{BroadcastJob, Job},
    pace::Rate,
};

use crate::{
    cli::{
        ledger::Ledger,
        output::{self, Table, length, number, plural},
    },
    people_file::{PeopleFile, Row, Survey},
    preview::{BroadcastPreview, BroadcastPreviewer, CHUNK, LeftOut, Person},
};

/// The most people who are left out that are shown as text.
const MOST_SHOWN: usize = 10;

/// Looks at everybody in `file`, or in the group that the job names.
pub(super) async fn of(ledger: &Ledger, job: &Job, file: Option<&PeopleFile>) -> anyhow::Result<BroadcastPreview> {
    let Job::Broadcast(broadcast) = job else { bail!("this is no broadcast") };
    let margin = ledger.settings.pace.margin;
    Ok(match file {
        Some(file) => of_file(ledger, broadcast, file, margin).await?,
        None => BroadcastPreview::of(&ledger.store, ledger.tenant, broadcast, margin).await?,
    })
}

async fn of_file(
    ledger: &Ledger,
    broadcast: &BroadcastJob,
    file: &PeopleFile,
    margin: Duration,
) -> anyhow::Result<BroadcastPreview> {
    let mut previewer = BroadcastPreviewer::begin(&ledger.store, ledger.tenant, broadcast).await?;
    let mut people: Vec<Person> = Vec::with_capacity(CHUNK);
    for row in file.rows()? {
        let Row::Recipient(row) = row? else { continue };
        let mut fields = row.fields;
        fields.extend(row.name.map(|name| ("name".to_owned(), name)));
        people.push(Person { row: Some(row.line), phone: row.phone, fields });
        if people.len() == CHUNK {
            previewer.look_at(&mut people).await?;
        }
    }
    previewer.look_at(&mut people).await?;
    Ok(previewer.finish(margin).await?)
}

/// Prints what a broadcast would come to.
pub(super) fn print(preview: &BroadcastPreview, survey: Option<&Survey>, json: bool) -> anyhow::Result<()> {
    if json {
        let mut value = serde_json::to_value(preview)?;
        value["dry_run"] = true.into();
        value["file"] = serde_json::to_value(survey)?;
        return output::print_json(&value);
    }
    let mut table = Table::of_facts();
    table.fact("audience", number(preview.audience));
    if let Some(survey) = survey {
        table.fact("repeated rows", number(survey.repeated_rows));
        table.fact("bad rows", number(survey.bad));
    }
    table.fact("blocked", number(preview.blocked));
    table.fact("opted out", number(preview.opted_out));
    let missing: Vec<String> =
        preview.missing.iter().map(|(field, count)| format!("{{{field}}} {}", number(*count))).collect();
    let missing = if missing.is_empty() { String::new() } else { format!(" ({})", missing.join(", ")) };
    table.fact("missing a value", format!("{}{missing}", number(preview.missing_parameter)));
    if preview.invalid_parameter > 0 {
        table.fact("unusable value", number(preview.invalid_parameter));
    }
    for (what, count) in [
        ("no consent", preview.no_consent),
        ("over the cap", preview.frequency_cap),
        ("expires at night", preview.expired_in_quiet_hours),
    ] {
        if count > 0 {
            table.fact(what, number(count));
        }
    }
    table.fact("would be sent to", number(preview.to_send));
    if preview.after_quiet_hours > 0 {
        table.fact("  after quiet hours", number(preview.after_quiet_hours));
    }
    let takes = preview.duration_seconds.map(|seconds| length(Duration::from_secs(seconds)));
    let takes = takes.unwrap_or_else(|| "as long as the provider takes".to_owned());
    table.fact("would take", format!("{takes} at a rate of {}", rate(preview.rate)));
    if let Some(ends_at) = preview.ends_at.filter(|_| preview.to_send > 0) {
        let ahead = match preview.ahead {
            0 => String::new(),
            ahead => format!(", since {} would leave before its last", plural(ahead, "message")),
        };
        table.fact("would end", format!("{}{ahead}", output::time(ends_at.timestamp_millis())));
    }
    if let (Some(fits), Some(expires)) = (preview.fits, preview.expires_at) {
        let expires = output::time(expires.timestamp_millis());
        let told =
            if fits { format!("yes, it expires at {expires}") } else { format!("NO: the rest expires at {expires}") };
        table.fact("fits", told);
    }
    table.fact("written", "nothing: this was a dry run");
    output::print(table)?;
    for LeftOut { row, to, problem, .. } in preview.left_out.iter().take(MOST_SHOWN) {
        let row = row.map(|row| format!("line {row}: ")).unwrap_or_default();
        output::note(format!("{row}{to} would be left out: {problem}"));
    }
    let all = preview.missing_parameter + preview.invalid_parameter;
    let more = all.saturating_sub(preview.left_out.len().min(MOST_SHOWN) as u64);
    if more > 0 {
        output::note(format!("… and {} more (--json shows the first hundred)", number(more)));
    }
    for example in &preview.examples {
        output::note(format!("to {}: {}", example.to, example.text.replace('\n', "\n    ")));
    }
    Ok(())
}

/// `20 per second`, or `unlimited`.
fn rate(rate: Rate) -> String {
    rate.limit().map_or_else(|| rate.to_string(), |limit| format!("{limit} per second"))
}
