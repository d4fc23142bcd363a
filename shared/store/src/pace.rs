//! How fast each sender may send now: slots by the ledger's clock, parking, cuts and raises of the rate.

use std::time::{Duration, Instant};

use kabar_domain::{
    outcome::Scope,
    pace::{cut_rate_milli, raise_rate_milli, spacing_us},
};

use crate::{
    Clock, Store, Topic,
    db::{Tx, args, row, statements},
    dialect::{LOCK_PACE, REANCHOR_SLOTS, RESERVE_SLOTS},
    error::StoreResult,
    jobs::json_list,
};

/// A clock further behind that of the latest reservation than this has stepped back, in microseconds. One that is less
/// behind may have been read before a wait for the row; it costs no more than this in time, and never the pace.
const STEP_US: i64 = 1_000_000;

/// Parked again within this time of the last parking's end, a sender is parked for longer, in milliseconds.
const STREAK_MS: i64 = 30_000;

/// The doublings of a parking's length stop here.
const MOST_STREAK: i64 = 16;

/// The time between two steps of raising a cut rate, in milliseconds.
const RAISE_EVERY_MS: i64 = 1_000;

statements! {
    RATE = "select senders.rate_per_second, pace.effective_rate_milli, pace.parked_until, senders.state
from senders join pace on pace.sender_id = senders.id where senders.id = $1";
    SCOPE_OF_ACCOUNT = "select id from senders where account = (select account from senders where id = $1)";
    SCOPE_OF_APP = "select id from senders where app = (select app from senders where id = $1)";
    RATES = "select id, rate_per_second from senders where id in (select cast(value as bigint) from json_each($1))";
    PARK = "update pace set parked_until = $2, park_reason = $3, park_streak = $4, effective_rate_milli = $5,
  rate_changed_at = $6 where sender_id = $1";
    CUT_SENDERS = "select pace.sender_id, senders.rate_per_second, pace.effective_rate_milli, pace.rate_changed_at
from pace join senders on senders.id = pace.sender_id
where pace.effective_rate_milli is not null and pace.parked_until <= $1 and pace.rate_changed_at <= $2
order by pace.sender_id";
    RAISE = "update pace set effective_rate_milli = $2, rate_changed_at = $3
where sender_id = $1 and rate_changed_at = $4";
}

/// How fast a sender may send now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceView {
    /// Thousandths of a message per second; none: unlimited.
    pub rate_milli: Option<u64>,
    /// Whether it may send at all now: active and not parked.
    pub open: bool,
}

/// What a courier asks of the pace.
#[derive(Debug, Clone, Copy)]
pub struct SlotRequest {
    /// The sender.
    pub sender_id: i64,
    /// How many slots; at least one.
    pub count: u32,
    /// Thousandths of a message per second.
    pub rate_milli: u64,
    /// What bounds the jitter between slot and arrival.
    pub margin: Duration,
    /// The least time from now to the first slot: for the commit of the start and the way to the provider.
    pub lead: Duration,
}

/// Slots that are one courier's alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The first slot by the pace's clock, in microseconds.
    pub first_us: i64,
    /// The time between two slots, in microseconds.
    pub spacing_us: i64,
    /// How many.
    pub count: u32,
    /// The pace's clock while reserving, in microseconds.
    pub clock_us: i64,
    /// Between which two moments it was read.
    pub read: (Instant, Instant),
    /// How far ahead of the clock slots had been given out before: for so long others may still use theirs.
    pub given_ahead: Duration,
}

/// Why and for how long a sender is parked.
#[derive(Debug, Clone, Copy)]
pub struct Parking<'a> {
    /// For whom it holds.
    pub scope: Scope,
    /// What the provider asked for; grows from `first` where it did not say.
    pub delay: Option<Duration>,
    /// The first delay where none was asked for.
    pub first: Duration,
    /// The longest delay that growth comes to.
    pub most: Duration,
    /// Why, for the operator.
    pub reason: &'a str,
    /// Whether the rate is cut as well; not for an outage.
    pub cut: bool,
}

row! {
    struct PaceRow {
        sender_id: i64,
        effective_rate_milli: Option<i64>,
        parked_until: i64,
        park_streak: i64,
    }
}

fn effective(rate: Option<i64>, effective_milli: Option<i64>) -> Option<u64> {
    rate.map(|rate| effective_milli.map_or(rate.unsigned_abs() * 1_000, i64::unsigned_abs))
}

/// The least pause of a sender after a step of the clock.
const STEP_PAUSE: Duration = Duration::from_secs(1);

fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Store {
    /// How fast a sender may send now; none where it does not exist.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn pace(&self, sender_id: i64) -> StoreResult<Option<PaceView>> {
        let row: Option<(Option<i64>, Option<i64>, i64, String)> = self.db.optional(RATE, args![sender_id]).await?;
        let now = self.now_ms();
        Ok(row.map(|(rate, effective_milli, parked_until, state)| PaceView {
            rate_milli: effective(rate, effective_milli),
            open: state == "active" && parked_until <= now,
        }))
    }

    /// Takes the sender's next slots, in a transaction of its own; none where it is parked, paused or halted.
    ///
    /// # Errors
    /// When the ledger cannot be written. Slots that were taken and lost stay unused: that costs time, never the pace.
    pub async fn reserve_slots(&self, request: &SlotRequest) -> StoreResult<Option<Reservation>> {
        let spacing = i64::try_from(spacing_us(request.rate_milli, request.margin)).unwrap_or(i64::MAX / 1_000);
        let length = spacing * i64::from(request.count.max(1));
        let mut tx = self.db.begin().await?;
        // Neither the wait for the transaction nor its commit makes it any less sure when the clock was read.
        let before = Instant::now();
        let now_us = self.clock.now_us();
        let read_here = Instant::now();
        let values = args![request.sender_id, now_us, now_us / 1_000, us(request.lead), length, STEP_US];
        let row: Option<(i64, i64, i64)> = tx.optional(RESERVE_SLOTS, values).await?;
        // A server reads its clock somewhere within the statement; for SQLite it was read here.
        let after = if self.db.locks_rows() { Instant::now() } else { read_here };
        tx.commit().await?;
        Ok(row.map(|(first_us, ahead_us, clock_us)| Reservation {
            first_us,
            spacing_us: spacing,
            count: request.count.max(1),
            clock_us,
            read: (before, after),
            given_ahead: Duration::from_micros(u64::try_from(ahead_us).unwrap_or(0)),
        }))
    }

    /// Pauses a sender because the pace's clock was seen to step forward: slots before and after the step must not bunch. It
    /// takes a second, or `given_ahead` of the reservation that saw it, where slots had been given out for longer.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn reanchor_slots(&self, sender_id: i64, given_ahead: Duration) -> StoreResult<()> {
        let pause = us(given_ahead.max(STEP_PAUSE));
        let mut tx = self.db.begin().await?;
        let _: Option<(i64,)> = tx.optional(REANCHOR_SLOTS, args![sender_id, self.clock.now_us(), pause]).await?;
        tx.commit().await
    }

    /// Parks a sender, or every sender of its account or application.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn park(&self, sender_id: i64, parking: &Parking<'_>) -> StoreResult<()> {
        let mut tx = self.db.begin().await?;
        self.park_in(&mut tx, sender_id, parking).await?;
        tx.commit().await
    }

    /// The senders that it holds for, and until when the first is parked now; answers that tell of the same throttle
    /// lengthen nothing.
    pub(crate) async fn park_in(&self, tx: &mut Tx, sender_id: i64, parking: &Parking<'_>) -> StoreResult<Vec<i64>> {
        let ids = scope_ids(tx, sender_id, parking.scope).await?;
        let now = self.now_ms();
        let rates: Vec<(i64, Option<i64>)> = tx.all(RATES, args![json_list(&ids)]).await?;
        let rows: Vec<PaceRow> = tx.all(LOCK_PACE, args![json_list(&ids)]).await?;
        for row in rows {
            let asked = parking.delay.map(ms);
            let parked_now = row.parked_until > now;
            let streak = if parked_now {
                row.park_streak
            } else if now - row.parked_until < STREAK_MS {
                (row.park_streak + 1).min(MOST_STREAK)
            } else {
                0
            };
            let grown = ms(parking.first).saturating_mul(1 << streak).min(ms(parking.most));
            let until = if parked_now && asked.is_none() { row.parked_until } else { now + asked.unwrap_or(grown) };
            let configured = rates.iter().find(|(id, _)| *id == row.sender_id).and_then(|(_, rate)| *rate);
            let cut = match configured {
                Some(rate) if parking.cut && !parked_now => {
                    let configured = rate.unsigned_abs() * 1_000;
                    let from = row.effective_rate_milli.map_or(configured, i64::unsigned_abs);
                    Some(cut_rate_milli(configured, from).cast_signed())
                }
                _ => row.effective_rate_milli,
            };
            let until = until.max(row.parked_until);
            tx.execute(PARK, args![row.sender_id, until, parking.reason, streak, cut, now.max(until)]).await?;
        }
        Ok(ids)
    }

    /// Raises every cut rate whose last change is a second old by one step. Gives how many were raised.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn raise_rates(&self) -> StoreResult<u64> {
        let now = self.now_ms();
        let rows: Vec<(i64, Option<i64>, i64, i64)> =
            self.db.all(CUT_SENDERS, args![now, now - RAISE_EVERY_MS]).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let mut raised = 0;
        for (sender_id, rate, effective_milli, changed_at) in rows {
            let next = rate.map(|rate| rate.unsigned_abs() * 1_000).and_then(|configured| {
                let next = raise_rate_milli(configured, effective_milli.unsigned_abs());
                (next < configured).then_some(next.cast_signed())
            });
            raised += tx.execute(RAISE, args![sender_id, next, now, changed_at]).await?;
        }
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(raised)
    }
}

/// The senders that a decision of `scope` about `sender_id` holds for.
pub(crate) async fn scope_ids(tx: &mut Tx, sender_id: i64, scope: Scope) -> StoreResult<Vec<i64>> {
    let statement = match scope {
        Scope::Account => SCOPE_OF_ACCOUNT,
        Scope::App => SCOPE_OF_APP,
        Scope::Message | Scope::Pair | Scope::Recipient | Scope::Template | Scope::Sender => {
            return Ok(vec![sender_id]);
        }
    };
    let rows: Vec<(i64,)> = tx.all(statement, args![sender_id]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
