//! Messages, attempts and leases, and the operations on them. Each function names the one in `shared/store/src` that it
//! stands for.

use kabar_domain::{
    job::OnDoubt,
    message::{MessageState, ReceiptStatus},
};

/// Which lease: its place in [`Ledger::leases`].
pub type LeaseIndex = usize;

/// The rules that a deliberately broken variant breaks. [`Rules::REAL`] are those of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A message whose courier ended in the middle of sending comes into doubt; else it waits again.
    pub rescue_doubts: bool,
    /// An outcome is heard whoever reports it; else only under a lease that holds.
    pub late_outcomes_count: bool,
    /// A request without an answer is in doubt; else it is sent again at once.
    pub timeouts_doubt: bool,
    /// A start demands that the message is claimed under the courier's lease, and that the lease holds.
    pub start_is_fenced: bool,
    /// A start looks once more whether the message was cancelled or its recipient blocked.
    pub start_looks_again: bool,
    /// Who gives back what it may have started knows its own start by the slot; else by the lease alone.
    pub starts_are_known_by_slot: bool,
    /// What is claimed under a lease that holds and was not started for long waits again.
    pub old_claims_end: bool,
    /// What is being sent under a lease that holds and has no outcome for long comes into doubt.
    pub old_sending_doubts: bool,
    /// Evidence that an attempt left moves its message also where that has ended as not sent.
    pub evidence_moves_the_ended: bool,
}

impl Rules {
    /// The rules of the store.
    pub const REAL: Self = Self {
        rescue_doubts: true,
        late_outcomes_count: true,
        timeouts_doubt: true,
        start_is_fenced: true,
        start_looks_again: true,
        starts_are_known_by_slot: true,
        old_claims_end: true,
        old_sending_doubts: true,
        evidence_moves_the_ended: true,
    };

    /// Whether a message in this state moves once its latest attempt is known to have left.
    fn moves_by_evidence(self, state: MessageState) -> bool {
        let waits = matches!(state, MessageState::Queued | MessageState::Claimed);
        waits || (self.evidence_moves_the_ended && state.has_not_left())
    }
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Came {
    /// The provider took it over.
    Accepted,
    /// The provider said no for a passing reason.
    Refused,
    /// It provably stayed.
    NotSent,
    /// No answer came.
    InDoubt,
    /// Evidence, a policy or a person says that it never arrived.
    Absent,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Its place among all starts of the sender.
    pub started: u8,
    /// Under which lease.
    pub lease: LeaseIndex,
    /// For which slot.
    pub slot: u8,
    /// What it came to, as far as is known.
    pub came: Option<Came>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Message {
    /// Where it is in its life.
    pub state: MessageState,
    /// Who holds it.
    pub lease: Option<LeaseIndex>,
    /// What its job says about doubt.
    pub on_doubt: OnDoubt,
    /// Its attempts in their order; the first has the number 1.
    pub attempts: Vec<Attempt>,
    /// Tries that were spent.
    pub tries: u8,
    /// Whether its job was cancelled.
    pub cancelled: bool,
    /// Whether its recipient is blocked.
    pub blocked: bool,
    /// Whether the grace time of its doubt is over.
    pub grace_over: bool,
}

/// The ledger of one sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// All messages, each to another recipient.
    pub messages: Vec<Message>,
    /// Whether each lease holds.
    pub leases: Vec<bool>,
    /// How many attempts were started.
    pub starts: u8,
    /// The latest start for which a receipt has come.
    pub heard_through: u8,
}

/// The tries that a message may spend.
const MOST_TRIES: u8 = 2;

impl Message {
    /// A message that waits for its first try.
    #[must_use]
    pub const fn waiting(on_doubt: OnDoubt) -> Self {
        Self {
            state: MessageState::Queued,
            lease: None,
            on_doubt,
            attempts: Vec::new(),
            tries: 0,
            cancelled: false,
            blocked: false,
            grace_over: false,
        }
    }

    /// The number of its latest attempt; 0 before the first.
    #[must_use]
    pub fn latest(&self) -> usize {
        self.attempts.len()
    }

    fn moves(&mut self, state: MessageState) {
        self.state = state;
        self.lease = None;
        self.grace_over = false;
    }

