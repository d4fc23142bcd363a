//! Hours of sending in virtual time: real reservations of a real ledger, mapped by the real pacer, on clocks that this test
//! holds. Processes come and die with their slots, answers are late, and the ledger's clock steps back and forth.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use kabar_domain::{pace::Rate, sender::ProviderKind};
use kabar_store::{DEFAULT_TENANT, ManualClock, NewSender, Place, Store, StoreOptions};
use proptest::prelude::*;

use super::*;

/// As the settings have it.
const MARGIN: Duration = Duration::from_millis(15);
const LEAD: Duration = Duration::from_millis(20);
const LATE_TOLERANCE: Duration = Duration::from_millis(10);
const RESERVE_AHEAD: Duration = Duration::from_millis(250);

const SECOND_US: i64 = 1_000_000;

/// How long the sender sends, in microseconds.
const LENGTH_US: i64 = 20 * SECOND_US;

/// What goes wrong, and when, in microseconds from the start.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The ledger's clock steps.
    Step { at: i64, by: i64 },
    /// A process dies with its slots; another takes its place.
    Death { at: i64, process: usize },
    /// A process stands still.
    Stall { at: i64, process: usize, length: i64 },
}

impl Trouble {
    const fn at(self) -> i64 {
        match self {
            Self::Step { at, .. } | Self::Death { at, .. } | Self::Stall { at, .. } => at,
        }
    }

    fn steps_forward_at(self) -> Option<i64> {
        match self {
            Self::Step { at, by } if by > 0 => Some(at),
            _ => None,
        }
    }
}

/// One process of the fleet.
struct Process {
    state: State,
    lives_from: i64,
}

struct Fleet {
    _folder: tempfile::TempDir,
    store: Store,
    clock: Arc<ManualClock>,
    sender_id: i64,
    per_second: u32,
    /// Where all virtual time begins.
    start: Instant,
    /// What the ledger's clock shows at the start, and by how much it has stepped since.
    shown: i64,
    stepped: i64,
    processes: Vec<Process>,
    random: fastrand::Rng,
    /// When each request left, and which process sent it.
    departures: Vec<(i64, usize)>,
}

impl Fleet {
    async fn of(per_second: u32, processes: usize, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shown = 1_796_083_200_000_000;
        let clock = Arc::new(ManualClock::at_ms(shown / 1_000));
        let place = Place::File(folder.path().join("kabar.db"));
        let store = Store::open(&StoreOptions { clock: clock.clone(), ..StoreOptions::at(place) }).await.unwrap();
        store.migrate().await.unwrap();
        let new = NewSender {
            name: "default".to_owned(),
            provider: ProviderKind::WhatsappCloud,
            address: "1".to_owned(),
            account: None,
            app: None,
            access_token: "token".to_owned(),
            api_base: "http://127.0.0.1:1".to_owned(),
            api_version: "v23.0".to_owned(),
            app_secret: None,
            rate: Rate::per_second(per_second).unwrap(),
        };
        let sender_id = store.add_sender(DEFAULT_TENANT, &new).await.unwrap().id;
        let start = Instant::now();
        let processes = (0..processes).map(|_| Process { state: State::new(start), lives_from: 0 }).collect();
        Self {
            _folder: folder,
            store,
            clock,
            sender_id,
            per_second,
            start,
            shown,
            stepped: 0,
            processes,
            random: fastrand::Rng::with_seed(seed),
            departures: Vec::new(),
        }
    }

    fn instant(&self, at: i64) -> Instant {
        self.start + Duration::from_micros(at.unsigned_abs())
    }

    fn moment(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap()
    }

    /// One way to the ledger or back: mostly short, at times not.
    fn latency(&mut self, slow: bool) -> i64 {
        if slow && self.random.u8(..) < 12 { self.random.i64(0..80_000) } else { self.random.i64(50..1_500) }
    }

    /// The ledger's clock is read at this moment.
    fn show(&self, at: i64) {
        let shown = self.shown + self.stepped + at;
        self.clock.advance_us(shown - kabar_store::Clock::now_us(&*self.clock));
    }

