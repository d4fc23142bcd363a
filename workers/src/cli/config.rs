//! `kabar config`: the settings in force, with where each comes from.

use super::{
    Common, ledger,
    output::{Table, show},
};

/// The settings in force, with where each comes from; secrets are masked
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kabar config
  kabar --config production.toml config --json

Lowest to highest: defaults, the configuration file, the environment, the command line.")]
pub(crate) struct ConfigArgs {}

pub(crate) fn run(_: &ConfigArgs, common: &Common) -> anyhow::Result<()> {
    let explained = ledger::settings(common)?.explain();
    show(common.json, &explained, || {
        let mut table = Table::new(["KEY", "VALUE", "SOURCE"]);
        for one in &explained {
            let value = if one.value.is_empty() { "-" } else { &one.value };
            table.row([one.key.clone(), value.to_owned(), one.source.clone()]);
        }
        table.to_string()
    })
}
