//! From jobs to messages.

use std::task::Poll;

use kabar_domain::{
    content::Fields,
    message::MessageState::{Cancelled, Queued, Skipped},
    sender::Channel,
    template::Template,
    wish::Covers,
};
use kabar_store::NewRecipient;
use kabar_tests::{LedgerKind, TestLedger, ledger::START_MS, on_both_ledgers};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixtures::*;

on_both_ledgers!(
    each_recipient_gets_one_message,
    a_repeated_number_gets_one_message_with_its_first_values,
    blocked_recipients_are_skipped,
    those_who_opted_out_are_skipped_by_marketing_alone,
    recipients_without_a_value_are_skipped,
    recipients_whose_value_is_none_of_its_kind_are_skipped,
    dates_and_amounts_are_written_in_the_templates_language,
    messages_of_a_disabled_template_are_skipped,
    a_group_is_its_members_when_the_job_came,
    planning_goes_on_where_another_process_stopped,
    jobs_are_planned_in_turns_and_a_single_send_waits_for_none,
    a_reminder_has_a_message_for_each_offset_that_lies_ahead,
    a_cancelled_job_plans_nothing,
    sends_keep_their_times,
);

async fn each_recipient_gets_one_message(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = enqueue(store, broadcast("b", 0..1_001)).await;
    let first = store.plan_next().await.unwrap().unwrap();
    assert_eq!((first.job_id, first.messages, first.finished), (job_id, 1_000, false));
    assert_adds_up(store).await;
    let second = store.plan_next().await.unwrap().unwrap();
    assert_eq!((second.messages, second.finished), (1, true));
    assert_eq!(store.plan_next().await.unwrap(), None);
    assert_eq!(store.job_counts(job_id).await.unwrap().get(Queued), 1_001);
    assert_adds_up(store).await;
}

fn named(id: &str, recipients: &Value, params: Value) -> Value {
    with(broadcast(id, 0..0), json!({"audience": {"recipients": recipients}, "content": template(params)}))
}

