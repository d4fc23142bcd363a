//! What a collector of traces is told of the way of messages, through processes that hand nothing on to each other.

use std::{collections::BTreeSet, time::Duration};

use kabar_sandbox::Sandbox;
use kabar_tests::{
    Collector, Home, KabarProcess,
    collector::KeptSpan,
    eventually,
    guests::{digits, phone},
    http, sandbox,
};
use serde_json::Value;

use crate::support::{WITHIN, broadcast, send};

/// Where the caller says that they are.
const CALLER: (&str, &str) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");

/// Stopping must not wait for a collector for longer than this, with all that else ends.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

fn home(sandbox: &Sandbox) -> Home {
    Home::new().on_sandbox(sandbox).with("KABAR_PACE_DEFAULT_RATE", "100").with("KABAR_LOG", "info")
}

async fn key(home: &Home) -> String {
    home.kabar(&["key", "add", "shop", "--scope", "enqueue"]).await.success().stdout.trim().to_owned()
}

async fn enqueue(fleet: &KabarProcess, key: &str, job: &Value) {
    let traceparent = format!("00-{}-{}-01", CALLER.0, CALLER.1);
    let headers = [("authorization", &*format!("Bearer {key}")), ("traceparent", &*traceparent)];
    let answer = http::post(fleet.address(), "/v1/jobs", &headers, job).await.expect("the gateway answers");
    assert_eq!(answer.status, 202, "{answer:?}");
}

async fn metric(fleet: &KabarProcess, name: &str) -> f64 {
    let metrics = http::get(fleet.address(), "/metrics").await.expect("the gateway answers").body;
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn one<'s>(spans: &'s [KeptSpan], name: &str) -> &'s KeptSpan {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} among {spans:#?}");
    found[0]
}

