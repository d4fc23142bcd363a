//! Who messages come from.

use kabar_domain::{
    outcome::{Decision, Scope},
    pace::Rate,
    sender::{ProviderKind, SenderState},
};
use kabar_store::{NewSender, SenderChange, StoreError};
use kabar_tests::{TestLedger, on_both_ledgers};

use super::fixtures::*;

on_both_ledgers!(
    a_sender_is_added_once,
    senders_are_found_by_name_id_and_address,
    an_unknown_sender_is_an_error_that_names_the_known,
    a_change_leaves_the_rest,
    senders_with_one_token_share_limits_also_after_a_change,
    the_environments_sender_is_brought_up_to_date,
    a_new_rate_forgets_the_cut_of_the_old,
    a_paused_sender_says_why,
);

async fn a_sender_is_added_once(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    let new = NewSender { app_secret: Some("hush".to_owned()), ..new_sender("default", Rate::Unlimited) };
    let (first, second) = tokio::join!(one.add_sender(TENANT, &new), other.add_sender(TENANT, &new));
    let (added, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    assert!(matches!(refused.unwrap_err(), StoreError::Refused(text) if text.contains("kabar sender set")));
    let added = added.unwrap();
    assert_eq!((added.token(), added.app_secret()), ("token-default", Some("hush")));
    assert_eq!((added.rate, added.state, added.receipts_through), (Rate::Unlimited, SenderState::Active, 0));
    assert!(!format!("{added:?}").contains("hush"));
}

async fn senders_are_found_by_name_id_and_address(ledger: TestLedger) {
    let store = ledger.store();
    for name in ["umroh", "billing"] {
        store.add_sender(TENANT, &new_sender(name, rate(20))).await.unwrap();
    }
    let all = store.senders(TENANT).await.unwrap();
    assert_eq!(all.iter().map(|sender| sender.name.as_str()).collect::<Vec<_>>(), ["billing", "umroh"]);
    assert_eq!(store.sender(TENANT, "umroh").await.unwrap().id, all[1].id);
    assert_eq!(store.sender_by_id(all[1].id).await.unwrap().name, "umroh");
    let at = store.senders_by_address(ProviderKind::WhatsappCloud, "address-umroh").await.unwrap();
    assert_eq!(at.iter().map(|sender| sender.id).collect::<Vec<_>>(), [all[1].id]);
    assert!(store.senders_by_address(ProviderKind::WhatsappCloud, "elsewhere").await.unwrap().is_empty());
}

async fn an_unknown_sender_is_an_error_that_names_the_known(ledger: TestLedger) {
    let store = ledger.store();
    assert!(store.sender(TENANT, "x").await.unwrap_err().to_string().contains("kabar sender add"));
    sender(store, rate(20)).await;
    assert!(store.sender(TENANT, "x").await.unwrap_err().to_string().contains("\"default\""));
    assert!(store.pause_sender(TENANT, "x", "by hand").await.is_err());
    assert!(store.resume_sender(TENANT, "x").await.is_err());
    assert!(store.change_sender(TENANT, "x", &SenderChange::default()).await.is_err());
    assert!(matches!(store.sender_by_id(99).await, Err(StoreError::NotFound { .. })));
}

async fn a_change_leaves_the_rest(ledger: TestLedger) {
    let store = ledger.store();
    let before = sender(store, rate(20)).await;
    let change = SenderChange { address: Some("moved".to_owned()), ..SenderChange::default() };
    let after = store.change_sender(TENANT, "default", &change).await.unwrap();
    assert_eq!((after.address.as_str(), after.token(), after.rate), ("moved", before.token(), before.rate));
    assert_eq!((after.account, after.app, after.api_base), (before.account, before.app, before.api_base));
}

async fn senders_with_one_token_share_limits_also_after_a_change(ledger: TestLedger) {
    let store = ledger.store();
    let with_token = |name: &str| NewSender { access_token: "T".to_owned(), ..new_sender(name, rate(20)) };
    for name in ["a", "b"] {
        store.add_sender(TENANT, &with_token(name)).await.unwrap();
        let change = SenderChange { access_token: Some("U".to_owned()), ..SenderChange::default() };
        store.change_sender(TENANT, name, &change).await.unwrap();
    }
    let (a, b) = (store.sender(TENANT, "a").await.unwrap(), store.sender(TENANT, "b").await.unwrap());
    assert_eq!((a.token(), &a.account, &a.app), ("U", &b.account, &b.app));
    let fresh = store.add_sender(TENANT, &with_token("c")).await.unwrap();
    assert_ne!(fresh.account, a.account);
}

async fn the_environments_sender_is_brought_up_to_date(ledger: TestLedger) {
    let (one, other) = (ledger.store().clone(), another(&ledger).await);
    let new = new_sender("default", rate(20));
    let (first, second) = tokio::join!(one.ensure_sender(TENANT, &new), other.ensure_sender(TENANT, &new));
    let id = first.unwrap().id;
    assert_eq!(second.unwrap().id, id);
    one.pause_sender(TENANT, "default", "by hand").await.unwrap();
    let renewed = NewSender { access_token: "renewed".to_owned(), rate: rate(80), ..new };
    let after = one.ensure_sender(TENANT, &renewed).await.unwrap();
    assert_eq!((after.id, after.token(), after.rate, after.state), (id, "renewed", rate(20), SenderState::Paused));
}

async fn a_new_rate_forgets_the_cut_of_the_old(ledger: TestLedger) {
    let (sender, courier, sending) = one_sending(&ledger).await;
    let store = ledger.store();
    courier.settle(&sending, outcome(Decision::Throttled, Scope::Sender)).await;
    let rate_milli = async || store.pace(sender.id).await.unwrap().unwrap().rate_milli;
    assert_eq!(rate_milli().await, Some(10_000));
    let change = |rate| SenderChange { rate: Some(rate), ..SenderChange::default() };
    store.change_sender(TENANT, "default", &change(rate(80))).await.unwrap();
    assert_eq!(rate_milli().await, Some(80_000));
    store.change_sender(TENANT, "default", &change(Rate::Unlimited)).await.unwrap();
    assert_eq!(rate_milli().await, None);
}

async fn a_paused_sender_says_why(ledger: TestLedger) {
    let store = ledger.store();
    sender(store, rate(20)).await;
    store.pause_sender(TENANT, "default", "by hand").await.unwrap();
    let paused = store.sender(TENANT, "default").await.unwrap();
    assert_eq!((paused.state, paused.state_reason.as_deref()), (SenderState::Paused, Some("by hand")));
    store.resume_sender(TENANT, "default").await.unwrap();
    let active = store.sender(TENANT, "default").await.unwrap();
    assert_eq!((active.state, active.state_reason), (SenderState::Active, None));
}
