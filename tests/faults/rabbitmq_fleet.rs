//! The real program with its ledger in a file and its queue on RabbitMQ: lost tickets cost nothing but time, and whatever
//! other services publish becomes a job, once, or a dead letter.

use std::{collections::BTreeMap, time::Duration};

use kabar_sandbox::Sandbox;
use kabar_tests::{
    Home, PrivateBroker, eventually,
    guests::{accepted, assert_each_accepted_once, csv, digits, phone},
    rabbitmq::publish_jobs,
    sandbox,
};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);
const GUESTS: usize = 200;

fn home(sandbox: &Sandbox, broker: &PrivateBroker) -> Home {
    Home::new()
        .on_sandbox(sandbox)
        .with("KABAR_QUEUE_URL", broker.url())
        .with("KABAR_PACE_DEFAULT_RATE", "50")
        .with("KABAR_LOG", "debug")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn a_broadcast_whose_tickets_are_lost_is_sent_once_to_everybody() {
    let broker = PrivateBroker::start().await;
    let sandbox = sandbox::start(|_| {}).await;
    let home = home(&sandbox, &broker);
    home.write("guests.csv", &csv(GUESTS));
    let fleet = home.fleet().await;
    sandbox::report_to(&sandbox, fleet.address());
    let start = ["broadcast", "start", "--file", "guests.csv", "--template", "news", "--language", "id", "--id=dep-1"];
    assert!(home.kabar(&start).await.success().stdout.contains("dep-1"));
    for part in [GUESTS / 5, GUESTS / 2] {
        eventually(WITHIN, async || sandbox.counters().accepted as usize >= part).await;
        broker.control(&["purge_queue", "kabar.batches"]).await;
    }
    eventually(WITHIN, async || {
        let shown = home.kabar(&["broadcast", "show", "dep-1", "--json"]).await.success().json();
        if shown["state"] == "completed" { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    assert_each_accepted_once(&sandbox.arrivals(), GUESTS);
    sandbox::assert_pace(&sandbox, 50);

    let found = home.kabar(&["doctor", "--json"]).await.json();
    let queue = found.as_array().unwrap().iter().find(|check| check["what"] == "queue").cloned().unwrap();
    assert_eq!(queue["verdict"], "ok", "{queue}");
    assert!(!fleet.log().contains(broker.password()), "the log shows the password");
    fleet.stop().await;
    assert_eq!(broker.control(&["list_connections", "name"]).await.trim(), "", "connections that were left open");
    let wrong = home.with("KABAR_QUEUE_URL", broker.url().replace(broker.password(), "sesame"));
    let doctor = wrong.kabar(&["doctor"]).await.code(1);
    assert!(doctor.stdout.contains("✗ queue") && doctor.stdout.contains("KABAR_QUEUE_URL"), "{doctor:?}");
    assert!(doctor.stdout.contains("Login was refused"), "{doctor:?}");
    assert!(!doctor.stdout.contains("sesame") && !doctor.stderr.contains("sesame"), "{doctor:?}");
}

/// A job that sends a text to the guest with this index.
fn job(id: Option<&str>, index: usize) -> Value {
    let mut job = json!({"type": "send", "to": phone(index), "content": {"text": {"body": "Halo"}}});
    if let Some(id) = id {
        job["id"] = json!(id);
    }
    job
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn what_other_services_publish_becomes_a_job_once_or_a_dead_letter() {
    let broker = PrivateBroker::start().await;
    let sandbox = sandbox::start(|_| {}).await;
    let home = home(&sandbox, &broker);
    let fleet = home.fleet().await;
    sandbox::report_to(&sandbox, fleet.address());
    let text = |job: Value| job.to_string().into_bytes();
    let good = text(job(Some("invoice-1"), 1));
    let nameless = text(job(None, 2));
    let jobs: [(&[u8], Option<&str>); 10] = [
        (&good, None),
        (&good, None),
        (&nameless, Some("message-2")),
        (&nameless, Some("message-2")),
        // With neither, sending it again could not be told from sending it twice.
        (&nameless, None),
        (b"{", Some("message-3")),
        (b"\xff\xfe not in UTF-8", Some("message-4")),
        (b"", None),
        // Another body under the id of the first.
        (&text(job(Some("invoice-1"), 3)), None),
        (&text(job(Some("invoice-4"), 4)), Some("message-5")),
    ];
    publish_jobs(&broker.url(), "kabar", &jobs).await;
    eventually(WITHIN, async || accepted(&sandbox.arrivals()).len() >= 3).await;
    let dead = eventually(WITHIN, async || {
        let dead = home.kabar(&["dead", "list", "--json"]).await.success().json();
        let dead = dead.as_array().cloned().unwrap_or_default();
        if dead.len() >= 5 { Ok(dead) } else { Err(format!("{dead:?}")) }
    })
    .await;
    assert_eq!(dead.len(), 5, "{dead:?}");
    assert!(dead.iter().all(|letter| letter["line"] == "jobs" && letter["reason"] != ""), "{dead:?}");
    let bodies: Vec<&str> = dead.iter().filter_map(|letter| letter["body"].as_str()).collect();
    for body in ["{", "\u{fffd}\u{fffd} not in UTF-8", ""] {
        assert!(bodies.contains(&body), "no {body:?} in {bodies:?}");
    }
    eventually(WITHIN, async || {
        let status = home.kabar(&["status", "--json"]).await.success().json();
        let done = ["delivered", "read"].iter().filter_map(|state| status["messages"][*state].as_u64()).sum::<u64>();
        if done == 3 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(accepted(&sandbox.arrivals()), BTreeMap::from([(digits(1), 1), (digits(2), 1), (digits(4), 1)]));
    eventually(WITHIN, async || {
        let queues = broker.control(&["list_queues", "name", "messages"]).await;
        if queues.contains("kabar.jobs\t0") { Ok(()) } else { Err(queues) }
    })
    .await;
    assert!(!fleet.log().contains("not in UTF-8"), "the log shows a body");
    fleet.stop().await;
}
