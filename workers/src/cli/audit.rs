//! `kabar audit`: who changed what, and when.

use clap::Args;

use super::{
    Common,
    ledger::Ledger,
    output::{Table, show, time},
    page::PageArgs,
};
use crate::views;

/// Who changed what, and when: the newest first
///
/// Changes through the command line and the HTTP API leave an entry each. Names no people but accounts and keys.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar audit
  kabar audit --limit 10 --json")]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    page: PageArgs,
}

pub(crate) async fn run(arguments: &AuditArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    let page = &arguments.page;
    let entries = ledger.store.audit(ledger.tenant, page.after.unwrap_or(i64::MAX), page.limit).await?;
    show(common.json, &entries.iter().map(views::AuditEntry::from).collect::<Vec<_>>(), || {
        let mut table = Table::new(["WHEN", "WHO", "WHAT", "OF WHAT"]);
        for entry in &entries {
            let at = time(entry.happened_at);
            table.row([at, entry.actor.clone(), entry.action.clone(), entry.subject.clone()]);
        }
        table.or("nobody has changed anything yet")
    })?;
    page.note_more(entries.len(), entries.last().map(|last| last.id));
    Ok(())
}
