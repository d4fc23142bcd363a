//! `kabar reminder`: reminders that are on their way, and taking them back.

use clap::{Args, Subcommand};
use kabar_domain::job::Job;
use kabar_store::{DEFAULT_TENANT, Store};
use serde_json::{Value, json};

use super::{
    Common,
    ledger::Ledger,
    output::{Table, number, or_dash, plural, show, time},
    page::PageArgs,
};

/// Why the messages of a reminder end that was paid.
const PAID: &str = "paid";

/// Why the messages of a reminder end that was taken back.
const CANCELLED: &str = "cancelled";

/// Reminders that are on their way
///
/// `kabar remind` makes one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar reminder show invoice-7781
  kabar reminder paid invoice-7781")]
pub(crate) struct ReminderArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The reminders, the newest first
    #[command(after_help = "Example:\n  kabar reminder list --limit 10")]
    List(PageArgs),
    /// What a reminder has sent, and what it will send when
    #[command(after_help = "Example:\n  kabar reminder show invoice-7781")]
    Show(Id),
    /// It was paid: nothing more of the reminder is sent
    #[command(after_help = "Example:\n  kabar reminder paid invoice-7781")]
    Paid(Id),
    /// Take a reminder back: nothing more of it is sent
    #[command(after_help = "Example:\n  kabar reminder cancel invoice-7781")]
    Cancel(Id),
}

/// A reminder.
#[derive(Debug, Args)]
struct Id {
    /// The reminder's id
    id: String,
}

pub(crate) async fn run(arguments: ReminderArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let (store, json) = (&ledger.store, common.json);
    match arguments.command {
        Command::List(page) => list(store, &page, json).await,
        Command::Show(Id { id }) => show_one(store, &id, json).await,
        Command::Paid(Id { id }) => end(store, &id, PAID, json).await,
        Command::Cancel(Id { id }) => end(store, &id, CANCELLED, json).await,
    }
}

async fn end(store: &Store, id: &str, reason: &str, json: bool) -> anyhow::Result<()> {
    store.job_summary(DEFAULT_TENANT, id, Some("reminder")).await?;
    let ended = store.cancel_reminder(DEFAULT_TENANT, id, reason).await?;
    show(json, &json!({"id": id, "state": "cancelled", "reason": reason, "messages": ended}), || {
        format!("reminder {id} is {reason}; {} taken back", plural(ended, "message"))
    })
}

async fn list(store: &Store, page: &PageArgs, json: bool) -> anyhow::Result<()> {
    let reminders = store.jobs(DEFAULT_TENANT, "reminder", page.after, page.limit).await?;
    let mut rows: Vec<Value> = Vec::with_capacity(reminders.len());
    let mut table = Table::new(["ID", "TO", "DUE", "STATE", "MESSAGES", "MADE"]);
    for (job_id, summary) in &reminders {
        let Job::Reminder(reminder) = store.job(*job_id).await? else { continue };
        table.row([
            summary.id.clone(),
            reminder.to.to_string(),
            reminder.due.to_string(),
            summary.state.clone(),
            number(summary.audience.unsigned_abs()),
            time(summary.created_at),
        ]);
        rows.push(json!({"id": summary.id, "to": reminder.to, "due": reminder.due, "state": summary.state,
            "messages": summary.audience, "created_at": time(summary.created_at)}));
    }
    show(json, &rows, || table.or("no reminder yet: `kabar remind` makes one"))?;
    page.note_more(reminders.len(), reminders.last().map(|(id, _)| *id));
    Ok(())
}

async fn show_one(store: &Store, id: &str, json: bool) -> anyhow::Result<()> {
    /// A reminder has at most 20 offsets.
    const ALL: u32 = 100;
    let (job_id, summary) = store.job_summary(DEFAULT_TENANT, id, Some("reminder")).await?;
    let Job::Reminder(reminder) = store.job(job_id).await? else { anyhow::bail!("{id} is no reminder") };
    let mut messages = store.messages_of_job(job_id, 0, ALL).await?;
    messages.sort_by_key(|message| std::cmp::Reverse(message.part));
    let values: Vec<Value> = messages
        .iter()
        .map(|one| {
            json!({"id": one.id, "before": format!("{}d", one.part), "state": one.state, "reason": one.reason,
                "due_at": time(one.due_at), "expires_at": one.expires_at.map(time)})
        })
        .collect();
    let value = json!({"id": id, "to": reminder.to, "due": reminder.due, "timezone": reminder.timezone,
        "sender": reminder.sender, "state": summary.state, "created_at": time(summary.created_at), "messages": values});
    show(json, &value, || {
        let mut facts = Table::of_facts();
        facts.fact("id", id);
        facts.fact("to", reminder.to.to_string());
        facts.fact("due", format!("{} ({})", reminder.due, reminder.timezone));
        facts.fact("sender", &reminder.sender);
        facts.fact("state", &summary.state);
        let mut table = Table::new(["MESSAGE", "BEFORE", "STATE", "NOT BEFORE", "REASON"]);
        for one in &messages {
            let before = format!("{}d", one.part);
            let reason = or_dash(one.reason.as_deref());
            table.row([one.id.to_string(), before, one.state.to_string(), time(one.due_at), reason]);
        }
        let planned = summary.state != "accepted";
        let none = if planned { "nothing of it is to be sent" } else { "its messages are not planned yet" };
        format!("{facts}\n{}", table.or(none))
    })
}