    /// It waits again, unless its job was cancelled meanwhile.
    fn waits_again(&mut self) {
        self.moves(if self.cancelled { MessageState::Cancelled } else { MessageState::Queued });
    }

    fn is_held_under(&self, leases: &[bool]) -> bool {
        self.lease.is_some_and(|lease| leases[lease])
    }

    /// `MARK_ABSENT` of `doubts.rs`.
    fn mark_absent(&mut self) {
        if let Some(attempt) = self.attempts.last_mut()
            && matches!(attempt.came, None | Some(Came::InDoubt))
        {
            attempt.came = Some(Came::Absent);
        }
    }
}

impl Ledger {
    /// A ledger with these messages and this many leases that hold.
    #[must_use]
    pub fn new(messages: Vec<Message>, leases: usize) -> Self {
        Self { messages, leases: vec![true; leases], starts: 0, heard_through: 0 }
    }

    /// `claim_in` (`claims.rs`): everything that waits; which messages.
    pub fn claim(&mut self, lease: LeaseIndex) -> Vec<usize> {
        if !self.leases[lease] {
            return Vec::new();
        }
        let waiting = |message: &Message| message.state == MessageState::Queued;
        let claimed: Vec<usize> = (0..self.messages.len()).filter(|id| waiting(&self.messages[*id])).collect();
        for &id in &claimed {
            self.messages[id].state = MessageState::Claimed;
            self.messages[id].lease = Some(lease);
        }
        claimed
    }

    /// `start_in` (`claims.rs`): the number of the attempt, or none where the start is refused.
    pub fn start(&mut self, rules: &Rules, lease: LeaseIndex, id: usize, slot: u8) -> Option<usize> {
        let holds = self.leases[lease];
        let message = &mut self.messages[id];
        let is_ours = holds && message.state == MessageState::Claimed && message.lease == Some(lease);
        let stopped = message.cancelled || message.blocked;
        if (rules.start_is_fenced && !is_ours) || (rules.start_looks_again && stopped) {
            return None;
        }
        self.starts += 1;
        message.state = MessageState::Sending;
        message.lease = Some(lease);
        message.attempts.push(Attempt { started: self.starts, lease, slot, came: None });
        Some(message.latest())
    }

    /// `give_back_in` (`claims.rs`); with the slot of a start that may have been committed though whoever asked for it was
    /// not told so, `undo_starts_in`.
    pub fn give_back(&mut self, rules: &Rules, lease: LeaseIndex, id: usize, asked: Option<u8>) {
        let message = &mut self.messages[id];
        let ours = |slot, attempt: &Attempt| {
            let known = attempt.slot == slot || !rules.starts_are_known_by_slot;
            known && attempt.lease == lease && attempt.came.is_none()
        };
        let started = asked.zip(message.attempts.last()).is_some_and(|(slot, attempt)| ours(slot, attempt));
        let given = match message.state {
            MessageState::Claimed => message.lease == Some(lease),
            MessageState::Sending | MessageState::InDoubt => started,
            _ => false,
        };
        if started && let Some(attempt) = message.attempts.last_mut() {
            attempt.came = Some(Came::NotSent);
        }
        if given && !message.cancelled && message.blocked {
            message.moves(MessageState::Skipped);
        } else if given {
            message.waits_again();
        }
    }

    /// `settle` (`outcomes.rs`) with the rule of `outcomes/decide.rs` for answers, and the short way of accepted ones.
    pub fn settle(&mut self, rules: &Rules, lease: LeaseIndex, id: usize, number: usize, came: Came) {
        use MessageState::{InDoubt, Sending, Unresolved};
        if !rules.late_outcomes_count && !self.leases[lease] {
            return;
        }
        let message = &mut self.messages[id];
        let may_move = match came {
            Came::Accepted => {
                matches!(message.state, Sending | InDoubt | Unresolved) || rules.moves_by_evidence(message.state)
            }
            Came::InDoubt => message.state == Sending,
            _ => matches!(message.state, Sending | InDoubt | Unresolved),
        };
        if number == message.latest() && may_move {
            match came {
                Came::Accepted => message.moves(MessageState::Accepted),
                Came::InDoubt if rules.timeouts_doubt => message.moves(InDoubt),
                Came::Refused if message.tries + 1 >= MOST_TRIES => {
                    message.tries += 1;
                    message.moves(MessageState::Failed);
                }
                Came::Refused => {
                    message.tries += 1;
                    message.waits_again();
                }
                Came::InDoubt | Came::NotSent | Came::Absent => message.waits_again(),
            }
        }
        // `ACCEPT_ATTEMPTS` and `SETTLE_ATTEMPTS`.
        let attempt = &mut message.attempts[number - 1];
        let open = match attempt.came {
            None => true,
            Some(Came::InDoubt | Came::Absent | Came::Accepted) => came != Came::InDoubt,
            Some(Came::NotSent) => came == Came::Accepted,
            Some(Came::Refused) => false,
        };
        if open {
            attempt.came = Some(came);
        }
    }

