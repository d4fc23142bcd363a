//! `kabar group`: named sets of people, such as one departure.

use anyhow::bail;
use clap::{Args, Subcommand};
use kabar_domain::phone::PhoneNumber;
use kabar_store::NewRecipient;
use serde_json::json;

use super::{
    Common,
    ledger::Ledger,
    output::{Table, number, or_dash, plural, show, time},
    page::PageArgs,
};
use crate::views;

/// The most people that are written at once.
const CHUNK: usize = 1_000;

/// Named sets of people, such as one departure
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar group list
  kabar group show umroh-2026-12-01
  kabar group add umroh-2026-12-01 +628123456789

A group is made by its first member, also by `kabar recipient import FILE.csv --group NAME`.")]
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
    /// Put people into a group, which is made if it is not there; files of people come by `kabar recipient import`
    #[command(after_help = "Example:\n  kabar group add umroh-2026-12-01 +628123456789 +628123456790")]
    Add {
        /// The group
        name: String,
        /// Their numbers
        #[arg(required = true)]
        phones: Vec<String>,
    },
    /// Take people out of a group; they stay known, and in broadcasts that were planned
    #[command(after_help = "Example:\n  kabar group remove umroh-2026-12-01 +628123456789")]
    Remove {
        /// The group
        name: String,
        /// Their numbers
        #[arg(required = true)]
        phones: Vec<String>,
    },
}

pub(crate) async fn run(arguments: GroupArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    match arguments.command {
        Command::List => list(&ledger, common.json).await,
        Command::Add { name, phones } => add(&ledger, &name, &phones, common.json).await,
        Command::Remove { name, phones } => remove(&ledger, &name, &phones, common.json).await,
        Command::Show { name, page } => show_one(&ledger, &name, &page, common.json).await,
    }
}

async fn add(ledger: &Ledger, name: &str, phones: &[String], json: bool) -> anyhow::Result<()> {
    let name = name.trim();
    if name.is_empty() {
        bail!("the group's name is empty");
    }
    let people: Vec<NewRecipient> = numbers(ledger, phones)?.into_iter().map(NewRecipient::new).collect();
    let (mut people_in_it, mut joined) = (0, 0);
    for chunk in people.chunks(CHUNK) {
        let imported = ledger.store.import_recipients(ledger.tenant, chunk, Some(name)).await?;
        people_in_it += imported.ids.len() as u64;
        joined += imported.joined;
    }
    show(json, &json!({"group": name, "people": people_in_it, "joined": joined}), || {
        let before = people_in_it.saturating_sub(joined);
        format!("{} came into group {name}; {} were in it before", number(joined), number(before))
    })
}

async fn remove(ledger: &Ledger, name: &str, phones: &[String], json: bool) -> anyhow::Result<()> {
    let left = ledger.store.leave_group(ledger.tenant, name, &numbers(ledger, phones)?).await?;
    show(json, &json!({"group": name, "left": left}), || format!("{} left group {name}", number(left)))
}

/// The numbers that were typed; one that is none fails the whole command.
fn numbers(ledger: &Ledger, phones: &[String]) -> anyhow::Result<Vec<PhoneNumber>> {
    phones.iter().map(|phone| ledger.phone("PHONE", phone)).collect()
}

async fn list(ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let groups = ledger.store.groups(ledger.tenant).await?;
    show(json, &groups.iter().map(views::Group::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["NAME", "MEMBERS", "MADE"]);
        for group in &groups {
            table.row([group.name.clone(), number(group.members.unsigned_abs()), time(group.created_at)]);
        }
        table.or("no group yet: `kabar recipient import FILE.csv --group NAME` makes one")
    })
}

async fn show_one(ledger: &Ledger, name: &str, page: &PageArgs, json: bool) -> anyhow::Result<()> {
    let group = ledger.store.group(ledger.tenant, name).await?;
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
