//! Keeps tickets out for every sender with due messages: a few seconds' worth, none for a parked sender, none when no
//! courier lives.
//!
//! How far a sender's tickets reach is kept in time, in the ledger: whoever publishes first moves it on by compare-and-set,
//! so any number of dispatchers may run. Lost tickets need no search: once their time has passed and messages still wait,
//! new ones are written. Surplus ones claim nothing and are gone.

use std::time::Duration;

use kabar_domain::pace::MAX_BATCH_MESSAGES;
use kabar_queue::{Line, Ticket};
use kabar_store::{DueSender, Topic};
use kabar_telemetry::names;

use crate::{
    context::Shared,
    fault::{self, Point},
    fleet::Worker,
    steps::{Next, StepError},
};

/// How often senders are looked at at most while one has a backlog: several tickets are written in one go.
const BUSY_EVERY: Duration = Duration::from_millis(50);

/// How often senders are looked at when nothing is known to fall due: other processes plan and give back, too.
const IDLE_EVERY: Duration = Duration::from_millis(500);

/// How far tickets of an unlimited sender reach, and the rate that they are counted by: what couriers cannot keep up with
/// must not pile up.
const UNLIMITED_HORIZON: Duration = Duration::from_millis(150);
const UNLIMITED_RATE_MILLI: u64 = 20_000_000;

/// While so many tickets lie in the line, couriers have all that they can carry, and senders without a rate get hardly more.
const UNLIMITED_LIE_READY: u64 = 64;

/// By how much the clocks of two dispatchers may differ, in milliseconds.
const CLOCKS_DIFFER_MS: u64 = 1_000;

/// No ticket is worth more than a second of sending, so none reaches further than this beyond the horizon, in
/// milliseconds.
const TICKET_MOST_MS: i64 = 1_000;

/// One look at every sender with due messages.
pub(crate) async fn step(context: Shared) -> Result<Next, StepError> {
    let store = &context.store;
    store.raise_rates().await?;
    // Who has tickets for the whole horizon gets none, whatever waits; with many senders that is most of them.
    let horizon_ms = millis(context.settings.dispatcher.ticket_horizon);
    let (senders, others_at) = store.due_senders(horizon_ms..horizon_ms + TICKET_MOST_MS).await?;
    let now = store.now_ms();
    let due: Vec<&DueSender> = senders.iter().filter(|sender| sender.next_due <= now).collect();
    let soonest = senders.iter().map(|sender| sender.next_due).filter(|due| *due > now).chain(others_at).min();
    let until_soonest = soonest.map_or(IDLE_EVERY, |at| Duration::from_millis((at - now).max(1).unsigned_abs()));
    if due.is_empty() {
        return Ok(Next::Bell(Topic::Messages, until_soonest.min(IDLE_EVERY)));
    }
    if !store.worker_lives(Worker::Courier.as_str()).await? {
        return Ok(Next::After(IDLE_EVERY));
    }
    let most = u64::from(context.settings.dispatcher.max_tickets);
    let ready = context.queue.ready(Line::Batches).await?;
    let mut room = most.saturating_sub(ready);
    let mut bodies = Vec::new();
    let mut refill_at: Option<i64> = None;
    for sender in due {
        let Plan { tickets, until, refill_at: at } = plan(sender, &context, now, room, ready).await?;
        if tickets > 0 && store.note_tickets(sender.sender_id, sender.ticketed_until, until).await? {
            room = room.saturating_sub(tickets);
            let body = Ticket { sender: sender.sender_id }.to_body();
            bodies.extend(std::iter::repeat_n(body, usize::try_from(tickets).unwrap_or(0)));
        }
        refill_at = Some(refill_at.map_or(at, |soonest| soonest.min(at)));
    }
    if !bodies.is_empty() {
        fault::pass(Point::BeforePublish);
        context.queue.publish(Line::Batches, &bodies).await?;
        metrics::counter!(names::TICKETS_PUBLISHED).increment(bodies.len() as u64);
    }
    // Senders with tickets out are looked at again when half of these are used up; new messages of others ring.
    let refill = refill_at.map_or(IDLE_EVERY, |at| Duration::from_millis((at - now).max(1).unsigned_abs()));
    Ok(Next::Bell(Topic::Messages, refill.max(BUSY_EVERY).min(until_soonest).min(IDLE_EVERY)))
}

