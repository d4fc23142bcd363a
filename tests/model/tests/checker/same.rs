//! Makes worlds equal that differ in nothing that can still matter, so that there are fewer to walk through.

use kabar_model::{Attempt, LeaseIndex};

use super::world::{Request, World};

/// Stands for every lease that ended and is no process's any more.
pub(super) const ENDED: LeaseIndex = 0;

impl World {
    /// The one world that stands for all that are like this one.
    pub(super) fn tidied(mut self) -> Self {
        self.forget_old_attempts();
        self.count_starts_anew();
        self.forget_old_leases();
        self.forget_old_requests();
        self
    }

    /// Of attempts before the latest, only that they were made can matter.
    fn forget_old_attempts(&mut self) {
        for message in &mut self.ledger.messages {
            let older = message.attempts.len().saturating_sub(1);
            message.attempts[..older].fill(Attempt { started: 0, lease: ENDED, slot: 0, came: None });
        }
    }

    /// Of the order of starts, only who came before whom.
    fn count_starts_anew(&mut self) {
        let ledger = &mut self.ledger;
        let latest = ledger.messages.iter_mut().filter_map(|message| message.attempts.last_mut());
        let mut places: Vec<&mut u8> = latest.map(|attempt| &mut attempt.started).collect();
        places.push(&mut ledger.heard_through);
        let mut order: Vec<u8> = places.iter().map(|place| **place).chain([0]).collect();
        order.sort_unstable();
        order.dedup();
        for place in places {
            let rank = order.iter().position(|known| known == place).unwrap_or_default();
            *place = u8::try_from(rank).unwrap_or(u8::MAX);
        }
        ledger.starts = u8::try_from(order.len() - 1).unwrap_or(u8::MAX);
    }

    /// Leases that ended are alike, unless a process still goes by one.
    fn forget_old_leases(&mut self) {
        let mut kept = vec![ENDED];
        kept.extend(
            (1..self.ledger.leases.len()).filter(|lease| {
                self.ledger.leases[*lease] || self.couriers.iter().any(|courier| courier.lease == *lease)
            }),
        );
        let renamed = |lease: LeaseIndex| kept.iter().position(|known| *known == lease).unwrap_or(ENDED);
        for courier in &mut self.couriers {
            courier.lease = renamed(courier.lease);
        }
        for message in &mut self.ledger.messages {
            message.lease = message.lease.map(renamed);
            for attempt in &mut message.attempts {
                attempt.lease = renamed(attempt.lease);
            }
        }
        self.ledger.leases = kept.iter().map(|lease| self.ledger.leases[*lease]).collect();
    }

    /// Requests that nobody waits for and that never arrived are alike.
    fn forget_old_requests(&mut self) {
        for message in 0..self.requests.len() {
            for index in 0..self.requests[message].len() {
                let awaited = self.couriers.iter().any(|courier| courier.awaits(message, index + 1));
                let request = &mut self.requests[message][index];
                if !awaited && matches!(request, Request::Here | Request::Refused) {
                    *request = Request::Gone;
                }
            }
        }
    }
}