async fn a_repeated_number_gets_one_message_with_its_first_values(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let recipients = json!([{"to": phone(1), "name": "first"}, {"to": phone(2), "name": "other"}, {"to": phone(1), "name": "second"}]);
    let job_id = planned(store, named("b", &recipients, json!(["{name}"]))).await;
    assert_eq!(states(store, job_id).await, [Queued, Queued]);
    let claimed = Courier::of(store).await.claim(&sender).await;
    let fields: Vec<_> = claimed.iter().map(|message| message.fields.as_deref()).collect();
    assert_eq!(fields, [Some(r#"{"name":"first"}"#), Some(r#"{"name":"other"}"#)]);
    assert_adds_up(store).await;
}

async fn blocked_recipients_are_skipped(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    store.block(TENANT, &phone(0), Channel::Whatsapp, "asked by phone").await.unwrap();
    for job in [broadcast("b", 0..2), send("s", 0)] {
        let job_id = planned(store, job).await;
        assert_eq!(states(store, job_id).await[0], Skipped);
        assert_eq!(reasons(store, job_id).await[0].as_deref(), Some("recipient_blocked"));
    }
    assert_adds_up(store).await;
}

async fn those_who_opted_out_are_skipped_by_marketing_alone(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    use kabar_domain::outcome::{Decision, Scope};
    courier.settle(&sending, outcome(Decision::OptedOut, Scope::Recipient)).await;
    assert_eq!(store.recipient(TENANT, &phone(0)).await.unwrap().opt_outs[0].covers, Covers::Marketing);
    let job_id = planned(store, broadcast("of-unknown-category", 0..2)).await;
    assert_eq!(states(store, job_id).await, [Skipped, Queued]);
    assert_eq!(reasons(store, job_id).await[0].as_deref(), Some("opted_out"));
    let job_id = planned(store, send("single", 0)).await;
    assert_eq!(states(store, job_id).await, [Queued]);
    for (category, expected) in [("UTILITY", Queued), ("MARKETING", Skipped)] {
        put_template(store, category, "APPROVED").await;
        let job_id = planned(store, with(send(category, 0), json!({"content": template(json!([]))}))).await;
        assert_eq!(states(store, job_id).await, [expected], "{category}");
    }
    assert_eq!(sender.name, "default");
    assert_adds_up(store).await;
}

async fn put_template(store: &kabar_store::Store, category: &str, status: &str) {
    let template = json!({"name": "departure", "language": "id", "category": category, "status": status,
        "components": [{"type": "BODY", "text": "Halo"}]});
    store.put_template(TENANT, &Template::parse(template).unwrap()).await.unwrap();
}

async fn recipients_whose_value_is_none_of_its_kind_are_skipped(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let recipients = json!([{"to": phone(1), "params": {"due": "2026-12-12"}}, {"to": phone(2), "params": {"due": "soon"}},
        {"to": phone(3)}]);
    let job_id = planned(store, named("b", &recipients, json!([{"date": "{due}"}]))).await;
    assert_eq!(states(store, job_id).await, [Queued, Skipped, Skipped]);
    let reasons = reasons(store, job_id).await;
    assert_eq!(reasons[1..], [Some("invalid_parameter".to_owned()), Some("missing_parameter".to_owned())]);
    let courier = Courier::of(store).await;
    let claimed = courier.claim(&sender).await;
    let contents = store.job_contents(&[job_id]).await.unwrap();
    let fields = serde_json::from_str(claimed[0].fields.as_deref().unwrap()).unwrap();
    let said = contents[0].1.content.for_recipient(&fields).unwrap();
    assert_eq!(serde_json::to_value(&said).unwrap()["template"]["params"], json!(["12 Des 2026"]));
    assert_adds_up(store).await;
}

async fn dates_and_amounts_are_written_in_the_templates_language(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let said = async |job: serde_json::Value| {
        let job_id = planned(store, job).await;
        let contents = store.job_contents(&[job_id]).await.unwrap();
        assert!(!contents[0].1.has_fields);
        serde_json::to_value(&*contents[0].1.content).unwrap()["template"]["params"].clone()
    };
    let money = json!({"money": {"amount": "2500000", "currency": "IDR"}});
    let of = |params| json!({"content": template(params)});
    assert_eq!(said(with(send("s", 0), of(json!([money, "{x}"])))).await, json!(["Rp 2.500.000", "{x}"]));
    let everybody = with(broadcast("b", 0..2), of(json!([money, "{{x}}"])));
    assert_eq!(said(everybody).await, json!(["Rp 2.500.000", "{x}"]));
    let reminder = json!({"type": "reminder", "id": "r", "to": phone(1), "due": "2026-12-12",
        "content": template(json!([{"date": "{due}"}, "{due}"]))});
    assert_eq!(said(reminder).await, json!(["12 Des 2026", "{due}"]));
    let recipients = json!([{"to": phone(1), "params": {"total": money}}]);
    let job_id = planned(store, named("own", &recipients, json!(["{total}"]))).await;
    assert_eq!(states(store, job_id).await, [Queued]);
    let audience = raw_texts(&ledger, "select fields from message_fields").await;
    assert!(audience.iter().any(|fields| fields.contains("Rp 2.500.000")), "{audience:?}");
}

async fn recipients_without_a_value_are_skipped(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let recipients = json!([{"to": phone(1), "name": "Siti", "params": {"package": "Hemat"}}, {"to": phone(2), "name": "Budi"},
        {"to": phone(3), "name": "Ani", "params": {"package": ""}}, {"to": phone(4), "params": {"package": "Hemat"}}]);
    let job_id = planned(store, named("b", &recipients, json!(["{name}", "{package}"]))).await;
    assert_eq!(states(store, job_id).await, [Queued, Skipped, Skipped, Skipped]);
    assert_eq!(reasons(store, job_id).await[1].as_deref(), Some("missing_parameter"));
    assert_adds_up(store).await;
}

async fn messages_of_a_disabled_template_are_skipped(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    put_template(store, "UTILITY", "DISABLED").await;
    let job_id = planned(store, with(broadcast("b", 0..2), json!({"content": template(json!([]))}))).await;
    assert_eq!(
        reasons(store, job_id).await,
        [Some("template_disabled".to_owned()), Some("template_disabled".to_owned())]
    );
    assert_adds_up(store).await;
}

fn member(number: u64) -> NewRecipient {
    let fields = Fields::from([("package".to_owned(), format!("Package {number}"))]);
    NewRecipient { name: Some(format!("Name {number}")), fields, ..NewRecipient::new(phone(number)) }
}

async fn a_group_is_its_members_when_the_job_came(ledger: TestLedger) {
    let store = ledger.store();
    let sender = sender(store, rate(20)).await;
    let members: Vec<_> = (0..3).map(member).collect();
    store.import_recipients(TENANT, &members, Some("umroh")).await.unwrap();
    let content = template(json!(["{name}", "{package}"]));
    let job_id =
        enqueue(store, with(broadcast("b", 0..0), json!({"audience": {"group": "umroh"}, "content": content}))).await;
    ledger.clock().advance_ms(1);
    store.import_recipients(TENANT, &[member(3)], Some("umroh")).await.unwrap();
    plan_all(store).await;
    assert_eq!(states(store, job_id).await, [Queued; 3]);
    let claimed = Courier::of(store).await.claim(&sender).await;
    assert_eq!(claimed[2].fields.as_deref(), Some(r#"{"name":"Name 2","package":"Package 2"}"#));
    assert_adds_up(store).await;
}

async fn planning_goes_on_where_another_process_stopped(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    sender(&one, rate(20)).await;
    for chunk in 0..4 {
        let members: Vec<_> = (chunk * 1_000..chunk * 1_000 + 1_000).map(member).collect();
        one.import_recipients(TENANT, &members, Some("umroh")).await.unwrap();
    }
    let group = enqueue(&one, with(broadcast("group", 0..0), json!({"audience": {"group": "umroh"}}))).await;
    let inline = enqueue(&one, broadcast("inline", 0..3_500)).await;
    let mut messages = 0;
    // In turns, and at once.
    messages += one.plan_next().await.unwrap().unwrap().messages;
    messages += other.plan_next().await.unwrap().unwrap().messages;
    while !(one.job_is_planned(group).await.unwrap() && one.job_is_planned(inline).await.unwrap()) {
        let (first, second) = tokio::join!(one.plan_next(), other.plan_next());
        messages +=
            [first.unwrap(), second.unwrap()].into_iter().flatten().map(|planned| planned.messages).sum::<u64>();
    }
    assert_eq!(messages, 7_500);
    assert_eq!(one.job_counts(group).await.unwrap().get(Queued), 4_000);
    assert_eq!(one.job_counts(inline).await.unwrap().get(Queued), 3_500);
    assert_adds_up(&one).await;
}

fn reminder(id: &str) -> Value {
    json!({"type": "reminder", "id": id, "to": phone(1), "due": "2026-12-05", "before": ["7d", "3d", "1d", "0d"],
        "at": "09:00", "timezone": "Asia/Jakarta", "content": {"text": "halo"}})
}

async fn jobs_are_planned_in_turns_and_a_single_send_waits_for_none(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let next = async || store.plan_next().await.unwrap().unwrap().job_id;
    let first = enqueue(store, broadcast("first", 0..2_500)).await;
    assert_eq!(next().await, first);
    let second = enqueue(store, broadcast("second", 0..2_500)).await;
    let single = enqueue(store, send("single", 1)).await;
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(next().await);
    }
    assert_eq!(order, [second, single, first, second, first, second]);
    assert_eq!(store.plan_next().await.unwrap(), None);
    assert_adds_up(store).await;
}

async fn a_reminder_has_a_message_for_each_offset_that_lies_ahead(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let job_id = planned(store, reminder("r")).await;
    let messages = store.messages_of_job(job_id, 0, 10).await.unwrap();
    let times: Vec<_> = messages.iter().map(|message| (message.part, message.due_at, message.expires_at)).collect();
    // 09:00 in Jakarta is 02:00 UTC; the due day ends there at 17:00 UTC. Seven days before lies in the past.
    let two_o_clock = |day: i64| START_MS + day * DAY_MS + 2 * 60 * MINUTE_MS;
    let due_ends = two_o_clock(4) + 15 * 60 * MINUTE_MS;
    assert_eq!(
        times,
        [
            (0, two_o_clock(4), Some(due_ends)),
            (1, two_o_clock(3), Some(two_o_clock(4))),
            (3, two_o_clock(1), Some(two_o_clock(3)))
        ]
    );
    assert_adds_up(store).await;
}

async fn a_cancelled_job_plans_nothing(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let cancelled = enqueue(store, broadcast("b", 0..1_500)).await;
    store.plan_next().await.unwrap();
    assert_eq!(store.cancel_broadcast(TENANT, "b").await.unwrap(), 1_000);
    enqueue(store, reminder("r")).await;
    assert_eq!(store.cancel_reminder(TENANT, "r", "paid").await.unwrap(), 0);
    assert_eq!(plan_all(store).await, 0);
    assert!(store.job_is_planned(cancelled).await.unwrap());
    assert_eq!(store.job_counts(cancelled).await.unwrap().get(Cancelled), 1_000);
    assert_adds_up(store).await;
}

async fn sends_keep_their_times(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let (from, until) = (START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS);
    let times = json!({"send_at": instant(from), "expires_at": instant(until)});
    for job in [send("s", 1), broadcast("b", 0..1)] {
        let job_id = planned(store, with(job, times.clone())).await;
        let message = &store.messages_of_job(job_id, 0, 1).await.unwrap()[0];
        assert_eq!((message.due_at, message.expires_at), (from, Some(until)));
    }
}

/// Polls a future at most this often and then drops it, as a process does that dies in the middle.
async fn cut_short<T>(future: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| match (future.as_mut().poll(context), left) {
        (Poll::Ready(done), _) => Poll::Ready(Some(done)),
        (Poll::Pending, 0) => Poll::Ready(None),
        (Poll::Pending, _) => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// How a planner's step ends.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It is committed.
    Done,
    /// It is committed and its process dies.
    Dies,
    /// Its process dies in the middle.
    CutShort { polls: u32 },
    /// Two processes plan at once.
    Both,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Done),
        Just(Step::Dies),
        (0..14_u32).prop_map(|polls| Step::CutShort { polls }),
        Just(Step::Both)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever planners die, each recipient gets one message, and the counts add up all the while.
    #[test]
    fn planning_comes_to_the_same_wherever_it_is_cut_short(
        recipients in 1..3_000_u64,
        numbers in 1..3_000_u64,
        from_group in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..10),
    ) {
        kabar_tests::ledger::check(LedgerKind::Sqlite, async move |ledger| {
            let store = ledger.store();
            sender(store, rate(20)).await;
            let listed: Vec<u64> = (0..recipients).map(|number| number % numbers).collect();
            let audience = if from_group {
                let members: Vec<_> = (0..recipients.min(numbers)).map(member).collect();
                for chunk in members.chunks(1_000) {
                    store.import_recipients(TENANT, chunk, Some("all")).await.unwrap();
                }
                json!({"group": "all"})
            } else {
                json!({"recipients": listed.iter().map(|number| json!({"to": phone(*number)})).collect::<Vec<_>>()})
            };
            let job_id = enqueue(store, with(broadcast("b", 0..0), json!({"audience": audience}))).await;
            let mut planner = ledger.reopen().await;
            for step in steps {
                match step {
                    Step::Done => drop(planner.plan_next().await.unwrap()),
                    Step::Dies => {
                        planner.plan_next().await.unwrap();
                        planner = ledger.reopen().await;
                    }
                    Step::CutShort { polls } => {
                        let _ = cut_short(planner.plan_next(), polls).await;
                        planner = ledger.reopen().await;
                    }
                    Step::Both => {
                        let (one, other) = tokio::join!(planner.plan_next(), store.plan_next());
                        one.unwrap();
                        other.unwrap();
                    }
                }
                assert_adds_up(store).await;
            }
            plan_all(&planner).await;
            assert_adds_up(store).await;
            let messages = store.messages_of_job(job_id, 0, 10_000).await.unwrap();
            let mut planned: Vec<String> = messages.iter().map(|message| message.phone.to_string()).collect();
            planned.sort();
            let mut expected: Vec<String> = listed.iter().map(|number| phone(*number).to_string()).collect();
            expected.sort();
            expected.dedup();
            assert_eq!(planned, expected);
        });
    }
}
