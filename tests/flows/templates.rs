//! Templates as their provider lists them, and values that are written in their language.

use kabar_sandbox::{Faults, Sandbox};
use kabar_tests::{Home, eventually, guests::phone, http, sandbox};
use serde_json::{Value, json};

use crate::support::WITHIN;

/// The sandbox's business account.
const ACCOUNT: &str = "100000000000001";

/// More than fit on one page.
const TEMPLATES: usize = 130;

/// Adds a template at the provider.
async fn register(sandbox: &Sandbox, template: Value) {
    let address = sandbox.base_url().trim_start_matches("http://").to_owned();
    let authorization = format!("Bearer {}", sandbox::ACCESS_TOKEN);
    let path = format!("/v26.0/{ACCOUNT}/message_templates");
    let answer = http::post(&address, &path, &[("authorization", &authorization)], &template).await;
    assert_eq!(answer.expect("the sandbox answers").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_taken_over_checked_and_written_in_their_language() {
    let sandbox = sandbox::start(|_| {}).await;
    let body = |text: &str| json!([{"type": "BODY", "text": text, "example": {"body_text": [["Siti", "Rp 1"]]}}]);
    for number in 1..TEMPLATES {
        let status = if number == 1 { "PAUSED" } else { "APPROVED" };
        let template = json!({"name": format!("t_{number}"), "language": "id", "category": "UTILITY", "status": status,
            "components": body("Halo")});
        register(&sandbox, template).await;
    }
    let bill =
        json!({"name": "bill", "language": "id", "category": "UTILITY", "components": body("Halo {{1}}: {{2}}")});
    register(&sandbox, bill).await;

    let home = Home::new().on_sandbox(&sandbox);
    let nowhere = home.kabar(&["template", "sync"]).await.code(1);
    assert!(nowhere.stderr.contains("--account-id"), "{nowhere:?}");
    let _ = home.kabar(&["sender", "set", "default", "--account-id", ACCOUNT]).await.success();
    let synced = home.kabar(&["template", "sync", "--json"]).await.success().json();
    assert_eq!((&synced["listed"], synced["added"].as_array().map(Vec::len)), (&json!(TEMPLATES), Some(TEMPLATES)));
    let again = home.kabar(&["template", "sync"]).await.success().stdout;
    assert_eq!(again.trim(), format!("{TEMPLATES} templates listed by the account {ACCOUNT}"));
    let shown = home.kabar(&["template", "show", "bill"]).await.success().stdout;
    assert!(shown.contains("param 2") && shown.contains("text, such as Rp 1"), "{shown}");

    let to = phone(0);
    let send = async |template: &str, params: &[&str]| {
        let params = params.iter().flat_map(|param| ["--param", param]);
        let arguments = ["send", "--to", &to, "--template", template, "--language", "id"].into_iter().chain(params);
        home.kabar(&arguments.collect::<Vec<_>>()).await
    };
    let money = r#"{"money": {"amount": "2500000", "currency": "IDR"}}"#;
    let few = send("bill", &["Siti"]).await.code(1);
    assert!(few.stderr.contains("needs parameter \"2\""), "{few:?}");
    let paused = send("t_1", &[]).await.code(1);
    assert!(paused.stderr.contains("PAUSED"), "{paused:?}");
    let wrong = send("bill", &["Siti", r#"{"date": "12 Des 2026"}"#]).await.code(1);
    assert!(wrong.stderr.contains("content.template.params[1]: is not a date"), "{wrong:?}");
    let _ = send("bill", &["Siti", money]).await.success();
    let fleet = home.fleet().await;
    let sent = eventually(WITHIN, async || {
        let body = sandbox.arrivals().into_iter().find_map(|arrival| arrival.body);
        body.ok_or_else(|| "nothing arrived".to_owned())
    })
    .await;
    assert_eq!(sent["template"]["components"][0]["parameters"][1]["text"], "Rp 2.500.000", "{sent}");
    fleet.stop().await;
    sandbox.shutdown().await;
}

fn halo(name: &str) -> Value {
    json!({"name": name, "language": "id", "category": "UTILITY", "components": [{"type": "BODY", "text": "Halo"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_takes_them_over_by_itself_where_the_settings_say_so() {
    let sandbox = sandbox::start(|_| {}).await;
    register(&sandbox, halo("bill")).await;
    let home = Home::new().on_sandbox(&sandbox).with("KABAR_TEMPLATES_SYNC_EVERY", "1m");
    let _ = home.kabar(&["sender", "set", "default", "--account-id", ACCOUNT]).await.success();
    let fleet = home.fleet().await;
    eventually(WITHIN, async || {
        let known = home.kabar(&["template", "list", "--json"]).await.success().json();
        if known[0]["account"] == ACCOUNT { Ok(()) } else { Err(known.to_string()) }
    })
    .await;
    fleet.stop().await;
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_leaves_a_list_before_the_accounts_calls_are_used_up() {
    let sandbox = sandbox::start(|_| {}).await;
    for number in 0..TEMPLATES {
        register(&sandbox, halo(&format!("t_{number}"))).await;
    }
    // The first page is all that there is.
    sandbox.set_faults(Faults { account_calls_per_hour: Some(1), ..Faults::default() });
    let home = Home::new().on_sandbox(&sandbox).with("KABAR_TEMPLATES_SYNC_EVERY", "1m");
    let _ = home.kabar(&["sender", "set", "default", "--account-id", ACCOUNT]).await.success();
    let fleet = home.fleet().await;
    eventually(WITHIN, async || {
        let log = fleet.log();
        if log.contains("100 % of the calls of this hour are used up") { Ok(()) } else { Err(log) }
    })
    .await;
    fleet.stop().await;
    sandbox.shutdown().await;
}