    /// `rescue` (`leases.rs`): what ended leases held.
    pub fn rescue(&mut self, rules: &Rules) {
        for message in &mut self.messages {
            match message.state {
                _ if message.is_held_under(&self.leases) => {}
                MessageState::Claimed => message.waits_again(),
                MessageState::Sending if rules.rescue_doubts => message.moves(MessageState::InDoubt),
                MessageState::Sending => message.waits_again(),
                _ => {}
            }
        }
    }

    /// `rescue` (`leases.rs`): a message that has been claimed, or being sent, for longer than anybody takes. To a janitor
    /// whose clock is ahead, that is every message.
    pub fn rescue_old(&mut self, rules: &Rules, id: usize) {
        let message = &mut self.messages[id];
        match message.state {
            MessageState::Claimed if rules.old_claims_end => message.waits_again(),
            MessageState::Sending if rules.old_sending_doubts => message.moves(MessageState::InDoubt),
            _ => {}
        }
    }

    /// `settle_doubts` (`doubts.rs`), for those whose grace time is over.
    pub fn settle_doubts(&mut self) {
        for message in &mut self.messages {
            if message.state != MessageState::InDoubt || !message.grace_over {
                continue;
            }
            let heard = message.attempts.last().is_some_and(|attempt| self.heard_through > attempt.started);
            match (message.on_doubt, heard) {
                (OnDoubt::Auto, true) | (OnDoubt::Resend, _) => {
                    message.mark_absent();
                    message.waits_again();
                }
                (OnDoubt::Auto, false) | (OnDoubt::Hold, _) => message.moves(MessageState::Unresolved),
            }
        }
    }

    /// `resolve_message` (`doubts.rs`).
    pub fn resolve(&mut self, id: usize, was_sent: bool) {
        let message = &mut self.messages[id];
        if !matches!(message.state, MessageState::Unresolved | MessageState::InDoubt) {
            return;
        }
        if was_sent {
            message.moves(MessageState::Accepted);
        } else {
            message.mark_absent();
            message.moves(MessageState::Queued);
        }
    }

    /// `apply_receipts_in` (`receipts.rs`) for one receipt that names its attempt.
    pub fn receipt(&mut self, rules: &Rules, id: usize, number: usize, status: ReceiptStatus) {
        let message = &mut self.messages[id];
        let Some(attempt) = message.attempts.get(number - 1) else { return };
        self.heard_through = self.heard_through.max(attempt.started);
        if number != message.latest() {
            return;
        }
        let believed_absent = attempt.came == Some(Came::Absent) && rules.moves_by_evidence(message.state);
        let from = if believed_absent { MessageState::InDoubt } else { message.state };
        if let Some(next) = from.after_receipt(status) {
            message.moves(next);
        }
    }

    /// A receipt for another message of the sender, which was started after all of these.
    pub fn hear_of_a_later_one(&mut self) {
        if self.heard_through < self.starts || self.heard_through == 0 {
            self.starts += 1;
            self.heard_through = self.starts;
        }
    }

    /// `cancel_reminder` (`broadcasts/control.rs`).
    pub fn cancel(&mut self, id: usize) {
        let message = &mut self.messages[id];
        message.cancelled = true;
        if matches!(message.state, MessageState::Queued | MessageState::Claimed) {
            message.moves(MessageState::Cancelled);
        }
    }

    /// `block` (`blocks.rs`).
    pub fn block(&mut self, id: usize) {
        let message = &mut self.messages[id];
        message.blocked = true;
        if matches!(message.state, MessageState::Queued | MessageState::Claimed) {
            message.moves(MessageState::Skipped);
        }
    }
}