/// Fails where `child` is not a part of `parent`, or begins before the job does.
#[track_caller]
fn assert_under(child: &KeptSpan, parent: &KeptSpan) {
    assert_eq!((&child.trace, &child.parent), (&parent.trace, &parent.id), "{child:#?} under {parent:#?}");
    assert!(child.start_ns <= child.end_ns, "{child:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_one_trace_from_its_door_to_its_receipts_through_two_processes() {
    let (collector, sandbox) = (Collector::start().await, sandbox::start(|_| {}).await);
    let home = home(&sandbox)
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .with("OTEL_SERVICE_NAME", "kabar-of-the-test");
    let (mut doors, mut senders) = (
        home.start(&["run", "--only", "gateway,intake,scheduler,planner,recorder"]),
        home.start(&["run", "--only", "gateway,dispatcher,courier,janitor"]),
    );
    doors.ready().await;
    senders.ready().await;
    sandbox::report_to(&sandbox, doors.address());
    enqueue(&doors, &key(&home).await, &send("invoice-7", &phone(1))).await;

    let spans = eventually(WITHIN, async || {
        let spans = collector.spans();
        let told = |name: &str| spans.iter().filter(|span| span.name == name).count();
        let delivered =
            spans.iter().any(|span| span.attributes.get("kabar.receipt").is_some_and(|it| it == "delivered"));
        if told("attempt") == 1 && told("job") == 1 && delivered { Ok(spans) } else { Err(format!("{spans:#?}")) }
    })
    .await;
    let (job, enqueue, plan) = (one(&spans, "job"), one(&spans, "enqueue"), one(&spans, "plan"));
    let (message, attempt) = (one(&spans, "message"), one(&spans, "attempt"));
    assert_eq!(job.parent, "");
    [enqueue, plan, message].into_iter().for_each(|child| assert_under(child, job));
    assert_under(attempt, message);
    assert_under(one(&spans, "provider_request"), attempt);
    spans.iter().filter(|span| span.name == "receipt").for_each(|receipt| assert_under(receipt, attempt));
    let rest: BTreeSet<&str> = spans.iter().filter(|span| span.trace != job.trace).map(|span| &*span.name).collect();
    assert_eq!(rest, BTreeSet::from(["request"]), "{spans:#?}");

    let request = one(&spans, "request");
    assert_eq!((&*request.trace, &*request.parent), CALLER);
    assert_eq!(request.links, [(job.trace.clone(), job.id.clone())]);
    assert_eq!(enqueue.links, [(request.trace.clone(), request.id.clone())]);
    assert_eq!(attempt.events, ["started"]);
    for (span, name, value) in [
        (job, "kabar.job.id", "invoice-7"),
        (attempt, "kabar.job.id", "invoice-7"),
        (attempt, "kabar.message.id", "1"),
        (attempt, "kabar.attempt", "1"),
        (attempt, "kabar.decision", "accepted"),
    ] {
        assert_eq!(span.attributes.get(name).map(String::as_str), Some(value), "{span:#?}");
    }
    for span in &spans {
        assert_eq!(span.resource.get("service.name").map(String::as_str), Some("kabar-of-the-test"));
        let text = format!("{span:?}");
        assert!(!text.contains(&digits(1)) && !text.contains("Halo"), "something personal: {text}");
    }
    let instances: BTreeSet<_> = spans.iter().map(|span| span.resource.get("service.instance.id")).collect();
    assert_eq!(instances.len(), 2, "both processes told of it");
    assert!(metric(&doors, "kabar_webhook_lag_seconds_count").await >= 2.0);
    assert!(metric(&doors, "kabar_event_wait_seconds_count").await >= 1.0);
    doors.stop().await;
    senders.stop().await;
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_of_a_broadcast_is_a_trace_that_points_to_its_job_and_some_are_kept() {
    let (collector, sandbox) = (Collector::start().await, sandbox::start(|_| {}).await);
    let home = home(&sandbox)
        .with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/v1/traces", collector.url()))
        .with("KABAR_TRACES_SHARE", "0.5");
    let fleet = home.fleet().await;
    enqueue(&fleet, &key(&home).await, &broadcast("dep", 100)).await;
    eventually(WITHIN, async || {
        let shown = home.kabar(&["broadcast", "show", "dep", "--json"]).await.success().json();
        if shown["state"] == "completed" { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    // What is told last comes before the end.
    fleet.stop().await;
    let spans = collector.spans();
    let messages: Vec<_> = spans.iter().filter(|span| span.name == "message").collect();
    assert!((20..80).contains(&messages.len()), "{} of 100", messages.len());
    let traces: BTreeSet<_> = messages.iter().map(|span| &span.trace).collect();
    assert_eq!(traces.len(), messages.len());
    let attempts = spans.iter().filter(|span| span.name == "attempt");
    assert!(attempts.clone().all(|attempt| traces.contains(&attempt.trace)), "{spans:#?}");
    assert_eq!(attempts.count(), messages.len());
    let jobs: BTreeSet<_> = messages.iter().flat_map(|span| &span.links).collect();
    assert_eq!(jobs.len(), 1, "all of them point to their job");
    assert!(messages.iter().all(|span| span.parent.is_empty()));
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let (collector, sandbox) = (Collector::start().await, sandbox::start(|_| {}).await);
    collector.set_away(true);
    let home = home(&sandbox).with("KABAR_TRACES_ENDPOINT", collector.url());
    let fleet = home.fleet().await;
    let key = key(&home).await;
    enqueue(&fleet, &key, &broadcast("dep", 50)).await;
    eventually(WITHIN, async || {
        let (accepted, dropped) = (sandbox.counters().accepted, metric(&fleet, "kabar_spans_dropped_total").await);
        let is_seen = accepted == 50 && dropped > 0.0;
        is_seen.then_some(()).ok_or_else(|| format!("{accepted} accepted, {dropped} spans dropped"))
    })
    .await;
    assert!(fleet.log().contains("the collector takes no spans"), "{}", fleet.log());
    collector.set_away(false);
    enqueue(&fleet, &key, &send("after", &phone(900))).await;
    let told =
        || collector.spans().iter().any(|span| span.attributes.get("kabar.job.id").is_some_and(|id| id == "after"));
    eventually(WITHIN, async || told().then_some(()).ok_or("it is not told of the message after")).await;
    fleet.stop().await;

    // Nothing listens there any more.
    drop(collector);
    let mut fleet = home.fleet().await;
    enqueue(&fleet, &key, &send("alone", &phone(901))).await;
    eventually(WITHIN, async || {
        let accepted = sandbox.counters().accepted;
        (accepted == 52).then_some(()).ok_or_else(|| format!("{accepted} accepted"))
    })
    .await;
    fleet.signal("TERM").await;
    assert!(fleet.wait(STOPS_WITHIN).await.success());
    sandbox.shutdown().await;
}
