//! What the queue on RabbitMQ must do beside what every queue must.

use std::{
    collections::BTreeSet,
    error::Error,
    time::{Duration, Instant},
};

use kabar_queue::{Line, Queue, QueueError, RabbitQueue};
use kabar_tests::{
    FreshExchange,
    rabbitmq::{TRACEPARENT, chain, publish_jobs},
};
use lapin::{
    Connection, ConnectionProperties,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};

const PLENTY: Duration = Duration::from_secs(20);
/// Less than a consumer that waited in vain stays, and far less than a heartbeat.
const A_LOOK: Duration = Duration::from_millis(100);

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("item {number}")).collect()
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn what_others_publish_comes_as_it_was() {
    let exchange = FreshExchange::make().await;
    let queue = exchange.connect();
    let came: [(&[u8], Option<&str>); 3] = [(b"\xff\x00\xfe", Some("id-1")), (b"", None), (b"{\"a\":1}", Some(""))];
    publish_jobs(exchange.url(), exchange.name(), &came).await;
    let mut taken = Vec::new();
    while taken.len() < came.len() {
        taken.extend(queue.take(Line::Jobs, 10, PLENTY).await.unwrap());
    }
    let found: BTreeSet<_> = taken.iter().map(|one| (one.body.as_slice(), one.message_id.as_deref())).collect();
    assert_eq!(found, BTreeSet::from(came));
    assert!(taken.iter().all(|one| one.traceparent.as_deref() == Some(TRACEPARENT)), "{taken:?}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn lines_that_are_missing_are_named() {
    let exchange = FreshExchange::name_only();
    let queue = exchange.connect();
    let missing = |error: QueueError, line: Line| {
        let expected = format!("{}.{}", exchange.name(), line.as_str());
        assert!(matches!(&error, QueueError::Missing { name } if *name == expected), "{error:?}");
        assert!(error.to_string().contains("kabar migrate"), "{error}");
    };
    missing(queue.check().await.unwrap_err(), Line::Jobs);
    missing(queue.take(Line::Batches, 1, PLENTY).await.unwrap_err(), Line::Batches);
    missing(queue.purge(Line::Batches).await.unwrap_err(), Line::Batches);
    let error = chain(&queue.publish(Line::Batches, &bodies(1)).await.unwrap_err());
    assert!(error.contains(exchange.name()) && error.contains("kabar migrate"), "{error}");
    queue.prepare().await.unwrap();
    queue.check().await.unwrap();
    queue.publish(Line::Batches, &bodies(1)).await.unwrap();
    assert_eq!(queue.take(Line::Batches, 1, PLENTY).await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn an_item_that_no_queue_takes_is_an_error() {
    let exchange = FreshExchange::make().await;
    let queue = exchange.connect();
    let connection = Connection::connect(exchange.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let (name, from) = (format!("{}.batches", exchange.name()), exchange.name());
    channel.queue_unbind(name.as_str().into(), from.into(), "batches".into(), FieldTable::default()).await.unwrap();
    for _ in 0..2 {
        let error = queue.publish(Line::Batches, &bodies(3)).await.unwrap_err();
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains("batches") && cause.contains("kabar migrate"), "{cause}");
    }
    queue.publish(Line::Jobs, &bodies(3)).await.unwrap();
    queue.prepare().await.unwrap();
    queue.publish(Line::Batches, &bodies(3)).await.unwrap();
    assert_eq!(queue.ready(Line::Batches).await.unwrap(), 3);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn queues_that_are_there_stay_as_they_were_made() {
    let exchange = FreshExchange::name_only();
    let connection = Connection::connect(exchange.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(100));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let name = format!("{}.jobs", exchange.name());
    channel.queue_declare(name.into(), options, arguments).await.unwrap();
    let queue = exchange.connect();
    for _ in 0..2 {
        queue.prepare().await.unwrap();
    }
    queue.publish(Line::Jobs, &bodies(2)).await.unwrap();
    assert_eq!(queue.ready(Line::Jobs).await.unwrap(), 2);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn dropped_deliveries_come_back_at_once_and_settled_ones_do_not() {
    let exchange = FreshExchange::make().await;
    let (queue, other) = (exchange.connect(), exchange.connect());
    queue.publish(Line::Jobs, &bodies(5)).await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < 5 {
        taken.extend(queue.take(Line::Jobs, 5 - taken.len(), PLENTY).await.unwrap());
    }
    // Twice, out of order, and some of each: what is settled is settled.
    queue.acknowledge(&taken[1..2]).await.unwrap();
    queue.acknowledge(&taken[0..2]).await.unwrap();
    queue.release(&taken[3..4]).await.unwrap();
    queue.acknowledge(&taken[3..4]).await.unwrap();
    let dropped: BTreeSet<Vec<u8>> = taken[2..].iter().map(|delivery| delivery.body.clone()).collect();
    let (began, mut again) = (Instant::now(), Vec::new());
    drop(taken);
    while again.len() < 3 {
        again.extend(other.take(Line::Jobs, 5, PLENTY).await.unwrap());
    }
    assert!(began.elapsed() < PLENTY / 4, "they came only after {:?}", began.elapsed());
    assert_eq!(again.iter().map(|delivery| delivery.body.clone()).collect::<BTreeSet<_>>(), dropped);
    assert_eq!(other.take(Line::Jobs, 5, A_LOOK).await.unwrap(), []);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn nothing_is_kept_from_others_by_whoever_does_not_wait() {
    let exchange = FreshExchange::make().await;
    let (idle, other) = (exchange.connect(), exchange.connect());
    // It waited in vain, and then does something else.
    assert_eq!(idle.take(Line::Batches, 10, A_LOOK).await.unwrap(), []);
    // It was waiting when it was told to stop.
    let waiting = tokio::time::timeout(A_LOOK, idle.take(Line::Jobs, 10, PLENTY)).await;
    assert!(waiting.is_err());
    for line in Line::ALL {
        other.publish(line, &bodies(5)).await.unwrap();
        let (began, mut taken) = (Instant::now(), Vec::new());
        while taken.len() < 5 {
            taken.extend(other.take(line, 5, PLENTY).await.unwrap());
        }
        assert!(began.elapsed() < PLENTY / 4, "they came only after {:?}", began.elapsed());
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn a_login_that_is_refused_is_told_without_the_password() {
    let exchange = FreshExchange::name_only();
    let (_, host) = exchange.url().rsplit_once('@').unwrap_or(("", "127.0.0.1"));
    let queue = Queue::RabbitMq(RabbitQueue::new(&format!("amqp://nobody:sesame@{host}"), exchange.name()).unwrap());
    let error = queue.check().await.unwrap_err();
    let told = chain(&error);
    assert!(told.contains("ACCESS_REFUSED") && told.contains("KABAR_QUEUE_URL"), "{told}");
    assert!(!told.contains("sesame") && !format!("{queue:?} {error:?}").contains("sesame"), "{told}");
}
