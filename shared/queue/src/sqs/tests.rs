//! What SQS does at times and no local server ever: entries that fail one by one, errors of each kind, a purge too many.
//! The rest is in the conformance suite of the queue, on a server.

mod fake;

use std::{error::Error, time::Duration};

use serde_json::json;

use self::fake::{Answer, Fake, done, failed, queue_at, received};
use crate::{Line, QueueError};

const SEND: &str = "SendMessageBatch";
const DELETE: &str = "DeleteMessageBatch";
const SHOW: &str = "ChangeMessageVisibilityBatch";
const RECEIVE: &str = "ReceiveMessage";

fn bodies(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The error and its causes.
fn chain(error: &QueueError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn entries_that_failed_are_sent_again_and_only_those() {
    let fake = Fake::new([(SEND, failed(&["0", "2"], "1", "InternalError", false))]);
    fake.queue().await.publish(Line::Jobs, &bodies(&["a", "b", "c"])).await.unwrap();
    assert_eq!(fake.entries(SEND, "MessageBody"), [vec!["a", "b", "c"], vec!["b"]]);
}

#[tokio::test]
async fn entries_that_an_answer_leaves_out_are_sent_again() {
    let fake = Fake::new([(SEND, Answer::Ok(done(["1"])))]);
    fake.queue().await.publish(Line::Jobs, &bodies(&["a", "b"])).await.unwrap();
    assert_eq!(fake.entries(SEND, "MessageBody"), [vec!["a", "b"], vec!["a"]]);
}

#[tokio::test]
async fn entries_that_fail_for_ever_end_in_an_error() {
    let fake = Fake::new(std::iter::repeat_n((SEND, failed(&[], "0", "ServiceUnavailable", false)), 9));
    let error = fake.queue().await.publish(Line::Batches, &bodies(&["a"])).await.unwrap_err();
    assert!(
        chain(&error).contains("1 of the items, the first because of ServiceUnavailable: as scripted"),
        "{error:?}"
    );
    assert_eq!(fake.requests(SEND).len(), 5);
}

#[tokio::test]
async fn an_entry_that_is_refused_is_an_error_at_once() {
    let fake = Fake::new([(SEND, failed(&["0"], "1", "InvalidMessageContents", true))]);
    let error = fake.queue().await.publish(Line::Jobs, &bodies(&["a", "b"])).await.unwrap_err();
    assert!(chain(&error).contains("InvalidMessageContents"), "{error:?}");
    assert_eq!(fake.requests(SEND).len(), 1);
}

#[tokio::test]
async fn calls_hold_ten_entries_at_most() {
    let fake = Fake::default();
    let all: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    fake.queue().await.publish(Line::Batches, &all).await.unwrap();
    let mut sent = fake.entries(SEND, "MessageBody");
    assert!(sent.iter().all(|call| call.len() <= 10), "{sent:?}");
    sent.sort();
    let mut sent: Vec<String> = sent.concat();
    sent.sort_by_key(|body| body.parse::<usize>().unwrap());
    assert_eq!(sent, all);
}

#[tokio::test]
async fn settling_asks_again_for_what_failed_and_lets_go_of_what_is_gone() {
    let fake = Fake::new([
        (RECEIVE, received(&[0, 1, 2])),
        (DELETE, failed(&["0"], "1", "InternalError", false)),
        (DELETE, failed(&["1"], "0", "ReceiptHandleIsInvalid", true)),
        (SHOW, failed(&["0", "1"], "2", "MessageNotInflight", true)),
    ]);
    let queue = fake.queue().await;
    let taken = queue.take(Line::Jobs, 10, Duration::ZERO).await.unwrap();
    assert_eq!(taken[1].body, b"body 1");
    assert_eq!(taken[1].message_id.as_deref(), Some("id-1"));
    queue.acknowledge(&taken).await.unwrap();
    assert_eq!(
        fake.entries(DELETE, "ReceiptHandle"),
        [vec!["receipt-0", "receipt-1", "receipt-2"], vec!["receipt-1", "receipt-2"]]
    );
    queue.release(&taken).await.unwrap();
    let shown = &fake.requests(SHOW)[0];
    assert_eq!(shown["Entries"][0]["VisibilityTimeout"], 0, "{shown}");
    assert!(shown["QueueUrl"].as_str().unwrap().ends_with("/fake-jobs"), "{shown}");
}

#[tokio::test]
async fn a_long_line_is_asked_at_several_places_at_once() {
    let fake = Fake::new([
        (RECEIVE, received(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])),
        (RECEIVE, received(&[10, 11])),
        (RECEIVE, Answer::Error("InternalError", "")),
    ]);
    let taken = fake.queue().await.take(Line::Jobs, 24, Duration::from_secs(30)).await.unwrap();
    assert_eq!(taken.len(), 12);
    let asked = fake.requests(RECEIVE);
    assert_eq!((asked[0]["MaxNumberOfMessages"].as_u64(), asked[0]["WaitTimeSeconds"].as_u64()), (Some(10), Some(20)));
    assert_eq!(asked[0]["VisibilityTimeout"], 60);
    assert!(asked[1..].iter().all(|asked| asked["WaitTimeSeconds"] == 0), "{asked:?}");
    let mut counts: Vec<_> = asked[1..3].iter().map(|asked| asked["MaxNumberOfMessages"].as_u64().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [4, 10]);
}

#[tokio::test]
async fn what_comes_after_its_taker_has_gone_is_given_back() {
    let fake = Fake::new([(RECEIVE, received(&[7]))]);
    let queue = fake.queue().await;
    {
        let mut taking = std::pin::pin!(queue.take(Line::Batches, 10, Duration::from_secs(1)));
        // Polled once, the request is under way; then its taker goes.
        assert!(futures_util::poll!(&mut taking).is_pending());
    }
    queue.close().await;
    assert_eq!(fake.entries(SHOW, "ReceiptHandle"), [vec!["receipt-7"]]);
}

#[tokio::test]
async fn a_purge_too_many_drains_the_line() {
    let fake = Fake::new([
        ("PurgeQueue", Answer::Error("AWS.SimpleQueueService.PurgeQueueInProgress", "only one in 60 seconds")),
        (RECEIVE, received(&[0, 1])),
        (RECEIVE, received(&[2])),
    ]);
    fake.queue().await.purge(Line::Batches).await.unwrap();
    assert_eq!(fake.entries(DELETE, "ReceiptHandle"), [vec!["receipt-0", "receipt-1"], vec!["receipt-2"]]);
}

#[tokio::test]
async fn queues_that_are_missing_are_made_and_others_left_as_they_are() {
    let missing = Answer::Error("AWS.SimpleQueueService.NonExistentQueue", "");
    let fake = Fake::new([
        ("GetQueueUrl", missing.clone()),
        ("GetQueueUrl", missing),
        ("CreateQueue", Answer::Error("QueueAlreadyExists", "with other attributes")),
    ]);
    let queue = fake.queue().await;
    queue.prepare().await.unwrap();
    let made = fake.requests("CreateQueue");
    let names: Vec<_> = made.iter().map(|made| made["QueueName"].as_str().unwrap()).collect();
    assert_eq!(names, ["fake-jobs", "fake-batches"]);
    assert_eq!(
        made[0]["Attributes"],
        json!({"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576", "VisibilityTimeout": "60"})
    );
    queue.prepare().await.unwrap();
    assert_eq!(fake.requests("CreateQueue").len(), 2);
}

#[tokio::test]
async fn a_throttled_call_is_asked_again() {
    let fake = Fake::new([(SEND, Answer::Error("RequestThrottled", "slow down"))]);
    fake.queue().await.publish(Line::Jobs, &bodies(&["a"])).await.unwrap();
    assert_eq!(fake.requests(SEND).len(), 2);
}

#[tokio::test]
async fn errors_say_what_to_do_and_show_no_credential() {
    let secret = "x-amz-security-token:hush-hush";
    for (code, expected) in [
        ("AWS.SimpleQueueService.NonExistentQueue", "there is no queue fake-jobs: `kabar migrate` makes it"),
        ("AccessDenied", "the credentials need sqs:SendMessage on queue fake-jobs"),
        ("SignatureDoesNotMatch", "check AWS_ACCESS_KEY_ID"),
        ("ExpiredToken", "whether they have expired"),
        ("OverLimit", "SQS refused it: OverLimit"),
    ] {
        let message = if code == "OverLimit" { "" } else { secret };
        let fake = Fake::new(std::iter::repeat_n((SEND, Answer::Error(code, message)), 9));
        let error = fake.queue().await.publish(Line::Jobs, &bodies(&["a"])).await.unwrap_err();
        let shown = chain(&error);
        assert!(shown.contains(expected), "{code}: {shown}");
        assert!(!shown.contains("hush") && !format!("{error:?}").contains("hush"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = queue_at(format!("http://{free}")).await.ready(Line::Jobs).await.unwrap_err();
    let shown = chain(&error);
    assert!(shown.contains("SQS cannot be reached") && shown.contains("refused"), "{shown}");
}
