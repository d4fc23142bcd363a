//! What surrounds the ledger: processes that die, stall and forget, a provider that takes or refuses, answers and receipts
//! that are late or lost.

use kabar_domain::{
    job::OnDoubt,
    message::{MessageState, ReceiptStatus},
};
use kabar_model::{Came, LeaseIndex, Ledger, Message, Rules};
use stateright::{Model, Property};

use super::{promises, same::ENDED};

/// All worlds of one kind: what they begin with, which rules hold, and how much may go wrong.
#[derive(Debug, Clone)]
pub(super) struct Worlds {
    pub(super) rules: Rules,
    /// The process of each courier; those of one process share its lease.
    pub(super) couriers: &'static [usize],
    /// The policy on doubt of each message.
    pub(super) on_doubt: &'static [OnDoubt],
    /// How many times something goes wrong.
    pub(super) misfortunes: u8,
    /// Whether a receipt comes before the grace time of its message ends.
    pub(super) receipts_in_time: bool,
    /// Whether a request that was started has left and arrived, or never will, before the grace time ends.
    pub(super) requests_end_in_time: bool,
    /// Whether messages may be cancelled and recipients blocked.
    pub(super) stops: bool,
    /// How many attempts of a message are looked at, where nothing else ends them.
    pub(super) most_attempts: usize,
}

/// One state of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) ledger: Ledger,
    pub(super) couriers: Vec<Courier>,
    /// The requests of each message, by attempt.
    pub(super) requests: Vec<Vec<Request>>,
    /// The latest attempt of each message when it was stopped.
    pub(super) stopped_at: Vec<Option<usize>>,
    /// The attempt of each message that a courier last reported as accepted.
    pub(super) reported: Vec<Option<usize>>,
    misfortunes_left: u8,
}

/// One batch at a time, of a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Courier {
    pub(super) lease: LeaseIndex,
    pub(super) lives: bool,
    /// What it does with each message.
    hands: Vec<Hand>,
}

