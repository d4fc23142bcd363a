//! Which lanes a claim serves, and how many messages of each: urgent ones first, a floor for the others, turns within each
//! priority.

use crate::{
    LeaseId,
    db::{Tx, args},
    dialect::{CLAIM_AND_START_LANE, CLAIM_LANE, NOTE_TURN},
    error::StoreResult,
    lanes::{Front, rank_of},
};

use super::ClaimedRow;

/// The most lanes of one priority that share a turn; the next turn goes to those after them.
const LANES_A_TURN: usize = 4;

/// How many priorities there are, ranked from 0.
const PRIORITIES: usize = kabar_domain::job::Priority::ALL.len();

/// How a sender's pace and its portfolio's budget are divided between priorities, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// What normal messages keep of the pace while urgent ones would fill it, 0 to 40.
    pub normal_floor: u8,
    /// What bulk messages keep of the pace while more urgent ones would fill it, 0 to 40.
    pub bulk_floor: u8,
    /// What of a budget of people is kept for urgent messages, 0 to 50.
    pub urgent_budget: u8,
}

impl Default for Shares {
    fn default() -> Self {
        Self { normal_floor: 20, bulk_floor: 10, urgent_budget: 10 }
    }
}

/// A claim for one sender in the making.
pub(super) struct Claim {
    pub(super) sender_id: i64,
    pub(super) lease: LeaseId,
    /// Where attempts are started at once.
    pub(super) channel: Option<&'static str>,
    pub(super) now: i64,
    /// The most messages.
    pub(super) limit: usize,
    pub(super) shares: Shares,
    /// The lane served last in each priority.
    pub(super) last: [i64; PRIORITIES],
    pub(super) rows: Vec<ClaimedRow>,
}

impl Claim {
    /// Takes what is due from `fronts`, each lane in its turn after the one served last, and moves them on.
    pub(super) async fn turn(&mut self, tx: &mut Tx, fronts: &mut [Front]) -> StoreResult<()> {
        let now = self.now;
        order(fronts, &self.last);
        let mut due = [0; PRIORITIES];
        fronts.iter().filter(|front| front.due_at <= now).for_each(|front| due[place(front)] += 1);
        let rooms = rooms(due, self.limit - self.rows.len(), self.shares, fastrand::f64());
        let mut last = self.last;
        let mut taken = 0;
        for lanes in fronts.chunk_by_mut(|one, next| place(one) == place(next)) {
            let place = lanes.first().map_or(0, place);
            let each = share(due[place], rooms[place].saturating_sub(taken));
            for front in lanes {
                let of_lane = self.take(tx, front, each.min(rooms[place].saturating_sub(taken))).await?;
                taken += of_lane;
                if of_lane > 0 {
                    last[place] = front.lane;
                }
            }
        }
        // What some lanes left goes to the first that have more.
        for front in fronts.iter_mut() {
            self.take(tx, front, usize::MAX).await?;
        }
        if due.into_iter().any(|lanes| lanes > 1) && last != self.last {
            let [urgent, normal, bulk] = last;
            tx.execute(NOTE_TURN, args![self.sender_id, urgent, normal, bulk]).await?;
            self.last = last;
        }
        Ok(())
    }

    /// Takes at most `share` messages of a lane, as long as there is room; how many it took.
    async fn take(&mut self, tx: &mut Tx, front: &mut Front, share: usize) -> StoreResult<usize> {
        let most = share.min(self.limit - self.rows.len());
        if most == 0 || front.due_at > self.now {
            return Ok(0);
        }
        let (lease, due_at, id, limit) =
            (self.lease.0, front.due_at, front.id, i64::try_from(most).unwrap_or(i64::MAX));
        let mut taken: Vec<ClaimedRow> = match self.channel {
            None => tx.all(CLAIM_LANE, args![self.sender_id, front.lane, self.now, limit, lease, due_at, id]).await?,
            Some(channel) => {
                let values = args![self.sender_id, front.lane, self.now, limit, lease, due_at, id, channel];
                tx.all(CLAIM_AND_START_LANE, values).await?
            }
        };
        // RETURNING promises no order.
        taken.sort_unstable_by_key(|row| (row.due_at, row.id));
        // A lane that gave less has nothing more to give now.
        (front.due_at, front.id) = match taken.last() {
            Some(last) if taken.len() == most => (last.due_at, last.id),
            _ => (i64::MAX, 0),
        };
        let count = taken.len();
        self.rows.append(&mut taken);
        Ok(count)
    }
}

