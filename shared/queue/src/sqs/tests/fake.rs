//! A server with the wire format of SQS whose answers a test decides: for what no local server does by itself.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::{SqsOptions, SqsQueue, SqsServer};
use crate::Queue;

/// What a test has it answer.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// 200 with this body.
    Ok(Value),
    /// 400 with this error: its code, and what is said with it.
    Error(&'static str, &'static str),
}

/// The server.
#[derive(Debug, Clone, Default)]
pub(super) struct Fake(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<(&'static str, Answer)>,
    requests: Vec<(String, Value)>,
}

impl Fake {
    /// One that answers each action named with what follows, in this order, and then well.
    pub(super) fn new(answers: impl IntoIterator<Item = (&'static str, Answer)>) -> Self {
        let fake = Self::default();
        fake.script().answers.extend(answers);
        fake
    }

    /// A queue that it serves.
    pub(super) async fn queue(&self) -> Queue {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        queue_at(url).await
    }

    /// The bodies of the requests for an action, so far.
    pub(super) fn requests(&self, action: &str) -> Vec<Value> {
        let script = self.script();
        script.requests.iter().filter(|(name, _)| name == action).map(|(_, body)| body.clone()).collect()
    }

    /// One field of every entry of the requests for an action, request by request.
    pub(super) fn entries(&self, action: &str, field: &str) -> Vec<Vec<String>> {
        let text = |entry: &Value| entry[field].as_str().unwrap_or_default().to_owned();
        let entries = |body: &Value| body["Entries"].as_array().into_iter().flatten().map(text).collect();
        self.requests(action).iter().map(entries).collect()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue at this address.
pub(super) async fn queue_at(url: String) -> Queue {
    let options = SqsOptions { server: SqsServer::Local { url }, ..SqsOptions::new("fake") };
    Queue::Sqs(SqsQueue::open(options).await.unwrap())
}

async fn answer(State(fake): State<Fake>, request: Request) -> Response {
    let target = request.headers().get("x-amz-target").unwrap().to_str().unwrap();
    let action = target.strip_prefix("AmazonSQS.").unwrap().to_owned();
    let bytes: Bytes = to_bytes(request.into_body(), 4 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    let mut script = fake.script();
    script.requests.push((action.clone(), body.clone()));
    let scripted = script.answers.iter().position(|(name, _)| *name == action);
    let answer = match scripted.and_then(|place| script.answers.remove(place)) {
        Some((_, answer)) => answer,
        None => Answer::Ok(well(&action, &body)),
    };
    let json = (header::CONTENT_TYPE, "application/x-amz-json-1.0");
    match answer {
        Answer::Ok(body) => (StatusCode::OK, [json], body.to_string()).into_response(),
        Answer::Error(code, message) => {
            let old = (HeaderName::from_static("x-amzn-query-error"), format!("{code};Sender"));
            let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": message});
            (StatusCode::BAD_REQUEST, [json], [old], body.to_string()).into_response()
        }
    }
}

/// What SQS answers where all goes well and nothing is in the queue.
fn well(action: &str, body: &Value) -> Value {
    match action {
        "GetQueueUrl" => json!({"QueueUrl": format!("http://localhost/0/{}", body["QueueName"].as_str().unwrap())}),
        "SendMessageBatch" | "DeleteMessageBatch" | "ChangeMessageVisibilityBatch" => {
            let entries = body["Entries"].as_array().unwrap();
            done(entries.iter().map(|entry| entry["Id"].as_str().unwrap()))
        }
        _ => json!({}),
    }
}

/// The answer to a batch of which these entries were done.
pub(super) fn done<'a>(ids: impl IntoIterator<Item = &'a str>) -> Value {
    let entry = |id| json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "0"});
    json!({"Successful": ids.into_iter().map(entry).collect::<Vec<_>>(), "Failed": []})
}

/// The same, of which one more failed with this code; `fault` if by the caller's.
pub(super) fn failed(done_ids: &[&str], id: &str, code: &str, fault: bool) -> Answer {
    let mut answer = done(done_ids.iter().copied());
    answer["Failed"] = json!([{"Id": id, "Code": code, "Message": "as scripted", "SenderFault": fault}]);
    Answer::Ok(answer)
}

/// An answer with messages of these numbers.
pub(super) fn received(numbers: &[usize]) -> Answer {
    let message = |number: &usize| {
        json!({"MessageId": format!("id-{number}"), "ReceiptHandle": format!("receipt-{number}"),
               "MD5OfBody": "0", "Body": format!("body {number}")})
    };
    Answer::Ok(json!({"Messages": numbers.iter().map(message).collect::<Vec<_>>()}))
}