/// What a courier does with a message (`workers/src/courier`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Hand {
    /// Nothing.
    Empty,
    /// It waits for its slot.
    Claimed,
    /// Its start was refused.
    Refused,
    /// Its start was answered with an error: it may hold all the same.
    Unanswered,
    /// Its start is committed and it is about to leave.
    Started(usize),
    /// The request left.
    UnderWay(usize),
    /// The outcome is known and not yet written down.
    Knows(usize, Came),
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Request {
    /// It has not left.
    Here,
    /// It left and has not arrived.
    OnTheWay,
    /// The provider took the message over; whether a receipt has vouched for it.
    Taken { vouched: bool },
    /// The provider said no for a passing reason.
    Refused,
    /// It never arrives.
    Gone,
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Happens {
    /// A courier claims what waits.
    Claim { courier: usize },
    /// The claim is committed and the word of it lost.
    ClaimUnheard { courier: usize },
    /// A claim that starts is committed and the word of it lost: the sender has no pace.
    ClaimAndStartUnheard { courier: usize },
    /// A start is asked for and answered.
    Start { courier: usize, message: usize },
    /// A start is answered with an error, and held all the same or not.
    StartUnanswered { courier: usize, message: usize, held: bool },
    /// A courier gives back what it did not send.
    GiveBack { courier: usize, message: usize },
    /// The request leaves.
    Leave { courier: usize, message: usize },
    /// It stays: the slot has passed, or the lease is about to end.
    Stay { courier: usize, message: usize },
    /// The provider takes the message over.
    Arrive { message: usize, number: usize },
    /// The provider refuses it for now.
    Refuse { message: usize, number: usize },
    /// The request is lost.
    Vanish { message: usize, number: usize },
    /// The answer comes.
    Answer { courier: usize, message: usize },
    /// The courier waits no longer for it.
    TimeOut { courier: usize, message: usize },
    /// The outcome is written down.
    Settle { courier: usize, message: usize },
    /// A process dies; its lease goes on for a while.
    Crash { process: usize },
    /// A lease ends: its process died, stalled, or could not reach the ledger.
    LeaseEnds { lease: LeaseIndex },
    /// A process takes a new lease.
    Restart { process: usize },
    /// The janitor takes over what ended leases held.
    Rescue,
    /// The janitor takes over what nobody started or settled for long.
    RescueOld { message: usize },
    /// The grace time of a doubt is over.
    GraceEnds { message: usize },
    /// The janitor settles doubts.
    SettleDoubts,
    /// A receipt comes, perhaps again.
    Receipt { message: usize, number: usize, status: ReceiptStatus },
    /// A receipt of a later message of the sender comes.
    LaterReceipt,
    /// Somebody cancels the job.
    Cancel { message: usize },
    /// Somebody blocks the recipient.
    Block { message: usize },
    /// A person who has looked at the handset settles it.
    Resolve { message: usize },
}

impl Courier {
    /// Whether it will do something about the message by itself.
    pub(super) fn knows_of(&self, message: usize) -> bool {
        self.lives && self.hands[message] != Hand::Empty
    }

    /// Whether it may still leave or be answered.
    pub(super) fn awaits(&self, message: usize, number: usize) -> bool {
        matches!(self.hands[message], Hand::Started(at) | Hand::UnderWay(at) if at == number)
    }

    fn is_idle(&self) -> bool {
        self.hands.iter().all(|hand| *hand == Hand::Empty)
    }
}

impl World {
    /// The messages with their places.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.ledger.messages.iter().enumerate()
    }

    fn may_still_arrive(&self, message: usize) -> bool {
        let leaves = |courier: &Courier| courier.lives && matches!(courier.hands[message], Hand::Started(_));
        self.couriers.iter().any(leaves) || self.requests[message].contains(&Request::OnTheWay)
    }

    fn is_vouched_for(&self, message: usize) -> bool {
        !self.requests[message].contains(&Request::Taken { vouched: false })
    }

    fn started(&mut self, message: usize) {
        self.requests[message].push(Request::Here);
    }

    fn stop(&mut self, message: usize) {
        self.stopped_at[message] = Some(self.ledger.messages[message].latest());
    }

    /// Does what a courier does next with a message.
    fn act(&mut self, rules: &Rules, courier: usize, message: usize, happens: Happens) {
        let lease = self.couriers[courier].lease;
        let hand = self.couriers[courier].hands[message];
        // No two couriers wait for the same slot.
        let slot = u8::try_from(courier).unwrap_or(u8::MAX);
        self.couriers[courier].hands[message] = match (happens, hand) {
            (Happens::Start { .. }, _) => match self.ledger.start(rules, lease, message, slot) {
                Some(number) => {
                    self.started(message);
                    Hand::Started(number)
                }
                None => Hand::Refused,
            },
            (Happens::StartUnanswered { held, .. }, _) => {
                if held && self.ledger.start(rules, lease, message, slot).is_some() {
                    self.started(message);
                }
                Hand::Unanswered
            }
            (Happens::GiveBack { .. }, hand) => {
                let asked = matches!(hand, Hand::Refused | Hand::Unanswered).then_some(slot);
                self.ledger.give_back(rules, lease, message, asked);
                Hand::Empty
            }
            (Happens::Leave { .. }, Hand::Started(number)) => {
                self.requests[message][number - 1] = Request::OnTheWay;
                Hand::UnderWay(number)
            }
            (Happens::Stay { .. }, Hand::Started(number)) => Hand::Knows(number, Came::NotSent),
            (Happens::Answer { .. }, Hand::UnderWay(number)) => match self.requests[message][number - 1] {
                Request::Taken { .. } => Hand::Knows(number, Came::Accepted),
                Request::Refused => Hand::Knows(number, Came::Refused),
                Request::Here | Request::OnTheWay | Request::Gone => Hand::Knows(number, Came::InDoubt),
            },
            (Happens::TimeOut { .. }, Hand::UnderWay(number)) => Hand::Knows(number, Came::InDoubt),
            (Happens::Settle { .. }, Hand::Knows(number, came)) => {
                self.ledger.settle(rules, lease, message, number, came);
                if came == Came::Accepted {
                    self.reported[message] = Some(number);
                }
                Hand::Empty
            }
            (_, hand) => hand,
        };
    }
}

