//! Who may do what, for whom, how much; and what is remembered of it.

use kabar_domain::{
    job::{Door, Job},
    schedule::Missed,
    scope::Scope,
    sender::Channel,
};
use kabar_store::{
    Actor, ApiKey, AuditEntry, Enqueued, KeyText, NewApiKey, NewDeadLetter, NewRecipient, NewSchedule, Store,
    StoreError, TenantId,
};
use kabar_tests::{TestLedger, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    a_key_proves_itself_until_it_ends,
    a_keys_name_is_never_used_again,
    the_use_of_a_key_is_noted_once_a_minute,
    tenants_have_keys_and_entries_of_their_own,
    changes_leave_an_entry_of_who_made_them,
    a_change_that_fails_leaves_no_entry,
    jobs_are_written_down_together_or_not_at_all,
    a_key_enqueues_as_many_messages_as_it_may,
    of_many_at_once_a_key_enqueues_no_more_than_it_may,
    of_many_at_once_the_tokens_of_a_subject_enqueue_no_more_than_they_may,
    a_subjects_limit_is_its_own_and_forgotten_once_nothing_is_spent,
);

fn new_key(name: &str) -> NewApiKey {
    NewApiKey {
        name: name.to_owned(),
        scopes: vec![Scope::Enqueue, Scope::Read],
        messages_per_minute: None,
        expires_at: None,
    }
}

async fn key(store: &Store, new: &NewApiKey) -> (ApiKey, KeyText) {
    store.add_key(TENANT, new).await.unwrap()
}

async fn entries(store: &Store) -> Vec<AuditEntry> {
    let mut entries = store.audit(TENANT, i64::MAX, 100).await.unwrap();
    entries.reverse();
    entries
}

async fn actions(store: &Store) -> Vec<(String, String)> {
    entries(store).await.into_iter().map(|entry| (entry.action, entry.subject)).collect()
}

async fn a_key_proves_itself_until_it_ends(ledger: TestLedger) {
    let store = ledger.store();
    let end = store.now_ms() + DAY_MS;
    let (made, text) = key(store, &NewApiKey { expires_at: Some(end), ..new_key("shop") }).await;
    let known = store.prove_key(text.expose()).await.unwrap().unwrap();
    assert_eq!((known.id, known.tenant, &known.scopes), (made.id, TENANT, &vec![Scope::Enqueue, Scope::Read]));
    assert!(text.expose().starts_with(&known.prefix) && known.prefix.len() < 20);
    let hashes = raw_texts(&ledger, "select hash from api_keys").await;
    assert!(hashes.iter().all(|hash| hash.len() == 64 && !hash.contains(text.expose())));
    for other in ["", "kabar_", &text.expose()[..40], "Bearer"] {
        assert_eq!(store.prove_key(other).await.unwrap(), None, "{other}");
    }
    ledger.clock().advance_ms(DAY_MS);
    assert_eq!(store.prove_key(text.expose()).await.unwrap(), None, "it has expired");

    let (_, text) = key(store, &new_key("other")).await;
    assert!(store.prove_key(text.expose()).await.unwrap().is_some());
    let revoked = store.revoke_key(TENANT, "other").await.unwrap();
    assert_eq!(revoked.revoked_at, Some(store.now_ms()));
    assert_eq!(store.prove_key(text.expose()).await.unwrap(), None, "it is revoked");
    ledger.clock().advance_ms(1);
    assert_eq!(store.revoke_key(TENANT, "other").await.unwrap(), revoked, "revoking again changes nothing");
    assert!(matches!(store.revoke_key(TENANT, "none").await, Err(StoreError::NotFound { .. })));
}

async fn a_keys_name_is_never_used_again(ledger: TestLedger) {
    let store = ledger.store();
    key(store, &new_key("shop")).await;
    store.revoke_key(TENANT, "shop").await.unwrap();
    assert!(matches!(store.add_key(TENANT, &new_key("shop")).await, Err(StoreError::Refused(_))));
    assert_eq!(store.keys(TENANT).await.unwrap().len(), 1);
}

