//! A sender's slots, as one process gets them from the ledger and keeps them by its monotonic clock.
//!
//! One statement reserves slots of up to a quarter of a second for all batches that wait here. The ledger gives them by
//! its own clock; the shortest round trip seen tells how that clock maps to this process's monotonic one, which never
//! steps. Where the mapping is suddenly another, the ledger's clock stepped: the slots are thrown away and the sender
//! pauses until those that others still have are past, for slots before and after the step could bunch.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use kabar_domain::pace::spacing_us;
use kabar_store::{Reservation, SlotRequest, StoreResult};
use kabar_telemetry::names;
use tokio::{sync::Mutex, time::Instant};

use crate::context::Shared;

/// The next reservation is asked for this long before the first slot that it can give: the round trip, with room.
const ASK_AHEAD: Duration = Duration::from_millis(100);

/// A change of the mapping beyond the round trip's length and this is a step of the ledger's clock.
const STEP: Duration = Duration::from_millis(50);

/// The mapping is replaced after this long by the best since.
const MAPPING_FOR: Duration = Duration::from_secs(30);

/// After so many reservations whose round trips were too long to tell the ledger's clock, the best of them is used: a ledger
/// that far away needs a wider margin.
const MOST_UNSURE: u32 = 5;

/// The right to send one request at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// When, by this process's clock.
    pub(super) at: Instant,
    /// When, by the ledger's clock, in microseconds.
    pub(super) us: i64,
}

/// The slots of one sender in one process.
#[derive(Debug)]
pub(super) struct Pacer {
    sender_id: i64,
    context: Shared,
    /// Slots that batches wait for.
    wanted: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    slots: VecDeque<Slot>,
    ask_at: Instant,
    mapping: Option<Mapping>,
    /// The best mapping since `mapping` was taken; its successor.
    next_mapping: Option<Mapping>,
    /// How many reservations in a row left the mapping unsure.
    unsure: u32,
}

/// What a reservation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    /// Its slots can be used.
    Ready,
    /// It took too long to tell when its slots are. They are not used; the next are asked for at once.
    Unsure,
    /// The ledger's clock stepped. Its slots are not used; the next are asked for in a second.
    Stepped,
}

/// How the ledger's clock maps to this process's.
#[derive(Debug, Clone, Copy)]
struct Mapping {
    /// A moment by both clocks.
    here: Instant,
    ledger_us: i64,
    round_trip: Duration,
    taken_at: Instant,
}

/// What a batch gets.
#[derive(Debug)]
pub(super) enum Slots {
    /// One or more slots in their order, or none where the sender is unlimited: send at once.
    Open(Vec<Slot>),
    /// The sender has no pace.
    Unlimited,
    /// The sender is parked, paused or halted.
    Closed,
}

impl Pacer {
    pub(super) fn new(sender_id: i64, context: Shared) -> Self {
        Self { sender_id, context, wanted: AtomicU32::new(0), state: Mutex::new(State::new(Instant::now())) }
    }

    /// At least one and at most `most` slots, as soon as the sender has them.
    pub(super) async fn take(&self, most: u32) -> StoreResult<Slots> {
        self.wanted.fetch_add(most, Ordering::AcqRel);
        let wanting = Wanting { wanted: &self.wanted, count: most };
        // Batches take their turns in the order in which they came.
        let mut state = self.state.lock().await;
        if let Some(slots) = state.ready(most, Instant::now()) {
            return Ok(Slots::Open(slots));
        }
        tokio::time::sleep_until(state.ask_at).await;
        let taken = self.reserve(&mut state, most).await;
        drop(wanting);
        taken
    }

