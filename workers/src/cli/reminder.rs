//! `kabar reminder`: reminders that are on their way, and taking them back.

use chrono::{DateTime, NaiveDate};
use clap::{Args, Subcommand};
use kabar_domain::{job::Job, reminder::Part};
use kabar_store::{DEFAULT_TENANT, Store};
use serde_json::{Value, json};

use super::{
    Common, content,
    ledger::Ledger,
    output::{Table, number, or_dash, plural, show, time},
    page::PageArgs,
    remind,
};
use crate::preview::{self, ReminderPreview};

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
  kabar reminder move invoice-7781 --due 2026-12-20
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
    /// Move a reminder to another due date
    ///
    /// What has not left is taken back, and each offset that lies ahead of the new date gets a message, also where the one
    /// before the old date was sent. A date that is given as '{"date": "{due}"}' follows by itself; whatever else names
    /// the old date needs new values.
    #[command(after_help = "Example:\n  kabar reminder move invoice-7781 --due 2026-12-20")]
    Move(MoveArgs),
    /// It was paid: nothing more of the reminder is sent
    #[command(after_help = "Example:\n  kabar reminder paid invoice-7781")]
    Paid(Id),
    /// Take a reminder back: nothing more of it is sent
    #[command(after_help = "Example:\n  kabar reminder cancel invoice-7781")]
    Cancel(Id),
}

/// A reminder and its new due date.
#[derive(Debug, Args)]
struct MoveArgs {
    /// The reminder's id
    id: String,
    /// The day that it is about from now on
    #[arg(long, value_name = "DATE", value_parser = super::remind::date)]
    due: NaiveDate,
    /// Values that take the place of all of its template's, as with `kabar remind`
    #[arg(long, value_name = "K=V", allow_hyphen_values = true)]
    param: Vec<String>,
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
        Command::Move(arguments) => move_to(&ledger, arguments, json).await,
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

async fn move_to(ledger: &Ledger, arguments: MoveArgs, json: bool) -> anyhow::Result<()> {
    let MoveArgs { id, due, param } = arguments;
    let params = if param.is_empty() { None } else { Some(serde_json::from_value(content::params(&param)?)?) };
    let moved = ledger.store.move_reminder(DEFAULT_TENANT, &id, due, params).await?;
    let template = remind::template_of(ledger, &moved.reminder).await?;
    let preview = ReminderPreview::of_plan(&moved.reminder, &moved.planned, template.as_ref());
    remind::announce(&preview);
    show(json, &json!({"id": id, "taken_back": moved.cancelled, "preview": preview}), || {
        format!("reminder {id} is due on {due} now; {} taken back", plural(moved.cancelled, "message"))
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
    /// A reminder has at most 20 offsets, as often as it was moved.
    const ALL: u32 = 1_000;
    let (job_id, summary) = store.job_summary(DEFAULT_TENANT, id, Some("reminder")).await?;
    let Job::Reminder(reminder) = store.job(job_id).await? else { anyhow::bail!("{id} is no reminder") };
    let mut messages = store.messages_of_job(job_id, 0, ALL).await?;
    messages.sort_by_key(|message| (message.due_at, message.part));
    let moves = messages.iter().map(|one| Part::of(one.part).moves).max().unwrap_or_default();
    let local = |ms: i64| DateTime::from_timestamp_millis(ms).map(|at| preview::local(at, reminder.timezone));
    let values: Vec<Value> = messages
        .iter()
        .map(|one| {
            let Part { before, moves: at } = Part::of(one.part);
            json!({"id": one.id, "before": before, "for_earlier_due_date": at < moves, "state": one.state,
                "reason": one.reason, "local_time": local(one.due_at), "due_at": time(one.due_at),
                "expires_at": one.expires_at.map(time)})
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
            let Part { before, moves: at } = Part::of(one.part);
            let before = if at < moves { format!("{before} (of an earlier due date)") } else { before.to_string() };
            let reason = or_dash(one.reason.as_deref());
            let at = local(one.due_at).unwrap_or_else(|| time(one.due_at));
            table.row([one.id.to_string(), before, one.state.to_string(), at, reason]);
        }
        let planned = summary.state != "accepted";
        let none = if planned { "nothing of it is to be sent" } else { "its messages are not planned yet" };
        format!("{facts}\n{}", table.or(none))
    })
}
