//! `kabar schedule`: jobs that are enqueued again and again by the clock.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use kabar_domain::{
    job::{Job, JobId},
    schedule::Missed,
};
use kabar_store::{NewSchedule, Schedule, StoreResult};
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
        /// Minute hour day-of-month month day-of-week (0 and 7 are Sunday), seconds before them if wanted; or @hourly,
        /// @daily, @weekly, @monthly, @yearly
        #[arg(long, value_name = "EXPR")]
        cron: String,
        /// The time zone, such as Asia/Jakarta [default: people.default_timezone]
        #[arg(long, value_name = "ZONE", value_parser = super::remind::zone)]
        timezone: Option<Tz>,
        /// The file with the job
        #[arg(long, value_name = "FILE.json")]
        job: PathBuf,
        /// What becomes of ticks that fall due while no fleet runs: skip, coalesce (the latest fires), or catch_up:N (each
        /// of the latest N fires)
        #[arg(long, value_name = "POLICY", default_value = "coalesce")]
        missed: Missed,
    },
    /// The schedules
    #[command(after_help = "Example:\n  kabar schedule list")]
    List,
    /// One schedule with its job and its next ten firings
    #[command(after_help = "Example:\n  kabar schedule show 1")]
    Show(Id),
    /// Let a schedule rest; what falls due meanwhile never fires
    #[command(after_help = "Example:\n  kabar schedule pause 1")]
    Pause(Id),
    /// Let a paused schedule go on with its next tick
    #[command(after_help = "Example:\n  kabar schedule resume 1")]
    Resume(Id),
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
        Command::Add { cron, timezone, job, missed } => {
            let timezone = timezone.unwrap_or(ledger.settings.people.default_timezone);
            let job = read_job(&ledger, &job).await?;
            let new = NewSchedule { cron: &cron, timezone, job: &job, missed };
            let schedule = store.add_schedule(ledger.tenant, &new, ledger.door()).await?;
            let view = views::Schedule::new(&schedule, store.now_ms())?;
            view.next.iter().for_each(|at| output::note(format!("fires at {at}")));
            show(json, &view, || schedule.id.to_string())
        }
        Command::List => list(&ledger, json).await,
        Command::Show(Id { id }) => {
            let schedule = store.schedule(ledger.tenant, id).await?;
            let view = views::Schedule::new(&schedule, store.now_ms())?;
            show(json, &view, || facts(&schedule, &view.next))
        }
        Command::Pause(Id { id }) => {
            store.pause_schedule(ledger.tenant, id).await?;
            show(json, &json!({"id": id.to_string(), "state": "paused"}), || format!("schedule {id} rests"))
        }
        Command::Resume(Id { id }) => {
            store.resume_schedule(ledger.tenant, id).await?;
            let upcoming = views::Schedule::new(&store.schedule(ledger.tenant, id).await?, store.now_ms())?.next;
            let next = upcoming.first().cloned().unwrap_or_else(|| "never".to_owned());
            let value = json!({"id": id.to_string(), "state": "active", "next": upcoming});
            show(json, &value, || format!("schedule {id} goes on; it next fires at {next}"))
        }
        Command::Remove(Id { id }) => {
            if !store.remove_schedule(ledger.tenant, id).await? {
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
    let schedules = ledger.store.schedules(ledger.tenant).await?;
    let now = ledger.store.now_ms();
    let views = schedules.iter().map(|one| views::Schedule::new(one, now)).collect::<StoreResult<Vec<_>>>()?;
    show(json, &views, || {
        let mut table = Table::new(["ID", "CRON", "TIMEZONE", "JOB", "STATE", "NEXT AT"]);
        for one in &schedules {
            let job = one.job.get("type").and_then(Value::as_str).unwrap_or("-").to_owned();
            table.row([
                one.id.to_string(),
                one.cron.clone(),
                one.timezone.clone(),
                job,
                state(one).to_owned(),
                next_at(one),
            ]);
        }
        table.or("no schedule yet: `kabar schedule add` adds one")
    })
}

fn state(schedule: &Schedule) -> &'static str {
    if schedule.paused_at.is_some() { "paused" } else { "active" }
}

fn next_at(schedule: &Schedule) -> String {
    if schedule.paused_at.is_some() { "-".to_owned() } else { time(schedule.next_at) }
}

fn facts(schedule: &Schedule, upcoming: &[String]) -> String {
    let mut table = Table::of_facts();
    table.fact("id", schedule.id.to_string());
    table.fact("cron", &schedule.cron);
    table.fact("timezone", &schedule.timezone);
    table.fact("state", state(schedule));
    table.fact("missed ticks", schedule.missed.to_string());
    table.fact("next at", next_at(schedule));
    table.fact("added", time(schedule.created_at));
    let would = if schedule.paused_at.is_some() { "would fire" } else { "fires" };
    for (index, at) in upcoming.iter().enumerate() {
        table.fact(if index == 0 { would } else { "" }, at);
    }
    format!("{table}\n{:#}", schedule.job)
}
