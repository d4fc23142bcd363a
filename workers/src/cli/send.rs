//! `kabar send`: one message to one person.

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use kabar_domain::job::{DEFAULT_SENDER, OnDoubt};
use serde_json::json;

use super::{Common, content::TemplateOptions, enqueue, ledger::Ledger, output, progress};
use crate::admission;

/// Send one message to one person
///
/// Enqueues the message and prints its id; a running fleet (`kabar run`) sends it. The same id again is the same message
/// and is not sent twice. With --wait: 0 when it was accepted, 1 when it was not.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").args(["template", "text"]).required(true)),
    after_help = "Examples:
  kabar send --to +628123456789 --template payment_reminder --language id \\
    --param Siti --param '12 Des 2026'
  kabar send --to +628123456789 --text 'Bus leaves at 7' --urgent --wait"
)]
pub(crate) struct SendArgs {
    /// The person's number, as +COUNTRY NUMBER, or in national form with a default region
    #[arg(long, value_name = "PHONE")]
    to: String,
    #[command(flatten)]
    template: TemplateOptions,
    /// Plain text, to people who wrote within the last 24 hours
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// The sender
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SENDER)]
    sender: String,
    /// An id of your own, which keeps the message from being sent twice [default: made]
    #[arg(long)]
    id: Option<String>,
    /// Send it before all others
    #[arg(long)]
    urgent: bool,
    /// Not before this time
    #[arg(long, value_name = "TIME", value_parser = enqueue::instant)]
    at: Option<DateTime<Utc>>,
    /// Not from this time on
    #[arg(long, value_name = "TIME", value_parser = enqueue::instant)]
    expires: Option<DateTime<Utc>>,
    /// When nobody knows whether it left: auto, resend or hold
    #[arg(long, value_name = "POLICY", default_value = "auto", value_parser = on_doubt)]
    on_doubt: OnDoubt,
    /// Wait until it was accepted or has failed
    #[arg(long)]
    wait: bool,
}

/// Reads a policy on doubt.
pub(crate) fn on_doubt(text: &str) -> Result<OnDoubt, String> {
    text.parse().map_err(|_| "give auto, resend or hold".to_owned())
}

pub(crate) async fn run(arguments: SendArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let to = ledger.phone_to_send("--to", &arguments.to)?;
    if arguments.expires.is_some_and(|expires| expires <= Utc::now()) {
        anyhow::bail!("--expires is in the past: the message would never be sent");
    }
    let content = match arguments.template.content()? {
        Some(content) => content,
        None => json!({"text": {"body": arguments.text}}),
    };
    let job = json!({
        "type": "send",
        "id": arguments.id.unwrap_or_else(|| admission::fresh_id("send")),
        "sender": arguments.sender,
        "to": to,
        "content": content,
        "priority": if arguments.urgent { "urgent" } else { "normal" },
        "send_at": arguments.at,
        "expires_at": arguments.expires,
        "on_doubt": arguments.on_doubt,
    });
    let job = enqueue::read(&ledger, job).await?;
    let job_id = enqueue::enqueue(&ledger, &job).await?;
    if !(arguments.wait && common.json) {
        output::show(common.json, &json!({"id": job.id()}), || job.id().to_string())?;
    }
    if arguments.wait {
        progress::wait(&ledger, &job, job_id, common.json).await?;
    }
    Ok(())
}
