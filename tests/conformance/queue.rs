//! What every queue must do, whatever it is made of. Each check runs on each backend in the list below.
//!
//! To add a backend: a variant of [`Backend`] with the arms that the compiler asks for, and a line in the list.
#![expect(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use kabar_queue::{DatabaseQueue, Delivery, Line, Queue, QueueError, Ticket};
use kabar_tests::{FreshExchange, LedgerKind, TestLedger, TestSqs, Time};

/// A queue under test, and what a check needs of it beside the port.
enum Backend {
    /// In a ledger with a manual clock.
    Database(Box<TestLedger>),
    /// On a RabbitMQ broker that others share.
    RabbitMq(FreshExchange),
    /// On the server for Amazon SQS.
    Sqs(TestSqs),
}

/// Long enough for anything that should come; a check that waits this long has failed.
const PLENTY: Duration = Duration::from_secs(20);
/// How long to look for what should not come.
const A_LOOK: Duration = Duration::from_millis(200);
/// More than any backend hides an item that was taken.
const HIDDEN_AT_MOST_MS: i64 = 120_000;

impl Backend {
    async fn in_ledger(kind: LedgerKind) -> Self {
        Self::Database(Box::new(TestLedger::open(kind, Time::Manual).await))
    }

    async fn on_rabbitmq() -> Self {
        Self::RabbitMq(FreshExchange::make().await)
    }

    async fn on_sqs() -> Self {
        let sqs = TestSqs::fresh();
        sqs.open().await.prepare().await.unwrap();
        Self::Sqs(sqs)
    }

    /// The queue as one process sees it. Each call is another process.
    async fn connect(&self) -> Queue {
        match self {
            Self::Database(ledger) => Queue::Database(DatabaseQueue::new(ledger.reopen().await)),
            Self::RabbitMq(exchange) => exchange.connect(),
            Self::Sqs(sqs) => sqs.open().await,
        }
    }

    /// Ends everything that answered so far, as a restart of every process does.
    async fn restart(&self, before: Queue) -> Queue {
        match self {
            Self::Database(ledger) => {
                drop(before);
                ledger.store().close().await;
            }
            Self::RabbitMq(_) | Self::Sqs(_) => before.close().await,
        }
        self.connect().await
    }

    /// Lets the time pass for which a taken item is hidden from others.
    async fn pass_hidden_time(&self) {
        match self {
            Self::Database(ledger) => ledger.clock().advance_ms(HIDDEN_AT_MOST_MS),
            // What a process took goes back as soon as its connections end.
            Self::RabbitMq(_) => {}
            Self::Sqs(sqs) => sqs.pass_hidden_time().await,
        }
    }
}

/// Every check, as a test of one backend. `$attributes` mark what needs a service.
macro_rules! every_check_on {
    ($backend:ident, $attributes:tt, $start:expr) => {
        mod $backend {
            use super::*;
            every_check_on! { @each $attributes, $start,
                published_items_are_taken_as_they_were
                what_cannot_be_carried_is_refused_as_a_whole
                preparing_again_changes_nothing
                published_items_survive_a_restart
                nothing_is_a_list_too
                lines_are_apart
                no_more_is_taken_than_asked_for
                taken_items_are_hidden
                acknowledged_items_do_not_come_back
                released_items_come_back_at_once
                unsettled_items_come_back_in_time
                takers_at_once_never_get_the_same
                ten_thousand_items_pass
                items_up_to_the_limit_are_taken
                a_larger_item_is_refused_with_its_call
                purged_lines_are_empty
                an_empty_line_is_waited_for
                a_waiting_taker_wakes_when_another_publishes
                tickets_pass
            }
        }
    };
    (@each $attributes:tt, $start:expr, $($check:ident)+) => {
        $(every_check_on! { @one $attributes, $start, $check })+
    };
    (@one [$($attribute:tt)*], $start:expr, $check:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($attribute)*
        async fn $check() {
            super::$check($start.await).await;
        }
    };
}

