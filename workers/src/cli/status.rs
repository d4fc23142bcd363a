//! `kabar status`: how everything stands, once or again and again.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use clap::Args;
use kabar_domain::pace::spacing_us;
use kabar_store::{Lease, SenderStatus, Status};

use super::{
    Common,
    ledger::Ledger,
    output::{self, Table, counts, length, number, or_dash, time, time_or_dash},
};
use crate::views;

/// How often --watch looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two looks passes at least this many times what a look takes, so that watching costs the ledger little.
const REST_FACTOR: u32 = 9;

/// Sets a terminal's cursor to its upper left corner and clears it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// The workers at work, the senders with pace and backlog, and how long it will take
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar status
  kabar status --watch
  kabar status --json | jq .messages")]
pub(crate) struct StatusArgs {
    /// Look again every second, until Ctrl-C; with --json one object a line
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn run(arguments: StatusArgs, common: &Common) -> anyhow::Result<()> {
    let ledger = Ledger::open(common).await?;
    if !arguments.watch {
        let status = ledger.store.status(ledger.tenant).await?;
        return output::show(common.json, &views::Status::from(&status), || told(&ledger, &status));
    }
    tokio::select! {
        watched = watch(&ledger, common.json) => watched,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn watch(ledger: &Ledger, json: bool) -> anyhow::Result<()> {
    let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
    loop {
        let began = Instant::now();
        let status = ledger.store.status(ledger.tenant).await?;
        if json {
            output::print(serde_json::to_string(&views::Status::from(&status))?)?;
        } else {
            let now = time(ledger.store.now_ms());
            output::print(format!("{clear}{now}  (Ctrl-C ends this)\n\n{}\n", told(ledger, &status)))?;
        }
        tokio::time::sleep(LOOK_EVERY.max(began.elapsed() * REST_FACTOR)).await;
    }
}

fn told(ledger: &Ledger, status: &Status) -> String {
    let margin = ledger.settings.pace.margin;
    let mut senders = Table::new([
        "SENDER",
        "STATE",
        "RATE",
        "NOW",
        "WAITING",
        "IN FLIGHT",
        "LAST MINUTE",
        "TAKES",
        "UNTIL",
        "REASON",
    ]);
    for sender in &status.senders {
        senders.row([
            sender.name.clone(),
            sender.state.clone(),
            sender.rate.to_string(),
            sender.effective_rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string()),
            number(sender.waiting),
            number(sender.in_flight),
            number(sender.sent_last_minute),
            takes(sender, margin),
            time_or_dash(sender.parked_until),
            or_dash(sender.reason.as_deref()),
        ]);
    }
    let mut facts = Table::of_facts();
    facts.fact("messages", counts(&status.messages));
    if let Some(attention) = output::attention(&status.messages, None) {
        facts.fact("attention", attention);
    }
    let lines: Vec<String> =
        status.lines.iter().map(|(name, ready)| format!("{name} {}", number(ready.unsigned_abs()))).collect();
    facts.fact("lines", if lines.is_empty() { "empty".to_owned() } else { lines.join(", ") });
    let hint = if status.dead > 0 { " (`kabar dead list`)" } else { "" };
    facts.fact("dead letters", format!("{}{hint}", number(status.dead.unsigned_abs())));
    if status.workers.is_empty() {
        facts.fact("workers", "none at work: `kabar run` starts them");
    }
    for process in &status.workers {
        facts.fact("workers", at_work(process, ledger.store.now_ms()));
    }
    format!("{}\n\n{facts}", senders.or("no sender yet: `kabar sender add` adds one"))
}

/// A process with its workers, for how long it has worked, and for how long its lease holds unless it is renewed.
fn at_work(process: &Lease, now_ms: i64) -> String {
    let span = |from: i64, to: i64| length(Duration::from_millis((to - from).max(0).unsigned_abs()));
    let (age, left) = (span(process.started_at, now_ms), span(now_ms, process.expires_at));
    format!("{}: {} (for {age}; its lease holds {left})", process.process, process.workers.join(" "))
}

/// How long what waits takes at the sender's present rate.
fn takes(sender: &SenderStatus, margin: Duration) -> String {
    match sender.effective_rate {
        Some(rate) if sender.waiting > 0 && rate > 0.0 && matches!(sender.state.as_str(), "active" | "parked") => {
            let spacing = spacing_us((rate * 1_000.0) as u64, margin);
            length(Duration::from_micros(spacing.saturating_mul(sender.waiting)))
        }
        _ => "-".to_owned(),
    }
}
