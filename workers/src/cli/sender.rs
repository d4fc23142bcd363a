//! `kabar sender`: the business identities that messages come from.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Common,
    ledger::Ledger,
    output::{Table, or_dash, show, time, time_or_dash},
};
use crate::views;

mod budget;
mod change;

use budget::BudgetArgs;
use change::{AddArgs, SetArgs};

/// The business identities that messages come from
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kabar sender add shop --provider whatsapp_cloud --phone-number-id 106540352242922 --access-token-file token.txt")]
pub(crate) struct SenderArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(AddArgs),
    /// The senders
    #[command(after_help = "Example:\n  kabar sender list")]
    List,
    /// One sender; never its token
    #[command(after_help = "Example:\n  kabar sender show shop")]
    Show(Name),
    Set(SetArgs),
    Budget(BudgetArgs),
    /// Pause a sender; nothing of it is sent until it is resumed
    #[command(after_help = "Example:\n  kabar sender pause shop --reason 'closed for the holidays'")]
    Pause {
        /// The sender
        name: String,
        /// Why, for whoever looks
        #[arg(long, value_name = "TEXT", default_value = "a person paused it")]
        reason: String,
    },
    /// Let a paused, halted or parked sender send again
    #[command(after_help = "Example:\n  kabar sender resume shop")]
    Resume(Name),
}

/// A sender.
#[derive(Debug, Args)]
struct Name {
    /// The sender
    name: String,
}

pub(crate) async fn run(arguments: SenderArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let (store, json) = (&ledger.store, common.json);
    match arguments.command {
        Command::Add(arguments) => {
            let sender = store.add_sender(ledger.tenant, &arguments.new_sender(&ledger.settings)?).await?;
            show(json, &views::Sender::from(&sender), || {
                let name = &sender.name;
                format!("sender {name} added; `kabar doctor` asks its provider whether the token is right")
            })
        }
        Command::List => list(&ledger, json).await,
        Command::Show(Name { name }) => show_one(&ledger, &name, json).await,
        Command::Set(arguments) => {
            let change = arguments.change(&ledger.settings)?;
            let sender = store.change_sender(ledger.tenant, &arguments.name, &change).await?;
            show(json, &views::Sender::from(&sender), || format!("sender {} changed", sender.name))
        }
        Command::Budget(arguments) => budget::run(&ledger, arguments, json).await,
        Command::Pause { name, reason } => {
            store.pause_sender(ledger.tenant, &name, &reason).await?;
            let next = format!("; `kabar sender resume {name}` goes on");
            say_state(&ledger, &name, json, &next).await
        }
        Command::Resume(Name { name }) => {
            store.resume_sender(ledger.tenant, &name).await?;
            say_state(&ledger, &name, json, "").await
        }
    }
}

async fn say_state(ledger: &Ledger, name: &str, json: bool, more: &str) -> anyhow::Result<()> {
    let sender = ledger.store.sender(ledger.tenant, name).await?;
    show(json, &views::Sender::from(&sender), || format!("sender {name} is {}{more}", sender.state.as_str()))
}

async fn list(ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let senders = ledger.store.senders(ledger.tenant).await?;
    show(json, &senders.iter().map(views::Sender::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["NAME", "PROVIDER", "PHONE NUMBER ID", "RATE", "STATE", "REASON", "LAST RECEIPT"]);
        for sender in &senders {
            table.row([
                sender.name.clone(),
                sender.provider.to_string(),
                sender.address.clone(),
                sender.rate.to_string(),
                sender.state.as_str().to_owned(),
                or_dash(sender.state_reason.as_deref()),
                time_or_dash(sender.last_receipt_at),
            ]);
        }
        table.or("no sender yet: `kabar sender add` adds one")
    })
}

async fn show_one(ledger: &Ledger, name: &str, json: bool) -> anyhow::Result<()> {
    let sender = ledger.store.sender(ledger.tenant, name).await?;
    let pace = ledger.store.pace(sender.id).await?;
    let effective = pace.and_then(|pace| pace.rate_milli).map(|milli| milli as f64 / 1_000.0);
    let open = pace.is_some_and(|pace| pace.open);
    let budget = ledger.store.budget(&sender).await?;
    let mut shown = serde_json::to_value(views::Sender::from(&sender))?;
    shown["effective_rate"] = json!(effective);
    shown["open"] = json!(open);
    shown["budget"] = json!(budget.map(views::Budget::from));
    show(json, &shown, || {
        let mut table = Table::of_facts();
        table.fact("name", &sender.name);
        table.fact("provider", sender.provider.as_str());
        table.fact("phone number id", &sender.address);
        table.fact("account", &sender.account);
        table.fact("app", &sender.app);
        table.fact("portfolio", &sender.portfolio);
        table.fact("people in 24 hours", budget::told(budget));
        table.fact("api", format!("{}/{}", sender.api_base, sender.api_version));
        table.fact("access token", "*** (set)");
        table.fact("app secret", if sender.app_secret().is_some() { "*** (its own)" } else { "the deployment's" });
        let rate = sender.rate.limit().map_or_else(|| sender.rate.to_string(), |rate| format!("{rate} per second"));
        table.fact("rate", rate);
        if let Some(effective) = effective {
            table.fact("effective rate", format!("{effective} per second"));
        }
        table.fact("state", sender.state.as_str());
        table.fact("reason", or_dash(sender.state_reason.as_deref()));
        table.fact("may send now", if open { "yes" } else { "no" });
        table.fact("last receipt", time_or_dash(sender.last_receipt_at));
        table.fact("added", time(sender.created_at));
        table.to_string()
    })
}
