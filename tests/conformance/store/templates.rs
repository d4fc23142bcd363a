//! Templates as the ledger knows them.

use std::collections::BTreeSet;

use kabar_domain::{
    message::MessageState::{Queued, Skipped},
    outcome::{Decision, Scope},
    report::{Report, TemplateChange},
    template::Template,
};
use kabar_store::{Claimed, NewSender, Sender, StatusChange, StoreError};
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(
    a_template_takes_the_place_of_the_one_before,
    an_unknown_template_is_no_error_to_look_for,
    a_providers_list_tells_what_is_new_changed_and_gone,
    an_accounts_own_template_goes_before_one_for_all,
    a_change_of_one_account_leaves_the_others,
    an_account_is_synced_by_one_process_at_a_time,
    broadcasts_of_a_paused_template_wait_until_it_is_approved,
    a_template_that_was_disabled_fails_one_message_and_not_all,
);

fn template(language: &str, text: &str) -> Template {
    let components = json!([{"type": "BODY", "text": text}]);
    Template::parse(json!({"name": "departure", "language": language, "components": components})).unwrap()
}

async fn a_template_takes_the_place_of_the_one_before(ledger: TestLedger) {
    let store = ledger.store();
    store.put_template(TENANT, &template("id", "Halo")).await.unwrap();
    store.put_template(TENANT, &template("en", "Hello")).await.unwrap();
    ledger.clock().advance_ms(1);
    store.put_template(TENANT, &template("id", "Halo {{1}}")).await.unwrap();
    let all = store.templates(TENANT).await.unwrap();
    let languages: Vec<_> = all.iter().map(|one| one.template.language.as_str()).collect();
    assert_eq!(languages, ["en", "id"]);
    assert_eq!((all[1].template.clone(), all[1].updated_at), (template("id", "Halo {{1}}"), START_MS + 1));
    assert_eq!(store.template(TENANT, "departure").await.unwrap(), all);
    assert_eq!(store.find_template(TENANT, "", "departure", "en").await.unwrap().as_ref(), Some(&all[0]));
}

async fn an_unknown_template_is_no_error_to_look_for(ledger: TestLedger) {
    let store = ledger.store();
    assert_eq!(store.find_template(TENANT, "", "departure", "id").await.unwrap(), None);
    assert!(matches!(store.template(TENANT, "departure").await, Err(StoreError::NotFound { .. })));
}

fn with_status(language: &str, status: &str) -> Template {
    Template { status: status.to_owned(), ..template(language, "Halo") }
}

async fn a_providers_list_tells_what_is_new_changed_and_gone(ledger: TestLedger) {
    let store = ledger.store();
    let listed: Vec<Template> =
        (0..1_200).map(|number| Template { name: format!("t_{number}"), ..template("id", "Halo") }).collect();
    let synced = store.sync_templates(TENANT, "1", &listed).await.unwrap();
    assert_eq!((synced.listed, synced.added.len(), synced.changed.len(), synced.gone.len()), (1_200, 1_200, 0, 0));
    let again = store.sync_templates(TENANT, "1", &listed).await.unwrap();
    assert_eq!((again.added.len(), again.changed.len(), again.gone.len()), (0, 0, 0));
    let mut fewer = listed[..1_199].to_vec();
    fewer[0].status = "PAUSED".to_owned();
    let synced = store.sync_templates(TENANT, "1", &fewer).await.unwrap();
    let change = |name: &str, to: &str| StatusChange {
        name: name.to_owned(),
        language: "id".to_owned(),
        from: Some("APPROVED".to_owned()),
        to: to.to_owned(),
    };
    assert_eq!((synced.changed, synced.gone), (vec![change("t_0", "PAUSED")], vec![change("t_1199", "DELETED")]));
    assert!(store.sync_templates(TENANT, "1", &fewer).await.unwrap().gone.is_empty(), "gone once");
    let gone = store.find_template(TENANT, "1", "t_1199", "id").await.unwrap().unwrap();
    assert_eq!((gone.account.as_str(), gone.template.is_disabled()), ("1", true));
    let back = store.sync_templates(TENANT, "1", &listed).await.unwrap();
    assert_eq!((back.changed.len(), back.changed[1].from.as_deref()), (2, Some("DELETED")));
}

async fn an_accounts_own_template_goes_before_one_for_all(ledger: TestLedger) {
    let store = ledger.store();
    store.put_template(TENANT, &template("id", "Halo")).await.unwrap();
    for (name, account) in [("one", "1"), ("two", "2")] {
        let sender = NewSender { account: Some(account.to_owned()), ..new_sender(name, rate(20)) };
        store.add_sender(TENANT, &sender).await.unwrap();
    }
    store.sync_templates(TENANT, "1", &[with_status("id", "DISABLED")]).await.unwrap();
    let status =
        async |account| store.find_template(TENANT, account, "departure", "id").await.unwrap().unwrap().template.status;
    assert_eq!((status("1").await.as_str(), status("2").await.as_str()), ("DISABLED", "APPROVED"));
    for (sender, expected) in [("one", Skipped), ("two", Queued)] {
        let content = super::fixtures::template(json!([]));
        let job = with(send(sender, 0), json!({"sender": sender, "content": content}));
        let job_id = planned(store, job).await;
        assert_eq!(states(store, job_id).await, [expected], "{sender}");
    }
    assert_adds_up(store).await;
}

