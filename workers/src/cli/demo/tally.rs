//! What it all came to: the ledger's account and the sandbox's, held against each other.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use kabar_domain::message::{MessageState, StateCounts};
use kabar_sandbox::{Arrival, Counters};
use kabar_store::{DEFAULT_TENANT, ExportRow, Store};

use super::{
    jobs::{REMINDERS, URGENT},
    people,
    plan::Plan,
    script::Script,
    stage::Stage,
};

/// The code of a throttle that the sandbox answers.
const THROTTLED: i64 = 130_429;

/// The code that blocks a recipient.
const BLOCKS: i64 = 131_047;

/// The most messages that are read from the ledger at once.
const PAGE: u32 = 1_000;

/// The most people who are named for each reason.
const MOST_NAMED: usize = 3;

/// Some jobs of one kind, with where their messages ended.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    /// How many messages there must be.
    pub(super) expected: u64,
    pub(super) counts: StateCounts,
}

/// Messages that did not reach anyone, for one reason.
#[derive(Debug)]
pub(super) struct Reason {
    pub(super) state: MessageState,
    pub(super) code: Option<i64>,
    pub(super) text: String,
    pub(super) messages: u64,
    /// The first of the people, by name and number.
    pub(super) who: Vec<String>,
    /// Whether there are more of them.
    pub(super) has_more: bool,
}

/// What the sandbox saw, by the messages of the ledger.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How often each message was accepted.
    accepted: HashMap<i64, u32>,
    /// Messages that were answered with a throttle at least once.
    throttled: HashSet<i64>,
    /// Accepted requests that no attempt in the ledger stands for.
    pub(super) foreign: u64,
    /// Requests to a recipient after the block.
    pub(super) after_block: u64,
    /// From the first request to the last.
    pub(super) span: Duration,
}

/// What it all came to.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) rows: Vec<Row>,
    /// All messages in the ledger, counted apart from the rows.
    pub(super) ledger: StateCounts,
    pub(super) reasons: Vec<Reason>,
    /// Messages that the sandbox accepted more than once.
    pub(super) doubled: u64,
    /// Messages that the ledger holds for sent and the sandbox never accepted.
    pub(super) missing: u64,
    /// Messages that the sandbox accepted and the ledger holds for not sent.
    pub(super) unrecorded: u64,
    /// Messages that met a throttle, and how many of them were accepted later.
    pub(super) throttled: (u64, u64),
    pub(super) seen: Seen,
    pub(super) worst: usize,
    pub(super) counters: Counters,
}

impl Tally {
    /// How many messages there must be.
    pub(super) fn expected(&self) -> u64 {
        self.rows.iter().map(|row| row.expected).sum()
    }
}

/// Reads both accounts.
///
/// # Errors
/// When the ledger cannot be read.
pub(super) async fn take(stage: &Stage, plan: &Plan, script: &Script) -> anyhow::Result<Tally> {
    let store = stage.store();
    let blocked = people::blocked_before(plan.recipients)?;
    let blocked = blocked.map(|phone| phone.as_str().trim_start_matches('+').to_owned());
    let seen = look_through(&stage.sandbox.arrivals(), store, blocked);
    let jobs = [
        ("broadcast".to_owned(), u64::from(plan.recipients), vec![script.broadcast]),
        (format!("{} reminders", REMINDERS.jobs), REMINDERS.messages, script.reminders.clone()),
        (format!("{URGENT} urgent"), URGENT, script.urgent.clone()),
    ];
    let status = store.status(DEFAULT_TENANT).await?;
    let mut tally = Tally {
        rows: Vec::new(),
        ledger: status.messages,
        reasons: Vec::new(),
        doubled: seen.accepted.values().filter(|times| **times > 1).count() as u64,
        missing: 0,
        unrecorded: 0,
        throttled: (0, 0),
        seen,
        worst: stage.sandbox.worst_window(),
        counters: stage.sandbox.counters(),
    };
    for (name, expected, jobs) in jobs {
        let mut row = Row { name, expected, counts: StateCounts::default() };
        for job in jobs {
            let mut after = 0;
            loop {
                let page = store.export(job, after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.message_id;
                page.iter().for_each(|message| tally.add(&mut row, message));
            }
        }
        tally.rows.push(row);
    }
    Ok(tally)
}

impl Tally {
    fn add(&mut self, row: &mut Row, message: &ExportRow) {
        use MessageState::{Accepted, Delivered, Failed, Read, Sent};
        row.counts.add(message.state, 1);
        let accepted = self.seen.accepted.contains_key(&message.message_id);
        match message.state {
            Accepted | Sent | Delivered | Read => self.missing += u64::from(!accepted),
            // Refused at once, or accepted and failed later: both are possible.
            Failed => {}
            _ => self.unrecorded += u64::from(accepted),
        }
        if self.seen.throttled.contains(&message.message_id) {
            self.throttled.0 += 1;
            self.throttled.1 += u64::from(accepted);
        }
        if !matches!(message.state, Accepted | Sent | Delivered | Read) {
            self.add_reason(message);
        }
    }

    fn add_reason(&mut self, message: &ExportRow) {
        let text = message.reason.as_deref().or(message.meaning.as_deref()).unwrap_or_default();
        let code = message.code.filter(|_| message.state != MessageState::Skipped);
        let same = |one: &Reason| one.state == message.state && one.code == code && one.text == text;
        let index = match self.reasons.iter().position(same) {
            Some(index) => index,
            None => {
                let text = text.to_owned();
                self.reasons.push(Reason {
                    state: message.state,
                    code,
                    text,
                    messages: 0,
                    who: Vec::new(),
                    has_more: false,
                });
                self.reasons.len() - 1
            }
        };
        let reason = &mut self.reasons[index];
        reason.messages += 1;
        let who = match &message.name {
            Some(name) => format!("{name} {}", message.phone),
            None => message.phone.to_string(),
        };
        if reason.who.contains(&who) {
            return;
        }
        if reason.who.len() < MOST_NAMED { reason.who.push(who) } else { reason.has_more = true }
    }
}

/// Goes through what reached the sandbox, in the order in which it came.
fn look_through(arrivals: &[Arrival], store: &Store, blocked: Option<String>) -> Seen {
    let mut seen = Seen::default();
    let mut blocked: HashSet<String> = blocked.into_iter().collect();
    for arrival in arrivals {
        seen.after_block += u64::from(blocked.contains(&arrival.to));
        if arrival.code == Some(BLOCKS) {
            blocked.insert(arrival.to.clone());
        }
        let message = arrival.opaque.as_deref().and_then(|opaque| store.attempt_of(opaque)).map(|(id, _)| id);
        match message {
            Some(id) if arrival.accepted => *seen.accepted.entry(id).or_default() += 1,
            Some(id) if arrival.code == Some(THROTTLED) => drop(seen.throttled.insert(id)),
            None if arrival.accepted => seen.foreign += 1,
            _ => {}
        }
    }
    if let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) {
        seen.span = last.at.saturating_duration_since(first.at);
    }
    seen
}
