//! `kabar schedule`: jobs that are enqueued again and again by the clock.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use kabar_domain::job::{Job, JobId};
use kabar_store::{DEFAULT_TENANT, Schedule};
use serde_json::{Value, json};

use super::{
    Common, enqueue,
    ledger::Ledger,
    output::{self, Table, show, time},
};
use crate::views;

/// Jobs that are enqueued again and again by the clock
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kabar schedule add --cron '0 9 * * 1' --timezone Asia/Jakarta --job weekly.json

weekly.json is a job as `kabar schema job` describes it:
  {\"type\": \"broadcast\", \"id\": \"weekly\", \"audience\": {\"group\": \"members\"},
   \"content\": {\"template\": {\"name\": \"weekly_news\", \"language\": \"id\"}}}")]
pub(crate) struct ScheduleArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a schedule; its id is printed. Each tick enqueues the job once, under the job's id and the tick's local time
    #[command(
        after_help = "Example:\n  kabar schedule add --cron '0 9 * * 1' --timezone Asia/Jakarta --job weekly.json"
    )]
    Add {
        /// Minute hour day-of-month month day-of-week (0 and 7 are Sunday), or @daily, @weekly, @monthly
        #[arg(long, value_name = "EXPR")]
        cron: String,
        /// The time zone, such as Asia/Jakarta [default: people.default_timezone]
        #[arg(long, value_name = "ZONE", value_parser = super::remind::zone)]
        timezone: Option<Tz>,
        /// The file with the job
        #[arg(long, value_name = "FILE.json")]
        job: PathBuf,
    },
    /// The schedules
    #[command(after_help = "Example:\n  kabar schedule list")]
    List,
    /// One schedule with its job
    #[command(after_help = "Example:\n  kabar schedule show 1")]
    Show(Id),
    /// Remove a schedule; what it enqueued stays
    #[command(after_help = "Example:\n  kabar schedule remove 1")]
    Remove(Id),
}

/// A schedule.
#[derive(Debug, Args)]
struct Id {
    /// The schedule's id
    id: i64,
}

pub(crate) async fn run(arguments: ScheduleArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let (store, json) = (&ledger.store, common.json);
    match arguments.command {
        Command::Add { cron, timezone, job } => {
            let timezone = timezone.unwrap_or(ledger.settings.people.default_timezone);
            let job = read_job(&ledger, &job).await?;
            let schedule = store.add_schedule(DEFAULT_TENANT, &cron, timezone, &job, ledger.door()).await?;
            output::note(format!("next at {} (UTC)", time(schedule.next_at)));
            show(json, &views::Schedule::from(&schedule), || schedule.id.to_string())
        }
        Command::List => list(&ledger, json).await,
        Command::Show(Id { id }) => {
            let schedule = store.schedule(id).await?;
            show(json, &views::Schedule::from(&schedule), || facts(&schedule))
        }
        Command::Remove(Id { id }) => {
            if !store.remove_schedule(id).await? {
                bail!("there is no schedule {id}: `kabar schedule list` shows what there is");
            }
            show(json, &json!({"id": id, "removed": true}), || format!("schedule {id} removed"))
        }
    }
}

/// The job of a file, checked as it will be at each tick. The ledger keeps it as it was typed.
async fn read_job(ledger: &Ledger, file: &std::path::Path) -> anyhow::Result<Value> {
    let named = || format!("file {}", file.display());
    let text = fs::read(file).with_context(named)?;
    let value: Value = serde_json::from_slice(&text).context("not JSON").with_context(named)?;
    let id: Option<JobId> = "schedule".parse().ok();
    let job = Job::from_value(value.clone(), ledger.door(), id).with_context(named)?;
    enqueue::check(ledger, &job).await.with_context(named)?;
    Ok(value)
}

async fn list(ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let schedules = ledger.store.schedules(DEFAULT_TENANT).await?;
    show(json, &schedules.iter().map(views::Schedule::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["ID", "CRON", "TIMEZONE", "JOB", "NEXT AT"]);
        for one in &schedules {
            let job = one.job.get("type").and_then(Value::as_str).unwrap_or("-").to_owned();
            table.row([one.id.to_string(), one.cron.clone(), one.timezone.clone(), job, time(one.next_at)]);
        }
        table.or("no schedule yet: `kabar schedule add` adds one")
    })
}

fn facts(schedule: &Schedule) -> String {
    let mut table = Table::of_facts();
    table.fact("id", schedule.id.to_string());
    table.fact("cron", &schedule.cron);
    table.fact("timezone", &schedule.timezone);
    table.fact("next at", time(schedule.next_at));
    table.fact("next tick", format!("{} by the clocks of {}", schedule.next_tick, schedule.timezone));
    table.fact("added", time(schedule.created_at));
    format!("{table}\n{:#}", schedule.job)
}