async fn the_use_of_a_key_is_noted_once_a_minute(ledger: TestLedger) {
    let store = ledger.store();
    let (made, text) = key(store, &new_key("shop")).await;
    let first = store.now_ms();
    let used = async || {
        store.prove_key(text.expose()).await.unwrap();
        store.keys(TENANT).await.unwrap()[0].last_used_at
    };
    assert_eq!((made.last_used_at, used().await), (None, Some(first)));
    ledger.clock().advance_ms(MINUTE_MS - 1);
    assert_eq!(used().await, Some(first));
    ledger.clock().advance_ms(1);
    assert_eq!(used().await, Some(first + MINUTE_MS));
}

async fn tenants_have_keys_and_entries_of_their_own(ledger: TestLedger) {
    let store = ledger.store().acting_as(Actor::command_line("ops"));
    let acme = store.ensure_tenant("acme").await.unwrap();
    assert_eq!((acme, acme == TENANT), (store.ensure_tenant("acme").await.unwrap(), false));
    assert_eq!(store.tenant("acme").await.unwrap(), acme);
    let error = store.tenant("none").await.unwrap_err();
    assert!(error.to_string().contains("acme, default"), "{error}");
    let (_, text) = store.add_key(acme, &new_key("shop")).await.unwrap();
    key(&store, &new_key("shop")).await;
    assert_eq!(store.prove_key(text.expose()).await.unwrap().unwrap().tenant, acme);
    assert_eq!((store.keys(acme).await.unwrap().len(), entries(&store).await.len()), (1, 1));
    assert!(store.audit(TenantId(acme.0 + 1), i64::MAX, 10).await.unwrap().is_empty());
}

async fn changes_leave_an_entry_of_who_made_them(ledger: TestLedger) {
    let workers = ledger.store();
    let store = workers.acting_as(Actor::command_line("ops"));
    let sender = sender(&store, rate(20)).await;
    let (made, _) = key(&store, &new_key("shop")).await;
    let shop = workers.acting_as(Actor::key(&made));
    enqueue(&shop, broadcast("b", 0..3)).await;
    enqueue(&shop, broadcast("b", 0..3)).await;
    enqueue(&shop, send("s", 9)).await;
    plan_all(&shop).await;
    shop.pause_broadcast(TENANT, "b").await.unwrap();
    shop.resume_broadcast(TENANT, "b").await.unwrap();
    shop.cancel_broadcast(TENANT, "b").await.unwrap();
    shop.cancel_reminder(TENANT, "s", "paid").await.unwrap();
    store.block(TENANT, &phone(1), Channel::Whatsapp, "said so").await.unwrap();
    let person = store.recipient(TENANT, &phone(1)).await.unwrap().id.to_string();
    store.unblock(TENANT, &phone(1), Channel::Whatsapp).await.unwrap();
    store.pause_sender(TENANT, &sender.name, "x").await.unwrap();
    store.resume_sender(TENANT, &sender.name).await.unwrap();
    let utc = chrono_tz::UTC;
    let weekly = send("w", 1);
    let weekly = NewSchedule { cron: "0 9 * * *", timezone: utc, job: &weekly, missed: Missed::default() };
    let schedule = store.add_schedule(TENANT, &weekly, Door::default()).await.unwrap().id;
    for _ in 0..2 {
        store.pause_schedule(TENANT, schedule).await.unwrap();
    }
    store.resume_schedule(TENANT, schedule).await.unwrap();
    store.remove_schedule(TENANT, schedule).await.unwrap();
    store.remove_schedule(TENANT, schedule).await.unwrap();
    let letter = NewDeadLetter { line: "jobs", job_key: None, body: "x", reason: "not JSON" };
    let (one, two) = (store.bury(TENANT, letter).await.unwrap(), store.bury(TENANT, letter).await.unwrap());
    store.retry_dead_letter(TENANT, one, &job(send("late", 1))).await.unwrap();
    store.drop_dead_letters(TENANT, &[one, two]).await.unwrap();
    store.revoke_key(TENANT, "shop").await.unwrap();
    let schedule = schedule.to_string();
    let (one, two) = (one.to_string(), two.to_string());
    let expected = [
        ("cli:ops", "sender.add", "default"),
        ("cli:ops", "key.add", "shop"),
        ("key:shop", "job.enqueue", "b"),
        ("key:shop", "job.enqueue", "s"),
        ("key:shop", "broadcast.pause", "b"),
        ("key:shop", "broadcast.resume", "b"),
        ("key:shop", "broadcast.cancel", "b"),
        ("key:shop", "reminder.paid", "s"),
        ("cli:ops", "recipient.block", person.as_str()),
        ("cli:ops", "recipient.unblock", &person),
        ("cli:ops", "sender.pause", "default"),
        ("cli:ops", "sender.resume", "default"),
        ("cli:ops", "schedule.add", &schedule),
        ("cli:ops", "schedule.pause", &schedule),
        ("cli:ops", "schedule.resume", &schedule),
        ("cli:ops", "schedule.remove", &schedule),
        ("cli:ops", "job.enqueue", "late"),
        ("cli:ops", "dead.retry", &one),
        ("cli:ops", "dead.drop", &two),
        ("cli:ops", "key.revoke", "shop"),
    ];
    let entries = entries(workers).await;
    let told: Vec<_> =
        entries.iter().map(|one| (one.actor.as_str(), one.action.as_str(), one.subject.as_str())).collect();
    assert_eq!(told, expected);
    let page = workers.audit(TENANT, entries[2].id, 1).await.unwrap();
    assert_eq!(page[0], entries[1], "the newest before a cursor");
}

