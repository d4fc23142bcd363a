//! The rules of the ledger as `kabar_model` has them, held against a real ledger: the same random operations on both, and the
//! same states after each.
//!
//! What the checker of that crate proves of the model is so proven of the code. On the way it shows of the real ledger
//! that the counts add up after every operation, and that what is done moves by evidence alone and only forward.

use std::time::Duration;

use kabar_domain::{
    job::OnDoubt,
    message::{MessageState, Phase, ReceiptStatus},
    outcome::{Decision, Outcome},
    sender::Channel,
};
use kabar_model::{Came, Ledger, Message, Rules};
use kabar_store::{LeaseId, Sender, SettlePolicy, Settlement, StartRequest, Started, Writer, WriterHandle};
use kabar_tests::{LedgerKind, TestLedger, ledger::START_MS};
use proptest::prelude::*;
use serde_json::json;

use super::fixtures::*;

/// The messages' policies on doubt.
const POLICIES: [OnDoubt; 4] = [OnDoubt::Auto, OnDoubt::Hold, OnDoubt::Resend, OnDoubt::Auto];

const HOUR_MS: i64 = 3_600_000;
const GRACE: Duration = Duration::from_secs(1_000 * 3_600);
/// Longer than any run, so that leases end when a test says so.
const LEASE: Duration = Duration::from_secs(1_000_000 * 3_600);
/// After this long, claims and attempts that nothing came of are old, in milliseconds.
const OLD_MS: i64 = 600_000;

/// How far apart slots are: more than receipts need to prove that an earlier attempt is absent.
const APART_US: i64 = 3_000_000;

/// One operation.
#[derive(Debug, Clone)]
enum Does {
    Claim { courier: usize },
    Start { courier: usize, message: usize },
    GiveBack { courier: usize, message: usize },
    UndoStart { courier: usize, message: usize },
    Settle { message: usize, number: usize, came: Came },
    LeaseEnds { courier: usize },
    Rescue,
    TimePasses,
    GraceEnds,
    Receipt { message: usize, number: usize, status: ReceiptStatus },
    Cancel { message: usize },
    Block { message: usize },
    Resolve { message: usize, was_sent: bool },
}

fn does() -> impl Strategy<Value = Does> {
    let courier = || 0..2_usize;
    let message = || 0..POLICIES.len();
    let number = || 1..4_usize;
    let came =
        proptest::sample::select(vec![Came::Accepted, Came::Refused, Came::NotSent, Came::InDoubt, Came::InDoubt]);
    let status = prop_oneof![
        2 => Just(ReceiptStatus::Sent),
        2 => Just(ReceiptStatus::Delivered),
        1 => Just(ReceiptStatus::Read),
        1 => Just(ReceiptStatus::Failed),
    ];
    prop_oneof![
        5 => courier().prop_map(|courier| Does::Claim { courier }),
        9 => (courier(), message()).prop_map(|(courier, message)| Does::Start { courier, message }),
        2 => (courier(), message()).prop_map(|(courier, message)| Does::GiveBack { courier, message }),
        2 => (courier(), message()).prop_map(|(courier, message)| Does::UndoStart { courier, message }),
        7 => (message(), number(), came).prop_map(|(message, number, came)| Does::Settle { message, number, came }),
        1 => courier().prop_map(|courier| Does::LeaseEnds { courier }),
        2 => Just(Does::Rescue),
        1 => Just(Does::TimePasses),
        2 => Just(Does::GraceEnds),
        4 => (message(), number(), status).prop_map(|(message, number, status)| Does::Receipt { message, number, status }),
        1 => message().prop_map(|message| Does::Cancel { message }),
        1 => message().prop_map(|message| Does::Block { message }),
        1 => (message(), any::<bool>()).prop_map(|(message, was_sent)| Does::Resolve { message, was_sent }),
    ]
}

/// The same messages in both.
struct Both {
    real: TestLedger,
    sender: Sender,
    /// The ids of the real messages.
    ids: Vec<i64>,
    recipients: Vec<i64>,
    /// Each courier's lease in the real ledger, its writer, and its lease in the model.
    couriers: Vec<(LeaseId, WriterHandle, usize)>,
    /// What each attempt carries along, by message.
    carried: Vec<Vec<Started>>,
    /// The slot of each courier's latest start, by message.
    slots: Vec<[i64; 2]>,
    next_slot: i64,
    model: Ledger,
}

