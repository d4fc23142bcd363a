//! `kabar group`: named sets of people, such as one departure.

use clap::{Args, Subcommand};
use kabar_store::DEFAULT_TENANT;
use serde_json::json;

use super::{
    Common,
    ledger::Ledger,
    output::{Table, number, or_dash, plural, show, time},
    page::PageArgs,
};
use crate::views;

/// Named sets of people, such as one departure
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar group list
  kabar group show umroh-2026-12-01

A group is made by `kabar recipient import FILE.csv --group NAME`.")]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The groups
    #[command(after_help = "Example:\n  kabar group list")]
    List,
    /// Who is in a group
    #[command(after_help = "Example:\n  kabar group show umroh-2026-12-01")]
    Show {
        /// The group
        name: String,
        #[command(flatten)]
        page: PageArgs,
    },
}

pub(crate) async fn run(arguments: GroupArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    match arguments.command {
        Command::List => list(&ledger, common.json).await,
        Command::Show { name, page } => show_one(&ledger, &name, &page, common.json).await,
    }
}

async fn list(ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let groups = ledger.store.groups(DEFAULT_TENANT).await?;
    show(json, &groups.iter().map(views::Group::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["NAME", "MEMBERS", "MADE"]);
        for group in &groups {
            table.row([group.name.clone(), number(group.members.unsigned_abs()), time(group.created_at)]);
        }
        table.or("no group yet: `kabar recipient import FILE.csv --group NAME` makes one")
    })
}

async fn show_one(ledger: &Ledger, name: &str, page: &PageArgs, json: bool) -> anyhow::Result<()> {
    let group = ledger.store.group(DEFAULT_TENANT, name).await?;
    let members = ledger.store.group_members(group.id, page.after.unwrap_or(0), page.limit).await?;
    let people: Vec<_> = members.iter().map(|(_, phone, name)| json!({"phone": phone, "name": name})).collect();
    let value = json!({"name": group.name, "members": group.members, "created_at": time(group.created_at),
        "recipients": people});
    show(json, &value, || {
        let mut table = Table::new(["PHONE", "NAME"]);
        for (_, phone, name) in &members {
            table.row([phone.to_string(), or_dash(name.as_deref())]);
        }
        let count = plural(group.members.unsigned_abs(), "member");
        format!("group {name}: {count}\n{}", table.or(""))
    })?;
    page.note_more(members.len(), members.last().map(|(id, ..)| *id));
    Ok(())
}
