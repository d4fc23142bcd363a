//! `kabar message`: everything about one message, and settling an unresolved one.

use anyhow::bail;
use clap::{ArgGroup, Args, Subcommand};
use kabar_store::{AttemptStory, DEFAULT_TENANT, MessageStory, Store, StoreError};
use serde_json::json;

use super::{
    Common,
    ledger::Ledger,
    output::{Table, or_dash, show, time, time_or_dash},
};

/// Everything that happened to one message, and settling an unresolved one
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar message show invoice-7781-d3
  kabar message show 4711
  kabar message resolve 4711 --resend")]
pub(crate) struct MessageArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that happened to a message, why it waits, and what happens next
    #[command(after_help = "Example:\n  kabar message show invoice-7781-d3")]
    Show {
        /// The message's number, or the id of a job with one message
        id: String,
    },
    /// Settle a message of which nobody knows whether it left
    #[command(
        group(ArgGroup::new("verdict").args(["sent", "resend"]).required(true)),
        after_help = "Example:\n  kabar message resolve 4711 --sent"
    )]
    Resolve {
        /// The message's number, or the id of a job with one message
        id: String,
        /// The person has it
        #[arg(long)]
        sent: bool,
        /// The person does not have it: send it again
        #[arg(long)]
        resend: bool,
    },
}

pub(crate) async fn run(arguments: MessageArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let store = &ledger.store;
    match arguments.command {
        Command::Show { id } => {
            let story = store.message_story(DEFAULT_TENANT, find(store, &id).await?).await?;
            show(common.json, &story, || told(&story))
        }
        Command::Resolve { id, sent, resend: _ } => {
            let message = find(store, &id).await?;
            store.resolve_message(DEFAULT_TENANT, message, sent).await?;
            let state = if sent { "accepted" } else { "queued" };
            show(common.json, &json!({"id": message, "state": state}), || {
                let next = if sent { "counts as sent" } else { "is sent again" };
                format!("message {message} {next}")
            })
        }
    }
}

/// The message that `id` names. A job of which nothing is planned yet has none, which is another thing than no job.
async fn find(store: &Store, id: &str) -> anyhow::Result<i64> {
    match store.find_message(DEFAULT_TENANT, id).await {
        Err(StoreError::NotFound { .. }) if store.job_id(DEFAULT_TENANT, id).await?.is_some() => {
            bail!("job {id} has no message yet: a planner makes it; start `kabar run`, or look again in a moment")
        }
        found => Ok(found?),
    }
}

fn told(story: &MessageStory) -> String {
    let mut facts = Table::of_facts();
    facts.fact("message", story.id.to_string());
    facts.fact("job", format!("{} ({})", story.job_key, story.kind));
    facts.fact("sender", &story.sender);
    facts.fact("to", story.phone.to_string());
    facts.fact("state", story.state.as_str());
    facts.fact("reason", or_dash(story.reason.as_deref()));
    if let Some(because) = &story.waits_because {
        facts.fact("waits because", because);
    }
    facts.fact("next", &story.next);
    facts.fact("planned", time(story.created_at));
    facts.fact("not before", time(story.due_at));
    facts.fact("expires", time_or_dash(story.expires_at));
    let attempts: Vec<String> = story.attempts.iter().map(attempt).collect();
    if attempts.is_empty() { format!("{facts}\nno attempt yet") } else { format!("{facts}\n{}", attempts.join("\n")) }
}

fn attempt(attempt: &AttemptStory) -> String {
    let mut lines = vec![format!("attempt {} started {}", attempt.number, time(attempt.started_at))];
    let code = attempt.code.map(|code| format!(" (code {code})")).unwrap_or_default();
    let meaning = attempt.meaning.as_ref().map(|meaning| format!(": {meaning}")).unwrap_or_default();
    if let Some(outcome) = &attempt.outcome {
        lines.push(format!("  {} {outcome}{code}{meaning}", time_or_dash(attempt.ended_at)));
    }
    if let Some(id) = &attempt.provider_message_id {
        lines.push(format!("  the provider's id is {id}"));
    }
    let receipts = [
        (attempt.sent_at, "sent"),
        (attempt.delivered_at, "delivered"),
        (attempt.read_at, "read"),
        (attempt.failed_at, "failed"),
    ];
    lines.extend(receipts.iter().filter_map(|(at, what)| at.map(|at| format!("  {} receipt: {what}", time(at)))));
    lines.join("\n")
}
