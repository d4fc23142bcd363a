//! `kabar reminder`: reminders that are on their way, and taking them back.

use chrono::NaiveDate;
use clap::{Args, Subcommand};
use kabar_domain::job::Job;
use serde_json::json;

use super::{
    Common, content,
    ledger::Ledger,
    output::{Table, number, or_dash, plural, show, time},
    page::PageArgs,
    remind,
};
use crate::{
    preview::ReminderPreview,
    views::{self, EndedReminder, ReminderDetail},
};

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
        Command::List(page) => list(&ledger, &page, json).await,
        Command::Show(Id { id }) => show_one(&ledger, &id, json).await,
        Command::Move(arguments) => move_to(&ledger, arguments, json).await,
        Command::Paid(Id { id }) => end(&EndedReminder::paid(store, ledger.tenant, &id).await?, &id, json),
        Command::Cancel(Id { id }) => end(&EndedReminder::cancelled(store, ledger.tenant, &id).await?, &id, json),
    }
}

fn end(ended: &EndedReminder, id: &str, json: bool) -> anyhow::Result<()> {
    show(json, ended, || format!("reminder {id} is {}; {} taken back", ended.reason, plural(ended.messages, "message")))
}

async fn move_to(ledger: &Ledger, arguments: MoveArgs, json: bool) -> anyhow::Result<()> {
    let MoveArgs { id, due, param } = arguments;
    let params = if param.is_empty() { None } else { Some(serde_json::from_value(content::params(&param)?)?) };
    let moved = ledger.store.move_reminder(ledger.tenant, &id, due, params).await?;
    let template = remind::template_of(ledger, &moved.reminder).await?;
    let preview = ReminderPreview::of_plan(&moved.reminder, &moved.planned, template.as_ref());
    remind::announce(&preview);
    show(json, &json!({"id": id, "taken_back": moved.cancelled, "preview": preview}), || {
        format!("reminder {id} is due on {due} now; {} taken back", plural(moved.cancelled, "message"))
    })
}

async fn list(ledger: &Ledger, page: &PageArgs, json: bool) -> anyhow::Result<()> {
    let reminders = ledger.store.jobs(ledger.tenant, "reminder", page.after, page.limit).await?;
    let mut rows = Vec::with_capacity(reminders.len());
    let mut table = Table::new(["ID", "TO", "DUE", "STATE", "MESSAGES", "MADE"]);
    for (job_id, summary) in &reminders {
        let Job::Reminder(reminder) = ledger.store.job(*job_id).await? else { continue };
        table.row([
            summary.id.clone(),
            reminder.to.to_string(),
            reminder.due.to_string(),
            summary.state.clone(),
            number(summary.audience.unsigned_abs()),
            time(summary.created_at),
        ]);
        rows.push(views::Reminder::new(summary, &reminder));
    }
    show(json, &rows, || table.or("no reminder yet: `kabar remind` makes one"))?;
    page.note_more(reminders.len(), reminders.last().map(|(id, _)| *id));
    Ok(())
}

async fn show_one(ledger: &Ledger, id: &str, json: bool) -> anyhow::Result<()> {
    let reminder = ReminderDetail::read(&ledger.store, ledger.tenant, id).await?;
    let Some(reminder) = reminder else { anyhow::bail!("{id} is no reminder") };
    show(json, &reminder, || {
        let mut facts = Table::of_facts();
        facts.fact("id", id);
        facts.fact("to", &reminder.to);
        facts.fact("due", format!("{} ({})", reminder.due, reminder.timezone));
        facts.fact("sender", &reminder.sender);
        facts.fact("state", &reminder.state);
        let mut table = Table::new(["MESSAGE", "BEFORE", "STATE", "NOT BEFORE", "REASON"]);
        for one in &reminder.messages {
            let earlier = if one.for_earlier_due_date { " (of an earlier due date)" } else { "" };
            let at = one.local_time.clone().unwrap_or_else(|| time(one.due_at.0));
            let reason = or_dash(one.reason.as_deref());
            table.row([one.id.to_string(), format!("{}{earlier}", one.before), one.state.0.to_string(), at, reason]);
        }
        let planned = reminder.state != "accepted";
        let none = if planned { "nothing of it is to be sent" } else { "its messages are not planned yet" };
        format!("{facts}\n{}", table.or(none))
    })
}
