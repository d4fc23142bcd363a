//! `kabar broadcast`: one content for many people, and how it goes.

use clap::{Args, Subcommand};
use kabar_store::{Broadcast, BroadcastState};
use serde_json::json;

use super::{
    Common,
    ledger::Ledger,
    output::{self, Table, counts, number, or_dash, plural, show, time_or_dash},
    page::PageArgs,
    progress,
};
use crate::views::{self, BroadcastDetail};

mod export;
mod load;
mod preview;
mod start;

/// Send one content to many people, and see how it goes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar broadcast start --file guests.csv --template departure_reminder --language id \\
    --param 1='{name}' --param 2='1 Des 2026' --param 3='{package}' --id dep-2026-12-01 --dry-run
  kabar broadcast show dep-2026-12-01
  kabar broadcast export dep-2026-12-01 > result.csv")]
pub(crate) struct BroadcastArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(Box<start::StartArgs>),
    /// The broadcasts, the newest first
    #[command(after_help = "Example:\n  kabar broadcast list --limit 10")]
    List(PageArgs),
    /// How a broadcast stands, and why messages of it were not delivered
    #[command(after_help = "Example:\n  kabar broadcast show dep-2026-12-01 --json")]
    Show(Id),
    /// Pause a broadcast; nothing of it is sent until it is resumed
    #[command(after_help = "Example:\n  kabar broadcast pause dep-2026-12-01")]
    Pause(Id),
    /// Let a paused broadcast go on
    #[command(after_help = "Example:\n  kabar broadcast resume dep-2026-12-01")]
    Resume(Id),
    /// Cancel a broadcast; what was not sent yet never is
    #[command(after_help = "Example:\n  kabar broadcast cancel dep-2026-12-01")]
    Cancel(Id),
    /// Print every recipient with state and reason, as CSV
    #[command(after_help = "Example:\n  kabar broadcast export dep-2026-12-01 > result.csv")]
    Export(Id),
    /// Try the failed messages of a broadcast anew
    #[command(after_help = "Example:\n  kabar broadcast retry dep-2026-12-01")]
    Retry(Id),
}

/// A broadcast.
#[derive(Debug, Args)]
struct Id {
    /// The broadcast's id
    id: String,
}

pub(crate) async fn run(arguments: BroadcastArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let (store, json) = (&ledger.store, common.json);
    match arguments.command {
        Command::Start(arguments) => start::run(*arguments, &ledger, json).await,
        Command::List(page) => list(&ledger, &page, json).await,
        Command::Show(Id { id }) => show_one(&ledger, &id, json).await,
        Command::Pause(Id { id }) => {
            store.pause_broadcast(ledger.tenant, &id).await?;
            say_state(&ledger, &id, json, "").await
        }
        Command::Resume(Id { id }) => {
            store.resume_broadcast(ledger.tenant, &id).await?;
            say_state(&ledger, &id, json, "").await
        }
        Command::Cancel(Id { id }) => {
            let cancelled = store.cancel_broadcast(ledger.tenant, &id).await?;
            say_state(&ledger, &id, json, &format!("; {} taken back", plural(cancelled, "message"))).await
        }
        Command::Export(Id { id }) => export::run(&ledger, &id, json).await,
        Command::Retry(Id { id }) => {
            let retried = store.retry_failed(ledger.tenant, &id).await?;
            show(json, &json!({"id": id, "retried": retried}), || {
                format!("broadcast {id}: {} tried anew", plural(retried, "failed message"))
            })
        }
    }
}

async fn say_state(ledger: &Ledger, id: &str, json: bool, more: &str) -> anyhow::Result<()> {
    let broadcast = ledger.store.broadcast(ledger.tenant, id).await?;
    show(json, &views::Broadcast::from(&broadcast), || format!("broadcast {id} is {}{more}", broadcast.state.as_str()))
}

async fn list(ledger: &Ledger, page: &PageArgs, json: bool) -> anyhow::Result<()> {
    let broadcasts = ledger.store.broadcasts(ledger.tenant, page.after.unwrap_or(i64::MAX), page.limit).await?;
    show(json, &broadcasts.iter().map(views::Broadcast::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["ID", "NAME", "STATE", "AUDIENCE", "DONE", "FAILED", "ETA", "STARTED"]);
        for one in &broadcasts {
            table.row([
                one.id.clone(),
                or_dash(one.name.as_deref()),
                one.state.as_str().to_owned(),
                number(one.audience.unsigned_abs()),
                number(one.counts.of(kabar_domain::message::Phase::Done)),
                number(one.counts.get(kabar_domain::message::MessageState::Failed)),
                time_or_dash(one.eta),
                output::time(one.created_at),
            ]);
        }
        table.or("no broadcast yet: `kabar broadcast start` starts one")
    })?;
    page.note_more(broadcasts.len(), broadcasts.last().map(|last| last.job_id));
    Ok(())
}

async fn show_one(ledger: &Ledger, id: &str, json: bool) -> anyhow::Result<()> {
    let broadcast = ledger.store.broadcast(ledger.tenant, id).await?;
    let mut reasons = ledger.store.reasons(broadcast.job_id).await?;
    if json {
        return output::print_json(&BroadcastDetail::new(&broadcast, &reasons));
    }
    reasons.retain(|(_, reason, code, _)| reason.is_some() || code.is_some());
    output::print(facts(&broadcast))?;
    let told: Vec<String> = reasons
        .iter()
        .map(|(state, reason, code, count)| format!("  {}", progress::told(*state, reason.as_deref(), *code, *count)))
        .collect();
    if told.is_empty() { Ok(()) } else { output::print(format!("why:\n{}", told.join("\n"))) }
}

fn facts(broadcast: &Broadcast) -> Table {
    let mut table = Table::of_facts();
    table.fact("id", &broadcast.id);
    table.fact("name", or_dash(broadcast.name.as_deref()));
    table.fact("state", broadcast.state.as_str());
    let so_far = if broadcast.state == BroadcastState::Planning { " so far" } else { "" };
    table.fact("audience", format!("{}{so_far}", number(broadcast.audience.unsigned_abs())));
    table.fact("messages", counts(&broadcast.counts));
    if let Some(attention) = output::attention(&broadcast.counts, Some(&broadcast.id)) {
        table.fact("attention", attention);
    }
    table.fact("eta", time_or_dash(broadcast.eta));
    table.fact("started", output::time(broadcast.created_at));
    table
}
