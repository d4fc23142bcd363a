//! `kabar broadcast start --dry-run`: for whom it would be, who would be left out and why, how long it would take.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use anyhow::bail;
use kabar_domain::{
    content::{Content, Fields},
    job::{Audience, BroadcastJob, Job},
    pace::Rate,
    phone::PhoneNumber,
};
use kabar_store::{DEFAULT_TENANT, Recipient};
use serde::Serialize;

use super::start::duration;
use crate::{
    cli::{
        ledger::Ledger,
        output::{self, Table, length, number},
    },
    csv::{CsvFile, Row, Survey},
};

/// The most people that are looked up at once.
const CHUNK: usize = 1_000;

/// What a broadcast would come to.
#[derive(Debug, Serialize)]
pub(super) struct Preview {
    /// Everybody it is for.
    audience: u64,
    /// Those who may not be sent to.
    blocked: u64,
    /// Those who declined marketing messages.
    opted_out: u64,
    /// Those without a value that the content takes.
    missing_parameter: u64,
    /// How many lack which value.
    missing: BTreeMap<String, u64>,
    /// Who would be sent to.
    to_send: u64,
    /// The sender's rate, in messages per second.
    rate: Rate,
    /// How long that takes, had it the sender for itself; none where the rate is unlimited.
    duration_seconds: Option<u64>,
}

/// What decides who is left out.
struct Rules {
    channel: &'static str,
    marketing: bool,
    fields: BTreeSet<String>,
}

/// Looks at everybody in `file`, or in the group that the job names.
pub(super) async fn of(ledger: &Ledger, job: &Job, file: Option<&CsvFile>) -> anyhow::Result<Preview> {
    let Job::Broadcast(broadcast) = job else { bail!("this is no broadcast") };
    let sender = ledger.store.sender(DEFAULT_TENANT, &broadcast.sender).await?;
    let rules = Rules {
        channel: sender.provider.channel().as_str(),
        marketing: is_marketing(ledger, broadcast).await?,
        fields: broadcast.content.fields(),
    };
    let mut preview = Preview {
        audience: 0,
        blocked: 0,
        opted_out: 0,
        missing_parameter: 0,
        missing: BTreeMap::new(),
        to_send: 0,
        rate: sender.rate,
        duration_seconds: None,
    };
    match (&broadcast.audience, file) {
        (_, Some(file)) => preview.look_at_file(ledger, file, &rules).await?,
        (Audience::Group(group), None) => preview.look_at_group(ledger, group, &rules).await?,
        (Audience::Recipients(_) | Audience::File(_), None) => bail!("this broadcast names neither group nor file"),
    }
    let takes = duration(preview.to_send, sender.rate, ledger.settings.pace.margin);
    preview.duration_seconds = takes.map(|takes| takes.as_secs() + u64::from(takes.subsec_nanos() > 0));
    Ok(preview)
}

/// Whether those who declined marketing messages are left out, as the planner decides it.
async fn is_marketing(ledger: &Ledger, broadcast: &BroadcastJob) -> anyhow::Result<bool> {
    let Content::Template(content) = &broadcast.content else { return Ok(true) };
    let known = ledger.store.find_template(DEFAULT_TENANT, &content.name, &content.language).await?;
    Ok(known.is_none_or(|known| matches!(known.template.category.as_str(), "" | "MARKETING")))
}

impl Preview {
    async fn look_at_file(&mut self, ledger: &Ledger, file: &CsvFile, rules: &Rules) -> anyhow::Result<()> {
        let mut chunk: Vec<(PhoneNumber, Fields)> = Vec::with_capacity(CHUNK);
        for row in file.rows()? {
            let Row::Recipient(row) = row? else { continue };
            let mut fields = row.fields;
            fields.extend(row.name.map(|name| ("name".to_owned(), name)));
            chunk.push((row.phone, fields));
            if chunk.len() == CHUNK {
                self.look_at_rows(ledger, &mut chunk, rules).await?;
            }
        }
        self.look_at_rows(ledger, &mut chunk, rules).await
    }

    async fn look_at_rows(
        &mut self,
        ledger: &Ledger,
        chunk: &mut Vec<(PhoneNumber, Fields)>,
        rules: &Rules,
    ) -> anyhow::Result<()> {
        let phones: Vec<PhoneNumber> = chunk.iter().map(|(phone, _)| phone.clone()).collect();
        let known = ledger.store.recipients_by_phone(DEFAULT_TENANT, &phones).await?;
        let known: HashMap<&str, &Recipient> = known.iter().map(|known| (known.phone.as_str(), known)).collect();
        for (phone, mut fields) in chunk.drain(..) {
            let known = known.get(phone.as_str()).copied();
            if let Some(name) = known.and_then(|known| known.name.clone()) {
                fields.entry("name".to_owned()).or_insert(name);
            }
            self.count(known, &fields, rules);
        }
        Ok(())
    }

    async fn look_at_group(&mut self, ledger: &Ledger, group: &str, rules: &Rules) -> anyhow::Result<()> {
        let group = ledger.store.group(DEFAULT_TENANT, group).await?;
        let mut after = 0;
        loop {
            let members = ledger.store.recipients_in_group(group.id, after, CHUNK as u32).await?;
            let Some(last) = members.last() else { return Ok(()) };
            after = last.id;
            for member in &members {
                let mut fields = member.fields.clone();
                if let Some(name) = &member.name {
                    fields.entry("name".to_owned()).or_insert_with(|| name.clone());
                }
                self.count(Some(member), &fields, rules);
            }
        }
    }

    /// Counts one person, by the first reason to leave them out, in the planner's order.
    fn count(&mut self, known: Option<&Recipient>, fields: &Fields, rules: &Rules) {
        self.audience += 1;
        if known.is_some_and(|known| known.blocks.iter().any(|block| block.channel == rules.channel)) {
            self.blocked += 1;
        } else if rules.marketing && known.is_some_and(|known| known.opted_out_at.is_some()) {
            self.opted_out += 1;
        } else {
            let missing = rules.fields.iter().filter(|field| fields.get(*field).is_none_or(String::is_empty));
            let mut lacks = false;
            for field in missing {
                lacks = true;
                *self.missing.entry(field.clone()).or_default() += 1;
            }
            if lacks { self.missing_parameter += 1 } else { self.to_send += 1 }
        }
    }
}

/// Prints what a broadcast would come to.
pub(super) fn print(preview: &Preview, survey: Option<&Survey>, json: bool) -> anyhow::Result<()> {
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
    table.fact("declined marketing", number(preview.opted_out));
    let missing: Vec<String> =
        preview.missing.iter().map(|(field, count)| format!("{{{field}}} {}", number(*count))).collect();
    let missing = if missing.is_empty() { String::new() } else { format!(" ({})", missing.join(", ")) };
    table.fact("missing a value", format!("{}{missing}", number(preview.missing_parameter)));
    table.fact("would be sent to", number(preview.to_send));
    let takes = preview.duration_seconds.map(|seconds| length(Duration::from_secs(seconds)));
    let takes = takes.unwrap_or_else(|| "as long as the provider takes".to_owned());
    table.fact("would take", format!("{takes} at a rate of {}", rate(preview.rate)));
    table.fact("written", "nothing: this was a dry run");
    output::print(table)
}

/// `20 per second`, or `unlimited`.
fn rate(rate: Rate) -> String {
    rate.limit().map_or_else(|| rate.to_string(), |limit| format!("{limit} per second"))
}