/// The place of a lane's priority among all.
fn place(front: &Front) -> usize {
    usize::try_from(rank_of(front.lane)).unwrap_or(0).min(PRIORITIES - 1)
}

/// Puts fronts into the order in which their lanes are to be served: urgent first; within a priority beginning after the
/// lane served last.
fn order(fronts: &mut [Front], last: &[i64; PRIORITIES]) {
    fronts.sort_unstable_by_key(|front| (rank_of(front.lane), front.lane <= last[place(front)], front.lane));
}

/// The most messages that a claim of `limit` takes of each priority and those before it, before what is left goes to whoever
/// has more: what the floors of less urgent ones with due lanes leave. Parts of a message are drawn by lot (`lot`, 0 to 1,
/// one for all), so that a floor holds for claims of one message, too.
fn rooms(due: [usize; PRIORITIES], limit: usize, shares: Shares, lot: f64) -> [usize; PRIORITIES] {
    let floors = [0, shares.normal_floor, shares.bulk_floor];
    std::array::from_fn(|place| {
        let after = place + 1..PRIORITIES;
        let percent: usize = after.filter(|after| due[*after] > 0).map(|after| usize::from(floors[after])).sum();
        let kept = (limit * percent) as f64 / 100.0 + lot;
        limit.saturating_sub(kept as usize)
    })
}

/// How many messages each of `lanes` of a priority may give: the first of them share its room equally.
fn share(lanes: usize, room: usize) -> usize {
    (room / lanes.clamp(1, LANES_A_TURN)).max(1)
}

#[cfg(test)]
mod tests {
    use kabar_domain::job::Priority;

    use super::*;
    use crate::lanes::lane;

    const SHARES: Shares = Shares { normal_floor: 20, bulk_floor: 10, urgent_budget: 0 };

    #[test]
    fn lanes_of_a_priority_share_its_room_four_at_a_time() {
        assert_eq!([share(1, 20), share(2, 20), share(20, 20)], [20, 10, 5]);
        assert_eq!(share(3, 1), 1, "less than a message each is one for the first");
    }

    #[test]
    fn less_urgent_messages_keep_their_floors() {
        assert_eq!(rooms([1, 1, 1], 20, SHARES, 0.5), [14, 18, 20]);
        assert_eq!(rooms([1, 0, 1], 20, SHARES, 0.5), [18, 18, 20], "nobody keeps room for whom nothing is due");
        assert_eq!(rooms([1, 1, 0], 20, SHARES, 0.5), [16, 20, 20]);
    }

    #[test]
    fn floors_hold_on_average_where_a_claim_is_one_message() {
        let mut served = [0; PRIORITIES];
        for lot in 0..1_000 {
            let rooms = rooms([1, 1, 1], 1, SHARES, (f64::from(lot) + 0.5) / 1_000.0);
            served[rooms.iter().position(|room| *room > 0).unwrap()] += 1;
        }
        assert_eq!(served, [700, 200, 100]);
    }

    #[test]
    fn turns_begin_after_the_lane_served_last() {
        let front = |lane| Front { lane, due_at: 0, id: 0 };
        let (urgent, lanes) = (lane(Priority::Urgent, None), [1, 2, 3].map(|job| lane(Priority::Bulk, Some(job))));
        let mut fronts = [urgent, lanes[0], lanes[1], lanes[2]].map(front);
        order(&mut fronts, &[urgent, 0, lanes[1]]);
        assert_eq!(fronts.map(|front| front.lane), [urgent, lanes[2], lanes[0], lanes[1]]);
    }
}
