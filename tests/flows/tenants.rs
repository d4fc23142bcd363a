//! Several tenants on one ledger, by the command line: each has its own senders, people and jobs, and none meets another's.

use std::time::Duration;

use kabar_sandbox::{Sandbox, WebhookTarget};
use kabar_tests::{
    Finished, Home, eventually,
    guests::{csv, phone},
    http, sandbox,
};
use serde_json::{Value, json};

use crate::support::WITHIN;

/// The number of acme's sender, beside the one of `default`.
const ACME_NUMBER: &str = "106540352242923";

/// What signs the webhooks of acme's sender alone.
const ACME_SECRET: &str = "acme-app-secret";

/// A provider that knows the numbers of both.
async fn provider() -> Sandbox {
    sandbox::start(|config| config.phone_number_ids.push(ACME_NUMBER.to_owned())).await
}

/// A home in which `default` has the sender of the environment and `acme` one of its own, both named `default`.
async fn two_tenants(sandbox: &Sandbox) -> Home {
    let home = Home::new().on_sandbox(sandbox).with("KABAR_PACE_DEFAULT_RATE", "100");
    let _ = home.kabar(&["tenant", "add", "acme"]).await.success();
    let _ = add_sender_of_acme(&home, ACME_NUMBER).await.success();
    home
}

async fn add_sender_of_acme(home: &Home, number: &str) -> Finished {
    home.write("token.txt", sandbox::ACCESS_TOKEN);
    home.write("secret.txt", ACME_SECRET);
    let files = ["--access-token-file=token.txt", "--app-secret-file=secret.txt"];
    let add = ["sender", "add", "default", "--provider=whatsapp_cloud", "--phone-number-id", number];
    as_acme(home, &[&add[..], &files].concat()).await
}

async fn as_acme(home: &Home, arguments: &[&str]) -> Finished {
    home.kabar(&[arguments, &["--tenant", "acme"]].concat()).await
}

