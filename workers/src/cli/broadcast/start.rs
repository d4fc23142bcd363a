//! `kabar broadcast start`.

use std::{path::PathBuf, sync::Arc};

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use kabar_domain::job::{Audience, DEFAULT_SENDER, OnDoubt};
use serde_json::{Value, json};

use super::{load, preview};
use crate::{
    admission,
    cli::{
        content::TemplateOptions,
        enqueue,
        ledger::Ledger,
        output, progress, send,
        survey::{look_through, report},
    },
    file_broadcast::check_columns,
    people_file::{PeopleFile, Survey},
};

/// Start a broadcast to a group or to the people in a file
///
/// In values, {field} takes the recipient's own: {name}, or any other column of the file. Whoever lacks one is skipped.
/// Prints the broadcast's id. The same id with the same contents is the same broadcast, and nobody gets it twice; a load
/// that was cut short goes on when it is started again with its id.
///
/// The file: CSV in UTF-8 with a header line, where `phone` is required, `name` optional and every other column a field; or
/// NDJSON, an object a line, such as {"to": "+628123456789", "name": "Siti", "params": {"package": "Hemat"}}. Bad rows
/// are reported on standard error and left out. With --wait: 0 when all messages were accepted, 1 when any was not.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("audience").args(["group", "file"]).required(true)),
    group(ArgGroup::new("what").args(["template"]).required(true)),
    after_help = "Examples:
  kabar broadcast start --file guests.csv --template departure_reminder --language id \\
    --param '{name}' --dry-run
  kabar broadcast start --group umroh-2026-12-01 --template departure_reminder --language id \\
    --param '{name}' --id dep-2026-12-01 --wait"
)]
pub(super) struct StartArgs {
    /// The group that it is for
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The file of those that it is for: CSV or NDJSON
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    template: TemplateOptions,
    /// The sender
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SENDER)]
    sender: String,
    /// An id of your own, which keeps it from being sent twice [default: made]
    #[arg(long)]
    id: Option<String>,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Not before this time
    #[arg(long, value_name = "TIME", value_parser = enqueue::instant)]
    at: Option<DateTime<Utc>>,
    /// Not from this time on
    #[arg(long, value_name = "TIME", value_parser = enqueue::instant)]
    expires: Option<DateTime<Utc>>,
    /// When nobody knows whether a message left: auto, resend or hold
    #[arg(long, value_name = "POLICY", default_value = "auto", value_parser = send::on_doubt)]
    on_doubt: OnDoubt,
    /// Refuse a file with any bad row
    #[arg(long, requires = "file")]
    strict: bool,
    /// Write nothing; say for whom it would be, who would be left out and why, and how long it would take
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait until nothing of it waits or is on its way
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(arguments: StartArgs, ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    if arguments.expires.is_some_and(|expires| expires <= Utc::now()) {
        bail!("--expires is in the past: nothing would ever be sent");
    }
    let file = match &arguments.file {
        Some(path) => {
            let file = Arc::new(PeopleFile::open(path, ledger.region())?);
            let survey = look_through(&file, json)?;
            Some((file, survey))
        }
        None => None,
    };
    let job = enqueue::read(ledger, job(&arguments, file.as_ref().map(|(_, survey)| survey))?).await?;
    if let Some((file, survey)) = &file {
        report(survey);
        survey.judge(file, arguments.strict)?;
        check_columns(file, job.content()).map_err(anyhow::Error::msg)?;
    }
    if let Some(group) = &arguments.group {
        ledger.store.group(ledger.tenant, group).await?;
    }
    if arguments.dry_run {
        let preview = preview::of(ledger, &job, file.as_ref().map(|(file, _)| &**file)).await?;
        return preview::print(&preview, file.as_ref().map(|(_, survey)| survey), json);
    }
    let job_id = match &file {
        Some((file, survey)) => load::run(ledger, &job, file, survey).await?,
        None => enqueue::enqueue(ledger, &job).await?,
    };
    if !(json && arguments.wait) {
        let mut value = json!({"id": job.id()});
        if let Some((_, survey)) = &file {
            value["file"] = serde_json::to_value(survey)?;
        }
        output::show(json, &value, || job.id().to_string())?;
    }
    if arguments.wait {
        progress::wait(ledger, &job, job_id, json).await?;
    }
    Ok(())
}

fn job(arguments: &StartArgs, survey: Option<&Survey>) -> anyhow::Result<Value> {
    let audience = match (survey, &arguments.group) {
        (Some(survey), _) => Audience::File(survey.hash.clone()),
        (None, group) => Audience::Group(group.clone().unwrap_or_default()),
    };
    Ok(json!({
        "type": "broadcast",
        "id": arguments.id.clone().unwrap_or_else(|| admission::fresh_id("broadcast")),
        "sender": arguments.sender,
        "name": arguments.name,
        "audience": audience,
        "content": arguments.template.content()?,
        "send_at": arguments.at,
        "expires_at": arguments.expires,
        "on_doubt": arguments.on_doubt,
    }))
}

#[cfg(test)]
mod tests {
    use kabar_domain::job::{Door, Job};

    use super::*;

    #[test]
    fn a_job_of_a_file_is_read_only_where_the_file_is_loaded() {
        let value = json!({"type": "broadcast", "id": "b", "audience": Audience::File("00".to_owned()),
            "name": null, "content": {"template": {"name": "t", "language": "id"}}});
        let elsewhere = Job::from_value(value.clone(), Door::default(), None).unwrap_err();
        assert_eq!(elsewhere.field, "audience");
        let job = Job::from_value(value, Door { loads_files: true, ..Door::default() }, None).unwrap();
        assert!(matches!(job, Job::Broadcast(job) if job.audience == Audience::File("00".to_owned())));
    }
}
