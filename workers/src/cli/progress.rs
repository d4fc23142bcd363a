//! Progress of what takes long: a bar on a terminal, plain lines elsewhere; and waiting for a job's end.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use kabar_domain::{
    job::Job,
    message::{MessageState, Phase, StateCounts},
};
use kabar_store::BroadcastState;
use serde_json::{Value, json};

use super::{
    ledger::Ledger,
    output::{self, counts, note, number, plural},
};

/// The shortest time between two looks at a job.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Between two looks passes at least this many times what a look takes, so that looking costs the ledger little.
const REST_FACTOR: u32 = 9;

/// How often a plain line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress towards a known end, on standard error.
#[derive(Debug)]
pub(crate) struct Meter {
    bar: Option<ProgressBar>,
    what: &'static str,
    last_line: Option<Instant>,
}

impl Meter {
    /// Begins at 0.
    pub(crate) fn new(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:40}] {human_pos}/{human_len} {msg}");
        let bar = io::stderr().is_terminal().then(|| {
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_prefix(what)
        });
        Self { bar, what, last_line: None }
    }

    /// Shows how far it has come.
    pub(crate) fn set(&mut self, done: u64, of: u64, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(done);
            bar.set_message(message.to_owned());
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            // What ends before the first line is due needs none.
            if self.last_line.is_some() {
                note(format!("{} {}/{} {message}", self.what, number(done), number(of)).trim_end());
            }
            self.last_line = Some(Instant::now());
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Says something beside the bar.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(text),
        }
    }
}

/// How a job stands.
struct Look {
    counts: StateCounts,
    /// Whether nothing of it waits or flies, and nothing more comes.
    ended: bool,
    /// What else is to be said.
    message: String,
}

/// Waits until nothing of the job waits or flies, shows what became of it, and fails unless all was accepted.
pub(crate) async fn wait(ledger: &Ledger, job: &Job, job_id: i64, json: bool) -> anyhow::Result<()> {
    let mut meter = Meter::new("sending");
    let looking = watch(ledger, job, job_id, &mut meter);
    let ended = tokio::select! {
        ended = looking => Some(ended?),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot listen for Ctrl-C")?;
            None
        }
    };
    meter.finish();
    let id = job.id();
    let Some(counts) = ended else {
        let show = if matches!(job, Job::Broadcast(_)) { "broadcast" } else { "message" };
        bail!("stopped waiting; the job goes on: `kabar {show} show {id}` says how it stands");
    };
    let reasons = ledger.store.reasons(job_id).await?;
    if json {
        let reasons: Vec<Value> = reasons
            .iter()
            .filter(|(state, ..)| !is_accepted(*state))
            .map(|(state, reason, code, count)| json!({"state": state, "reason": reason, "code": code, "count": count}))
            .collect();
        output::print_json(&json!({"id": id, "counts": counts, "reasons": reasons}))?;
    } else {
        output::print(output::counts(&counts))?;
    }
    let refused: Vec<String> = reasons
        .iter()
        .filter(|(state, ..)| !is_accepted(*state))
        .map(|(state, reason, code, count)| told(*state, reason.as_deref(), *code, *count))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let not_accepted =
        counts.total() - MessageState::ALL.into_iter().filter(|s| is_accepted(*s)).map(|s| counts.get(s)).sum::<u64>();
    let of = plural(counts.total(), "message");
    bail!("{} of {of} of job {id} not accepted: {}", number(not_accepted), refused.join("; "))
}

async fn watch(ledger: &Ledger, job: &Job, job_id: i64, meter: &mut Meter) -> anyhow::Result<StateCounts> {
    let mut warned = false;
    loop {
        let began = Instant::now();
        let look = look(ledger, job, job_id).await?;
        let done = look.counts.of(Phase::Done) + look.counts.of(Phase::Attention);
        meter.set(done, look.counts.total(), &look.message);
        if look.ended {
            return Ok(look.counts);
        }
        if !warned && !ledger.store.worker_lives("courier").await? {
            warned = true;
            meter.say("note: no courier is at work, so nothing is sent yet: start `kabar run`");
        }
        tokio::time::sleep(LOOK_EVERY.max(began.elapsed() * REST_FACTOR)).await;
    }
}

async fn look(ledger: &Ledger, job: &Job, job_id: i64) -> anyhow::Result<Look> {
    let nothing_moves = |counts: &StateCounts| counts.of(Phase::Waiting) + counts.of(Phase::InFlight) == 0;
    if let Job::Broadcast(_) = job {
        let broadcast = ledger.store.broadcast(ledger.tenant, job.id().as_str()).await?;
        let ended = match broadcast.state {
            BroadcastState::Completed => true,
            BroadcastState::Running | BroadcastState::Cancelled => nothing_moves(&broadcast.counts),
            BroadcastState::Planning | BroadcastState::Paused => false,
        };
        let eta = broadcast.eta.map_or_else(String::new, |eta| format!(", done about {}", output::time(eta)));
        let message = format!("{}{eta}", broadcast.state.as_str());
        return Ok(Look { counts: broadcast.counts, ended, message });
    }
    let (_, summary) = ledger.store.job_summary(ledger.tenant, job.id().as_str(), None).await?;
    let counts_now = ledger.store.job_counts(job_id).await?;
    let planned = matches!(summary.state.as_str(), "planned" | "cancelled");
    let message = if planned { counts(&counts_now) } else { "waits for a planner".to_owned() };
    Ok(Look { counts: counts_now, ended: planned && nothing_moves(&counts_now), message })
}

const fn is_accepted(state: MessageState) -> bool {
    matches!(state, MessageState::Accepted | MessageState::Sent | MessageState::Delivered | MessageState::Read)
}

/// `failed 3 (131026: not on WhatsApp)`.
pub(crate) fn told(state: MessageState, reason: Option<&str>, code: Option<i64>, count: i64) -> String {
    let code = code.filter(|_| state != MessageState::Skipped).map(|code| code.to_string());
    let why: Vec<&str> = code.as_deref().into_iter().chain(reason).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(": ")) };
    format!("{state} {}{why}", number(count.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_with_their_codes() {
        assert_eq!(
            told(MessageState::Failed, Some("not on WhatsApp"), Some(131_026), 3),
            "failed 3 (131026: not on WhatsApp)"
        );
        assert_eq!(
            told(MessageState::Skipped, Some("recipient_blocked"), None, 1_000),
            "skipped 1,000 (recipient_blocked)"
        );
        assert_eq!(told(MessageState::Expired, None, None, 1), "expired 1");
    }
}