async fn a_change_of_one_account_leaves_the_others(ledger: TestLedger) {
    let store = ledger.store();
    for account in ["1", "2"] {
        let sender = NewSender { account: Some(account.to_owned()), ..new_sender(account, rate(20)) };
        store.add_sender(TENANT, &sender).await.unwrap();
        store.sync_templates(TENANT, account, &[template("id", "Halo"), template("en", "Hello")]).await.unwrap();
    }
    let change = TemplateChange {
        account: "1".to_owned(),
        name: "departure".to_owned(),
        language: "id".to_owned(),
        status: "PAUSED".to_owned(),
    };
    report(store, vec![Report::Template(change)]).await;
    let all = store.templates(TENANT).await.unwrap();
    let status: Vec<_> = all
        .iter()
        .map(|one| (one.account.as_str(), one.template.language.as_str(), one.template.status.as_str()))
        .collect();
    let expected = [("1", "en", "APPROVED"), ("2", "en", "APPROVED"), ("1", "id", "PAUSED"), ("2", "id", "APPROVED")];
    assert_eq!(status, expected);
}

async fn an_account_is_synced_by_one_process_at_a_time(ledger: TestLedger) {
    let (store, other) = (ledger.store(), another(&ledger).await);
    for name in ["a", "b"] {
        let sender = NewSender { account: Some("1".to_owned()), ..new_sender(name, rate(20)) };
        store.add_sender(TENANT, &sender).await.unwrap();
    }
    let due = store.template_syncs_due(START_MS, 10).await.unwrap();
    assert_eq!(due.iter().map(|due| (due.account.as_str(), due.synced_at)).collect::<Vec<_>>(), [("1", 0)]);
    let begun = (store.begin_template_sync(&due[0]).await.unwrap(), other.begin_template_sync(&due[0]).await.unwrap());
    assert_eq!(begun, (true, false));
    assert!(store.template_syncs_due(START_MS - 1, 10).await.unwrap().is_empty(), "until it is due again");
    assert_eq!(store.template_syncs_due(START_MS, 10).await.unwrap().len(), 1);
}

/// A sender of account `1`, and broadcasts to ten people each: one with the template, one with another.
async fn two_broadcasts(ledger: &TestLedger) -> (Sender, i64, i64) {
    let store = ledger.store();
    let sender = NewSender { account: Some("1".to_owned()), ..new_sender("default", rate(20)) };
    let sender = store.add_sender(TENANT, &sender).await.unwrap();
    let content = |name: &str| json!({"template": {"name": name, "language": "id"}});
    let one = planned(store, with(broadcast("one", 0..10), json!({"content": content("departure")}))).await;
    let other = planned(store, with(broadcast("other", 10..20), json!({"content": content("arrival")}))).await;
    (sender, one, other)
}

async fn broadcasts_of_a_paused_template_wait_until_it_is_approved(ledger: TestLedger) {
    let store = ledger.store();
    let (sender, one, other) = two_broadcasts(&ledger).await;
    let claimed_jobs = async || {
        let courier = Courier::of(store).await;
        let claimed = courier.claim(&sender).await;
        let jobs: BTreeSet<i64> = claimed.iter().map(|message| message.job_id).collect();
        courier.give_back(&claimed).await;
        jobs
    };
    let change = |status: &str| {
        Report::Template(TemplateChange {
            account: "1".to_owned(),
            name: "departure".to_owned(),
            language: "id".to_owned(),
            status: status.to_owned(),
        })
    };
    report(store, vec![change("PAUSED")]).await;
    assert_eq!(claimed_jobs().await, BTreeSet::from([other]));
    report(store, vec![change("APPROVED")]).await;
    assert_eq!(claimed_jobs().await, BTreeSet::from([one, other]));
    store.sync_templates(TENANT, "1", &[with_status("id", "DISABLED")]).await.unwrap();
    assert_eq!(claimed_jobs().await, BTreeSet::from([other]), "as a list tells it");
    store.sync_templates(TENANT, "1", &[with_status("id", "APPROVED")]).await.unwrap();
    assert_eq!(claimed_jobs().await, BTreeSet::from([one, other]));
}

async fn a_template_that_was_disabled_fails_one_message_and_not_all(ledger: TestLedger) {
    let store = ledger.store();
    let (sender, one, _) = two_broadcasts(&ledger).await;
    let courier = Courier::of(store).await;
    let claimed = courier.claim(&sender).await;
    let (met, rest): (Vec<Claimed>, Vec<Claimed>) = claimed.into_iter().partition(|message| message.job_id == one);
    courier.give_back(&rest).await;
    courier.give_back(&met[1..]).await;
    let attempt = courier.start(&sender, &met[..1]).await.remove(&met[0].id).unwrap();
    let sending = Sending { id: met[0].id, attempt };
    courier.settle(&sending, outcome(Decision::TemplateDisabled, Scope::Template)).await;
    let later = Courier::of(store).await.claim(&sender).await;
    assert!(!later.is_empty() && later.iter().all(|message| message.job_id != one));
    assert_adds_up(store).await;
}