async fn a_change_that_fails_leaves_no_entry(ledger: TestLedger) {
    let store = ledger.store().acting_as(Actor::command_line("ops"));
    assert!(store.enqueue(TENANT, &job(send("a", 1))).await.is_err(), "there is no sender");
    assert!(store.pause_broadcast(TENANT, "none").await.is_err());
    assert_eq!(actions(&store).await, []);
}

async fn jobs_are_written_down_together_or_not_at_all(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let jobs = |ids: &[&str]| ids.iter().enumerate().map(|(to, id)| job(send(id, to as u64))).collect::<Vec<Job>>();
    let three = jobs(&["a", "b", "c"]);
    let enqueued = store.enqueue_all(TENANT, &three).await.unwrap();
    assert!(enqueued.iter().all(|one| matches!(one, Enqueued::New { .. })));
    let again = store.enqueue_all(TENANT, &three).await.unwrap();
    assert!(again.iter().zip(&enqueued).all(|(again, first)| *again == Enqueued::Same { job_id: first.job_id() }));
    // A known id with another body: nobody of these is taken.
    let refused = store.enqueue_all(TENANT, &jobs(&["d", "a", "b"])).await.unwrap_err();
    assert!(refused.index == Some(1) && matches!(refused.error, StoreError::DifferentJob(_)), "{refused}");
    assert_eq!(store.job_id(TENANT, "d").await.unwrap(), None);
    assert_eq!(plan_all(store).await, 3);
}

