//! How often one sender writes to one person: kept to before the provider refuses (its pair limit).
//!
//! Most people get a message once in a while, and none of them may cost a claim anything. So each process remembers whom
//! it has lately written to by single messages, and only a second message to the same person brings the pair into the
//! ledger. From then on every process books each of its messages there in the transaction that claims it, until all is
//! paid off and the pair is forgotten. What is uncounted is at most the first message of each process; a claim of a sender
//! without such pairs runs no statement more. Messages that must wait go back to the queue with their time and the reason,
//! and others go on.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use kabar_domain::pair_limit::PairLimit;

use crate::{
    LANE_JOB_MASK, Store,
    audience::to_json,
    claims::{ClaimedRow, put_off},
    db::{Tx, args, statements},
    dialect::LOCK_PAIRS,
    error::StoreResult,
    jobs::json_list,
};

/// The most pairs that a process remembers in a turn; it keeps two turns. Beyond that it remembers for a shorter time.
const MOST_REMEMBERED: usize = 65_536;

/// How much later than the one before it a message to the same person is looked at again, in milliseconds: they are sent one
/// after the other.
const IN_TURN_MS: i64 = 250;

/// Why a message waits for the limit.
const AT_LIMIT: &str = "the person has had as many messages as the platform allows at once; this one may leave then";

/// Why a message waits for another.
const IN_TURN: &str = "messages to one person are sent one after the other";

statements! {
    OPEN = "insert into pairs (sender_id, recipient_id, paid_off_at)
select $1, cast(value as bigint), $3 from json_each($2) where true
on conflict (sender_id, recipient_id) do nothing";
    /// Each half in a form that its index serves.
    IN_HAND = "select recipient_id from messages
where state in ('queued', 'claimed') and state = 'claimed' and sender_id = $1
  and recipient_id in (select cast(value as bigint) from json_each($2))
  and id not in (select cast(value as bigint) from json_each($3))
union all
select recipient_id from messages
where state = 'sending' and sender_id = $1 and recipient_id in (select cast(value as bigint) from json_each($2))
  and id not in (select cast(value as bigint) from json_each($3))";
    BOOK = "update pairs set paid_off_at = booked.paid_off_at
from (select cast(value->>0 as bigint) as recipient_id, cast(value->>1 as bigint) as paid_off_at from json_each($2)) booked
where pairs.sender_id = $1 and pairs.recipient_id = booked.recipient_id";
    REFUSED = "insert into pairs (sender_id, recipient_id, paid_off_at) values ($1, $2, $3)
on conflict (sender_id, recipient_id) do update set paid_off_at = excluded.paid_off_at
where pairs.paid_off_at < excluded.paid_off_at";
    PAID_OFF = "select recipient_id from pairs where paid_off_at <= $1 limit 1";
    FORGET = "delete from pairs where (sender_id, recipient_id) in (
  select sender_id, recipient_id from pairs where paid_off_at <= $1 limit $2) and paid_off_at <= $1";
}

/// The limit, and what this process knows of who has lately been written to.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// None: no limit is kept to.
    limit: Option<PairLimit>,
    lately: Mutex<Lately>,
}

impl Pairs {
    /// Those of `claimed` that may leave now; the others are put off. `known` says whether the ledger has pairs of the sender.
    pub(crate) async fn keep(
        &self,
        tx: &mut Tx,
        sender_id: i64,
        known: bool,
        claimed: Vec<ClaimedRow>,
        now: i64,
    ) -> StoreResult<Vec<ClaimedRow>> {
        let Some(limit) = self.limit.filter(|_| !claimed.is_empty()) else { return Ok(claimed) };
        let again = self.note(limit, sender_id, &claimed, now);
        if again.is_empty() && !known {
            return Ok(claimed);
        }
        // What is owed for the message before this one, whenever that was.
        let owed = limit.paid_off_after(now, now);
        let mut queues = queues(tx, sender_id, again, owed, &claimed, now).await?;
        let (mut leave, mut booked) = (Vec::with_capacity(claimed.len()), Vec::new());
        let (mut at_limit, mut in_turn) = (Vec::new(), Vec::new());
        for message in claimed {
            let Some(queue) = queues.get_mut(&message.recipient_id) else {
                leave.push(message);
                continue;
            };
            match queue.next(limit) {
                (at, _) if at <= now => {
                    booked.push((message.recipient_id, queue.paid_off_at));
                    leave.push(message);
                }
                (at, true) => at_limit.push((message.id, at)),
                (at, false) => in_turn.push((message.id, at)),
            }
        }
        put_off(tx, &at_limit, AT_LIMIT, now).await?;
        put_off(tx, &in_turn, IN_TURN, now).await?;
        if !booked.is_empty() {
            tx.execute(BOOK, args![sender_id, to_json(&booked)?]).await?;
        }
        Ok(leave)
    }

    /// Notes that the provider refused a message for the limit: others write to the person as well, or more was sent than is
    /// known here.
    pub(crate) async fn refused(&self, tx: &mut Tx, sender_id: i64, recipient_id: i64, now: i64) -> StoreResult<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        tx.execute(REFUSED, args![sender_id, recipient_id, limit.paid_off_after_refusal(now)]).await.map(drop)
    }

    /// Remembers to whom messages are claimed; those to whom one was before.
    fn note(&self, limit: PairLimit, sender_id: i64, claimed: &[ClaimedRow], now: i64) -> BTreeSet<i64> {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.turn(now, limit.memory_ms());
        let again = |message: &&ClaimedRow| {
            // A broadcast has one message for a person, so it makes nobody worth remembering.
            let single = message.lane & LANE_JOB_MASK == 0;
            lately.is_known((sender_id, message.recipient_id), single)
        };
        claimed.iter().filter(again).map(|message| message.recipient_id).collect()
    }
}

