//! `kabar remind`: messages tied to a due date.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use clap::{ArgGroup, Args};
use kabar_domain::{
    job::{DEFAULT_SENDER, Job, ReminderJob},
    reminder::{DaysBefore, PlannedReminder, plan},
};
use serde_json::json;

use super::{Common, content::TemplateOptions, enqueue, ledger::Ledger, output};
use crate::admission;

/// Remind one person of a due date
///
/// One message goes out for each offset before the due date, at a local time. Prints the reminder's id; on standard error
/// it says what will be sent when. Once it is paid: `kabar reminder paid ID`, and nothing more is sent.
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
}

fn date(text: &str) -> Result<NaiveDate, String> {
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
    enqueue::enqueue(&ledger, &job).await?;
    let Job::Reminder(reminder) = &job else { anyhow::bail!("this is no reminder") };
    announce(reminder);
    output::show(common.json, &json!({"id": job.id()}), || job.id().to_string())
}

/// Says what will be sent when.
fn announce(reminder: &ReminderJob) {
    let planned = plan(reminder.due, &reminder.before, reminder.at, reminder.timezone, Utc::now());
    let zone = reminder.timezone;
    if planned.is_empty() {
        output::note(format!("warning: every offset lies in the past, in {zone}: nothing will be sent"));
    }
    for one in &planned {
        output::note(line(one, zone));
    }
    let past = reminder.before.len() - planned.len();
    if past > 0 && !planned.is_empty() {
        output::note(format!("{} in the past already and not sent", output::plural(past as u64, "offset")));
    }
}

/// One message of a reminder, by the clocks of its zone.
pub(crate) fn line(one: &PlannedReminder, zone: Tz) -> String {
    let time: DateTime<Tz> = one.not_before.with_timezone(&zone);
    let days = match one.before.0 {
        0 => "on the due day".to_owned(),
        days => format!("{} before", output::plural(days.into(), "day")),
    };
    format!("{}  {days}", time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