async fn a_key_enqueues_as_many_messages_as_it_may(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let (made, _) = key(store, &NewApiKey { messages_per_minute: Some(6), ..new_key("shop") }).await;
    let shop = store.acting_as(Actor::key(&made));
    enqueue(&shop, broadcast("five", 0..5)).await;
    enqueue(&shop, broadcast("five", 0..5)).await;
    enqueue(&shop, send("sixth", 1)).await;
    let wait = async |id: &str, count: u64| match shop.enqueue(TENANT, &job(broadcast(id, 0..count))).await {
        Err(StoreError::OverLimit { wait_ms, .. }) => Some(wait_ms),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    };
    assert_eq!((wait("more", 1).await, wait("more", 3).await), (Some(10_000), Some(30_000)));
    assert_eq!(store.job_id(TENANT, "more").await.unwrap(), None, "what is refused is not there");
    ledger.clock().advance_ms(10_000);
    assert_eq!(wait("more", 1).await, None);
    // The others are free.
    enqueue(store, broadcast("free", 0..9)).await;
    // Reminders count by their offsets, groups by their members.
    ledger.clock().advance_ms(MINUTE_MS);
    let member = |number| NewRecipient::new(phone(number));
    let members: Vec<NewRecipient> = (0..4).map(member).collect();
    store.import_recipients(TENANT, &members, Some("four")).await.unwrap();
    enqueue(&shop, with(broadcast("group", 0..0), json!({"audience": {"group": "four"}}))).await;
    let reminder = json!({"type": "reminder", "id": "r", "to": phone(1), "due": "2026-12-31", "before": ["3d", "1d", "0d"],
        "content": {"text": "halo"}});
    let refused = shop.enqueue(TENANT, &job(reminder)).await.unwrap_err();
    assert!(matches!(refused, StoreError::OverLimit { per_minute: 6, wait_ms: 10_000 }), "{refused}");
}

async fn of_many_at_once_a_key_enqueues_no_more_than_it_may(ledger: TestLedger) {
    sender(ledger.store(), rate(20)).await;
    let (made, _) = key(ledger.store(), &NewApiKey { messages_per_minute: Some(10), ..new_key("shop") }).await;
    assert_eq!(taken_of_many_at_once(&ledger, &Actor::key(&made)).await, 10);
}

async fn of_many_at_once_the_tokens_of_a_subject_enqueue_no_more_than_they_may(ledger: TestLedger) {
    sender(ledger.store(), rate(20)).await;
    assert_eq!(taken_of_many_at_once(&ledger, &Actor::token("shop-backend", Some(10))).await, 10);
}

/// How many of thirty jobs are taken that two processes enqueue at once for the same actor.
async fn taken_of_many_at_once(ledger: &TestLedger, actor: &Actor) -> u64 {
    let mut requests = Vec::new();
    for index in 0..30 {
        let shop = if index % 2 == 0 { ledger.store().clone() } else { another(ledger).await };
        let shop = shop.acting_as(actor.clone());
        requests.push(tokio::spawn(async move {
            match shop.enqueue(TENANT, &job(send(&format!("s-{index}"), index))).await {
                Ok(_) => true,
                Err(StoreError::OverLimit { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        }));
    }
    let mut taken = 0;
    for request in requests {
        taken += u64::from(request.await.unwrap());
    }
    assert_eq!(plan_all(ledger.store()).await, taken);
    taken
}

async fn a_subjects_limit_is_its_own_and_forgotten_once_nothing_is_spent(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    let acting = |subject: &str, most| store.acting_as(Actor::token(subject, most));
    let taken = async |store: &Store, id: &str| match store.enqueue(TENANT, &job(send(id, 1))).await {
        Ok(_) => true,
        Err(StoreError::OverLimit { per_minute: 1, wait_ms: 60_000 }) => false,
        Err(error) => panic!("{error}"),
    };
    let (shop, other, free) = (acting("shop", Some(1)), acting("siti@example.com", Some(1)), acting("free", None));
    assert!(taken(&shop, "a").await && taken(&other, "b").await);
    assert!(!taken(&shop, "c").await && !taken(&other, "d").await);
    assert!(taken(&free, "e").await && taken(&free, "f").await);
    let subjects = async || raw_texts(&ledger, "select subject from allowances order by subject").await;
    assert_eq!(subjects().await, ["jwt:#3684a581ce82ee39", "jwt:shop"], "nothing personal is kept");
    assert_eq!(store.forget_allowances(10).await.unwrap(), 0);
    ledger.clock().advance_ms(MINUTE_MS);
    assert_eq!((store.forget_allowances(1).await.unwrap(), store.forget_allowances(10).await.unwrap()), (1, 1));
    assert!(taken(&shop, "c").await && subjects().await.len() == 1);
}
