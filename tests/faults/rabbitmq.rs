//! The broker dies, stops, cuts connections or has no room: what it confirmed is taken, and publishers and takers go on by
//! themselves.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kabar_queue::{Line, Queue, RabbitQueue};
use kabar_tests::{PrivateBroker, eventually, rabbitmq::chain};

const WITHIN: Duration = Duration::from_secs(60);
/// A call to a broker that is away fails within this; see `PUBLISH_WITHIN` of the queue.
const FAILS_WITHIN: Duration = Duration::from_secs(20);
/// How many items one call publishes.
const ITEMS: usize = 10;

/// What went through a line, as told by those who published and took.
#[derive(Default)]
struct Traffic {
    confirmed: Mutex<BTreeSet<String>>,
    /// How often each item was taken.
    taken: Mutex<BTreeMap<String, u32>>,
    errors: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Traffic {
    /// Publishes until it is told to stop; what fails is published again.
    async fn publish(self: Arc<Self>, queue: Queue) {
        let mut next = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let bodies: Vec<String> = (next..next + ITEMS).map(|number| format!("item {number}")).collect();
            match queue.publish(Line::Batches, &bodies).await {
                Ok(()) => {
                    self.confirmed.lock().unwrap().extend(bodies);
                    next += ITEMS;
                }
                Err(error) => self.errors.lock().unwrap().push(chain(&error)),
            }
        }
    }

    /// Takes and acknowledges until it is told to stop.
    async fn take(self: Arc<Self>, queue: Queue) {
        while !self.stop.load(Ordering::Relaxed) {
            match queue.take(Line::Batches, 2 * ITEMS, Duration::from_secs(1)).await {
                Ok(deliveries) => {
                    for delivery in &deliveries {
                        let body = String::from_utf8(delivery.body.clone()).unwrap();
                        *self.taken.lock().unwrap().entry(body).or_default() += 1;
                    }
                    queue.acknowledge(&deliveries).await.unwrap();
                }
                Err(error) => self.errors.lock().unwrap().push(chain(&error)),
            }
        }
    }

