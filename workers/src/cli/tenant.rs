//! `kabar tenant`: who owns senders, people, templates, jobs and keys.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Common,
    ledger::Ledger,
    output::{Table, show, time},
};

/// The longest name of a key or a tenant, in characters.
const MAX_NAME_CHARS: usize = 64;

/// Who owns senders, people, templates, jobs and keys; nobody sees another's
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar tenant add acme
  kabar sender add shop --tenant acme --provider whatsapp_cloud --phone-number-id 106540352242922 \\
    --access-token-file token.txt
  kabar key add shop --tenant acme --scope enqueue
  KABAR_TENANT=acme kabar status

Every ledger begins with the tenant `default`. What brokers bring, and the sender of the WHATSAPP_… variables, is its.")]
pub(crate) struct TenantArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a tenant; one that is there stays as it is
    #[command(after_help = "Example:\n  kabar tenant add acme")]
    Add {
        /// What people call it: letters, digits, . _ -
        #[arg(value_parser = plain_name)]
        name: String,
    },
    /// The tenants
    #[command(after_help = "Example:\n  kabar tenant list")]
    List,
}

/// Reads the name of a tenant or a key.
pub(crate) fn plain_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=MAX_NAME_CHARS).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("use 1 to {MAX_NAME_CHARS} of the characters A-Z a-z 0-9 . _ -"))
    }
}

pub(crate) async fn run(arguments: TenantArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    match arguments.command {
        Command::Add { name } => {
            ledger.store.ensure_tenant(&name).await?;
            show(common.json, &json!({"name": name}), || {
                format!("tenant {name} is there; `kabar sender add NAME --tenant {name}` gives it a number")
            })
        }
        Command::List => list(&ledger, common.json).await,
    }
}

async fn list(ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let tenants = ledger.store.tenants().await?;
    // The first tenant is as old as the ledger, which does not know its own age.
    let since = |created_at: i64| (created_at > 0).then(|| time(created_at));
    let values: Vec<_> =
        tenants.iter().map(|one| json!({"name": one.name, "created_at": since(one.created_at)})).collect();
    show(json, &values, || {
        let mut table = Table::new(["NAME", "ADDED"]);
        for one in &tenants {
            table.row([one.name.clone(), since(one.created_at).unwrap_or_else(|| "-".to_owned())]);
        }
        table.to_string()
    })
}
