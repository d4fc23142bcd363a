//! What is promised, as conditions that every world must fulfil.

use kabar_domain::message::{MessageState, Phase};
use stateright::Property;

use super::world::{Request, World, Worlds};

pub(super) const NOTHING_TWICE: &str = "nothing is taken twice, and what was taken does not wait to be sent";
pub(super) const NOTHING_INVENTED: &str = "what is said to have been taken over was";
pub(super) const STOPPED_IS_STOPPED: &str = "what was cancelled or blocked is not started any more";
pub(super) const EVIDENCE_COUNTS: &str = "an acceptance that was reported, however late, counts";
pub(super) const RECEIPTS_SHOW: &str = "what a receipt told of the latest attempt shows";
pub(super) const A_WAY_FORWARD: &str = "who holds a message knows of it, or somebody takes it from them";
pub(super) const EVERYTHING_ENDS: &str = "every message ends or waits for a person";

pub(super) fn all() -> Vec<Property<Worlds>> {
    vec![
        Property::always(NOTHING_TWICE, |_, world: &World| {
            world.each().all(|(id, message)| match message.state {
                MessageState::Queued | MessageState::Claimed => world.taken(id) == 0,
                _ => world.taken(id) <= 1,
            })
        }),
        Property::always(NOTHING_INVENTED, |_, world: &World| {
            world.each().all(|(id, message)| {
                use MessageState::{Accepted, Delivered, Read, Sent};
                !matches!(message.state, Accepted | Sent | Delivered | Read) || world.taken(id) > 0
            })
        }),
        Property::always(STOPPED_IS_STOPPED, |_, world: &World| {
            world.each().all(|(id, message)| world.stopped_at[id].is_none_or(|latest| message.latest() <= latest))
        }),
        Property::always(EVIDENCE_COUNTS, |_, world: &World| {
            world.each().all(|(id, message)| {
                let reported = world.reported[id].is_some_and(|number| number == message.latest());
                !reported || message.state.phase() == Phase::Done
            })
        }),
        Property::always(RECEIPTS_SHOW, |_, world: &World| {
            world.each().all(|(id, message)| {
                let told = world.requests[id].last() == Some(&Request::Taken { vouched: true });
                !told || matches!(message.state, MessageState::Sent | MessageState::Delivered)
            })
        }),
        Property::always(A_WAY_FORWARD, has_a_way_forward),
        Property::eventually(EVERYTHING_ENDS, |_, world: &World| {
            world.each().all(|(_, message)| matches!(message.state.phase(), Phase::Done | Phase::Attention))
        }),
    ]
}

/// Crashes are no way forward: a process may live for months.
fn has_a_way_forward(worlds: &Worlds, world: &World) -> bool {
    world.each().all(|(id, message)| {
        let Some(lease) = message.lease.filter(|lease| world.ledger.leases[*lease]) else { return true };
        let known = world.couriers.iter().any(|courier| courier.lease == lease && courier.knows_of(id));
        // Of a process that died, the lease ends.
        let dies = !world.couriers.iter().any(|courier| courier.lease == lease && courier.lives);
        let ends = match message.state {
            MessageState::Claimed => worlds.rules.old_claims_end,
            MessageState::Sending => worlds.rules.old_sending_doubts,
            _ => true,
        };
        known || dies || ends
    })
}

impl World {
    fn taken(&self, id: usize) -> usize {
        self.requests[id].iter().filter(|request| matches!(request, Request::Taken { .. })).count()
    }
}
