//! How soon the gateway answers webhooks while a broadcast is sent, and how soon what they say is in the ledger.
//!
//! `tests/run bench webhooks [WEBHOOKS_PER_SECOND [SECONDS [STATUSES [RATE]]]]`, by default 500 a second for 20 s with 3
//! statuses each, beside a broadcast at 80 a second. Each webhook is about a message of its own that was sent before; of
//! one in fifty it is watched when its receipt is in the ledger. Connections are made anew, as by a proxy without
//! keep-alive, so an answer's time holds that, too.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kabar_domain::{message::MessageState, pace::Rate};
use kabar_sandbox::signature;
use kabar_store::{DEFAULT_TENANT, Store};
use kabar_tests::{http, ports::free_address};
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};

#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use support::{BenchFleet, Provider, ProviderOptions, broadcast, cpu_seconds, named_sender, until};

/// Of so many webhooks one is watched until the ledger has it.
const WATCHED: usize = 50;

/// The phone-number id of the sender of the broadcast beside which webhooks come.
const BESIDE: &str = "106540352242923";

/// What is measured.
#[derive(Debug, Clone, Copy)]
struct Load {
    per_second: usize,
    seconds: usize,
    statuses: usize,
    rate: u32,
}

impl Load {
    fn asked_for() -> Self {
        // Cargo passes `--bench` along.
        let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
        let mut next = |usual| numbers.next().unwrap_or(usual);
        let load = Self { per_second: next(500), seconds: next(20), statuses: next(3), rate: 80 };
        Self { rate: u32::try_from(next(80)).expect("a rate"), ..load }
    }

    const fn webhooks(self) -> usize {
        self.per_second * self.seconds
    }
}

fn main() {
    support::main(async || {
        let load = Load::asked_for();
        let provider = Provider::start(&ProviderOptions::default());
        let listen = free_address();
        let bench = BenchFleet::start(&provider, Rate::Unlimited, listen).await;
        let sent = send_before(&bench, &provider, load.webhooks()).await;
        send_beside(&bench, &provider, load).await;
        let cpu = cpu_seconds();
        let began = Instant::now();
        let address = listen.to_string();
        let times = LocalSet::new().run_until(post_all(bench.store(), &address, load, sent)).await;
        let elapsed = began.elapsed();
        report(load, elapsed, cpu_seconds() - cpu, times);
        bench.fleet.shutdown().await;
    });
}

/// The provider's id and the opaque value of each message that was sent.
async fn send_before(bench: &BenchFleet, provider: &Provider, messages: usize) -> Vec<(String, String)> {
    for (index, start) in (0..messages).step_by(10_000).enumerate() {
        let job = broadcast(&format!("before-{index}"), start..messages.min(start + 10_000));
        bench.store().enqueue(DEFAULT_TENANT, &job).await.expect("the job is enqueued");
    }
    until(Duration::from_millis(20), async || provider.accepted().await >= messages as u64).await;
    let counts = async || bench.store().status(DEFAULT_TENANT).await.expect("the status").messages;
    until(Duration::from_millis(50), async || counts().await.get(MessageState::Accepted) >= messages as u64).await;
    provider.named_arrivals().await
}

/// Starts a broadcast by a sender of its own that lasts for as long as webhooks come.
async fn send_beside(bench: &BenchFleet, provider: &Provider, load: Load) {
    let sender = named_sender("beside", BESIDE, provider, Rate::per_second(load.rate).expect("a rate"));
    bench.store().add_sender(DEFAULT_TENANT, &sender).await.expect("the sender can be added");
    let messages = load.rate as usize * (load.seconds + 5);
    let recipients: Vec<Value> =
        (0..messages.min(10_000)).map(|i| json!({"to": format!("+62813{:07}", 1_000_000 + i)})).collect();
    let job = support::job(json!({"type": "broadcast", "id": "beside", "sender": "beside",
        "audience": {"recipients": recipients},
        "content": {"template": {"name": "departure_reminder", "language": "id", "params": ["A", "1 Des 2026"]}}}));
    bench.store().enqueue(DEFAULT_TENANT, &job).await.expect("the job is enqueued");
}

