//! `kabar recipient import`: people from a file, in chunks.

use std::{path::PathBuf, sync::Arc};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        ledger::Ledger,
        output::{number, plural, show},
        progress::Meter,
        survey::{look_through, report},
    },
    people_file::PeopleFile,
    people_import::{ImportOptions, import},
};

/// Bring people in from a file, CSV or NDJSON
///
/// CSV is UTF-8 with a header line; `phone` is required, `name` optional. `timezone` says where somebody is (Asia/Jakarta),
/// `consent_source` and `consent_at` where and when they agreed to marketing. Every other column is a field by its name.
/// NDJSON is an object a line, such as {"to": "+628123456789", "name": "Siti", "params": {"package": "Hemat"}}. What the file
/// says of somebody who is known takes the place of what was known; a consent that is known stays, unless the file has a
/// later time. The whole file is looked through first; bad rows are reported on standard error and left out. The same file
/// again changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar recipient import guests.csv --group umroh-2026-12-01
  kabar recipient import fair.csv --consent 'signed up at the fair'

guests.csv:
  phone,name,package,timezone
  +628123456789,Siti,Paket Hemat,Asia/Makassar")]
pub(super) struct ImportArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Put everybody into this group, which is made if it is not there
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Take out of the group whoever is not in the file
    #[arg(long, requires = "group")]
    replace: bool,
    /// Where everybody agreed to marketing of whom the file does not say it
    #[arg(long, value_name = "SOURCE")]
    consent: Option<String>,
    /// Refuse a file with any bad row
    #[arg(long)]
    strict: bool,
}

pub(super) async fn run(arguments: ImportArgs, ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let named = |option: &str, text: Option<String>| {
        let text = text.map(|text| text.trim().to_owned());
        if text.as_deref() == Some("") { bail!("{option} is empty: name it") } else { Ok(text) }
    };
    let (group, consent) = (named("--group", arguments.group)?, named("--consent", arguments.consent)?);
    let file = Arc::new(PeopleFile::open(&arguments.file, ledger.region())?.of_people());
    let survey = look_through(&file, json)?;
    report(&survey);
    survey.judge(&file, arguments.strict)?;
    let options = ImportOptions { group, replace: arguments.replace, consent };
    let mut meter = Meter::new("importing");
    let imported = import(&ledger.store, ledger.tenant, &file, &options, |done| {
        meter.set(done, survey.recipients, "");
    })
    .await?;
    meter.finish();
    let mut value = serde_json::to_value(&survey)?;
    if let (Value::Object(value), Value::Object(report)) = (&mut value, serde_json::to_value(&imported)?) {
        value.extend(report);
        value.insert("group".to_owned(), json!(options.group));
    }
    show(json, &value, || {
        let group = options.group.map(|group| format!(" into group {group}")).unwrap_or_default();
        let left =
            if arguments.replace { format!("; {} left the group", number(imported.left)) } else { String::new() };
        format!(
            "{} imported{group}: {} new, {} changed, {} as they were{left}; {} and {} left out",
            plural(imported.imported, "recipient"),
            number(imported.new),
            number(imported.changed),
            number(imported.unchanged),
            plural(survey.repeated_rows, "repeated row"),
            plural(survey.bad, "bad row"),
        )
    })
}