// The backends.
every_check_on!(sqlite, [], Backend::in_ledger(LedgerKind::Sqlite));
every_check_on!(postgres, [#[ignore = "needs PostgreSQL: run tests/run"]], Backend::in_ledger(LedgerKind::Postgres));
every_check_on!(rabbitmq, [#[ignore = "needs RabbitMQ: run tests/run"]], Backend::on_rabbitmq());
every_check_on!(sqs, [#[ignore = "needs a server for Amazon SQS: run tests/run"]], Backend::on_sqs());

async fn published_items_are_taken_as_they_were(backend: Backend) {
    let queue = backend.connect().await;
    let bodies = [
        " two\nlines\t",
        r#"{"text":"\"halo\" \\ \u0000 \ud83d\ude4f"}"#,
        "Terima kasih 🙏 — شكرا",
        "'; delete from line_items; --",
    ];
    queue.publish(Line::Jobs, &bodies.map(str::to_owned)).await.unwrap();
    let taken = take_all(&queue, Line::Jobs, bodies.len()).await;
    assert_eq!(sorted(&taken), BTreeSet::from(bodies));
}

async fn what_cannot_be_carried_is_refused_as_a_whole(backend: Backend) {
    let queue = backend.connect().await;
    for odd in ["", "\0", "\u{b}", "\u{fffe}", "\u{7f}", "\u{10ffff}"] {
        match queue.publish(Line::Jobs, &["fine".to_owned(), odd.to_owned()]).await {
            Ok(()) => {
                let taken = take_all(&queue, Line::Jobs, 2).await;
                assert_eq!(sorted(&taken), BTreeSet::from(["fine", odd]));
                queue.acknowledge(&taken).await.unwrap();
            }
            Err(refused) => {
                assert!(matches!(refused, QueueError::Unfit { .. }), "{odd:?}: {refused}");
                assert_eq!(queue.ready(Line::Jobs).await.unwrap(), 0, "{odd:?} was refused, but not its neighbour");
            }
        }
    }
}

async fn preparing_again_changes_nothing(backend: Backend) {
    let queue = backend.connect().await;
    queue.publish(Line::Jobs, &numbered(1)).await.unwrap();
    backend.connect().await.prepare().await.unwrap();
    queue.prepare().await.unwrap();
    assert_eq!(take_all(&queue, Line::Jobs, 1).await.len(), 1);
}

async fn published_items_survive_a_restart(backend: Backend) {
    let queue = backend.connect().await;
    queue.publish(Line::Jobs, &numbered(3)).await.unwrap();
    let queue = backend.restart(queue).await;
    assert_eq!(take_all(&queue, Line::Jobs, 3).await.len(), 3);
}

async fn nothing_is_a_list_too(backend: Backend) {
    let queue = backend.connect().await;
    queue.publish(Line::Jobs, &[]).await.unwrap();
    queue.acknowledge(&[]).await.unwrap();
    queue.release(&[]).await.unwrap();
    queue.purge(Line::Jobs).await.unwrap();
    assert_eq!(queue.ready(Line::Jobs).await.unwrap(), 0);
    assert_eq!(queue.take(Line::Jobs, 10, Duration::ZERO).await.unwrap(), []);
}

async fn lines_are_apart(backend: Backend) {
    let queue = backend.connect().await;
    for line in Line::ALL {
        queue.publish(line, &[line.as_str().to_owned()]).await.unwrap();
    }
    for line in Line::ALL {
        assert_eq!(queue.ready(line).await.unwrap(), 1);
        let taken = take_all(&queue, line, 1).await;
        assert_eq!(text(&taken[0]), line.as_str());
    }
}

async fn no_more_is_taken_than_asked_for(backend: Backend) {
    let queue = backend.connect().await;
    queue.publish(Line::Jobs, &numbered(5)).await.unwrap();
    let taken = queue.take(Line::Jobs, 2, PLENTY).await.unwrap();
    assert!((1..=2).contains(&taken.len()), "{taken:?}");
    assert_eq!(queue.ready(Line::Jobs).await.unwrap(), 5 - taken.len() as u64);
}

async fn taken_items_are_hidden(backend: Backend) {
    let (one, other) = (backend.connect().await, backend.connect().await);
    one.publish(Line::Jobs, &numbered(3)).await.unwrap();
    let taken = take_all(&one, Line::Jobs, 3).await;
    assert_eq!(other.ready(Line::Jobs).await.unwrap(), 0);
    assert_eq!(other.take(Line::Jobs, 10, A_LOOK).await.unwrap(), []);
    one.acknowledge(&taken).await.unwrap();
}

async fn acknowledged_items_do_not_come_back(backend: Backend) {
    let queue = backend.connect().await;
    queue.publish(Line::Jobs, &numbered(3)).await.unwrap();
    let taken = take_all(&queue, Line::Jobs, 3).await;
    queue.acknowledge(&taken[..2]).await.unwrap();
    backend.pass_hidden_time().await;
    let queue = backend.restart(queue).await;
    let left = queue.take(Line::Jobs, 10, PLENTY).await.unwrap();
    assert_eq!(sorted(&left), BTreeSet::from([text(&taken[2])]));
}

async fn released_items_come_back_at_once(backend: Backend) {
    let (one, other) = (backend.connect().await, backend.connect().await);
    one.publish(Line::Jobs, &numbered(3)).await.unwrap();
    let taken = take_all(&one, Line::Jobs, 3).await;
    one.release(&taken[1..]).await.unwrap();
    let again = take_all(&other, Line::Jobs, 2).await;
    assert_eq!(sorted(&again), sorted(&taken[1..]));
    assert_eq!(other.ready(Line::Jobs).await.unwrap(), 0);
}

async fn unsettled_items_come_back_in_time(backend: Backend) {
    let (one, other) = (backend.connect().await, backend.connect().await);
    one.publish(Line::Jobs, &numbered(3)).await.unwrap();
    let taken = take_all(&one, Line::Jobs, 3).await;
    // The process that took them dies.
    drop(one);
    backend.pass_hidden_time().await;
    let again = take_all(&other, Line::Jobs, 3).await;
    assert_eq!(sorted(&again), sorted(&taken));
    other.acknowledge(&again).await.unwrap();
    backend.pass_hidden_time().await;
    assert_eq!(other.take(Line::Jobs, 10, A_LOOK).await.unwrap(), []);
}

async fn takers_at_once_never_get_the_same(backend: Backend) {
    const ITEMS: usize = 600;
    let queues = [backend.connect().await, backend.connect().await];
    queues[0].publish(Line::Batches, &numbered(ITEMS)).await.unwrap();
    let taken = drain(&queues, 4, 7).await;
    assert_eq!(taken.len(), ITEMS, "an item was taken twice, or never");
    assert_eq!(sorted(&taken).len(), ITEMS, "an item was taken twice and another never");
}

async fn ten_thousand_items_pass(backend: Backend) {
    const ITEMS: usize = 10_000;
    let queues = [backend.connect().await];
    queues[0].publish(Line::Batches, &numbered(ITEMS)).await.unwrap();
    assert_eq!(queues[0].ready(Line::Batches).await.unwrap(), ITEMS as u64);
    let taken = drain(&queues, 2, 500).await;
    assert_eq!((taken.len(), sorted(&taken).len()), (ITEMS, ITEMS));
    backend.pass_hidden_time().await;
    assert_eq!(queues[0].ready(Line::Batches).await.unwrap(), 0, "every item was acknowledged");
}

async fn items_up_to_the_limit_are_taken(backend: Backend) {
    let queue = backend.connect().await;
    let largest = "x".repeat(queue.limits().body_bytes);
    queue.publish(Line::Jobs, std::slice::from_ref(&largest)).await.unwrap();
    let taken = take_all(&queue, Line::Jobs, 1).await;
    assert!(text(&taken[0]) == largest, "{} bytes came of {}", taken[0].body.len(), largest.len());
}

async fn a_larger_item_is_refused_with_its_call(backend: Backend) {
    let queue = backend.connect().await;
    let most = queue.limits().body_bytes;
    // Bytes are counted, not characters: half as many of two bytes each, and one more.
    let larger = "é".repeat(most / 2 + 1);
    let refused = queue.publish(Line::Jobs, &["small".to_owned(), larger.clone()]).await.unwrap_err();
    assert!(
        matches!(refused, QueueError::TooLarge { bytes, most: limit } if bytes == larger.len() && limit == most),
        "{refused}"
    );
    assert_eq!(queue.ready(Line::Jobs).await.unwrap(), 0, "the small one of the same call is not published either");
}

async fn purged_lines_are_empty(backend: Backend) {
    let queue = backend.connect().await;
    for line in Line::ALL {
        queue.publish(line, &numbered(20)).await.unwrap();
    }
    queue.purge(Line::Batches).await.unwrap();
    assert_eq!(queue.ready(Line::Batches).await.unwrap(), 0);
    assert_eq!(queue.take(Line::Batches, 10, A_LOOK).await.unwrap(), []);
    assert_eq!(queue.ready(Line::Jobs).await.unwrap(), 20, "the other line is as it was");
}

async fn an_empty_line_is_waited_for(backend: Backend) {
    let queue = backend.connect().await;
    let began = Instant::now();
    assert_eq!(queue.take(Line::Jobs, 10, A_LOOK).await.unwrap(), []);
    assert!(began.elapsed() >= A_LOOK, "it came back after {:?}", began.elapsed());
}

async fn a_waiting_taker_wakes_when_another_publishes(backend: Backend) {
    // In the same process, and in another.
    let publishers = [backend.connect().await, backend.connect().await];
    let taker = publishers[0].clone();
    for publisher in publishers {
        let waiting = tokio::spawn({
            let taker = taker.clone();
            async move { taker.take(Line::Jobs, 10, PLENTY).await.unwrap() }
        });
        // By the time that this has waited in vain on the other line, so has the taker on its own.
        assert_eq!(publisher.take(Line::Batches, 1, A_LOOK).await.unwrap(), []);
        assert!(!waiting.is_finished());
        let began = Instant::now();
        publisher.publish(Line::Jobs, &numbered(1)).await.unwrap();
        let taken = waiting.await.unwrap();
        assert_eq!(taken.len(), 1);
        assert!(began.elapsed() < PLENTY / 4, "it woke only after {:?}", began.elapsed());
        taker.acknowledge(&taken).await.unwrap();
    }
}

async fn tickets_pass(backend: Backend) {
    let queue = backend.connect().await;
    let ticket = Ticket { sender: i64::MAX };
    queue.publish(Line::Batches, &[ticket.to_body()]).await.unwrap();
    let taken = take_all(&queue, Line::Batches, 1).await;
    assert_eq!(Ticket::from_body(&taken[0].body), Some(ticket));
}

/// Bodies that tell items apart.
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("item {number}")).collect()
}

fn sorted(deliveries: &[Delivery]) -> BTreeSet<&str> {
    deliveries.iter().map(text).collect()
}

fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.body).unwrap()
}

/// Takes until there are `count` items, for a backend may give fewer at a time than it could.
async fn take_all(queue: &Queue, line: Line, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let more = queue.take(line, count - taken.len(), PLENTY).await.unwrap();
        assert!(!more.is_empty(), "{} of {count} items came", taken.len());
        taken.extend(more);
    }
    taken
}

/// Takes and acknowledges all tickets with several takers at once on each queue, at most `most` at a time.
async fn drain(queues: &[Queue], takers: usize, most: usize) -> Vec<Delivery> {
    let tasks: Vec<_> = queues
        .iter()
        .flat_map(|queue| std::iter::repeat_n(queue, takers))
        .map(|queue| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut all = Vec::new();
                loop {
                    let taken = queue.take(Line::Batches, most, A_LOOK).await.unwrap();
                    if taken.is_empty() {
                        return all;
                    }
                    queue.acknowledge(&taken).await.unwrap();
                    all.extend(taken);
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}
