//! `kabar migrate`: the ledger's tables and the queue's lines, up to date.

use serde_json::json;

use super::{Common, ledger, output};
use crate::context;

/// Bring the ledger's tables and the queue's lines up to date
///
/// Safe to run at any time and by several at once. On SQLite every command does it by itself; on Postgres this command
/// alone does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  KABAR_DATABASE_URL=postgres://kabar@db/kabar kabar migrate")]
pub(crate) struct MigrateArgs {}

pub(crate) async fn run(_: MigrateArgs, common: &Common) -> anyhow::Result<()> {
    let settings = ledger::settings(common)?;
    let store = context::connect_store(&settings).await?;
    store.migrate().await?;
    let queue = context::connect_queue(&settings, &store)?;
    queue.prepare().await?;
    queue.close().await;
    store.close().await;
    output::show(common.json, &json!({"migrated": true}), || "the ledger and the queue are up to date".to_owned())
}