impl Worlds {
    fn of_couriers(&self, world: &World, next: &mut Vec<Happens>) {
        for (courier, one) in world.couriers.iter().enumerate().filter(|(_, one)| one.lives) {
            if one.is_idle() && world.ledger.leases[one.lease] {
                next.extend([
                    Happens::Claim { courier },
                    Happens::ClaimUnheard { courier },
                    Happens::ClaimAndStartUnheard { courier },
                ]);
            }
            for (message, hand) in one.hands.iter().enumerate() {
                match hand {
                    Hand::Empty => {}
                    Hand::Claimed => next.extend([
                        Happens::Start { courier, message },
                        Happens::StartUnanswered { courier, message, held: true },
                        Happens::StartUnanswered { courier, message, held: false },
                        Happens::GiveBack { courier, message },
                    ]),
                    Hand::Refused | Hand::Unanswered => next.push(Happens::GiveBack { courier, message }),
                    Hand::Started(_) => {
                        next.extend([Happens::Leave { courier, message }, Happens::Stay { courier, message }]);
                    }
                    Hand::UnderWay(number) => {
                        let request = world.requests[message][number - 1];
                        if matches!(request, Request::Taken { .. } | Request::Refused) {
                            next.push(Happens::Answer { courier, message });
                        }
                        next.push(Happens::TimeOut { courier, message });
                    }
                    Hand::Knows(..) => next.push(Happens::Settle { courier, message }),
                }
            }
        }
    }

    fn of_processes(&self, world: &World, next: &mut Vec<Happens>) {
        for (courier, one) in world.couriers.iter().enumerate() {
            let process = self.couriers[courier];
            if self.couriers[..courier].contains(&process) {
                continue;
            }
            let holds = world.ledger.leases[one.lease];
            next.push(if one.lives { Happens::Crash { process } } else { Happens::Restart { process } });
            if holds {
                next.push(Happens::LeaseEnds { lease: one.lease });
            } else if one.lives {
                next.push(Happens::Restart { process });
            }
        }
        for (lease, holds) in world.ledger.leases.iter().enumerate() {
            if *holds && world.couriers.iter().all(|courier| courier.lease != lease) {
                next.push(Happens::LeaseEnds { lease });
            }
        }
    }

    fn of_the_rest(&self, world: &World, next: &mut Vec<Happens>) {
        next.extend([Happens::Rescue, Happens::SettleDoubts, Happens::LaterReceipt]);
        for (message, one) in world.each() {
            next.push(Happens::RescueOld { message });
            if one.state == MessageState::InDoubt
                && (!self.requests_end_in_time || !world.may_still_arrive(message))
                && (!self.receipts_in_time || world.is_vouched_for(message))
            {
                next.push(Happens::GraceEnds { message });
            }
            if one.state == MessageState::Unresolved && !world.may_still_arrive(message) {
                next.push(Happens::Resolve { message });
            }
            if self.stops && world.stopped_at[message].is_none() {
                next.extend([Happens::Cancel { message }, Happens::Block { message }]);
            }
            for (index, request) in world.requests[message].iter().enumerate() {
                let number = index + 1;
                match request {
                    Request::OnTheWay => next.extend([
                        Happens::Arrive { message, number },
                        Happens::Refuse { message, number },
                        Happens::Vanish { message, number },
                    ]),
                    Request::Taken { .. } => {
                        next.extend([ReceiptStatus::Sent, ReceiptStatus::Delivered].map(|status| Happens::Receipt {
                            message,
                            number,
                            status,
                        }));
                    }
                    Request::Here | Request::Refused | Request::Gone => {}
                }
            }
        }
    }

    fn lives(&self, world: &mut World, process: usize, lease: LeaseIndex, lives: bool) {
        for (courier, one) in world.couriers.iter_mut().enumerate() {
            if self.couriers[courier] == process {
                one.hands.fill(Hand::Empty);
                (one.lease, one.lives) = (lease, lives);
            }
        }
    }

    fn lease_of(&self, world: &World, process: usize) -> LeaseIndex {
        let courier = self.couriers.iter().position(|of| *of == process).unwrap_or_default();
        world.couriers[courier].lease
    }

    /// Whether it is one of the things that go wrong only so often.
    fn is_misfortune(&self, world: &World, happens: Happens) -> bool {
        match happens {
            Happens::ClaimUnheard { .. }
            | Happens::ClaimAndStartUnheard { .. }
            | Happens::StartUnanswered { .. }
            | Happens::Stay { .. }
            | Happens::Refuse { .. }
            | Happens::Vanish { .. }
            | Happens::Crash { .. } => true,
            // Of a request that was lost, no answer can come.
            Happens::TimeOut { courier, message } => match world.couriers[courier].hands[message] {
                Hand::UnderWay(number) => world.requests[message][number - 1] != Request::Gone,
                _ => false,
            },
            // The lease of a process that died must end some time.
            Happens::LeaseEnds { lease } => {
                world.couriers.iter().any(|courier| courier.lease == lease && courier.lives)
            }
            _ => false,
        }
    }

