//! `kabar dead`: work that cannot go on, kept with its body and the reason.

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, Subcommand};
use kabar_domain::job::Job;
use kabar_queue::Line;
use kabar_store::{DeadLetter, DeadLetterFilter};
use serde_json::{Value, json};

use super::{
    Common, enqueue, errors,
    ledger::Ledger,
    output::{Table, or_dash, plural, show, time},
    page::PageArgs,
};

/// How many letters are looked up at once.
const LETTERS_AT_ONCE: u32 = 500;

/// Work that cannot go on, kept with its body and the reason
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar dead list
  kabar dead show 3
  kabar dead retry --reason 'no sender'
  kabar dead drop 5")]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The dead letters, the oldest first
    #[command(after_help = "Examples:\n  kabar dead list\n  kabar dead list --reason sender")]
    List {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        page: PageArgs,
    },
    /// One dead letter, with what it was
    #[command(after_help = "Example:\n  kabar dead show 3")]
    Show {
        /// The dead letter
        id: i64,
    },
    /// Enqueue what the dead letters were, once what kept them is mended
    #[command(after_help = "Examples:
  kabar dead retry 3 4
  kabar dead retry --reason 'no sender'
  kabar dead retry --job invoice-7781")]
    Retry(Chosen),
    /// Forget dead letters for good
    #[command(after_help = "Examples:\n  kabar dead drop 5\n  kabar dead drop --line jobs --reason 'not JSON' --yes")]
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Needed where more than one is dropped
        #[arg(long)]
        yes: bool,
    },
}

/// Dead letters by what they are; all of what is given must fit.
#[derive(Debug, Args)]
struct Of {
    /// Those whose reason holds this text, in capitals or not
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Those that came by this line
    #[arg(long, value_name = "LINE")]
    line: Option<String>,
    /// Those of the job with this id: a send, a broadcast or a reminder
    #[arg(long, value_name = "ID", visible_alias = "broadcast")]
    job: Option<String>,
}

/// Dead letters by number, or by what they are.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("chosen").args(["ids", "reason", "line", "job"]).required(true).multiple(true)))]
struct Chosen {
    /// The dead letters
    #[arg(value_name = "ID", conflicts_with_all = ["reason", "line", "job"])]
    ids: Vec<i64>,
    #[command(flatten)]
    of: Of,
}

pub(crate) async fn run(arguments: DeadArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    match arguments.command {
        Command::List { of, page } => list(&ledger, of, &page, common.json).await,
        Command::Show { id } => {
            let letter = ledger.store.dead_letter(ledger.tenant, id).await?;
            show(common.json, &value(&letter), || facts(&letter))
        }
        Command::Retry(chosen) => retry(&ledger, &chosen_ids(&ledger, chosen).await?, common.json).await,
        Command::Drop { chosen, yes } => forget(&ledger, &chosen_ids(&ledger, chosen).await?, yes, common.json).await,
    }
}

impl From<Of> for DeadLetterFilter {
    fn from(of: Of) -> Self {
        Self { line: of.line, job_key: of.job, reason: of.reason }
    }
}

async fn list(ledger: &Ledger, of: Of, page: &PageArgs, json: bool) -> anyhow::Result<()> {
    let letters = ledger.store.dead_letters(ledger.tenant, &of.into(), page.after.unwrap_or(0), page.limit).await?;
    show(json, &letters.iter().map(value).collect::<Vec<_>>(), || {
        let mut table = Table::new(["ID", "LINE", "JOB", "SINCE", "REASON"]);
        for one in &letters {
            table.row([
                one.id.to_string(),
                one.line.clone(),
                or_dash(one.job_key.as_deref()),
                time(one.created_at),
                one.reason.clone(),
            ]);
        }
        table.or("no dead letters")
    })?;
    page.note_more(letters.len(), letters.last().map(|last| last.id));
    Ok(())
}

/// The numbers of the letters that are meant now: what dies meanwhile is not among them.
async fn chosen_ids(ledger: &Ledger, chosen: Chosen) -> anyhow::Result<Vec<i64>> {
    if !chosen.ids.is_empty() {
        return Ok(chosen.ids);
    }
    let filter = DeadLetterFilter::from(chosen.of);
    let mut ids: Vec<i64> = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or(0);
        let letters = ledger.store.dead_letters(ledger.tenant, &filter, after, LETTERS_AT_ONCE).await?;
        if letters.is_empty() {
            break;
        }
        ids.extend(letters.iter().map(|letter| letter.id));
    }
    if ids.is_empty() {
        bail!("there is no such dead letter: `kabar dead list` shows what there is");
    }
    Ok(ids)
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

/// Takes the letter's work in as intake does; the id of the job. Enqueued and forgotten in one transaction, so whatever
/// ends the command, the work is in exactly one of the two places.
async fn retry_one(ledger: &Ledger, id: i64) -> anyhow::Result<String> {
    let letter = ledger.store.dead_letter(ledger.tenant, id).await?;
    if letter.line != Line::Jobs.as_str() {
        bail!("it came by line {:?}, and only jobs can be retried", letter.line);
    }
    // What had no id at the door has one by its letter: retried twice, it would be one job.
    let fallback = letter.job_key.clone().unwrap_or_else(|| format!("dead-{id}"));
    let job = Job::from_json(letter.body.as_bytes(), ledger.door(), fallback.parse().ok())
        .context("it is still no job that can be read")?;
    enqueue::check(ledger, &job).await?;
    ledger.store.retry_dead_letter(ledger.tenant, id, &job).await?;
    Ok(job.id().to_string())
}

async fn forget(ledger: &Ledger, ids: &[i64], yes: bool, json: bool) -> anyhow::Result<()> {
    if ids.len() > 1 && !yes {
        bail!("this drops {} for good: say --yes if you mean it", plural(ids.len() as u64, "dead letter"));
    }
    let dropped = ledger.store.drop_dead_letters(ledger.tenant, ids).await?;
    if json || !dropped.is_empty() {
        show(json, &json!({"dropped": dropped}), || {
            let ids: Vec<String> = dropped.iter().map(i64::to_string).collect();
            format!("dropped {}", ids.join(", "))
        })?;
    }
    let unknown: Vec<String> = ids.iter().filter(|id| !dropped.contains(id)).map(i64::to_string).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    bail!("there is no dead letter {}: `kabar dead list` shows what there is", unknown.join(", "))
}

fn facts(letter: &DeadLetter) -> String {
    let mut table = Table::of_facts();
    table.fact("id", letter.id.to_string());
    table.fact("line", &letter.line);
    table.fact("job", or_dash(letter.job_key.as_deref()));
    table.fact("since", time(letter.created_at));
    table.fact("reason", &letter.reason);
    table.fact("next", format!("`kabar dead retry {0}` or `kabar dead drop {0}`", letter.id));
    // The body came from outside: what would steer a terminal is left out.
    let body: String = letter.body.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    format!("{table}\n{body}")
}

/// A dead letter as JSON.
fn value(letter: &DeadLetter) -> Value {
    json!({"id": letter.id, "line": letter.line, "job": letter.job_key, "reason": letter.reason, "body": letter.body,
        "created_at": time(letter.created_at)})
}
