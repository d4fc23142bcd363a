//! Everything at once: real processes under load while they are killed, stopped and restarted, the ledger and the queue
//! fail in their ways, and the provider misbehaves. The provider's own record of what arrived is the judge.
//!
//! `tests/run faults` has a short storm on each backend; `tests/run storm` a long one. Each prints its seed, from which
//! `KABAR_STORM_SEED` draws the same faults again; when each hits is the machine's to say.

use std::time::Duration;

use crate::stage::{Backend, on_every_backend};

mod crew;
mod figures;
mod ground;
mod judge;
mod load;
mod strikes;
mod weather;

use crew::Crew;
use figures::Figures;
use ground::Ground;
use judge::Verdict;
use load::Load;
use strikes::Strikes;

/// How often what is due is done.
const TICK: Duration = Duration::from_millis(100);

/// How many processes share the work.
const PROCESSES: usize = 4;

/// Sending may take this many times as long as on a calm day, beside [`TAIL`]: much of it is spent parked or restarting.
const SLOWER_AT_MOST: u32 = 8;

/// How long the last doubts, leases and receipts may take.
const TAIL: Duration = Duration::from_secs(120);

on_every_backend!(storm);

/// What a storm is to be, by the environment.
#[derive(Debug, Clone, Copy)]
struct Options {
    /// `KABAR_STORM_MESSAGES`.
    messages: usize,
    /// `KABAR_STORM_RATE`: the sender's, in messages per second.
    rate: u32,
    /// `KABAR_STORM_SEED`.
    seed: u64,
}

impl Options {
    fn from_environment() -> Self {
        let number = |name: &str, otherwise: u64| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")),
            Err(_) => otherwise,
        };
        Self {
            messages: usize::try_from(number("KABAR_STORM_MESSAGES", 500)).expect("a number of messages"),
            rate: u32::try_from(number("KABAR_STORM_RATE", 80)).expect("a rate"),
            seed: number("KABAR_STORM_SEED", fastrand::u64(..)),
        }
    }
}

async fn storm(backend: Backend) {
    let options = Options::from_environment();
    println!("{backend:?}: {options:?}");
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut ground = Ground::open(backend, options.rate).await;
    let mut figures = Figures::default();
    let mut crew = Crew::start(&ground.stage, PROCESSES, backend).await;
    let mut load = Load::of(options.messages);
    let mut strikes = Strikes::of(backend, rng.fork());
    let most = Duration::from_secs(options.messages as u64 / u64::from(options.rate)) * SLOWER_AT_MOST + TAIL;
    let began = std::time::Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        crew.tend(&ground.stage, &mut figures).await;
        load.feed(&ground.stage).await;
        load.look(&ground.stage, &mut figures).await;
        if load.is_sent() {
            strikes.calm(&mut ground, &mut crew).await;
            load.add_last();
            if load.has_ended() {
                break;
            }
        } else {
            strikes.next(&mut ground, &mut crew, &mut figures).await;
        }
        assert!(began.elapsed() < most, "after {most:?}: {}\n{}", load.told(), crew.logs());
    }
    figures.took = began.elapsed();
    ground.stage.sandbox.webhooks_idle().await;
    crew.stop(&ground.stage, &mut figures).await;
    let verdict = Verdict::of(&ground.stage, &load).await;
    figures.worst_window = ground.stage.sandbox.worst_window();
    println!("{}", figures.row(backend, options.rate, &verdict));
    verdict.assert_good();
    figures.assert_good();
    kabar_tests::sandbox::assert_pace(&ground.stage.sandbox, options.rate as usize);
}
