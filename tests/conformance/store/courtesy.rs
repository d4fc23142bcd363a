//! What is kept to towards people: consent, quiet hours, frequency caps.

use kabar_domain::{
    category::Category,
    message::MessageState::{Expired, Queued, Skipped},
    outcome::{Decision, Scope},
    people_rules::PeopleRules,
    report::{PersonsWish, Report},
    template::Template,
    wish::{Covers, Wish},
};
use kabar_store::{Consent, NewConsent, NewRecipient, Store};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::{Value, json};

use super::fixtures::*;

on_both_ledgers!(
    marketing_goes_to_those_who_agreed,
    a_consent_stays_until_a_later_one_comes,
    what_is_due_at_night_waits_for_the_morning,
    what_still_waits_at_night_waits_for_the_morning,
    what_is_tried_again_at_night_waits_for_the_morning,
    what_expires_in_the_night_says_so,
    a_budget_that_grows_at_night_wakes_nobody,
    nobody_gets_more_than_the_cap_allows,
    what_did_not_leave_counts_no_more,
    planners_at_once_keep_the_cap_together,
);

const HOUR_MS: i64 = 3_600_000;
/// Eight in the morning in Jakarta, an hour after the tests begin.
const JAKARTA_MORNING: i64 = START_MS + HOUR_MS;

fn rules(change: impl FnOnce(&mut PeopleRules)) -> PeopleRules {
    let mut rules = PeopleRules { default_timezone: chrono_tz::Asia::Jakarta, ..PeopleRules::default() };
    change(&mut rules);
    rules
}

fn nights(store: &Store) -> Store {
    store.with_rules(rules(|rules| {
        rules.quiet_hours.insert(Category::Marketing, "21:00-08:00".parse().unwrap());
    }))
}

fn cap(store: &Store, cap: &str) -> Store {
    store.with_rules(rules(|rules| {
        rules.frequency_caps.insert(Category::Marketing, cap.parse().unwrap());
    }))
}

fn at(job: Value, ms: i64) -> Value {
    with(job, json!({"send_at": instant(ms).to_rfc3339()}))
}

async fn dues(store: &Store, job_id: i64) -> Vec<i64> {
    store.messages_of_job(job_id, 0, 100).await.unwrap().iter().map(|message| message.due_at).collect()
}

/// Moves on whatever meets quiet hours.
async fn keep(store: &Store) {
    while store.keep_quiet_hours(2).await.unwrap() == 2 {}
}

fn agreed(number: u64, source: &str, at: Option<i64>) -> NewRecipient {
    NewRecipient { consent: Some(NewConsent { source: source.to_owned(), at }), ..NewRecipient::new(phone(number)) }
}

async fn marketing_goes_to_those_who_agreed(ledger: TestLedger) {
    let store = ledger.store().with_rules(rules(|rules| rules.marketing_needs_consent = true));
    sender(&store, rate(20)).await;
    store.import_recipients(TENANT, &[agreed(0, "web form", None)], None).await.unwrap();
    let start = PersonsWish {
        sender_address: "address-default".to_owned(),
        from: phone(1),
        wish: Wish::Start(Covers::All),
        source: "their message",
        at: instant(START_MS),
    };
    report(&store, vec![Report::Wish(start)]).await;
    let offer = planned(&store, broadcast("offer", 0..3)).await;
    assert_eq!(states(&store, offer).await, [Queued, Queued, Skipped]);
    assert_eq!(reasons(&store, offer).await[2].as_deref(), Some("no_consent"));
    let answer = planned(&store, send("answer", 2)).await;
    assert_eq!(states(&store, answer).await, [Queued], "an answer is no marketing");
    let without = planned(ledger.store(), broadcast("without-the-rule", 2..3)).await;
    assert_eq!(states(&store, without).await, [Queued]);
}

async fn a_consent_stays_until_a_later_one_comes(ledger: TestLedger) {
    let store = ledger.store();
    let import = async |row: NewRecipient| {
        let imported = store.import_recipients(TENANT, &[row], None).await.unwrap();
        let consent = store.recipient(TENANT, &phone(0)).await.unwrap().consent.unwrap();
        (imported.new, imported.changed, consent)
    };
    let consent = |source: &str, at: i64| Consent { source: source.to_owned(), at };
    let first = consent("web form", START_MS);
    assert_eq!(import(agreed(0, "web form", None)).await, (1, 0, first.clone()));
    ledger.clock().advance_ms(MINUTE_MS);
    assert_eq!(import(agreed(0, "fair", None)).await, (0, 0, first.clone()), "the same file again changes nothing");
    assert_eq!(import(agreed(0, "fair", Some(START_MS - 1))).await, (0, 0, first));
    assert_eq!(import(agreed(0, "fair", Some(START_MS + 5))).await, (0, 1, consent("fair", START_MS + 5)));
    let both = NewRecipient { timezone: Some(chrono_tz::Asia::Makassar), ..agreed(0, "shop", Some(START_MS + 6)) };
    assert_eq!(import(both.clone()).await, (0, 1, consent("shop", START_MS + 6)), "one person changed, and once");
    assert_eq!(store.recipient(TENANT, &phone(0)).await.unwrap().timezone, Some(chrono_tz::Asia::Makassar));
    assert_eq!(import(both).await.1, 0);
}