    /// A process asks for slots at `asked`; when it gets them, and when it asks again.
    async fn reserve(&mut self, process: usize, asked: i64, slow: bool) -> (i64, i64) {
        let rate_milli = u64::from(self.per_second) * 1_000;
        let spacing = Duration::from_micros(spacing_us(rate_milli, MARGIN));
        let fitting = u32::try_from(RESERVE_AHEAD.as_micros() / spacing.as_micros()).unwrap().max(1);
        let count = if self.processes[process].state.is_mapped() { fitting } else { 1 };
        let request = SlotRequest { sender_id: self.sender_id, count, rate_milli, margin: MARGIN, lead: LEAD };
        let read = asked + self.latency(slow);
        self.show(read);
        let reservation = self.store.reserve_slots(&request).await.unwrap().unwrap();
        let answered = read + self.latency(slow);
        let (asked, answered_at) = (self.instant(asked), self.instant(answered));
        let state = &mut self.processes[process].state;
        if state.note(&reservation, asked, answered_at, MARGIN - LATE_TOLERANCE) == Noted::Stepped {
            self.show(answered);
            self.store.reanchor_slots(self.sender_id, reservation.given_ahead).await.unwrap();
        }
        (answered, self.moment(self.processes[process].state.ask_at).max(answered))
    }

    /// Requests leave at their slots, a little late, and none once its slot has passed for long.
    fn depart(&mut self, process: usize, now: i64) {
        let instant = self.instant(now);
        while let Some(slots) = self.processes[process].state.ready(1, instant) {
            let slot = self.moment(slots[0].at);
            self.departures.push((slot + self.random.i64(0..LATE_TOLERANCE.as_micros() as i64), process));
        }
    }

    /// Sends for [`LENGTH_US`]; there is always something to send.
    async fn send(&mut self, troubles: &[Trouble], slow: bool) {
        let mut troubles = with_steps_that_are_seen(troubles);
        let steps: Vec<i64> = troubles.iter().filter_map(|trouble| trouble.steps_forward_at()).collect();
        // Who begins after a step forward that nobody has seen yet cannot know of it, while others still have slots from
        // before: at a low rate, each of them for as long as it takes to serve all.
        let given_ahead = SECOND_US * self.processes.len() as i64 / i64::from(self.per_second) + SECOND_US;
        let begins_blind = |at: i64| steps.iter().any(|step| (at - given_ahead..at + 2 * SECOND_US).contains(step));
        troubles.retain(|trouble| !matches!(trouble, Trouble::Death { at, .. } if begins_blind(*at)));
        troubles.sort_by_key(|trouble| Reverse(trouble.at()));
        let mut asks: BinaryHeap<Reverse<(i64, usize)>> =
            (0..self.processes.len()).map(|one| Reverse((0, one))).collect();
        while let Some(Reverse((at, process))) = asks.pop() {
            if at > LENGTH_US {
                continue;
            }
            if troubles.last().is_some_and(|trouble| trouble.at() <= at) {
                asks.push(Reverse((at, process)));
                match troubles.pop() {
                    Some(Trouble::Step { by, .. }) => self.stepped += by,
                    Some(Trouble::Death { process, at }) => {
                        let process = process % self.processes.len();
                        asks.retain(|Reverse((_, one))| *one != process);
                        asks.push(Reverse((self.die(process, at), process)));
                    }
                    Some(Trouble::Stall { process, at, length }) => {
                        self.stall(process % self.processes.len(), at, length)
                    }
                    None => {}
                }
                continue;
            }
            let lives_from = self.processes[process].lives_from;
            if at < lives_from {
                // In the order of time, or the ledger's clock would go back.
                asks.push(Reverse((lives_from, process)));
                continue;
            }
            let (answered, again) = self.reserve(process, at, slow).await;
            self.depart(process, answered);
            asks.push(Reverse((again, process)));
        }
    }

    /// It begins anew a second later, knowing nothing of the clock; its slots stay unused. Gives when it begins.
    fn die(&mut self, process: usize, at: i64) -> i64 {
        let lives_from = at + SECOND_US;
        self.departures.retain(|(departure, by)| *by != process || *departure < at);
        self.processes[process] = Process { state: State::new(self.instant(at)), lives_from };
        lives_from
    }