    async fn reserve(&self, state: &mut State, most: u32) -> StoreResult<Slots> {
        let settings = &self.context.settings.pace;
        let Some(pace) = self.context.store.pace(self.sender_id).await? else { return Ok(Slots::Closed) };
        if !pace.open {
            return Ok(Slots::Closed);
        }
        let Some(rate_milli) = pace.rate_milli else { return Ok(Slots::Unlimited) };
        let spacing = Duration::from_micros(spacing_us(rate_milli, settings.margin));
        let fitting = settings.reserve_ahead.as_micros() / spacing.as_micros().max(1);
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX).max(1);
        let request = SlotRequest {
            sender_id: self.sender_id,
            // As long as its slots may have to be thrown away, one is enough.
            count: if state.is_mapped() { self.wanted.load(Ordering::Acquire).clamp(1, fitting) } else { 1 },
            rate_milli,
            margin: settings.margin,
            lead: settings.lead,
        };
        let Some(reservation) = self.context.store.reserve_slots(&request).await? else { return Ok(Slots::Closed) };
        let (asked, answered) = (Instant::from_std(reservation.read.0), Instant::from_std(reservation.read.1));
        metrics::counter!(names::SLOTS_RESERVED).increment(u64::from(reservation.count));
        match state.note(&reservation, asked, answered, settings.margin.saturating_sub(settings.late_tolerance)) {
            Noted::Ready => {}
            Noted::Unsure => {
                metrics::counter!(names::SLOTS_FORFEITED).increment(u64::from(reservation.count));
                return Ok(Slots::Open(Vec::new()));
            }
            Noted::Stepped => {
                tracing::warn!(sender = self.sender_id, "the ledger's clock stepped; the sender pauses");
                self.context.store.reanchor_slots(self.sender_id, reservation.given_ahead).await?;
                return Ok(Slots::Open(Vec::new()));
            }
        }
        tracing::debug!(
            sender = self.sender_id,
            count = reservation.count,
            ahead_us = reservation.first_us - reservation.clock_us,
            round_trip_us = (answered - asked).as_micros() as u64,
            "slots reserved"
        );
        Ok(Slots::Open(state.ready(most, Instant::now()).unwrap_or_default()))
    }
}

/// Counts a batch's wish as long as it waits, also when it gives up.
struct Wanting<'a> {
    wanted: &'a AtomicU32,
    count: u32,
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.wanted.fetch_sub(self.count, Ordering::AcqRel);
    }
}

impl State {
    fn new(now: Instant) -> Self {
        Self { slots: VecDeque::new(), ask_at: now, mapping: None, next_mapping: None, unsure: 0 }
    }

    /// Whether the slots of the next reservation can be used, as far as can be foreseen.
    fn is_mapped(&self) -> bool {
        self.mapping.is_some() && (self.unsure == 0 || self.unsure == MOST_UNSURE)
    }

    /// Slots that are there and not past; those past are forfeited.
    fn ready(&mut self, most: u32, now: Instant) -> Option<Vec<Slot>> {
        let past = self.slots.iter().take_while(|slot| slot.at < now).count();
        if past > 0 {
            metrics::counter!(names::SLOTS_FORFEITED).increment(past as u64);
            self.slots.drain(..past);
        }
        let count = self.slots.len().min(most as usize);
        (count > 0).then(|| self.slots.drain(..count).collect())
    }

    /// Takes the slots of a reservation. Where the mapping may be off by more than half of `sure`, two processes may be off
    /// by more than the margin leaves for that.
    fn note(&mut self, reservation: &Reservation, asked: Instant, answered: Instant, sure: Duration) -> Noted {
        if !self.map(reservation, asked, answered) {
            self.ask_at = answered + Duration::from_secs(1);
            return Noted::Stepped;
        }
        if self.mapping.is_some_and(|mapping| mapping.round_trip <= sure) {
            self.unsure = 0;
        } else if self.unsure < MOST_UNSURE {
            self.unsure += 1;
            self.ask_at = answered;
            return Noted::Unsure;
        }
        self.add(reservation);
        let spacing = Duration::from_micros(reservation.spacing_us.unsigned_abs());
        self.ask_at = self.slots.back().map_or(answered, |last| last.at + spacing - ASK_AHEAD);
        Noted::Ready
    }

    fn add(&mut self, reservation: &Reservation) {
        let Some(mapping) = self.mapping else { return };
        for index in 0..i64::from(reservation.count) {
            let us = reservation.first_us + index * reservation.spacing_us;
            self.slots.push_back(Slot { at: mapping.instant_of(us), us });
        }
    }

