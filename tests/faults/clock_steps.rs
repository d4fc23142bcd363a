//! Somebody sets the clock of the ledger's server, by minutes, back and forth, while a fleet sends at its rate.

use std::time::Duration;

use kabar_domain::message::{MessageState, Phase, StateCounts};
use kabar_store::DEFAULT_TENANT;
use kabar_tests::{KabarProcess, PostgresServer, eventually, guests::accepted};

use crate::stage::Stage;

const RATE: u32 = 60;
const GUESTS: usize = 900;
const PROCESSES: usize = 3;

/// After so many messages, the server's clock is so many seconds ahead of the machine's. It never shows a time before
/// that at which the messages were planned: until then they would wait.
const STEPS: [(u64, i64); 6] = [(60, 180), (180, 30), (300, 240), (420, 241), (540, 90), (700, 0)];

/// Longer than the grace time and any wait that was noted while the clock was ahead: what is left over goes on.
const MUCH_LATER: i64 = 3_600;

/// How many may be left over.
const LEFT_OVER: usize = 60;

/// A step of a few minutes forward ends all leases; processes end, and others are started.
const WITHIN: Duration = Duration::from_secs(90);

/// What watches over a fleet: who ends is replaced.
struct Fleet {
    // Before the stage, whose folder holds their logs.
    processes: Vec<KabarProcess>,
    stage: Stage,
    /// How many were replaced.
    replaced: usize,
    /// How many of those had a sender pause for a step.
    paused: usize,
}

impl Fleet {
    async fn start(server: &PostgresServer) -> Self {
        let stage = Stage::on_server(server, RATE, &[("KABAR_FLEET_LEASE", "3s")]).await;
        let mut processes = Vec::new();
        for _ in 0..PROCESSES {
            processes.push(stage.process().await);
        }
        stage.report_to(&processes[0]);
        Self { processes, stage, replaced: 0, paused: 0 }
    }

    async fn tend(&mut self) {
        for at in 0..self.processes.len() {
            let Some(status) = self.processes[at].ended() else { continue };
            let log = self.processes[at].log();
            assert!(log.contains("lease had ended"), "it was to go on: {status}\n{log}");
            self.processes[at] = self.stage.process().await;
            self.replaced += 1;
            self.paused += usize::from(log.contains("the ledger's clock stepped"));
            if at == 0 {
                self.stage.report_to(&self.processes[0]);
            }
        }
    }

    async fn until(&mut self, job: i64, wish: impl Fn(&StateCounts, u64) -> bool) {
        eventually(WITHIN, async || {
            self.tend().await;
            let (counts, accepted) = (self.stage.counts(job).await?, self.stage.sandbox.counters().accepted);
            let told = || format!("{accepted} accepted: {}", serde_json::to_string(&counts).unwrap_or_default());
            wish(&counts, accepted).then_some(()).ok_or_else(told)
        })
        .await;
    }

    /// A person says of what neither evidence nor policy settled what became of it.
    async fn settle_the_rest(&self, job: i64) {
        let with_provider = accepted(&self.stage.sandbox.arrivals());
        let messages = self.stage.store.messages_of_job(job, 0, 1_000).await.expect("the messages can be listed");
        for message in messages.iter().filter(|message| message.state == MessageState::Unresolved) {
            let was_sent = with_provider.contains_key(message.phone.as_str().trim_start_matches('+'));
            self.stage.store.resolve_message(DEFAULT_TENANT, message.id, was_sent).await.expect("it can be resolved");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn a_server_whose_clock_is_set_costs_seconds_and_no_message() {
    let server = PostgresServer::start().await.with_a_clock().await;
    let mut fleet = Fleet::start(&server).await;
    let job = fleet.stage.broadcast("dep-1", 0..GUESTS).await;
    for (after, seconds_ahead) in STEPS {
        fleet.until(job, |_, accepted| accepted >= after).await;
        server.set_clock(seconds_ahead).await;
    }
    let in_hand = |counts: &StateCounts| counts.get(MessageState::Claimed) + counts.get(MessageState::Sending);
    let nearly_all = (GUESTS - LEFT_OVER) as u64;
    fleet.until(job, |counts, accepted| accepted >= nearly_all && in_hand(counts) == 0).await;
    server.set_clock(MUCH_LATER).await;
    fleet.until(job, |counts, _| counts.of(Phase::Waiting) + counts.of(Phase::InFlight) == 0).await;
    fleet.settle_the_rest(job).await;
    fleet.until(job, |counts, _| counts.all_done()).await;
    fleet.stage.assert_each_once_within(GUESTS, RATE as usize);
    assert!(fleet.replaced > 0 && fleet.paused > 0, "no process noticed that the clock was set");
    // The last step ended leases, too: who has not noticed yet may do so at any moment, so nobody is asked to stop.
}
