//! `kabar key`: keys of the HTTP API.

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use kabar_domain::scope::Scope;
use kabar_store::{ApiKey, NewApiKey};
use serde_json::{Value, json};

use super::{
    Common, enqueue,
    ledger::Ledger,
    output::{Table, note, show, time, time_or_dash},
    tenant,
};

/// Keys of the HTTP API: what they may do, for how long, how much
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar key add shop --scope enqueue --scope read
  kabar key add acme-shop --scope enqueue --tenant acme
  kabar key list
  kabar key revoke shop")]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it, once: nobody can see it again
    #[command(after_help = "Examples:
  kabar key add shop --scope enqueue --scope read
  kabar key add campaign --scope enqueue --messages-per-minute 6000 --expires 2027-01-01T00:00:00Z")]
    Add {
        /// What the list and the audit log call it; never used again
        #[arg(value_parser = tenant::plain_name)]
        name: String,
        /// What it may do: enqueue, read, operate, admin
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// The most messages that it may enqueue in a minute [default: no limit]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        messages_per_minute: Option<u32>,
        /// When it ends [default: never]
        #[arg(long, value_name = "TIME", value_parser = enqueue::instant)]
        expires: Option<DateTime<Utc>>,
    },
    /// The keys, those that have ended among them
    #[command(after_help = "Example:\n  kabar key list --json")]
    List,
    /// End a key at once
    #[command(after_help = "Example:\n  kabar key revoke shop")]
    Revoke {
        /// The key's name
        name: String,
    },
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|_| format!("give {}", Scope::ALL.map(Scope::as_str).join(", ")))
}

pub(crate) async fn run(arguments: KeyArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    match arguments.command {
        Command::Add { name, mut scopes, messages_per_minute, expires } => {
            if expires.is_some_and(|end| end <= Utc::now()) {
                bail!("--expires is in the past: the key would never be worth anything");
            }
            scopes.sort_unstable();
            scopes.dedup();
            let expires_at = expires.map(|end| end.timestamp_millis());
            let new = NewApiKey { name, scopes, messages_per_minute, expires_at };
            let (key, text) = ledger.store.add_key(ledger.tenant, &new).await?;
            if !common.json {
                note("keep it well: it is not shown again");
            }
            let mut shown = value(&key, ledger.store.now_ms());
            shown["key"] = text.expose().into();
            show(common.json, &shown, || text.expose().to_owned())
        }
        Command::List => list(&ledger, common.json).await,
        Command::Revoke { name } => {
            let key = ledger.store.revoke_key(ledger.tenant, &name).await?;
            show(common.json, &value(&key, ledger.store.now_ms()), || format!("key {name} is worth nothing any more"))
        }
    }
}

async fn list(ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let (keys, now) = (ledger.store.keys(ledger.tenant).await?, ledger.store.now_ms());
    show(json, &keys.iter().map(|key| value(key, now)).collect::<Vec<_>>(), || {
        let mut table = Table::new(["NAME", "BEGINS", "SCOPES", "PER MINUTE", "STATE", "LAST USED", "ENDS"]);
        for key in &keys {
            let limit = key.messages_per_minute.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
            table.row([
                key.name.clone(),
                format!("{}…", key.prefix),
                scopes(key),
                limit,
                state(key, now).to_owned(),
                time_or_dash(key.last_used_at),
                time_or_dash(key.expires_at),
            ]);
        }
        table.or("no key yet: `kabar key add NAME --scope enqueue` makes one")
    })
}

fn scopes(key: &ApiKey) -> String {
    key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
}

fn state(key: &ApiKey, now: i64) -> &'static str {
    match key.revoked_at {
        Some(_) => "revoked",
        None if key.is_valid(now) => "valid",
        None => "expired",
    }
}

/// A key as JSON, without what proves it.
fn value(key: &ApiKey, now: i64) -> Value {
    json!({
        "name": key.name,
        "begins": key.prefix,
        "scopes": key.scopes,
        "messages_per_minute": key.messages_per_minute,
        "state": state(key, now),
        "created_at": time(key.created_at),
        "expires_at": key.expires_at.map(time),
        "revoked_at": key.revoked_at.map(time),
        "last_used_at": key.last_used_at.map(time),
    })
}
