//! The processes, and whoever watches over them: what ends is started again, as an operator's supervisor does.

use std::{
    fs,
    time::{Duration, Instant},
};

use kabar_sandbox::WebhookTarget;
use kabar_store::LeaseId;
use kabar_tests::{KabarProcess, ports::free_address, sandbox};

use super::figures::Figures;
use crate::stage::{Backend, ENDS_WITHIN, Stage};

/// A process that cannot start is tried again after this.
const START_AGAIN: Duration = Duration::from_millis(500);

/// By how many seconds the clocks of processes are wrong. On SQLite all share a machine, and so its clock.
const CLOCKS: [&str; 4] = ["0", "120", "-120", "30"];

/// How long the ledger may take to say whose lease a process has.
const ASKED_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Crew {
    seats: Vec<Seat>,
    /// Leases of processes that were killed, and when.
    killed: Vec<(LeaseId, Instant)>,
    /// Which seat takes webhooks, and how late they come.
    gateway: usize,
    receipts_after: Duration,
}

struct Seat {
    address: String,
    clock: Option<&'static str>,
    process: Option<KabarProcess>,
    /// Stopped until then.
    stalled: Option<Instant>,
    started: Instant,
}

impl Seat {
    fn start(&mut self, stage: &Stage) {
        let variables: Vec<_> = self.clock.map(|clock| ("KABAR_FAULT_CLOCK_SECONDS", clock)).into_iter().collect();
        self.process = Some(stage.home.start_with(&self.address, &variables, &["run"]));
        self.started = Instant::now();
    }

    fn works(&self) -> bool {
        self.process.is_some() && self.stalled.is_none()
    }
}

impl Crew {
    pub(super) async fn start(stage: &Stage, processes: usize, backend: Backend) -> Self {
        let mut seats = Vec::new();
        for index in 0..processes {
            let clock = (backend != Backend::Sqlite).then(|| CLOCKS[index % CLOCKS.len()]);
            let started = Instant::now();
            let mut seat = Seat { address: free_address().to_string(), clock, process: None, stalled: None, started };
            seat.start(stage);
            seats.push(seat);
        }
        for process in seats.iter_mut().filter_map(|seat| seat.process.as_mut()) {
            process.ready().await;
        }
        let crew = Self { seats, killed: Vec::new(), gateway: 0, receipts_after: Duration::from_millis(20) };
        crew.report(stage);
        crew
    }

    /// Starts what has ended, wakes what has slept long enough, has the provider report to who is there, and looks at how
    /// far the rescue of the killed has come, and at everybody's memory.
    pub(super) async fn tend(&mut self, stage: &Stage, figures: &mut Figures) {
        for seat in &mut self.seats {
            if seat.stalled.is_some_and(|until| until <= Instant::now()) {
                seat.wake().await;
            }
            let Some(process) = &mut seat.process else {
                if seat.started.elapsed() > START_AGAIN {
                    seat.start(stage);
                }
                continue;
            };
            if let Some(status) = process.ended() {
                let log = process.log();
                assert!(!log.contains("panicked"), "{log}");
                // 0: told to stop. 1: its lease had ended, or it could not start. Everything else was us.
                let told = status.code().is_none_or(|code| code < 2);
                assert!(told, "it ended with {status}:\n{log}");
                seat.process = None;
                continue;
            }
            figures.largest_kib = figures.largest_kib.max(peak_kib(process.id()).unwrap_or(0));
        }
        if !self.seats[self.gateway].works()
            && let Some(other) = self.seats.iter().position(Seat::works)
        {
            self.gateway = other;
            self.report(stage);
        }
        self.look_at_rescues(stage, figures).await;
    }

    async fn look_at_rescues(&mut self, stage: &Stage, figures: &mut Figures) {
        let mut open = Vec::new();
        for (lease, since) in self.killed.drain(..) {
            match tokio::time::timeout(ASKED_WITHIN, stage.store.held(lease)).await {
                Ok(Ok(0)) => figures.longest_rescue = figures.longest_rescue.max(since.elapsed()),
                _ => open.push((lease, since)),
            }
        }
        self.killed = open;
    }