    fn happen(&self, world: &mut World, happens: Happens) {
        let rules = &self.rules;
        match happens {
            Happens::Claim { courier } => {
                for message in world.ledger.claim(world.couriers[courier].lease) {
                    world.couriers[courier].hands[message] = Hand::Claimed;
                }
            }
            Happens::ClaimUnheard { courier } => {
                world.ledger.claim(world.couriers[courier].lease);
            }
            Happens::ClaimAndStartUnheard { courier } => {
                let lease = world.couriers[courier].lease;
                for message in world.ledger.claim(lease) {
                    if world.ledger.start(rules, lease, message, u8::MAX).is_some() {
                        world.started(message);
                    }
                }
            }
            Happens::Start { courier, message }
            | Happens::StartUnanswered { courier, message, .. }
            | Happens::GiveBack { courier, message }
            | Happens::Leave { courier, message }
            | Happens::Stay { courier, message }
            | Happens::Answer { courier, message }
            | Happens::TimeOut { courier, message }
            | Happens::Settle { courier, message } => world.act(rules, courier, message, happens),
            Happens::Arrive { message, number } => {
                world.requests[message][number - 1] = Request::Taken { vouched: false };
            }
            Happens::Refuse { message, number } => world.requests[message][number - 1] = Request::Refused,
            Happens::Vanish { message, number } => world.requests[message][number - 1] = Request::Gone,
            Happens::Crash { process } => {
                let lease = self.lease_of(world, process);
                self.lives(world, process, lease, false);
            }
            Happens::LeaseEnds { lease } => world.ledger.leases[lease] = false,
            Happens::Restart { process } => {
                let lease = world.ledger.leases.len();
                world.ledger.leases.push(true);
                self.lives(world, process, lease, true);
            }
            Happens::Rescue => world.ledger.rescue(rules),
            Happens::RescueOld { message } => world.ledger.rescue_old(rules, message),
            Happens::GraceEnds { message } => world.ledger.messages[message].grace_over = true,
            Happens::SettleDoubts => world.ledger.settle_doubts(),
            Happens::Receipt { message, number, status } => {
                world.requests[message][number - 1] = Request::Taken { vouched: true };
                world.ledger.receipt(rules, message, number, status);
            }
            Happens::LaterReceipt => world.ledger.hear_of_a_later_one(),
            Happens::Cancel { message } => {
                world.ledger.cancel(message);
                world.stop(message);
            }
            Happens::Block { message } => {
                world.ledger.block(message);
                world.stop(message);
            }
            Happens::Resolve { message } => {
                let taken = world.requests[message].iter().any(|request| matches!(request, Request::Taken { .. }));
                world.ledger.resolve(message, taken);
            }
        }
    }
}

impl Model for Worlds {
    type State = World;
    type Action = Happens;

    fn init_states(&self) -> Vec<World> {
        let messages: Vec<Message> = self.on_doubt.iter().map(|policy| Message::waiting(*policy)).collect();
        let processes = self.couriers.iter().max().map_or(0, |last| last + 1);
        let hands = vec![Hand::Empty; messages.len()];
        let courier = |process: &usize| Courier { lease: process + 1, lives: true, hands: hands.clone() };
        let mut ledger = Ledger::new(messages, processes + 1);
        ledger.leases[ENDED] = false;
        let world = World {
            couriers: self.couriers.iter().map(courier).collect(),
            requests: vec![Vec::new(); hands.len()],
            stopped_at: vec![None; hands.len()],
            reported: vec![None; hands.len()],
            ledger,
            misfortunes_left: self.misfortunes,
        };
        vec![world.tidied()]
    }

    fn actions(&self, world: &World, next: &mut Vec<Happens>) {
        self.of_couriers(world, next);
        self.of_processes(world, next);
        self.of_the_rest(world, next);
        if world.misfortunes_left == 0 {
            next.retain(|happens| !self.is_misfortune(world, *happens));
        }
    }

    fn next_state(&self, world: &World, happens: Happens) -> Option<World> {
        let mut next = world.clone();
        self.happen(&mut next, happens);
        let mut next = next.tidied();
        // What changes nothing is no event.
        if next == *world {
            return None;
        }
        if self.is_misfortune(world, happens) {
            next.misfortunes_left -= 1;
        }
        Some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.each().all(|(_, message)| message.latest() <= self.most_attempts)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}
