//! `kabar dead`: work that cannot go on, kept with its body and the reason.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kabar_domain::job::Job;
use kabar_queue::Line;
use kabar_store::{DEFAULT_TENANT, DeadLetter};
use serde_json::{Value, json};

use super::{
    Common, errors,
    ledger::Ledger,
    output::{Table, show, time},
    page::PageArgs,
};

/// Work that cannot go on, kept with its body and the reason
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar dead list
  kabar dead show 3
  kabar dead retry 3 4
  kabar dead drop 5")]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The dead letters, the oldest first
    #[command(after_help = "Example:\n  kabar dead list")]
    List(PageArgs),
    /// One dead letter, with what it was
    #[command(after_help = "Example:\n  kabar dead show 3")]
    Show {
        /// The dead letter
        id: i64,
    },
    /// Enqueue what the dead letters were, once what kept them is mended
    #[command(after_help = "Example:\n  kabar dead retry 3 4")]
    Retry(Ids),
    /// Forget dead letters
    #[command(after_help = "Example:\n  kabar dead drop 5")]
    Drop(Ids),
}

/// Dead letters.
#[derive(Debug, Args)]
struct Ids {
    /// The dead letters
    #[arg(required = true, value_name = "ID")]
    ids: Vec<i64>,
}

pub(crate) async fn run(arguments: DeadArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    match arguments.command {
        Command::List(page) => list(&ledger, &page, common.json).await,
        Command::Show { id } => {
            let letter = ledger.store.dead_letter(id).await?;
            show(common.json, &value(&letter), || facts(&letter))
        }
        Command::Retry(Ids { ids }) => retry(&ledger, &ids, common.json).await,
        Command::Drop(Ids { ids }) => forget(&ledger, &ids, common.json).await,
    }
}

async fn list(ledger: &Ledger, page: &PageArgs, json: bool) -> anyhow::Result<()> {
    let letters = ledger.store.dead_letters(DEFAULT_TENANT, page.after.unwrap_or(0), page.limit).await?;
    show(json, &letters.iter().map(value).collect::<Vec<_>>(), || {
        let mut table = Table::new(["ID", "LINE", "SINCE", "REASON"]);
        for one in &letters {
            table.row([one.id.to_string(), one.line.clone(), time(one.created_at), one.reason.clone()]);
        }
        table.or("no dead letters")
    })?;
    page.note_more(letters.len(), letters.last().map(|last| last.id));
    Ok(())
}

/// Each by itself: one that cannot be retried keeps no other.
async fn retry(ledger: &Ledger, ids: &[i64], json: bool) -> anyhow::Result<()> {
    let (mut results, mut lines, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        match retry_one(ledger, *id).await {
            Ok(job) => {
                lines.push(format!("dead letter {id} enqueued as job {job}"));
                results.push(json!({"id": id, "job": job}));
            }
            Err(error) => {
                let error = errors::one_line(&error);
                results.push(json!({"id": id, "error": error}));
                failed.push(format!("dead letter {id}: {error}"));
            }
        }
    }
    if json || !lines.is_empty() {
        show(json, &results, || lines.join("\n"))?;
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

/// Enqueues what the letter was, then forgets the letter; the id of the job. Cut short in between, a second try finds the
/// same job and forgets the letter.
async fn retry_one(ledger: &Ledger, id: i64) -> anyhow::Result<String> {
    let letter = ledger.store.dead_letter(id).await?;
    if letter.line != Line::Jobs.as_str() {
        bail!("it came by line {:?}, and only jobs can be retried", letter.line);
    }
    let job =
        Job::from_json(letter.body.as_bytes(), ledger.door(), None).context("it is still no job that can be read")?;
    ledger.store.enqueue(DEFAULT_TENANT, &job).await?;
    ledger.store.drop_dead_letter(id).await?;
    Ok(job.id().to_string())
}

async fn forget(ledger: &Ledger, ids: &[i64], json: bool) -> anyhow::Result<()> {
    let mut unknown = Vec::new();
    let mut dropped = Vec::new();
    for id in ids {
        if ledger.store.drop_dead_letter(*id).await? { dropped.push(*id) } else { unknown.push(id.to_string()) }
    }
    if json || !dropped.is_empty() {
        show(json, &json!({"dropped": dropped}), || {
            let ids: Vec<String> = dropped.iter().map(i64::to_string).collect();
            format!("dropped {}", ids.join(", "))
        })?;
    }
    if unknown.is_empty() {
        return Ok(());
    }
    bail!("there is no dead letter {}: `kabar dead list` shows what there is", unknown.join(", "))
}

fn facts(letter: &DeadLetter) -> String {
    let mut table = Table::of_facts();
    table.fact("id", letter.id.to_string());
    table.fact("line", &letter.line);
    table.fact("since", time(letter.created_at));
    table.fact("reason", &letter.reason);
    table.fact("next", format!("`kabar dead retry {0}` or `kabar dead drop {0}`", letter.id));
    // The body came from outside: what would steer a terminal is left out.
    let body: String = letter.body.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    format!("{table}\n{body}")
}

/// A dead letter as JSON.
fn value(letter: &DeadLetter) -> Value {
    json!({"id": letter.id, "line": letter.line, "reason": letter.reason, "body": letter.body,
        "created_at": time(letter.created_at)})
}