fn policy() -> SettlePolicy {
    let moment = Duration::from_millis(1);
    SettlePolicy {
        max_tries: 2,
        retry_first: moment,
        retry_most: moment,
        doubt_grace: GRACE,
        ..SettlePolicy::default()
    }
}

impl Both {
    async fn begin(real: TestLedger) -> Self {
        let store = real.store();
        let sender = sender(store, rate(20)).await;
        let mut ids = Vec::new();
        for (number, on_doubt) in POLICIES.iter().enumerate() {
            let job = with(send(&format!("m{number}"), number as u64), json!({"on_doubt": on_doubt}));
            let job_id = planned(store, job).await;
            ids.extend(message_ids(store, job_id).await);
        }
        let model = Ledger::new(POLICIES.map(Message::waiting).to_vec(), 0);
        let carried = vec![Vec::new(); ids.len()];
        let (recipients, slots) = (vec![0; ids.len()], vec![[0; 2]; ids.len()]);
        let next_slot = START_MS * 1_000;
        let mut both = Self { sender, ids, recipients, couriers: Vec::new(), carried, slots, next_slot, model, real };
        for _ in 0..2 {
            let courier = both.courier().await;
            both.couriers.push(courier);
        }
        both
    }

    /// A process that has just begun.
    async fn courier(&mut self) -> (LeaseId, WriterHandle, usize) {
        let store = self.real.store().clone();
        let lease = store.take_lease("host:1", &["courier"], LEASE).await.unwrap().id;
        let (_, writer) = Writer::spawn(store, lease, policy(), |_, _| {});
        self.model.leases.push(true);
        (lease, writer, self.model.leases.len() - 1)
    }

    /// The start that a courier asks for.
    fn request(&self, message: usize, slot: i64) -> StartRequest {
        StartRequest {
            message_id: self.ids[message],
            sender_id: self.sender.id,
            recipient_id: self.recipients[message],
            slot_us: Some(slot),
        }
    }

    async fn rescue(&mut self, old: bool) {
        self.real.store().rescue(GRACE).await.unwrap();
        self.model.rescue(&Rules::REAL);
        for message in 0..if old { self.ids.len() } else { 0 } {
            self.model.rescue_old(&Rules::REAL, message);
        }
    }

