//! `kabar recipient`: the people that are known, with names, fields, consent, blocks and opt-outs.

use clap::{Args, Subcommand};
use kabar_domain::{sender::Channel, wish::Covers};
use kabar_store::Recipient;
use serde_json::json;

use super::{
    Common,
    ledger::Ledger,
    output::{Table, or_dash, show, time},
    page::PageArgs,
};
use crate::views;

mod import;

/// The people that are known: names, fields, consent, blocks and opt-outs
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar recipient import guests.csv --group umroh-2026-12-01
  kabar recipient show +628123456789")]
pub(crate) struct RecipientArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::ImportArgs),
    /// The people that are known, in the order in which they came
    #[command(after_help = "Example:\n  kabar recipient list --limit 20")]
    List(PageArgs),
    /// One person: fields, consent, opt-outs, and blocks with their reasons
    #[command(after_help = "Example:\n  kabar recipient show +628123456789")]
    Show(Phone),
    /// Send nothing more to a person
    #[command(after_help = "Example:\n  kabar recipient block +628123456789 --reason 'asked for it by mail'")]
    Block {
        /// The person's number
        phone: String,
        /// Why, for whoever looks
        #[arg(long, value_name = "TEXT", default_value = "blocked on the command line")]
        reason: String,
    },
    /// Lift a person's block; messages that it ended stay ended
    #[command(after_help = "Example:\n  kabar recipient unblock +628123456789")]
    Unblock(Phone),
    /// Send a person no more marketing, or nothing any more; people do so themselves by a STOP word
    #[command(after_help = "Example:\n  kabar recipient opt-out +628123456789 --reason 'asked for it by mail'")]
    OptOut {
        /// The person's number
        phone: String,
        /// Of every message, reminders and codes for logging in among them
        #[arg(long)]
        all: bool,
        /// What said so, for whoever looks
        #[arg(long, value_name = "TEXT", default_value = "a person on the command line")]
        reason: String,
    },
    /// Take back what a person opted out of; messages that it ended stay ended
    #[command(after_help = "Example:\n  kabar recipient opt-in +628123456789")]
    OptIn(Phone),
}

/// A person.
#[derive(Debug, Args)]
struct Phone {
    /// The person's number
    phone: String,
}

pub(crate) async fn run(arguments: RecipientArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let (store, json) = (&ledger.store, common.json);
    match arguments.command {
        Command::Import(arguments) => import::run(arguments, &ledger, json).await,
        Command::List(page) => list(&ledger, &page, json).await,
        Command::Show(Phone { phone }) => {
            let recipient = store.recipient(ledger.tenant, &ledger.phone("PHONE", &phone)?).await?;
            show(json, &views::Recipient::from(&recipient), || facts(&recipient))
        }
        Command::Block { phone, reason } => {
            let phone = ledger.phone("PHONE", &phone)?;
            store.block(ledger.tenant, &phone, Channel::Whatsapp, &reason).await?;
            let blocked = json!({"phone": phone, "channel": Channel::Whatsapp, "blocked": true});
            show(json, &blocked, || format!("{phone} is blocked on whatsapp; what waited for it is skipped"))
        }
        Command::Unblock(Phone { phone }) => {
            let phone = ledger.phone("PHONE", &phone)?;
            let lifted = store.unblock(ledger.tenant, &phone, Channel::Whatsapp).await?;
            let unblocked = json!({"phone": phone, "channel": Channel::Whatsapp, "blocked": false, "lifted": lifted});
            show(json, &unblocked, || {
                let what = if lifted { "is no longer blocked" } else { "was not blocked" };
                format!("{phone} {what} on whatsapp")
            })
        }
        Command::OptOut { phone, all, reason } => {
            let phone = ledger.phone("PHONE", &phone)?;
            let (covers, of) = if all { (Covers::All, "everything") } else { (Covers::Marketing, "marketing") };
            store.opt_out(ledger.tenant, &phone, Channel::Whatsapp, covers, &reason).await?;
            let opted_out = json!({"phone": phone, "channel": Channel::Whatsapp, "opted_out": true, "covers": covers});
            show(json, &opted_out, || format!("{phone} is opted out of {of} on whatsapp; what waited of it is skipped"))
        }
        Command::OptIn(Phone { phone }) => {
            let phone = ledger.phone("PHONE", &phone)?;
            let lifted = store.opt_in(ledger.tenant, &phone, Channel::Whatsapp, "a person on the command line").await?;
            let opted_in = json!({"phone": phone, "channel": Channel::Whatsapp, "opted_out": false, "lifted": lifted});
            show(json, &opted_in, || {
                let what = if lifted { "is opted in again" } else { "was not opted out" };
                format!("{phone} {what} on whatsapp")
            })
        }
    }
}

async fn list(ledger: &Ledger, page: &PageArgs, json: bool) -> anyhow::Result<()> {
    let recipients = ledger.store.recipients(ledger.tenant, page.after.unwrap_or(0), page.limit).await?;
    show(json, &recipients.iter().map(views::Recipient::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["PHONE", "NAME", "BLOCKED", "KNOWN SINCE"]);
        for one in &recipients {
            let blocked: Vec<&str> = one.blocks.iter().map(|block| block.channel.as_str()).collect();
            let blocked = if blocked.is_empty() { "-".to_owned() } else { blocked.join(", ") };
            table.row([one.phone.to_string(), or_dash(one.name.as_deref()), blocked, time(one.created_at)]);
        }
        table.or("nobody is known yet: `kabar recipient import FILE.csv` brings people in")
    })?;
    page.note_more(recipients.len(), recipients.last().map(|last| last.id));
    Ok(())
}

fn facts(recipient: &Recipient) -> String {
    let mut table = Table::of_facts();
    table.fact("phone", recipient.phone.to_string());
    table.fact("name", or_dash(recipient.name.as_deref()));
    for (field, value) in &recipient.fields {
        table.fact(&format!("field {field}"), value);
    }
    if let Some(zone) = recipient.timezone {
        table.fact("time zone", zone.name());
    }
    if let Some(consent) = &recipient.consent {
        table.fact("consent", format!("since {} ({})", time(consent.at), consent.source));
    }
    table.fact("known since", time(recipient.created_at));
    table.fact("last wrote to us", recipient.last_inbound_at.map_or_else(|| "never".to_owned(), time));
    if recipient.opt_outs.is_empty() {
        table.fact("opted out", "no");
    }
    for opt_out in &recipient.opt_outs {
        let of = match opt_out.covers {
            Covers::All => "everything",
            Covers::Marketing => "marketing",
        };
        table.fact("opted out", format!("of {of} on {}", opt_out.channel));
        table.fact("  at", time(opt_out.said_at));
        table.fact("  by", &opt_out.source);
        table.fact(
            "  lifted by",
            format!("a START word from the person, or `kabar recipient opt-in {}`", recipient.phone),
        );
    }
    if let Some(at) = recipient.unreachable_at {
        table.fact("unreachable", format!("the provider said so at {}", time(at)));
    }
    if recipient.blocks.is_empty() {
        table.fact("blocked", "no");
    }
    for block in &recipient.blocks {
        let code = block.code.map(|code| format!(" (code {code})")).unwrap_or_default();
        table.fact("blocked", format!("on {}: {}{code}", block.channel, block.reason));
        table.fact("  since", time(block.blocked_at));
        table.fact("  by", &block.source);
        table.fact("  lifted by", views::lifted_by(block, recipient));
    }
    table.to_string()
}
