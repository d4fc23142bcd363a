//! `kabar demo`: the whole fleet in one process against the sandbox, and proof at the end that the numbers agree.
//!
//! Nothing here is acted: the stage is the production fleet on a SQLite ledger of its own, the sandbox counts what reaches
//! it, and the summary compares what the ledger says with what the sandbox saw. No setting, variable or file of the user
//! is read, so no real account can be touched.

mod jobs;
mod journal;
mod lines;
mod paint;
mod people;
mod plan;
mod screen;
mod script;
mod stage;
pub(super) mod stop;
mod summary;
mod tally;
mod watch;

use std::{pin::pin, time::Duration};

use anyhow::bail;
use kabar_domain::{message::Phase, pace::Rate};
use tokio::time::{Instant, MissedTickBehavior};

use journal::Journal;
use plan::Plan;
use screen::Screen;
use script::Script;
use stage::Stage;
use watch::{Snapshot, Watch};

/// The sandbox's counter is read this often, so that "the last second" is meant to the twentieth part.
const TICK: Duration = Duration::from_millis(50);

/// The ledger is looked at every so many ticks.
const TICKS_PER_LOOK: u32 = 5;

/// How long receipts may take to settle once everything has left.
const SETTLE: Duration = Duration::from_secs(15);

/// What `kabar demo` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: kabar demo --recipients 2000 --rate 80")]
pub struct DemoArgs {
    /// How many people the made-up group has, 1 to 100000
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    recipients: u32,
    /// Messages per second, 1 to 1000 or "unlimited"; the sandbox allows just as many
    #[arg(long, value_name = "N", default_value_t)]
    rate: Rate,
    /// Keep the ledger and the log, and say where they are and how to look at them
    #[arg(long)]
    keep: bool,
}

/// How the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing waits, nothing flies, and the receipts are in.
    Settled,
    /// A person stopped it.
    Stopped,
    /// It took longer than it ever should.
    TimedOut,
}

/// Runs the demo. It fails where anything was lost, doubled or does not add up.
///
/// # Errors
/// When the fleet cannot be started, the ledger cannot be read, or the numbers at the end do not agree.
pub async fn run(arguments: DemoArgs) -> anyhow::Result<()> {
    let journal = Journal::start();
    let plan = Plan::new(arguments.recipients, arguments.rate);
    let mut screen = Screen::new();
    summary::introduce(&mut screen, &plan);
    let stage = Stage::set(&plan).await?;
    let started = Instant::now();
    let mut script = Script::begin(&stage, &plan).await?;
    let end = perform(&stage, &plan, &mut script, &mut screen, started).await;
    let took = started.elapsed();
    screen.finish();
    let told = match &end {
        Ok(End::Stopped) => {
            screen.say(format!("Stopped after {:.1} s.", took.as_secs_f64()));
            Ok(())
        }
        Ok(end) => match tally::take(&stage, &plan, &script).await {
            Ok(tally) => summary::tell(&screen, &plan, &tally, *end, took),
            Err(error) => Err(error),
        },
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    journal.tell(&screen);
    if let Some(directory) = stage.strike(arguments.keep, &journal).await? {
        summary::tell_where(&screen, &directory);
    }
    if told.is_ok() && matches!(end, Ok(End::Settled)) {
        summary::tell_what_next(&screen);
    }
    told
}

/// Plays the script until everything has settled.
async fn perform(
    stage: &Stage,
    plan: &Plan,
    script: &mut Script,
    screen: &mut Screen,
    started: Instant,
) -> anyhow::Result<End> {
    let mut stopped = pin!(stop::stopped());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::new(started);
    let mut all_left_at = None;
    for tick in 0_u32.. {
        tokio::select! {
            () = &mut stopped => return Ok(End::Stopped),
            now = ticks.tick() => watch.count(now, stage.sandbox.counters().received),
        }
        if tick % TICKS_PER_LOOK != 0 {
            continue;
        }
        let seen = watch.look(stage).await?;
        for event in script.step(stage, &seen).await? {
            screen.event(&seen, &event);
        }
        screen.draw(plan, &seen);
        if seen.sender.state == "halted" {
            bail!("the sender was halted: {}", seen.sender.reason.unwrap_or_default());
        }
        if !(script.is_over() && everything_left(&seen)) {
            if started.elapsed() > plan.limit {
                return Ok(End::TimedOut);
            }
            continue;
        }
        let since = all_left_at.get_or_insert_with(Instant::now).elapsed();
        if receipts_are_in(stage, &seen).await {
            return Ok(End::Settled);
        }
        if since > SETTLE {
            return Ok(End::TimedOut);
        }
    }
    Ok(End::TimedOut)
}

fn everything_left(seen: &Snapshot) -> bool {
    seen.all.of(Phase::Waiting) + seen.all.of(Phase::InFlight) == 0
}

/// Whether every receipt has been posted and applied: no message is left that a further one would move.
async fn receipts_are_in(stage: &Stage, seen: &Snapshot) -> bool {
    use kabar_domain::message::MessageState::{Accepted, Sent};
    let posted = tokio::time::timeout(Duration::ZERO, stage.sandbox.webhooks_idle()).await.is_ok();
    posted && seen.all.get(Accepted) + seen.all.get(Sent) == 0
}