    /// Lets the provider report to the seat whose turn it is.
    fn report(&self, stage: &Stage) {
        let address = &self.seats[self.gateway].address;
        stage.sandbox.set_webhook(Some(WebhookTarget {
            url: format!("http://{address}/webhooks/whatsapp"),
            app_secret: sandbox::APP_SECRET.to_owned(),
            delay: self.receipts_after,
            read_share: 0.5,
        }));
    }

    /// Receipts come so much later from now on.
    pub(super) fn receipts_after(&mut self, delay: Duration, stage: &Stage) {
        if self.receipts_after != delay {
            self.receipts_after = delay;
            self.report(stage);
        }
    }

    /// Kills one, and gives whether it could: not where none is at work.
    pub(super) async fn kill(&mut self, which: usize, stage: &Stage) -> bool {
        let Some(seat) = self.at_work(which) else { return false };
        let Some(process) = seat.process.take() else { return false };
        let ending = format!(":{}", process.id());
        let leases = tokio::time::timeout(ASKED_WITHIN, stage.store.leases()).await;
        process.kill().await;
        seat.started = Instant::now();
        let leases = leases.ok().and_then(Result::ok).unwrap_or_default();
        let lease = leases.into_iter().find(|lease| lease.process.ends_with(&ending));
        self.killed.extend(lease.map(|lease| (lease.id, Instant::now())));
        true
    }

    /// Stops one for a while, in the middle of whatever it does.
    pub(super) async fn stall(&mut self, which: usize, length: Duration) -> bool {
        let Some(seat) = self.at_work(which) else { return false };
        let Some(process) = &seat.process else { return false };
        process.signal("STOP").await;
        seat.stalled = Some(Instant::now() + length);
        true
    }

    /// Tells one to stop in good order.
    pub(super) async fn restart(&mut self, which: usize) -> bool {
        let Some(seat) = self.at_work(which) else { return false };
        let Some(process) = &seat.process else { return false };
        process.signal("TERM").await;
        true
    }

    fn at_work(&mut self, which: usize) -> Option<&mut Seat> {
        let mut at_work: Vec<&mut Seat> = self.seats.iter_mut().filter(|seat| seat.works()).collect();
        if at_work.is_empty() {
            return None;
        }
        let seat = at_work.swap_remove(which % at_work.len());
        let running = seat.process.as_mut().is_some_and(|process| process.ended().is_none());
        running.then_some(seat)
    }

    /// Wakes whoever is stopped.
    pub(super) async fn wake_all(&mut self) {
        for seat in &mut self.seats {
            if seat.stalled.is_some() {
                seat.wake().await;
            }
        }
    }

    /// Stops all in good order.
    pub(super) async fn stop(mut self, stage: &Stage, figures: &mut Figures) {
        self.look_at_rescues(stage, figures).await;
        assert!(self.killed.is_empty(), "not rescued at all: {:?}", self.killed);
        for seat in &mut self.seats {
            let Some(mut process) = seat.process.take() else { continue };
            if process.ended().is_none() {
                figures.largest_kib = figures.largest_kib.max(peak_kib(process.id()).unwrap_or(0));
                process.signal("TERM").await;
                process.wait(ENDS_WITHIN).await;
            }
            assert!(!process.log().contains("panicked"), "{}", process.log());
        }
    }

    /// The end of everybody's log.
    pub(super) fn logs(&self) -> String {
        let processes = self.seats.iter().filter_map(|seat| seat.process.as_ref());
        processes
            .map(|process| {
                let log = process.log();
                let lines: Vec<&str> = log.lines().collect();
                format!("{}:\n{}\n", process.address(), lines[lines.len().saturating_sub(15)..].join("\n"))
            })
            .collect()
    }
}

impl Seat {
    async fn wake(&mut self) {
        if let Some(process) = &self.process {
            process.signal("CONT").await;
        }
        self.stalled = None;
    }
}

/// The most memory that a process has held, in KiB.
fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