    /// Takes note of how the clocks map; false where the ledger's clock stepped.
    fn map(&mut self, reservation: &Reservation, asked: Instant, answered: Instant) -> bool {
        let round_trip = answered - asked;
        let fresh =
            Mapping { here: asked + round_trip / 2, ledger_us: reservation.clock_us, round_trip, taken_at: answered };
        let Some(known) = self.mapping else {
            self.mapping = Some(fresh);
            return true;
        };
        let off = known.instant_of(fresh.ledger_us);
        let off = off.saturating_duration_since(fresh.here).max(fresh.here.saturating_duration_since(off));
        if off > known.round_trip + round_trip + STEP {
            self.mapping = Some(fresh);
            self.next_mapping = None;
            self.slots.clear();
            return false;
        }
        if self.next_mapping.is_none_or(|next| round_trip <= next.round_trip) {
            self.next_mapping = Some(fresh);
        }
        // The shortest round trip tells best; of the last half minute, so that slow drift between the clocks is followed.
        if round_trip <= known.round_trip || answered - known.taken_at > MAPPING_FOR {
            self.mapping = self.next_mapping.take();
        }
        true
    }
}

impl Mapping {
    fn instant_of(&self, ledger_us: i64) -> Instant {
        let ahead = ledger_us - self.ledger_us;
        let length = Duration::from_micros(ahead.unsigned_abs());
        if ahead >= 0 { self.here + length } else { self.here.checked_sub(length).unwrap_or(self.here) }
    }
}

#[cfg(test)]
mod virtual_time;

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation(first_us: i64, clock_us: i64) -> Reservation {
        let now = std::time::Instant::now();
        Reservation { first_us, spacing_us: 50_750, count: 3, clock_us, read: (now, now), given_ahead: Duration::ZERO }
    }

    #[tokio::test(start_paused = true)]
    async fn slots_map_to_this_clock_and_past_ones_are_forfeited() {
        let mut state = State::new(Instant::now());
        let start = Instant::now();
        assert!(state.map(&reservation(0, 1_000_000), start, start));
        state.add(&reservation(1_010_000, 1_000_000));
        tokio::time::advance(Duration::from_millis(30)).await;
        let slots = state.ready(1, Instant::now()).unwrap();
        assert_eq!(slots[0].at, start + Duration::from_micros(60_750));
        assert_eq!(state.slots.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_ledgers_clock_is_noticed_and_jitter_is_not() {
        let mut state = State::new(Instant::now());
        let start = Instant::now();
        assert!(state.map(&reservation(0, 1_000_000), start, start));
        tokio::time::advance(Duration::from_secs(1)).await;
        let (asked, answered) = (Instant::now(), Instant::now() + Duration::from_millis(40));
        assert!(state.map(&reservation(0, 2_030_000), asked, answered), "within the round trip");
        assert!(!state.map(&reservation(0, 5_000_000), asked, answered), "three seconds ahead");
        assert!(!state.map(&reservation(0, 1_000_000), asked, answered), "and back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_round_trip_does_not_tell_when_slots_are() {
        let sure = Duration::from_millis(5);
        let mut state = State::new(Instant::now());
        let asked = Instant::now();
        let far = asked + Duration::from_millis(40);
        for _ in 0..MOST_UNSURE {
            assert_eq!(state.note(&reservation(1_010_000, 1_000_000), asked, far, sure), Noted::Unsure);
            assert!(state.slots.is_empty());
        }
        for _ in 0..2 {
            let noted = state.note(&reservation(1_010_000, 1_000_000), asked, far, sure);
            assert_eq!(noted, Noted::Ready, "it is as good as it gets");
        }
        let near = asked + Duration::from_millis(4);
        let mut state = State::new(Instant::now());
        assert_eq!(state.note(&reservation(1_010_000, 1_000_000), asked, far, sure), Noted::Unsure);
        assert_eq!(state.note(&reservation(1_010_000, 1_000_000), asked, near, sure), Noted::Ready);
        assert_eq!(
            state.note(&reservation(1_170_000, 1_000_000), asked, far, sure),
            Noted::Ready,
            "the best one counts"
        );
    }
}