    /// It stands still; the slots that pass meanwhile are forfeited. One that has not begun begins no later for it: it could
    /// begin just after a step.
    fn stall(&mut self, process: usize, at: i64, length: i64) {
        if self.processes[process].state.mapping.is_none() {
            return;
        }
        let wakes = at + length;
        self.departures.retain(|(departure, by)| *by != process || *departure < at || *departure > wakes);
        self.processes[process].lives_from = wakes;
    }

    /// The most departures in any window of a second.
    fn most_in_a_second(&mut self) -> usize {
        self.departures.sort_unstable();
        let mut first = 0;
        let mut most = 0;
        for last in 0..self.departures.len() {
            while self.departures[last].0 - self.departures[first].0 >= SECOND_US {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }
}

/// Troubles without steps that nearly undo earlier ones: who did not ask in between sees no more than is left of them.
fn with_steps_that_are_seen(troubles: &[Trouble]) -> Vec<Trouble> {
    let mut troubles = troubles.to_vec();
    troubles.sort_by_key(|trouble| trouble.at());
    // By how much the clock is off since each of the earlier steps.
    let mut off: Vec<i64> = Vec::new();
    troubles.retain(|trouble| {
        let Trouble::Step { by, .. } = trouble else { return true };
        let then: Vec<i64> = off.iter().map(|off| off + by).chain([*by]).collect();
        let seen = then.iter().all(|off| off.abs() >= LEAST_STEP_US);
        if seen {
            off = then;
        }
        seen
    });
    troubles
}

fn rates() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1_u32), Just(3), Just(20), Just(80), Just(250), Just(1_000)]
}

/// Steps that are smaller than what a slow answer leaves unsure are not seen.
const LEAST_STEP_US: i64 = 400_000;

fn trouble() -> impl Strategy<Value = Trouble> {
    let at = || 0..LENGTH_US;
    let step = |at, by: i64, back: bool| Trouble::Step { at, by: if back { -by } else { by } };
    prop_oneof![
        (at(), LEAST_STEP_US..300 * SECOND_US, any::<bool>()).prop_map(move |(at, by, back)| step(at, by, back)),
        (at(), LEAST_STEP_US..SECOND_US, any::<bool>()).prop_map(move |(at, by, back)| step(at, by, back)),
        (at(), 0..8_usize).prop_map(|(at, process)| Trouble::Death { at, process }),
        (at(), 0..8_usize, 0..3 * SECOND_US).prop_map(|(at, process, length)| Trouble::Stall { at, process, length }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to processes and clocks.
    #[test]
    fn no_second_holds_more_than_the_rate(
        per_second in rates(),
        processes in 1..6_usize,
        seed in any::<u64>(),
        troubles in proptest::collection::vec(trouble(), 0..6),
        slow in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut fleet = Fleet::of(per_second, processes, seed).await;
            fleet.send(&troubles, slow).await;
            let most = fleet.most_in_a_second();
            prop_assert!(most <= per_second as usize, "{most} left in a second, {per_second} are allowed");
            Ok(())
        })?;
    }

    /// At a low rate, slots are given out for longer than a second; a step must not bring others between them.
    #[test]
    fn a_step_waits_for_the_slots_of_every_process(seed in any::<u64>(), processes in 2..6_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut fleet = Fleet::of(1, processes, seed).await;
            fleet.send(&[Trouble::Step { at: 9 * SECOND_US, by: 200 * SECOND_US }], false).await;
            prop_assert_eq!(fleet.most_in_a_second(), 1);
            Ok(())
        })?;
    }

    /// While work waits and nothing goes wrong, the pace is used but for its margin.
    #[test]
    fn what_waits_is_sent_at_the_rate(per_second in rates(), processes in 1..6_usize, seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut fleet = Fleet::of(per_second, processes, seed).await;
            fleet.send(&[], false).await;
            let sent = fleet.departures.iter().filter(|(departure, _)| *departure < LENGTH_US).count() as f64;
            let allowed = f64::from(per_second) * LENGTH_US as f64 / SECOND_US as f64;
            // At one a second, the last slot lies beyond the end.
            prop_assert!(sent + 1.0 >= allowed * 0.98, "{sent} of {allowed} were sent");
            Ok(())
        })?;
    }
}
