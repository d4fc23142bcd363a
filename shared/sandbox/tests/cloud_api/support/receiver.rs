//! A receiver of webhooks that checks each signature and keeps what it was sent.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use kabar_sandbox::WebhookTarget;
use ring::hmac;
use serde_json::Value;

const SECRET: &str = "the app's secret";

pub(crate) struct Receiver {
    url: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    bodies: Mutex<Vec<Value>>,
    refusals_left: AtomicU32,
}

impl Receiver {
    /// Starts one that answers the first posts with 500 and keeps nothing of them.
    pub(crate) async fn start(refusals: u32) -> Self {
        let inner = Arc::new(Inner::default());
        inner.refusals_left.store(refusals, Ordering::Relaxed);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/whatsapp", listener.local_addr().unwrap());
        let router = Router::new().route("/webhooks/whatsapp", post(receive)).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    pub(crate) fn target(&self, delay: Duration, read_share: f64) -> WebhookTarget {
        WebhookTarget { url: self.url.clone(), app_secret: SECRET.to_owned(), delay, read_share }
    }

    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.inner.bodies.lock().unwrap().clone()
    }

    /// Every status in the order in which it came.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        self.values().iter().filter_map(|value| value["statuses"].as_array().cloned()).flatten().collect()
    }

    /// Every inbound message in the order in which it came.
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.values().iter().filter_map(|value| value["messages"].as_array().cloned()).flatten().collect()
    }

    /// Every change's value.
    pub(crate) fn values(&self) -> Vec<Value> {
        let changes = |body: &Value| body["entry"][0]["changes"].as_array().cloned().unwrap();
        self.bodies().iter().flat_map(changes).map(|change| change["value"].clone()).collect()
    }
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let given = headers["x-hub-signature-256"].to_str().unwrap().strip_prefix("sha256=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    assert_eq!(given, hex(hmac::sign(&key, &body).as_ref()));
    let refuse = |left: u32| left.checked_sub(1);
    if inner.refusals_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_ok() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    inner.bodies.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    StatusCode::OK
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