    /// Waits until more was confirmed and more was taken than now.
    async fn goes_on(&self) {
        let now = (self.confirmed.lock().unwrap().len(), self.taken.lock().unwrap().len());
        eventually(WITHIN, async || {
            let then = (self.confirmed.lock().unwrap().len(), self.taken.lock().unwrap().len());
            (then.0 > now.0 + ITEMS && then.1 > now.1 + ITEMS)
                .then_some(())
                .ok_or_else(|| format!("{then:?} after {now:?}; {:?}", self.errors.lock().unwrap().last()))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn what_was_confirmed_is_taken_whatever_happens_to_the_broker() {
    let mut broker = PrivateBroker::start().await;
    broker.connect().prepare().await.unwrap();
    let traffic = Arc::new(Traffic::default());
    let publisher = tokio::spawn(traffic.clone().publish(broker.connect()));
    let takers = [broker.connect(), broker.connect()].map(|queue| tokio::spawn(traffic.clone().take(queue)));
    traffic.goes_on().await;

    let told = |what, began: Instant| println!("{what}: traffic again after {:?}", began.elapsed());
    let began = Instant::now();
    broker.control(&["close_all_connections", "test"]).await;
    traffic.goes_on().await;
    told("connections closed", began);

    broker.control(&["stop_app"]).await;
    broker.control(&["start_app"]).await;
    let began = Instant::now();
    traffic.goes_on().await;
    told("broker stopped and started", began);

    broker.kill().await;
    broker.start_again().await;
    let began = Instant::now();
    traffic.goes_on().await;
    told("broker killed and started", began);

    // Stopping the publisher alone would race with what it has under way; takers go on until all was taken.
    let confirmed = traffic.confirmed.lock().unwrap().clone();
    eventually(WITHIN, async || {
        let taken = traffic.taken.lock().unwrap();
        let missing = confirmed.iter().filter(|body| !taken.contains_key(*body)).count();
        (missing == 0).then_some(()).ok_or_else(|| format!("{missing} of {} are missing", confirmed.len()))
    })
    .await;
    traffic.stop.store(true, Ordering::Relaxed);
    publisher.await.unwrap();
    for taker in takers {
        taker.await.unwrap();
    }
    let twice = traffic.taken.lock().unwrap().values().filter(|times| **times > 1).count();
    println!("{} confirmed, {twice} taken more than once", confirmed.len());
    let errors = traffic.errors.lock().unwrap();
    assert!(!errors.is_empty(), "nothing happened to the broker");
    let password = broker.password();
    assert!(errors.iter().all(|error| !error.contains(password)), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn a_broker_without_room_or_away_is_told_of_in_time() {
    let mut broker = PrivateBroker::start().await;
    let (queue, other) = (broker.connect(), broker.connect());
    queue.prepare().await.unwrap();
    queue.publish(Line::Jobs, &["one".to_owned(), "two".to_owned()]).await.unwrap();

    // With nothing allowed, memory is always short.
    broker.control(&["set_vm_memory_high_watermark", "0.0000001"]).await;
    let blocked = tokio::spawn({
        let queue = queue.clone();
        async move { queue.publish(Line::Jobs, &["three".to_owned()]).await }
    });
    // Who takes and settles is not held up, not even in the same process.
    for queue in [&queue, &other] {
        let taken = queue.take(Line::Jobs, 1, WITHIN).await.unwrap();
        assert_eq!(taken.len(), 1);
        queue.acknowledge(&taken).await.unwrap();
    }
    let error = chain(&blocked.await.unwrap().unwrap_err());
    assert!(error.contains("short of memory"), "{error}");
    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    eventually(WITHIN, async || queue.publish(Line::Jobs, &["four".to_owned()]).await.map_err(|error| chain(&error)))
        .await;

    broker.kill().await;
    for attempt in 1..=3 {
        let began = Instant::now();
        let error = chain(&queue.publish(Line::Jobs, &["five".to_owned()]).await.unwrap_err());
        assert!(began.elapsed() < FAILS_WITHIN, "attempt {attempt} took {:?}", began.elapsed());
        let error_of_taking = chain(&queue.take(Line::Jobs, 1, Duration::ZERO).await.unwrap_err());
        assert!(attempt == 1 || error_of_taking.contains("KABAR_QUEUE_URL"), "{error_of_taking}");
        assert!(attempt == 1 || error.contains("KABAR_QUEUE_URL"), "{error}");
    }
    // Deliveries of the broker that died are settled into the void.
    broker.start_again().await;
    let taken =
        eventually(WITHIN, async || queue.take(Line::Jobs, 1, Duration::ZERO).await.ok().filter(|it| !it.is_empty()));
    let taken = taken.await;
    broker.control(&["close_all_connections", "test"]).await;
    queue.acknowledge(&taken).await.unwrap();
    let again =
        eventually(WITHIN, async || other.take(Line::Jobs, 1, Duration::ZERO).await.ok().filter(|it| !it.is_empty()));
    assert_eq!(again.await[0].body, taken[0].body, "what was not settled in time comes again");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn an_encrypted_connection_trusts_whom_it_is_told_to() {
    let broker = PrivateBroker::start().await;
    let connect = |url: &str| Queue::RabbitMq(RabbitQueue::new(url, RabbitQueue::EXCHANGE).unwrap());
    let error = chain(&connect(&broker.tls_url()).prepare().await.unwrap_err());
    assert!(error.contains("certificate") && !error.contains(broker.password()), "{error}");
    let trusting = |file: &Path| format!("{}?cacertfile={}", broker.tls_url(), file.display());
    let error = chain(&connect(&trusting(Path::new("/nowhere/ca.pem"))).prepare().await.unwrap_err());
    assert!(error.contains("cacertfile") && !error.contains(broker.password()), "{error}");
    let queue = connect(&trusting(&broker.authority()));
    queue.prepare().await.unwrap();
    queue.publish(Line::Jobs, &["one".to_owned()]).await.unwrap();
    let taken = queue.take(Line::Jobs, 1, WITHIN).await.unwrap();
    assert_eq!(taken[0].body, b"one");
    queue.acknowledge(&taken).await.unwrap();
    queue.close().await;
}
