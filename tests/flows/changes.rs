//! What people preview, move and pause by the command line.

use kabar_tests::{Home, guests::phone, sandbox};
use serde_json::{Value, json};

async fn home() -> (Home, kabar_sandbox::Sandbox) {
    let sandbox = sandbox::start(|_| {}).await;
    let home = Home::new().on_sandbox(&sandbox);
    let bill = home.write(
        "bill.json",
        r#"{"name": "bill", "language": "id", "category": "UTILITY",
            "components": [{"type": "BODY", "text": "Halo {{1}}, jatuh tempo {{2}}."}]}"#,
    );
    let _ = home.kabar(&["template", "add", bill]).await.success();
    (home, sandbox)
}

/// A day so many days from now, in UTC.
fn in_days(days: i64) -> String {
    (chrono::Utc::now().date_naive() + chrono::Duration::days(days)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_is_previewed_moved_and_paid() {
    let (home, sandbox) = home().await;
    let (to, due, later) = (phone(0), in_days(10), in_days(20));
    let mut remind = vec!["remind", "--to", &to, "--template", "bill", "--language", "id", "--param", "Siti"];
    remind.extend(["--param", r#"{"date": "{due}"}"#, "--id", "invoice-1", "--due", &due]);
    remind.extend(["--before", "7d,1d", "--timezone", "Asia/Jakarta"]);
    let dry = home.kabar(&[&remind[..], &["--dry-run", "--json"]].concat()).await.success().json();
    let day: chrono::NaiveDate = due.parse().unwrap();
    let eve = day.pred_opt().unwrap();
    assert_eq!(dry["messages"].as_array().map(Vec::len), Some(2), "{dry}");
    assert_eq!(dry["messages"][1]["at"], format!("{eve}T09:00:00+07:00"));
    assert!(dry["text"].as_str().is_some_and(|text| text.starts_with("Halo Siti, jatuh tempo ")), "{dry}");
    assert!(
        home.kabar(&["reminder", "show", "invoice-1"]).await.code(1).stderr.contains("invoice-1"),
        "nothing is written"
    );

    let _ = home.kabar(&remind).await.success();
    let index = remind.iter().position(|word| *word == due).unwrap();
    remind[index] = &later;
    let refused = home.kabar(&remind).await.code(1);
    assert!(refused.stderr.contains(&format!("kabar reminder move invoice-1 --due {later}")), "{refused:?}");
    let fleet = home.fleet().await;
    kabar_tests::eventually(crate::support::WITHIN, async || {
        let shown = home.kabar(&["reminder", "show", "invoice-1", "--json"]).await.success().json();
        if shown["messages"].as_array().map(Vec::len) == Some(2) { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    let moved = home.kabar(&["reminder", "move", "invoice-1", "--due", &later, "--json"]).await.success().json();
    assert_eq!((&moved["taken_back"], &moved["preview"]["due"]), (&json!(2), &json!(later)), "{moved}");
    let shown = home.kabar(&["reminder", "show", "invoice-1", "--json"]).await.success().json();
    let states: Vec<(&Value, &Value)> =
        shown["messages"].as_array().unwrap().iter().map(|one| (&one["state"], &one["for_earlier_due_date"])).collect();
    let (cancelled, queued) = (json!("cancelled"), json!("queued"));
    assert_eq!(states.iter().filter(|one| **one == (&cancelled, &json!(true))).count(), 2, "{shown}");
    assert_eq!(states.iter().filter(|one| **one == (&queued, &json!(false))).count(), 2, "{shown}");
    let paid = home.kabar(&["reminder", "paid", "invoice-1"]).await.success();
    assert!(paid.stdout.contains("2 messages taken back"), "{paid:?}");
    let over = home.kabar(&["reminder", "move", "invoice-1", "--due", &due]).await.code(1);
    assert!(over.stderr.contains("cannot be moved"), "{over:?}");
    fleet.stop().await;
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_tells_its_next_ten_firings_and_rests() {
    let (home, sandbox) = home().await;
    let job = json!({"type": "send", "to": phone(0), "content": {"text": "Halo"}}).to_string();
    let job = home.write("job.json", &job);
    let mut add = vec!["schedule", "add", "--cron", "0 9 * * MON", "--timezone", "Asia/Jakarta", "--job", job];
    let wrong = home.kabar(&[&add[..], &["--missed", "all"]].concat()).await.code(2);
    assert!(wrong.stderr.contains("catch_up:N"), "{wrong:?}");
    add.extend(["--missed", "catch_up:3", "--json"]);
    let added = home.kabar(&add).await.success().json();
    let next = added["next"].as_array().unwrap();
    assert_eq!((next.len(), &added["missed"]), (10, &json!("catch_up:3")), "{added}");
    assert!(next.iter().all(|at| at.as_str().is_some_and(|at| at.ends_with("T09:00:00+07:00"))), "{added}");
    let _ = home.kabar(&["schedule", "pause", "1"]).await.success();
    let shown = home.kabar(&["schedule", "show", "1"]).await.success().stdout;
    assert!(shown.contains("paused") && shown.contains("would fire"), "{shown}");
    let resumed = home.kabar(&["schedule", "resume", "1", "--json"]).await.success().json();
    assert_eq!(&resumed["next"], &added["next"]);
    assert!(home.kabar(&["schedule", "pause", "2"]).await.code(1).stderr.contains("no schedule"));
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_tells_who_is_left_out_where_and_what_others_would_read() {
    let (home, sandbox) = home().await;
    let file = format!(
        "phone,name,due\n{},Siti,2026-12-12\n{},Budi,soon\n{},Ani,\n{},,2026-12-12\n",
        phone(0),
        phone(1),
        phone(2),
        phone(3)
    );
    let file = home.write("guests.csv", &file);
    let mut start = vec!["broadcast", "start", "--file", file, "--template", "bill", "--language", "id"];
    start.extend(["--param", "{name}", "--param", r#"{"date": "{due}"}"#, "--id", "b", "--dry-run"]);
    let expires = (chrono::Utc::now() + chrono::Duration::hours(1)).to_rfc3339();
    start.extend(["--expires", &expires, "--json"]);
    let preview = home.kabar(&start).await.success().json();
    let counts = ["audience", "to_send", "missing_parameter", "invalid_parameter"].map(|name| preview[name].as_u64());
    assert_eq!(counts, [Some(4), Some(1), Some(2), Some(1)], "{preview}");
    let left_out: Vec<_> = preview["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["row"], one["reason"].as_str().unwrap(), one["problem"].as_str().unwrap()))
        .collect();
    assert_eq!(
        left_out,
        [
            "3 invalid_parameter a value is not a date: write it as 2026-12-12",
            "4 missing_parameter no value for {due}",
            "5 missing_parameter no value for {name}",
        ]
    );
    assert_eq!(preview["examples"][0]["text"], "Halo Siti, jatuh tempo 12 Des 2026.", "{preview}");
    assert_eq!(preview["fits"], json!(true), "{preview}");
    start.pop();
    let told = home.kabar(&start).await.success();
    assert!(told.stdout.contains("unusable value") && told.stderr.contains("line 3: "), "{told:?}");
    sandbox.shutdown().await;
}