async fn what_is_due_at_night_waits_for_the_morning(ledger: TestLedger) {
    let store = nights(ledger.store());
    let (sender, courier) = (sender(&store, rate(20)).await, Courier::of(&store).await);
    // It is seven in Jakarta, eight in Makassar, nine in Tokyo.
    let elsewhere = NewRecipient { timezone: Some(chrono_tz::Asia::Makassar), ..NewRecipient::new(phone(1)) };
    store.import_recipients(TENANT, &[elsewhere], None).await.unwrap();
    let mut offer = broadcast("offer", 0..2);
    let list = offer["audience"]["recipients"].as_array_mut().unwrap();
    list.push(json!({"to": "+819012345678"}));
    let offer = planned(&store, offer).await;
    assert_eq!(dues(&store, offer).await, [START_MS, JAKARTA_MORNING, START_MS]);
    assert_eq!(reasons(&store, offer).await, [None, Some("quiet_hours".to_owned()), None]);
    let answer = planned(&store, send("answer", 0)).await;
    assert_eq!(dues(&store, answer).await, [START_MS], "only what the setting names keeps quiet hours");
    assert_eq!(courier.claim(&sender).await.len(), 3);
    let waiting = story(&store, message_ids(&store, offer).await[1]).await;
    assert_eq!(waiting.waits_because.as_deref(), Some("quiet hours of the person until 2026-12-01T01:00:00Z"));
    put_marketing_template(&store).await;
    let urgent = with(send("urgent", 5), json!({"content": template(json!([])), "priority": "urgent"}));
    assert_eq!(
        dues(&store, planned(&store, urgent.clone()).await).await,
        [START_MS],
        "urgent messages to one person go"
    );
    let calm = with(urgent, json!({"id": "calm", "priority": "normal"}));
    assert_eq!(dues(&store, planned(&store, calm).await).await, [JAKARTA_MORNING]);
    assert_adds_up(&store).await;
}

async fn put_marketing_template(store: &Store) {
    let template = json!({"name": "departure", "language": "id", "category": "MARKETING",
        "components": [{"type": "BODY", "text": "Halo"}]});
    store.put_template(TENANT, &Template::parse(template).unwrap()).await.unwrap();
}

/// A backlog that the night overtakes: none of it leaves, and it all leaves in the morning.
async fn what_still_waits_at_night_waits_for_the_morning(ledger: TestLedger) {
    let store = nights(ledger.store());
    let sender = sender(&store, rate(1)).await;
    let noon = START_MS + 5 * HOUR_MS;
    let offer = planned(&store, at(broadcast("offer", 0..5), noon)).await;
    let other = planned(&store, send("answer", 9)).await;
    ledger.clock().advance_ms(13 * HOUR_MS + 58 * MINUTE_MS);
    keep(&store).await;
    assert_eq!(dues(&store, offer).await, [noon; 5], "20:58: not yet");
    ledger.clock().advance_ms(MINUTE_MS);
    keep(&store).await;
    let morning = JAKARTA_MORNING + DAY_MS;
    assert_eq!(dues(&store, offer).await, [morning; 5]);
    assert_eq!(reasons(&store, offer).await[0].as_deref(), Some("quiet_hours"));
    assert_eq!(dues(&store, other).await, [START_MS]);
    keep(&store).await;
    assert_eq!(dues(&store, offer).await, [morning; 5], "once is enough");
    let mut left = 0;
    for _ in 0..2 {
        left += Courier::of(&store).await.claim(&sender).await.len();
    }
    assert_eq!(left, 1, "the answer alone");
    ledger.clock().advance_ms(11 * HOUR_MS + MINUTE_MS);
    assert_eq!(Courier::of(&store).await.claim(&sender).await.len(), 1);
}

async fn what_is_tried_again_at_night_waits_for_the_morning(ledger: TestLedger) {
    let store = nights(ledger.store());
    let sender = sender(&store, rate(20)).await;
    ledger.clock().advance_ms(13 * HOUR_MS);
    let courier = Courier::of(&store).await;
    let offer = planned(&store, broadcast("offer", 0..1)).await;
    let sending = courier.send_one(&sender).await;
    ledger.clock().advance_ms(2 * HOUR_MS);
    courier.settle(&sending, outcome(Decision::Retry, Scope::Message)).await;
    keep(&store).await;
    assert_eq!(dues(&store, offer).await, [JAKARTA_MORNING + DAY_MS]);
}

async fn what_expires_in_the_night_says_so(ledger: TestLedger) {
    let store = nights(ledger.store());
    sender(&store, rate(20)).await;
    let short = with(broadcast("short", 0..1), json!({"expires_at": instant(START_MS + HOUR_MS / 2).to_rfc3339()}));
    let offer = planned(&store, short).await;
    let message = message_ids(&store, offer).await[0];
    let because = story(&store, message).await.waits_because.unwrap();
    assert!(because.ends_with("at 2026-12-01T00:30:00Z: it will not be sent"), "{because}");
    ledger.clock().advance_ms(HOUR_MS / 2);
    assert_eq!(store.expire_messages(10).await.unwrap(), 1);
    assert_eq!(states(&store, offer).await, [Expired]);
    assert_eq!(reasons(&store, offer).await[0].as_deref(), Some("expired_in_quiet_hours"));
}

