//! `kabar remind`: messages tied to a due date.

use chrono::{NaiveDate, Utc};
use chrono_tz::Tz;
use clap::{ArgGroup, Args};
use kabar_domain::{
    content::Content,
    job::{DEFAULT_SENDER, Job, ReminderJob},
    reminder::DaysBefore,
    template::Template,
};
use kabar_store::StoreError;
use serde_json::json;

use super::{
    Common,
    content::TemplateOptions,
    enqueue,
    ledger::Ledger,
    output::{self, Table},
};
use crate::{
    admission,
    preview::{PreviewedMessage, ReminderPreview},
};

/// Remind one person of a due date
///
/// One message goes out for each offset before the due date, at a local time. Prints the reminder's id; on standard error
/// it says what will be sent when. Once it is paid: `kabar reminder paid ID`, and nothing more is sent. When the due date
/// changes: `kabar reminder move ID --due DATE`. In a date, {due} is the due day: --param '{"date": "{due}"}'.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["template"]).required(true)), after_help = "Example:
  kabar remind --to +628123456789 --template payment_reminder --language id --param Siti \\
    --due 2026-12-12 --before 7d,3d,1d,0d --at 09:00 --timezone Asia/Jakarta --id invoice-7781")]
pub(crate) struct RemindArgs {
    /// The person's number
    #[arg(long, value_name = "PHONE")]
    to: String,
    #[command(flatten)]
    template: TemplateOptions,
    /// The day that it is about, such as 2026-12-12
    #[arg(long, value_name = "DATE", value_parser = date)]
    due: NaiveDate,
    /// How many days before the due date a message goes out; 0d is the due day itself
    #[arg(long, value_name = "DAYS,…", value_delimiter = ',', default_value = "7d,3d,1d,0d")]
    before: Vec<DaysBefore>,
    /// The local time at which they go out
    #[arg(long, value_name = "TIME", default_value = "09:00")]
    at: String,
    /// The time zone, such as Asia/Jakarta [default: people.default_timezone]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    timezone: Option<Tz>,
    /// The sender
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SENDER)]
    sender: String,
    /// An id of your own, such as the invoice's [default: made]
    #[arg(long)]
    id: Option<String>,
    /// Only say what would be sent when
    #[arg(long)]
    dry_run: bool,
}

/// Reads a day that was typed.
pub(crate) fn date(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|_| "write it as 2026-12-12".to_owned())
}

/// Reads the name of a time zone.
pub(crate) fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "give a name such as Asia/Jakarta or UTC".to_owned())
}

pub(crate) async fn run(arguments: RemindArgs, common: &Common) -> anyhow::Result<()> {
    let Some(content) = arguments.template.content()? else {
        anyhow::bail!("--template and --language are missing: name the template to send");
    };
    let ledger = Ledger::open(common).await?;
    let job = json!({
        "type": "reminder",
        "id": arguments.id.unwrap_or_else(|| admission::fresh_id("reminder")),
        "sender": arguments.sender,
        "to": ledger.phone_to_send("--to", &arguments.to)?,
        "due": arguments.due,
        "before": arguments.before,
        "at": arguments.at,
        "timezone": arguments.timezone,
        "content": content,
    });
    let job = enqueue::read(&ledger, job).await?;
    let Job::Reminder(reminder) = &job else { anyhow::bail!("this is no reminder") };
    let preview = ReminderPreview::of(reminder, template_of(&ledger, reminder).await?.as_ref(), Utc::now());
    if arguments.dry_run {
        return output::show(common.json, &preview, || table(&preview));
    }
    if let Err(error) = enqueue::enqueue(&ledger, &job).await {
        let known = matches!(error.downcast_ref(), Some(StoreError::DifferentJob(_)));
        let hint = format!("to another due date, `kabar reminder move {} --due {}` moves it", job.id(), reminder.due);
        return Err(if known { error.context(hint) } else { error });
    }
    announce(&preview);
    output::show(common.json, &json!({"id": job.id()}), || job.id().to_string())
}

/// The template of a reminder, if it is known.
pub(crate) async fn template_of(ledger: &Ledger, reminder: &ReminderJob) -> anyhow::Result<Option<Template>> {
    let Content::Template(content) = &reminder.content else { return Ok(None) };
    let sender = ledger.store.sender(ledger.tenant, &reminder.sender).await?;
    let known = ledger.store.find_template(ledger.tenant, &sender.account, &content.name, &content.language).await?;
    Ok(known.map(|known| known.template))
}

/// Says what will be sent when.
pub(crate) fn announce(preview: &ReminderPreview) {
    if preview.messages.is_empty() {
        output::note(format!("warning: every offset lies in the past, in {}: nothing will be sent", preview.timezone));
    }
    for one in &preview.messages {
        output::note(line(one));
    }
    if preview.past > 0 && !preview.messages.is_empty() {
        output::note(format!("{} in the past already and not sent", output::plural(preview.past as u64, "offset")));
    }
}

/// What would be sent when, and what it says.
fn table(preview: &ReminderPreview) -> String {
    let mut facts = Table::of_facts();
    facts.fact("due", format!("{} ({})", preview.due, preview.timezone));
    facts.fact("in the past", preview.past.to_string());
    facts.fact("written", "nothing: this was a dry run");
    let mut table = Table::new(["BEFORE", "AT", "WORTH SENDING UNTIL"]);
    for one in &preview.messages {
        table.row([one.before.to_string(), one.at.clone(), one.until.clone()]);
    }
    let text = preview.text.as_ref().map(|text| format!("\n\n{text}")).unwrap_or_default();
    format!("{facts}\n{}{text}", table.or("nothing would be sent: every offset lies in the past"))
}

/// One message of a reminder.
fn line(one: &PreviewedMessage) -> String {
    let days = match one.before.0 {
        0 => "on the due day".to_owned(),
        days => format!("{} before", output::plural(days.into(), "day")),
    };
    format!("{}  {days}", one.at)
}