/// Pairs of sender and recipient that a process has lately seen, in two turns of which the older is forgotten as a whole.
#[derive(Debug, Default)]
struct Lately {
    current: HashSet<(i64, i64)>,
    before: HashSet<(i64, i64)>,
    since: i64,
}

impl Lately {
    /// Forgets the older turn where the current one has lasted long enough or is full.
    fn turn(&mut self, now: i64, length_ms: i64) {
        if self.current.len() >= MOST_REMEMBERED || !(self.since..self.since + length_ms).contains(&now) {
            self.before = std::mem::take(&mut self.current);
            self.since = now;
        }
    }

    /// Whether a pair was seen before; where `remember`, it is from now on.
    fn is_known(&mut self, pair: (i64, i64), remember: bool) -> bool {
        if remember {
            !self.current.insert(pair) || self.before.contains(&pair)
        } else {
            self.current.contains(&pair) || self.before.contains(&pair)
        }
    }
}

/// The queues of those people of a claim whom the ledger knows, locked; those to whom a message goes `again` come into it with
/// what is `owed` for the one before.
async fn queues(
    tx: &mut Tx,
    sender_id: i64,
    again: BTreeSet<i64>,
    owed: i64,
    claimed: &[ClaimedRow],
    now: i64,
) -> StoreResult<HashMap<i64, Queue>> {
    if !again.is_empty() {
        tx.execute(OPEN, args![sender_id, sorted_list(again), owed]).await?;
    }
    let people = sorted_list(claimed.iter().map(|message| message.recipient_id));
    let owing: Vec<(i64, i64)> = tx.all(LOCK_PAIRS, args![sender_id, people]).await?;
    if owing.is_empty() {
        return Ok(HashMap::new());
    }
    let people = sorted_list(owing.iter().map(|(id, _)| *id));
    let mut queues: HashMap<i64, Queue> =
        owing.into_iter().map(|(id, paid_off_at)| (id, Queue { paid_off_at, turn_at: now })).collect();
    let ids = sorted_list(claimed.iter().map(|message| message.id));
    let in_hand: Vec<(i64,)> = tx.all(IN_HAND, args![sender_id, people, ids]).await?;
    for (id,) in in_hand {
        queues.entry(id).and_modify(|queue| queue.turn_at = now + IN_TURN_MS);
    }
    Ok(queues)
}

/// The messages to one person that a claim has, one after the other. Times are Unix milliseconds.
struct Queue {
    paid_off_at: i64,
    /// When the message before the next has gone.
    turn_at: i64,
}

impl Queue {
    /// When the next message may leave, and whether it is the limit that says so.
    fn next(&mut self, limit: PairLimit) -> (i64, bool) {
        let at = limit.next_at(self.paid_off_at, self.turn_at);
        let limited = at > self.turn_at;
        self.paid_off_at = limit.paid_off_after(self.paid_off_at, at);
        self.turn_at = at + IN_TURN_MS;
        (at, limited)
    }
}

impl Store {
    /// The same ledger, keeping to this limit on messages to one person in what is claimed through it; without, it keeps to
    /// none.
    #[must_use]
    pub fn with_pair_limit(&self, limit: Option<PairLimit>) -> Self {
        Self { pairs: Arc::new(Pairs { limit, ..Pairs::default() }), ..self.clone() }
    }

    /// Forgets the pairs whose messages are paid off, at most `limit`; how many.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn forget_pairs(&self, limit: u32) -> StoreResult<u64> {
        let now = self.now_ms();
        // That there are none is found out without the write lock.
        if self.db.optional::<(i64,), _>(PAID_OFF, args![now]).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let forgotten = tx.execute(FORGET, args![now, i64::from(limit)]).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

/// Ids as JSON, each once and in order, in which rows are locked everywhere.
fn sorted_list(ids: impl IntoIterator<Item = i64>) -> String {
    let ids: BTreeSet<i64> = ids.into_iter().collect();
    json_list(&ids.into_iter().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pair_is_remembered_for_a_turn_at_least_and_two_at_most() {
        let mut lately = Lately::default();
        lately.turn(1_000, 100);
        assert!(!lately.is_known((1, 1), false), "a broadcast leaves nothing behind");
        assert!(!lately.is_known((1, 1), true) && lately.is_known((1, 1), true));
        lately.turn(1_100, 100);
        assert!(lately.is_known((1, 1), false) && !lately.is_known((2, 1), false));
        lately.turn(1_200, 100);
        assert!(!lately.is_known((1, 1), false));
        // The clock was set back.
        assert!(!lately.is_known((1, 1), true));
        lately.turn(0, 100);
        assert!(lately.is_known((1, 1), false) && lately.current.is_empty());
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut lately = Lately::default();
        for id in 0..200_000 {
            lately.turn(1, 1_000);
            lately.is_known((1, id), true);
        }
        assert!(lately.current.len() + lately.before.len() <= 2 * MOST_REMEMBERED);
    }

    #[test]
    fn messages_to_one_person_are_looked_at_one_after_the_other() {
        let limit = PairLimit::new(Duration::from_secs(6), 4);
        let mut queue = Queue { paid_off_at: 0, turn_at: 1_000 };
        let looks: Vec<_> = (0..5).map(|_| queue.next(limit)).collect();
        assert_eq!(looks, [(1_000, false), (1_250, false), (1_500, false), (7_000, true), (13_000, true)]);
    }
}