async fn shown(home: &Home, arguments: &[&str]) -> Value {
    home.kabar(&[arguments, &["--json"]].concat()).await.success().json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_added_first_and_one_that_is_unknown_is_told() {
    let home = Home::new();
    for command in
        [&["status"][..], &["key", "add", "shop", "--scope=read"], &["send", "--to=+6281200000001", "--text=x"]]
    {
        let refused = as_acme(&home, command).await.code(1);
        assert!(refused.stderr.contains("\"acme\"") && refused.stderr.contains("`kabar tenant add`"), "{refused:?}");
        assert_eq!(refused.stderr.trim().lines().count(), 1, "{refused:?}");
    }
    let refused = home.kabar(&["run", "--tenant", "acme"]).await.code(2);
    assert!(refused.stderr.contains("for all tenants"), "{refused:?}");
    assert_eq!(home.kabar(&["tenant", "add", "no such name"]).await.code, Some(2));
    for _ in 0..2 {
        let _ = home.kabar(&["tenant", "add", "acme"]).await.success();
    }
    let tenants = shown(&home, &["tenant", "list"]).await;
    assert_eq!((&tenants[0]["name"], &tenants[1]["name"]), (&json!("acme"), &json!("default")), "{tenants}");
    let audit = as_acme(&home, &["audit", "--json"]).await.success().json();
    assert_eq!(audit.as_array().map(Vec::len), Some(1), "it is added once: {audit}");
    assert_eq!(audit[0]["action"], "tenant.add", "{audit}");

    let home = home.with("KABAR_TENANT", "acme");
    let refused = home.kabar(&["send", "--to=+6281200000001", "--text=x"]).await.code(1);
    assert!(refused.stderr.contains("sender"), "the variable names the tenant: {refused:?}");
    let home = home.with("KABAR_TENANT", "later");
    assert_eq!(home.kabar(&["status"]).await.code, Some(1));
    let _ = home.kabar(&["tenant", "add", "later"]).await.success();
    let _ = home.kabar(&["status"]).await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_has_one_tenant() {
    let sandbox = provider().await;
    let home = two_tenants(&sandbox).await;
    let ours = sandbox::PHONE_NUMBER_ID;
    for refused in [
        add_sender_of_acme(&home, ours).await.code(1),
        as_acme(&home, &["sender", "set", "default", "--phone-number-id", ours]).await.code(1),
    ] {
        assert!(refused.stderr.contains("of the tenant default already"), "{refused:?}");
    }
    let list = as_acme(&home, &["sender", "list", "--json"]).await.success().json();
    assert_eq!((list[0]["phone_number_id"].as_str(), list[1].is_null()), (Some(ACME_NUMBER), true), "{list}");
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_meets_what_is_another_tenants() {
    let sandbox = provider().await;
    let home = two_tenants(&sandbox).await;
    home.write("guests.csv", &csv(3));
    home.write("job.json", &json!({"type": "send", "to": phone(0), "content": {"text": {"body": "Halo"}}}).to_string());
    home.write(
        "template.json",
        &json!({"name": "promo", "language": "id", "category": "MARKETING", "status": "APPROVED",
            "components": [{"type": "BODY", "text": "Halo"}]})
        .to_string(),
    );
    let template = ["--template", "promo", "--language", "id"];
    for ours in [
        &["template", "add", "template.json"][..],
        &["recipient", "import", "guests.csv", "--group", "guests"],
        &["send", "--to", &phone(0), "--text", "Halo", "--id", "one"],
        &[&["broadcast", "start", "--group", "guests", "--id", "all"], &template[..]].concat(),
        &[&["remind", "--to", &phone(0), "--due", "2099-12-12", "--id", "due"], &template[..]].concat(),
        &["schedule", "add", "--cron", "@daily", "--job", "job.json"],
        &["key", "add", "shop", "--scope", "read"],
    ] {
        let _ = home.kabar(ours).await.success();
    }
    for empty in [
        &["template", "list"][..],
        &["recipient", "list"],
        &["group", "list"],
        &["broadcast", "list"],
        &["reminder", "list"],
        &["schedule", "list"],
        &["message", "list"],
        &["dead", "list"],
        &["key", "list"],
    ] {
        let ours = shown(&home, empty).await;
        let theirs = as_acme(&home, &[empty, &["--json"]].concat()).await.success().json();
        assert_eq!(theirs, json!([]), "{empty:?}");
        let planned_later = ["message", "dead"].contains(&empty[0]);
        assert!(planned_later || ours != json!([]), "{empty:?} has something of ours: {ours}");
    }
    for refused in [
        &["template", "show", "promo"][..],
        &["recipient", "show", &phone(0)],
        &["group", "show", "guests"],
        &["group", "remove", "guests", &phone(0)],
        &["broadcast", "show", "all"],
        &["broadcast", "pause", "all"],
        &["broadcast", "cancel", "all"],
        &["broadcast", "export", "all"],
        &["broadcast", "retry", "all"],
        &[&["broadcast", "start", "--group", "guests", "--id", "theirs"], &template[..]].concat(),
        &["reminder", "show", "due"],
        &["reminder", "move", "due", "--due", "2099-12-13"],
        &["reminder", "paid", "due"],
        &["schedule", "show", "1"],
        &["schedule", "pause", "1"],
        &["schedule", "remove", "1"],
        &["message", "show", "one"],
        &["message", "list", "--job", "one"],
        &["message", "resolve", "one", "--sent"],
        &["dead", "show", "1"],
        &["key", "revoke", "shop"],
    ] {
        let _ = as_acme(&home, refused).await.code(1);
    }
    let theirs = as_acme(&home, &["status", "--json"]).await.success().json();
    assert!(theirs["messages"].as_object().is_some_and(|counts| counts.values().all(|count| *count == 0)), "{theirs}");
    assert_eq!(shown(&home, &["broadcast", "show", "all"]).await["state"], "planning");
    assert_eq!(shown(&home, &["schedule", "show", "1"]).await["state"], "active");
    assert_eq!(shown(&home, &["key", "list"]).await[0]["state"], "valid");
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_send_side_by_side_with_senders_people_and_ids_of_the_same_names() {
    let sandbox = provider().await;
    let home = two_tenants(&sandbox).await;
    let fleet = home.fleet().await;
    // Receipts are signed by the secret of acme's sender, which is no secret of the deployment.
    sandbox.set_webhook(Some(WebhookTarget {
        url: format!("http://{}/webhooks/whatsapp", fleet.address()),
        app_secret: ACME_SECRET.to_owned(),
        delay: Duration::from_millis(20),
        read_share: 1.0,
    }));
    let _ = home.kabar(&["recipient", "block", &phone(0)]).await.success();
    let _ = home.kabar(&["send", "--to", &phone(1), "--text", "Halo", "--id", "one"]).await.success();
    let sent = as_acme(&home, &["send", "--to", &phone(0), "--text", "Halo", "--id", "one", "--wait"]).await.success();
    assert!(sent.stdout.contains("one"), "our block is not theirs: {sent:?}");
    eventually(WITHIN, async || {
        let theirs = as_acme(&home, &["message", "show", "one", "--json"]).await.success().json();
        assert_eq!(theirs["phone"], phone(0), "each has a message of that id");
        if theirs["state"] == "read" { Ok(()) } else { Err(theirs["state"].to_string()) }
    })
    .await;
    let ours = shown(&home, &["message", "show", "one"]).await;
    assert_eq!(ours["phone"], phone(1), "to somebody else: {ours}");

    let key = shown(&home, &["key", "add", "theirs", "--scope=read", "--tenant=acme"]).await;
    let authorization = format!("Bearer {}", key["key"].as_str().unwrap_or_default());
    let headers = [("authorization", authorization.as_str())];
    let answer = http::request(fleet.address(), "GET", "/v1/messages/one", &headers, "").await.expect("it answers");
    assert_eq!(answer.json()["phone"], phone(0), "the key is acme's: {answer:?}");

    let doctor = home.kabar(&["doctor"]).await.stdout;
    assert!(doctor.contains("receipts of default of acme: the latest came at"), "{doctor}");
    fleet.stop().await;
    sandbox.shutdown().await;
}