async fn a_budget_that_grows_at_night_wakes_nobody(ledger: TestLedger) {
    let store = nights(ledger.store());
    ledger.clock().advance_ms(HOUR_MS);
    let sender = sender(&store, rate(20)).await;
    store.set_budget(&sender, Some(10)).await.unwrap();
    let offer = planned(&store, broadcast("offer", 0..12)).await;
    assert_eq!(Courier::of(&store).await.claim(&sender).await.len(), 9);
    let waiting = async || dues(&store, offer).await.split_off(9);
    ledger.clock().advance_ms(4 * HOUR_MS);
    store.set_budget(&sender, Some(10)).await.unwrap();
    assert_eq!(waiting().await, [JAKARTA_MORNING + 4 * HOUR_MS; 3], "by day they look again at once");
    ledger.clock().advance_ms(HOUR_MS);
    assert!(Courier::of(&store).await.claim(&sender).await.is_empty());
    ledger.clock().advance_ms(9 * HOUR_MS);
    store.set_budget(&sender, None).await.unwrap();
    assert_eq!(waiting().await, [JAKARTA_MORNING + DAY_MS; 3], "at ten in the evening they wait for the morning");
}

async fn nobody_gets_more_than_the_cap_allows(ledger: TestLedger) {
    let store = cap(ledger.store(), "2/7d");
    sender(&store, rate(20)).await;
    let plan = async |job: Value| states(&store, planned(&store, job).await).await;
    assert_eq!(plan(broadcast("first", 0..2)).await, [Queued, Queued]);
    assert_eq!(plan(at(broadcast("in-six-days", 0..1), START_MS + 6 * DAY_MS)).await, [Queued]);
    let third = planned(&store, broadcast("third", 0..3)).await;
    assert_eq!(states(&store, third).await, [Skipped, Queued, Queued]);
    assert_eq!(reasons(&store, third).await[0].as_deref(), Some("frequency_cap"));
    assert_eq!(plan(send("answer", 0)).await, [Queued], "an answer is no marketing");
    assert_eq!(plan(at(broadcast("in-eight-days", 0..1), START_MS + 8 * DAY_MS)).await, [Queued]);
    assert_eq!(plan(at(broadcast("in-nine-days", 0..1), START_MS + 9 * DAY_MS)).await, [Skipped]);
    // Two rows for one number are one message, and count once.
    let twice = json!([{"to": phone(7)}, {"to": phone(7)}]);
    assert_eq!(plan(with(broadcast("twice", 0..0), json!({"audience": {"recipients": twice}}))).await, [Queued]);
    assert_eq!(plan(broadcast("once-more", 7..8)).await, [Queued]);
    let ids: Vec<i64> = store.recipients(TENANT, 0, 10).await.unwrap().iter().map(|one| one.id).collect();
    let counted = store.counted_messages(&ids, Category::Marketing).await.unwrap();
    assert_eq!(counted.values().map(Vec::len).sum::<usize>(), 3 + 2 + 1 + 2);
    assert_adds_up(&store).await;
}

async fn what_did_not_leave_counts_no_more(ledger: TestLedger) {
    let store = cap(ledger.store(), "1/7d");
    sender(&store, rate(20)).await;
    planned(&store, broadcast("withdrawn", 0..1)).await;
    store.cancel_broadcast(TENANT, "withdrawn").await.unwrap();
    assert_eq!(states(&store, planned(&store, broadcast("instead", 0..1)).await).await, [Queued]);
    assert_eq!(states(&store, planned(&store, broadcast("too-many", 0..1)).await).await, [Skipped]);
    ledger.clock().advance_ms(7 * DAY_MS);
    assert_eq!(states(&store, planned(&store, broadcast("next-week", 0..1)).await).await, [Queued]);
    let kept = raw_texts(&ledger, "select cast(count(*) as text) from capped").await;
    assert_eq!(kept, ["1"], "what counts no more is forgotten");
}

async fn planners_at_once_keep_the_cap_together(ledger: TestLedger) {
    let (one, other) = (cap(ledger.store(), "1/7d"), cap(&another(&ledger).await, "1/7d"));
    sender(&one, rate(20)).await;
    for round in 0..5 {
        let people = round * 100..round * 100 + 100;
        let jobs = [
            enqueue(&one, broadcast(&format!("a-{round}"), people.clone())).await,
            enqueue(&one, broadcast(&format!("b-{round}"), people)).await,
        ];
        tokio::join!(plan_all(&one), plan_all(&other));
        let mut queued = 0;
        for job in jobs {
            queued += states(&one, job).await.iter().filter(|state| **state == Queued).count();
        }
        assert_eq!(queued, 100, "each of a hundred people gets one of the two");
    }
    assert_adds_up(&one).await;
}
