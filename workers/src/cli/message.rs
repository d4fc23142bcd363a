//! `kabar message`: everything about one message, lists of them, and settling an unresolved one.

use anyhow::bail;
use clap::{ArgGroup, Args, Subcommand};
use kabar_domain::message::MessageState;
use kabar_store::{MessageFilter, StoreError};
use serde_json::json;

use super::{
    Common,
    ledger::Ledger,
    output::{Table, or_dash, show, time},
    page::PageArgs,
};
use crate::views;

mod story;

/// Everything that happened to one message, lists of them, and settling an unresolved one
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar message show invoice-7781-d3
  kabar message list --state unresolved
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
    /// Messages by state, job and sender
    #[command(after_help = "Examples:
  kabar message list --state unresolved
  kabar message list --state failed --broadcast dep-2026-12-01 --json
  kabar message list --state in_doubt --sender shop")]
    List(ListArgs),
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

/// Which messages are listed.
#[derive(Debug, Args)]
struct ListArgs {
    /// Those in this state, such as unresolved, in_doubt or failed
    #[arg(long, value_parser = state)]
    state: Option<MessageState>,
    /// Those of the job with this id: a send, a broadcast or a reminder
    #[arg(long, value_name = "ID", visible_alias = "broadcast")]
    job: Option<String>,
    /// Those of this sender
    #[arg(long, value_name = "NAME")]
    sender: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

fn state(text: &str) -> Result<MessageState, String> {
    text.parse().map_err(|_| {
        let known: Vec<&str> = MessageState::ALL.into_iter().map(MessageState::as_str).collect();
        format!("states are {}", known.join(", "))
    })
}

pub(crate) async fn run(arguments: MessageArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let store = &ledger.store;
    match arguments.command {
        Command::Show { id } => {
            let story = store.message_story(ledger.tenant, find(&ledger, &id).await?).await?;
            show(common.json, &views::MessageStory::from(&story), || story::told(&story))
        }
        Command::List(arguments) => list(&ledger, arguments, common.json).await,
        Command::Resolve { id, sent, resend: _ } => {
            let message = find(&ledger, &id).await?;
            store.resolve_message(ledger.tenant, message, sent).await?;
            let state = if sent { "accepted" } else { "queued" };
            show(common.json, &json!({"id": message, "state": state}), || {
                let next = if sent { "counts as sent" } else { "is sent again" };
                format!("message {message} {next}")
            })
        }
    }
}

/// The message that `id` names. A job of which nothing is planned yet has none, which is another thing than no job.
async fn find(ledger: &Ledger, id: &str) -> anyhow::Result<i64> {
    match ledger.store.find_message(ledger.tenant, id).await {
        Err(StoreError::NotFound { .. }) if ledger.store.job_id(ledger.tenant, id).await?.is_some() => {
            bail!("job {id} has no message yet: a planner makes it; start `kabar run`, or look again in a moment")
        }
        found => Ok(found?),
    }
}

async fn list(ledger: &Ledger, arguments: ListArgs, json: bool) -> anyhow::Result<()> {
    let ListArgs { state, job, sender, page } = arguments;
    if let Some(id) = &job
        && ledger.store.job_id(ledger.tenant, id).await?.is_none()
    {
        bail!("there is no job {id:?}: `kabar broadcast list` and `kabar reminder list` show what there is");
    }
    if let Some(name) = &sender {
        ledger.store.sender(ledger.tenant, name).await?;
    }
    let filter = MessageFilter { state, job_key: job, sender };
    let messages = ledger.store.list_messages(ledger.tenant, &filter, page.after.unwrap_or(0), page.limit).await?;
    show(json, &messages.iter().map(views::ListedMessage::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["MESSAGE", "JOB", "SENDER", "TO", "STATE", "SINCE", "REASON"]);
        for one in &messages {
            table.row([
                one.id.to_string(),
                one.job_key.clone(),
                one.sender.clone(),
                one.phone.to_string(),
                one.state.to_string(),
                time(one.updated_at),
                or_dash(one.reason.as_deref()),
            ]);
        }
        table.or("no such message")
    })?;
    page.note_more(messages.len(), messages.last().map(|last| last.id));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_none_is_answered_with_those_that_are() {
        assert_eq!(state("in_doubt"), Ok(MessageState::InDoubt));
        assert!(state("lost").unwrap_err().contains("unresolved"));
    }
}