    async fn both_do(&mut self, does: Does) {
        let store = self.real.store().clone();
        self.real.clock().advance_ms(2);
        match does {
            Does::Claim { courier } => {
                let (_, writer, lease) = &self.couriers[courier];
                for claimed in writer.claim(self.sender.id).await.unwrap() {
                    let message = self.ids.iter().position(|id| *id == claimed.id).unwrap();
                    self.recipients[message] = claimed.recipient_id;
                }
                self.model.claim(*lease);
            }
            Does::Start { courier, message } => {
                // Starts are known apart by their slots.
                self.next_slot += APART_US;
                let request = self.request(message, self.next_slot);
                let (_, writer, lease) = &self.couriers[courier];
                let started = writer.start(CHANNEL, vec![request]).await.unwrap().remove(&self.ids[message]);
                let expected = self.model.start(&Rules::REAL, *lease, message, courier as u8);
                assert_eq!(started.as_ref().map(|attempt| attempt.number as usize), expected);
                if started.is_some() {
                    self.slots[message][courier] = self.next_slot;
                }
                self.carried[message].extend(started);
            }
            Does::GiveBack { courier, message } => {
                let (_, writer, lease) = &self.couriers[courier];
                writer.give_back(CHANNEL, vec![self.ids[message]]).await.unwrap();
                self.model.give_back(&Rules::REAL, *lease, message, None);
            }
            Does::UndoStart { courier, message } => {
                let request = self.request(message, self.slots[message][courier]);
                let (_, writer, lease) = &self.couriers[courier];
                writer.undo_starts(CHANNEL, vec![request]).await.unwrap();
                self.model.give_back(&Rules::REAL, *lease, message, Some(courier as u8));
            }
            Does::Settle { message, number, came } if number <= self.carried[message].len() => {
                let outcome = match came {
                    Came::Accepted => Outcome::accepted(format!("wamid.{message}.{number}")),
                    Came::Refused => Outcome::of(Decision::Retry, "busy"),
                    Came::NotSent => Outcome::not_sent("its slot had passed"),
                    Came::InDoubt | Came::Absent => Outcome::in_doubt("no answer came"),
                };
                let settlement = Settlement { message_id: self.ids[message], number: number as i64, outcome };
                store.settle(&[settlement], &policy()).await.unwrap();
                self.model.settle(&Rules::REAL, 0, message, number, came);
            }
            Does::LeaseEnds { courier } => {
                store.end_lease(self.couriers[courier].0).await.unwrap();
                self.model.leases[self.couriers[courier].2] = false;
                self.couriers[courier] = self.courier().await;
            }
            Does::Rescue => self.rescue(false).await,
            Does::TimePasses => {
                self.real.clock().advance_ms(OLD_MS);
                self.rescue(true).await;
            }
            Does::GraceEnds => {
                self.real.clock().advance_ms(1_000 * HOUR_MS);
                for message in &mut self.model.messages {
                    message.grace_over = message.state == MessageState::InDoubt;
                }
                self.rescue(true).await;
                store.settle_doubts(100).await.unwrap();
                self.model.settle_doubts();
            }
            Does::Receipt { message, number, status } if number <= self.carried[message].len() => {
                let attempt = self.carried[message][number - 1].clone();
                let sending = Sending { id: self.ids[message], attempt };
                receive(&store, [receipt(&sending, status, START_MS)]).await;
                self.model.receipt(&Rules::REAL, message, number, status);
            }
            Does::Settle { .. } | Does::Receipt { .. } => {}
            Does::Cancel { message } => {
                store.cancel_reminder(TENANT, &format!("m{message}"), "cancelled").await.unwrap();
                self.model.cancel(message);
            }
            Does::Block { message } => {
                store.block(TENANT, &phone(message as u64), Channel::Whatsapp, "asked by phone").await.unwrap();
                self.model.block(message);
            }
            Does::Resolve { message, was_sent } => {
                // Refused where it is not in doubt; so does the model.
                let _ = store.resolve_message(TENANT, self.ids[message], was_sent).await;
                self.model.resolve(message, was_sent);
            }
        }
    }

    async fn assert_same(&self) {
        for (id, message) in self.ids.iter().zip(&self.model.messages) {
            let real = story(self.real.store(), *id).await;
            let real: (MessageState, Vec<Option<String>>) =
                (real.state, real.attempts.into_iter().map(|attempt| attempt.outcome).collect());
            let attempts = message.attempts.iter().map(|attempt| attempt.came.map(name).map(str::to_owned));
            assert_eq!(real, (message.state, attempts.collect()));
        }
    }
}

const fn name(came: Came) -> &'static str {
    match came {
        Came::Accepted => "accepted",
        Came::Refused => "retry",
        Came::NotSent => "not_sent",
        Came::InDoubt => "in_doubt",
        Came::Absent => "absent",
    }
}

fn states_of(model: &Ledger) -> Vec<MessageState> {
    model.messages.iter().map(|message| message.state).collect()
}

/// What is done moves only by a receipt, and only to what it tells; and by an answer where it is held not to have left.
fn assert_no_way_back(before: &[MessageState], after: &[MessageState], does: &Does) {
    for (before, after) in before.iter().zip(after).filter(|(before, after)| before != after) {
        let by_receipt = matches!(does, Does::Receipt { status, .. } if status.state() == *after);
        let by_answer = matches!(does, Does::Settle { came: Came::Accepted, .. }) && *after == MessageState::Accepted;
        let told = by_receipt || (by_answer && before.has_not_left());
        assert!(before.phase() != Phase::Done || told, "{before} became {after} by {does:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_does_as_the_model_says(operations in proptest::collection::vec(does(), 1..70)) {
        kabar_tests::ledger::check(LedgerKind::Sqlite, async move |ledger| {
            let mut both = Both::begin(ledger).await;
            for operation in operations {
                let before = states_of(&both.model);
                both.both_do(operation.clone()).await;
                both.assert_same().await;
                assert_no_way_back(&before, &states_of(&both.model), &operation);
                assert_adds_up(both.real.store()).await;
            }
        });
    }
}
