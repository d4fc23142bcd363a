//! What strikes, and when: every so many messages or seconds the next, drawn by the seed; every third is a kill.

use std::time::{Duration, Instant};

use fastrand::Rng;
use kabar_domain::sender::SenderState;
use kabar_queue::{Line, Ticket};
use kabar_store::DEFAULT_TENANT;
use kabar_tests::{SharedQueue, Stop, fleet::SENDER};
use tokio::time::timeout;

use super::{
    crew::Crew,
    figures::Figures,
    ground::Ground,
    weather::{self, Weather},
};
use crate::stage::Backend;

/// The next comes after so many accepted messages, or after this time.
const EVERY_MESSAGES: u64 = 100;
const EVERY: Duration = Duration::from_millis(1_500);

/// One in so many strikes is a kill.
const KILL_EVERY: u64 = 3;

/// How long weather and outages last, in milliseconds.
const LASTS_MS: std::ops::Range<u64> = 1_000..3_000;

/// For how long a process stands still, in milliseconds: less than its lease of four seconds, or more.
const STALLS_MS: std::ops::Range<u64> = 1_000..8_000;

/// Tickets that come twice.
const DOUBLED: usize = 8;

/// How long the ledger or the queue may take with a call.
const WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Kill,
    Stall,
    Restart,
    PurgeTickets,
    DoubleTickets,
    Weather(Weather),
    Ledger(LedgerStrike),
    Queue(QueueStrike),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LedgerStrike {
    Crash,
    SessionsEnded,
    Silent,
    Cut,
    /// Another program holds the write lock of the file.
    Locked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueStrike {
    BrokerKilled,
    BrokerOutOfMemory,
    ConnectionsClosed,
    Cut,
    Silent,
}

pub(super) struct Strikes {
    rng: Rng,
    possible: Vec<Strike>,
    count: u64,
    next_at: Instant,
    next_after: u64,
    /// When weather, or an outage of ledger or queue, is over.
    calm_at: Option<Instant>,
    mend_at: Option<Instant>,
    out_of_memory: bool,
    resume_at: Option<Instant>,
}

impl Strikes {
    pub(super) fn of(backend: Backend, rng: Rng) -> Self {
        let mut possible: Vec<Strike> = Weather::ALL.into_iter().map(Strike::Weather).collect();
        // As often as the weather.
        for _ in 0..2 {
            possible.extend([Strike::Stall, Strike::Restart, Strike::PurgeTickets, Strike::DoubleTickets]);
        }
        let server = [LedgerStrike::Crash, LedgerStrike::SessionsEnded, LedgerStrike::Silent, LedgerStrike::Cut];
        match backend {
            Backend::Sqlite => possible.extend([Strike::Ledger(LedgerStrike::Locked); 2]),
            Backend::Postgres | Backend::RabbitMq | Backend::Sqs => possible.extend(server.map(Strike::Ledger)),
        }
        let broker = [QueueStrike::BrokerKilled, QueueStrike::BrokerOutOfMemory, QueueStrike::ConnectionsClosed];
        match backend {
            Backend::Sqlite | Backend::Postgres => {}
            Backend::RabbitMq => possible.extend(broker.map(Strike::Queue)),
            Backend::Sqs => possible.extend([QueueStrike::Cut, QueueStrike::Silent].map(Strike::Queue)),
        }
        Self {
            rng,
            possible,
            count: 0,
            next_at: Instant::now() + EVERY,
            next_after: EVERY_MESSAGES,
            calm_at: None,
            mend_at: None,
            out_of_memory: false,
            resume_at: None,
        }
    }

    /// Ends what is over, and strikes where it is time.
    pub(super) async fn next(&mut self, ground: &mut Ground, crew: &mut Crew, figures: &mut Figures) {
        let accepted = ground.stage.sandbox.counters().accepted;
        self.end_what_is_over(ground, crew, Instant::now()).await;
        if accepted < self.next_after && Instant::now() < self.next_at {
            return;
        }
        self.next_after = accepted + EVERY_MESSAGES;
        self.next_at = Instant::now() + EVERY;
        self.count += 1;
        let strike = match self.count % KILL_EVERY {
            0 => Strike::Kill,
            _ => *self.rng.choice(&self.possible).expect("something is possible"),
        };
        let which = self.rng.usize(..);
        let lasts = Duration::from_millis(self.rng.u64(LASTS_MS));
        let stalls = Duration::from_millis(self.rng.u64(STALLS_MS));
        match strike {
            Strike::Kill => figures.kills += u64::from(crew.kill(which, &ground.stage).await),
            Strike::Stall => figures.stalls += u64::from(crew.stall(which, stalls).await),
            Strike::Restart => figures.restarts += u64::from(crew.restart(which).await),
            Strike::PurgeTickets | Strike::DoubleTickets => {
                let struck = tickets(ground, strike == Strike::PurgeTickets).await;
                figures.tickets += u64::from(struck.is_some());
            }
            Strike::Weather(weather) => {
                ground.stage.sandbox.set_faults(weather.faults());
                crew.receipts_after(weather.receipts_after(), &ground.stage);
                self.calm_at = Some(Instant::now() + lasts);
                if weather.is_of_receipts() {
                    figures.receipts += 1;
                } else {
                    figures.provider += 1;
                }
                if weather == Weather::TokenExpired {
                    self.resume_at = self.calm_at;
                }
            }
            Strike::Ledger(strike) if self.mend_at.is_none() => {
                figures.ledger += 1;
                self.strike_ledger(ground, strike, lasts).await;
            }
            Strike::Queue(strike) if self.mend_at.is_none() => {
                figures.queue += 1;
                self.strike_queue(ground, strike, lasts).await;
            }
            Strike::Ledger(_) | Strike::Queue(_) => {}
        }
    }

    async fn strike_ledger(&mut self, ground: &mut Ground, strike: LedgerStrike, lasts: Duration) {
        match (strike, &mut ground.server) {
            (LedgerStrike::Crash, Some((server, _))) => {
                server.stop(Stop::Immediate).await;
                server.resume().await;
            }
            (LedgerStrike::Silent, Some((_, relay))) => relay.fall_silent(),
            (LedgerStrike::Cut, Some((_, relay))) => relay.cut(),
            // Where the server is just starting, there are none.
            (LedgerStrike::SessionsEnded, _) => drop(ground.end_sessions().await),
            (LedgerStrike::Locked, _) => drop(ground.take_lock().await),
            (_, None) => {}
        }
        if !matches!(strike, LedgerStrike::Crash | LedgerStrike::SessionsEnded) {
            self.mend_at = Some(Instant::now() + lasts);
        }
    }

    async fn strike_queue(&mut self, ground: &mut Ground, strike: QueueStrike, lasts: Duration) {
        match (strike, &mut ground.stage.queue, &ground.to_sqs) {
            (QueueStrike::BrokerKilled, SharedQueue::RabbitMq(broker), _) => {
                broker.kill().await;
                broker.start_again().await;
            }
            (QueueStrike::BrokerOutOfMemory, SharedQueue::RabbitMq(broker), _) => {
                broker.control(&["set_vm_memory_high_watermark", "0.0000001"]).await;
                self.out_of_memory = true;
                self.mend_at = Some(Instant::now() + lasts);
            }
            (QueueStrike::ConnectionsClosed, SharedQueue::RabbitMq(broker), _) => {
                broker.control(&["close_all_connections", "storm"]).await;
            }
            (QueueStrike::Cut, _, Some(relay)) => {
                relay.cut();
                self.mend_at = Some(Instant::now() + lasts);
            }
            (QueueStrike::Silent, _, Some(relay)) => {
                relay.fall_silent();
                self.mend_at = Some(Instant::now() + lasts);
            }
            _ => {}
        }
    }

    async fn end_what_is_over(&mut self, ground: &mut Ground, crew: &mut Crew, now: Instant) {
        if self.mend_at.is_some_and(|at| at <= now) {
            self.mend_at = None;
            ground.lock = None;
            let ways = ground.server.iter().map(|(_, relay)| relay).chain(&ground.to_sqs);
            ways.for_each(kabar_tests::Relay::mend);
            if std::mem::take(&mut self.out_of_memory)
                && let SharedQueue::RabbitMq(broker) = &ground.stage.queue
            {
                broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
            }
        }
        if self.calm_at.is_some_and(|at| at <= now) {
            self.calm_at = None;
            ground.stage.sandbox.set_faults(weather::calm());
            crew.receipts_after(Duration::from_millis(20), &ground.stage);
        }
        // A person has mended the token, and says so; an answer that was late may halt the sender once more.
        if self.resume_at.is_some_and(|at| at <= now) {
            let store = &ground.stage.store;
            let sender = timeout(WITHIN, store.sender(DEFAULT_TENANT, SENDER)).await;
            let halted = sender.ok().and_then(Result::ok).is_some_and(|sender| sender.state == SenderState::Halted);
            if halted {
                let _ = timeout(WITHIN, store.resume_sender(DEFAULT_TENANT, SENDER)).await;
            }
            self.resume_at = Some(now + Duration::from_secs(1));
        }
    }

    /// Ends everything at once.
    pub(super) async fn calm(&mut self, ground: &mut Ground, crew: &mut Crew) {
        let now = Instant::now();
        for at in [&mut self.calm_at, &mut self.mend_at].into_iter().flatten() {
            *at = now;
        }
        crew.wake_all().await;
        self.end_what_is_over(ground, crew, now).await;
    }
}

/// Removes all tickets, or writes some more than there should be; none where the queue is away.
async fn tickets(ground: &Ground, purge: bool) -> Option<()> {
    let sender = timeout(WITHIN, ground.stage.store.sender(DEFAULT_TENANT, SENDER)).await.ok()?.ok()?;
    let queue = ground.stage.open_queue().await;
    let struck = if purge {
        timeout(WITHIN, queue.purge(Line::Batches)).await.ok()?.map(drop)
    } else {
        let bodies = vec![Ticket { sender: sender.id }.to_body(); DOUBLED];
        timeout(WITHIN, queue.publish(Line::Batches, &bodies)).await.ok()?
    };
    let _ = timeout(WITHIN, queue.close()).await;
    struck.ok()
}
