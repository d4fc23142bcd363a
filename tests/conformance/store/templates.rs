//! Templates as the ledger knows them.

use kabar_domain::template::Template;
use kabar_store::StoreError;
use kabar_tests::{TestLedger, ledger::START_MS, on_both_ledgers};
use serde_json::json;

use super::fixtures::*;

on_both_ledgers!(a_template_takes_the_place_of_the_one_before, an_unknown_template_is_no_error_to_look_for);

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
    assert_eq!(store.find_template(TENANT, "departure", "en").await.unwrap().as_ref(), Some(&all[0]));
}

async fn an_unknown_template_is_no_error_to_look_for(ledger: TestLedger) {
    let store = ledger.store();
    assert_eq!(store.find_template(TENANT, "departure", "id").await.unwrap(), None);
    assert!(matches!(store.template(TENANT, "departure").await, Err(StoreError::NotFound { .. })));
}
