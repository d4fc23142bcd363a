//! A file of people through the doors of the real program: uploaded over HTTP with its broadcast and planned, imported into a
//! group, and previewed; how long each takes and how much memory the gateway holds at most.
//!
//! `tests/run bench upload [PEOPLE]`, by default a million, on SQLite and on Postgres. Gateway and planner are a process of
//! their own.
#![expect(clippy::expect_used, reason = "a benchmark ends where it cannot go on")]

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use kabar_domain::scope::Scope;
use kabar_store::{DEFAULT_TENANT, NewApiKey, Place, Store, StoreOptions};
use kabar_tests::{Home, LedgerKind, TestLedger, Time, guests::phone, http};
use serde_json::json;

const PEOPLE: usize = 1_000_000;
const FILE: &str = "people.csv";
const TEMPLATE: [&str; 7] =
    ["--template=departure_reminder", "--language=id", "--param", "{name}", "--param", "{package}", "--json"];

/// No request here takes as long.
const WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() {
    let people = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(PEOPLE);
    println!("upload: a CSV file of {people} people; seconds, and the gateway's memory in MiB at its peak");
    println!(
        "{:>9} {:>9} {:>8} {:>7} {:>13} {:>7} {:>14} {:>14}",
        "ledger", "answered", "planned", "memory", "file preview", "import", "group preview", "memory by then"
    );
    let folder = tempfile::tempdir_in(".").expect("a folder can be made here");
    let path = folder.path().canonicalize().expect("the folder has a path").join("kabar.db");
    let store = Store::open(&StoreOptions::at(Place::File(path.clone()))).await.expect("the ledger opens");
    store.migrate().await.expect("the ledger can be migrated");
    measure("SQLite", Home::new().with("KABAR_DATABASE_URL", format!("sqlite://{}", path.display())), &store, people)
        .await;
    let ledger = TestLedger::open(LedgerKind::Postgres, Time::System).await;
    measure("Postgres", Home::new().on_ledger(&ledger), ledger.store(), people).await;
}

async fn measure(name: &str, home: Home, store: &Store, people: usize) {
    let home = home
        .with("WHATSAPP_PHONE_NUMBER_ID", "106540352242922")
        .with("WHATSAPP_ACCESS_TOKEN", "none")
        .with("KABAR_LOG", "warn");
    let csv = csv(people);
    home.write(FILE, &csv);
    let mut fleet = home.start(&["run", "--only", "gateway,planner"]);
    fleet.ready().await;
    let peak = || fleet.peak_memory() as f64 / f64::from(1 << 20);
    let authorization = format!("Bearer {}", key(store).await);
    let authorization = ("authorization", authorization.as_str());

    let began = Instant::now();
    let headers = [authorization, ("content-type", "multipart/form-data; boundary=x")];
    let upload = http::request_within(WITHIN, fleet.address(), "POST", "/v1/broadcasts", &headers, form_of(&csv));
    let answer = upload.await.expect("the gateway answers");
    assert_eq!(answer.status, 202, "{answer:?}");
    let answered = began.elapsed();
    while store.job_summary(DEFAULT_TENANT, "big", None).await.expect("it is there").1.state != "planned" {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let (planned, uploaded_peak) = (began.elapsed(), peak());

    let began = Instant::now();
    let preview = [&["broadcast", "start", "--file", FILE, "--dry-run"][..], &TEMPLATE].concat();
    let preview = home.kabar(&preview).await.success().json();
    assert_eq!(preview["to_send"], people, "{preview}");
    let file_preview = began.elapsed();

    let began = Instant::now();
    let _ = home.kabar(&["recipient", "import", FILE, "--group", "all"]).await.success();
    let imported = began.elapsed();

    let began = Instant::now();
    let job = json!({"type": "broadcast", "audience": {"group": "all"}, "content": content()});
    let headers = [authorization, ("content-type", "application/json")];
    let body = job.to_string();
    let asked = http::request_within(WITHIN, fleet.address(), "POST", "/v1/broadcasts:preview", &headers, body);
    let preview = asked.await.expect("the gateway answers").json();
    assert_eq!(preview["to_send"], people, "{preview}");
    let group_preview = began.elapsed();
    let [answered, planned, file_preview, imported, group_preview] =
        [answered, planned, file_preview, imported, group_preview].map(|time| time.as_secs_f64());
    println!(
        "{name:>9} {answered:>9.1} {planned:>8.1} {uploaded_peak:>7.1} {file_preview:>13.1} {imported:>7.1} \
         {group_preview:>14.1} {:>14.1}",
        peak()
    );
    fleet.stop().await;
}

async fn key(store: &Store) -> String {
    let new = NewApiKey {
        name: "bench".to_owned(),
        scopes: vec![Scope::Enqueue, Scope::Read],
        messages_per_minute: None,
        expires_at: None,
    };
    store.add_key(DEFAULT_TENANT, &new).await.expect("a key can be made").1.expose().to_owned()
}

fn csv(people: usize) -> String {
    let mut text = String::from("phone,name,package\n");
    for index in 0..people {
        writeln!(text, "{},Guest {index},Hemat", phone(index)).expect("a text can be added to");
    }
    text
}

fn content() -> serde_json::Value {
    json!({"template": {"name": "departure_reminder", "language": "id", "params": ["{name}", "{package}"]}})
}

/// A form of two parts: the broadcast, and the file of its people.
fn form_of(csv: &str) -> String {
    let job = json!({"id": "big", "content": content()});
    format!(
        "--x\r\ncontent-disposition: form-data; name=\"job\"\r\n\r\n{job}\r\n--x\r\ncontent-disposition: form-data; \
         name=\"file\"; filename=\"{FILE}\"\r\n\r\n{csv}\r\n--x--\r\n"
    )
}
