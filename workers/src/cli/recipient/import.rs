//! `kabar recipient import`: people from a file, in chunks.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use kabar_store::{DEFAULT_TENANT, NewRecipient};
use serde_json::json;

use crate::{
    cli::{
        ledger::Ledger,
        output::{number, plural, show},
        progress::Meter,
        survey::{look_through, report},
    },
    people_file::{PeopleFile, Row},
};

/// The most people that are written at once.
const CHUNK: usize = 1_000;

/// Bring people in from a file, CSV or NDJSON
///
/// CSV is UTF-8 with a header line; `phone` is required, `name` optional, every other column is a field by its name. NDJSON is
/// an object a line, such as {"to": "+628123456789", "name": "Siti", "params": {"package": "Hemat"}}. What the file says of
/// somebody who is known takes the place of what was known. The whole file is looked through first; bad rows are reported
/// on standard error and left out.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kabar recipient import guests.csv --group umroh-2026-12-01

guests.csv:
  phone,name,package
  +628123456789,Siti,Paket Hemat")]
pub(super) struct ImportArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Put everybody into this group, which is made if it is not there
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Refuse a file with any bad row
    #[arg(long)]
    strict: bool,
}

pub(super) async fn run(arguments: ImportArgs, ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let group = arguments.group.as_deref().map(str::trim);
    if group.is_some_and(str::is_empty) {
        bail!("--group is empty: name the group");
    }
    let file = PeopleFile::open(&arguments.file, ledger.region())?;
    let survey = look_through(&file, json)?;
    report(&survey);
    survey.judge(&file, arguments.strict)?;
    let (mut chunk, mut imported, mut new) = (Vec::with_capacity(CHUNK), 0, 0);
    let mut meter = Meter::new("importing");
    for row in file.rows()? {
        let Row::Recipient(row) = row? else { continue };
        chunk.push(NewRecipient { phone: row.phone, name: row.name, fields: row.fields });
        if chunk.len() == CHUNK {
            new += ledger.store.import_recipients(DEFAULT_TENANT, &chunk, group).await?;
            imported += chunk.len() as u64;
            meter.set(imported, survey.recipients, "");
            chunk.clear();
        }
    }
    new += ledger.store.import_recipients(DEFAULT_TENANT, &chunk, group).await?;
    imported += chunk.len() as u64;
    meter.finish();
    let mut value = serde_json::to_value(&survey)?;
    value["imported"] = imported.into();
    value["new"] = new.into();
    value["group"] = json!(group);
    show(json, &value, || {
        let group = group.map(|group| format!(" into group {group}")).unwrap_or_default();
        format!(
            "{} imported{group}: {} new, {} known before; {} and {} left out",
            plural(imported, "recipient"),
            number(new),
            number(imported.saturating_sub(new)),
            plural(survey.repeated_rows, "repeated row"),
            plural(survey.bad, "bad row"),
        )
    })
}