struct Plan {
    tickets: u64,
    /// How far tickets reach then.
    until: i64,
    /// When to look again.
    refill_at: i64,
}

/// How many tickets a sender is to get, and how far they reach: as many as its waiting messages fill, within the horizon.
async fn plan(sender: &DueSender, context: &Shared, now: i64, room: u64, ready: u64) -> Result<Plan, StepError> {
    let (rate_milli, horizon) = match sender.rate_milli {
        Some(rate) => (rate, context.settings.dispatcher.ticket_horizon),
        None => (UNLIMITED_RATE_MILLI, UNLIMITED_HORIZON),
    };
    let horizon_ms = millis(horizon).unsigned_abs();
    let batch = u64::from(sender.batch_limit.clamp(1, MAX_BATCH_MESSAGES));
    let most_ms = horizon_ms + (batch * 1_000_000).div_ceil(rate_milli.max(1)) + CLOCKS_DIFFER_MS;
    let from = reach(sender.ticketed_until, now, most_ms);
    let ahead_ms = (from - now).unsigned_abs();
    let half = i64::try_from(horizon_ms / 2).unwrap_or(i64::MAX / 2);
    // Whoever takes one of the tickets that are out claims the best messages, also such as have come since. Where none is
    // left to take, messages that came back (forfeited slots, throttles) still find room below the horizon.
    if room == 0 || ahead_ms >= horizon_ms || (ahead_ms > horizon_ms / 2 && ready > 0) {
        let refill_at = (from - half).max(now + 1);
        return Ok(Plan { tickets: 0, until: sender.ticketed_until, refill_at });
    }
    // They may all be others' who wait for their slots: one is added now and then, so that nobody waits for those.
    if sender.rate_milli.is_none() && ready >= UNLIMITED_LIE_READY {
        let (tickets, until) = if ahead_ms == 0 { (1, now + half) } else { (0, sender.ticketed_until) };
        return Ok(Plan { tickets, until, refill_at: now + half });
    }
    // A ticket claims a whole batch: one for a part of it would have couriers claim a backlog long before its time.
    let wanted = ((horizon_ms - ahead_ms) * rate_milli / 1_000_000 / batch).max(1) * batch;
    let waiting = context.store.waiting_messages(sender.sender_id, wanted).await?.max(1);
    let tickets = waiting.div_ceil(batch).min(room);
    let covered = (tickets * batch).min(waiting);
    let length_ms = (covered * 1_000_000).div_ceil(rate_milli.max(1));
    let until = from + i64::try_from(length_ms).unwrap_or(0);
    tracing::debug!(sender = sender.sender_id, ahead_ms, waiting, tickets, "tickets planned");
    Ok(Plan { tickets, until, refill_at: (until - half).max(now + 1) })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// How far tickets reach. Further than they ever do, `most_ms` from now, is what remains of a clock that was set back since:
/// then there may be none, and a surplus one does no harm.
fn reach(noted: i64, now: i64, most_ms: u64) -> i64 {
    let is_believable = u64::try_from(noted - now).is_ok_and(|ahead| ahead <= most_ms);
    if is_believable { noted } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_that_reach_too_far_are_not_waited_for() {
        assert_eq!(reach(900, 1_000, 2_000), 1_000, "they are used up");
        assert_eq!(reach(3_000, 1_000, 2_000), 3_000);
        assert_eq!(reach(3_001, 1_000, 2_000), 1_000, "the clock was set back");
    }
}