/// What was measured.
#[derive(Debug, Default)]
struct Times {
    answers: Vec<Duration>,
    ledger: Vec<Duration>,
    refused: usize,
}

/// Posts each webhook at its time, whatever became of those before it.
async fn post_all(store: &Store, address: &str, load: Load, sent: Vec<(String, String)>) -> Times {
    let address: Arc<str> = address.into();
    let mut posts: JoinSet<(bool, Duration, Option<Duration>)> = JoinSet::new();
    let began = tokio::time::Instant::now();
    for (index, (wamid, opaque)) in sent.into_iter().take(load.webhooks()).enumerate() {
        tokio::time::sleep_until(began + Duration::from_secs(index as u64) / load.per_second as u32).await;
        let (store, address) = (store.clone(), address.clone());
        let watched = index % WATCHED == 0;
        posts.spawn_local(async move {
            let body = event(&wamid, &opaque, load.statuses);
            let signed = signature(support::SECRET, body.as_bytes());
            let headers = [("content-type", "application/json"), ("x-hub-signature-256", signed.as_str())];
            let began = Instant::now();
            let answer = http::request(&address, "POST", "/webhooks/whatsapp", &headers, &body).await;
            let answered = began.elapsed();
            let taken = answer.is_ok_and(|answer| answer.status == 200);
            let ledger = if watched && taken { in_ledger(&store, &opaque, began).await } else { None };
            (taken, answered, ledger)
        });
    }
    let mut times = Times::default();
    while let Some(post) = posts.join_next().await {
        let (taken, answered, ledger) = post.expect("a post comes to an end");
        times.answers.push(answered);
        times.ledger.extend(ledger);
        times.refused += usize::from(!taken);
    }
    times
}

/// How long after `began` the ledger had a receipt of the message.
async fn in_ledger(store: &Store, opaque: &str, began: Instant) -> Option<Duration> {
    let (message, _) = store.attempt_of(opaque)?;
    until(Duration::from_millis(2), async || {
        let story = store.message_story(DEFAULT_TENANT, message).await.expect("the story");
        !matches!(story.state, MessageState::Accepted | MessageState::Sending)
    })
    .await;
    Some(began.elapsed())
}

fn event(wamid: &str, opaque: &str, statuses: usize) -> String {
    let statuses: Vec<Value> = ["sent", "delivered", "read"]
        .into_iter()
        .cycle()
        .take(statuses)
        .map(|status| {
            json!({"id": wamid, "status": status, "timestamp": "1796083200", "recipient_id": "6281200000000",
                "biz_opaque_callback_data": opaque, "pricing": {"billable": true, "pricing_model": "PMP",
                    "type": "regular", "category": "utility"}})
        })
        .collect();
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550000000",
            "phone_number_id": "106540352242922"}, "statuses": statuses}}]}]})
    .to_string()
}

fn report(load: Load, elapsed: Duration, cpu: f64, mut times: Times) {
    let Load { per_second, seconds, statuses, rate } = load;
    println!("webhooks: {per_second} a second for {seconds} s, {statuses} statuses each, beside a broadcast at {rate}");
    println!(
        "{} posted in {:.1} s, {} refused; {:.3} ms of CPU each, posting and sending included",
        times.answers.len(),
        elapsed.as_secs_f64(),
        times.refused,
        cpu / times.answers.len().max(1) as f64 * 1e3
    );
    for (what, times) in [("answer", &mut times.answers), ("receipt in the ledger", &mut times.ledger)] {
        times.sort_unstable();
        let at = |share: f64| match times.len() {
            0 => 0.0,
            count => times[((count - 1) as f64 * share) as usize].as_secs_f64() * 1e3,
        };
        println!(
            "{what}: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms (of {})",
            at(0.5),
            at(0.99),
            at(1.0),
            times.len()
        );
    }
}
