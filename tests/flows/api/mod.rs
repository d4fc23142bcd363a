//! The HTTP API of the real program: what each route does, whom it refuses, and what it says to mistakes.

use kabar_domain::scope::Scope;
use kabar_store::{DEFAULT_TENANT, NewApiKey, TenantId};
use kabar_tests::{
    Home, KabarProcess, LedgerKind, TestLedger, Time,
    http::{self, Response},
};
use serde_json::Value;

mod enqueueing;
mod groups;
mod metrics;
mod mistakes;
mod operating;
mod routes;
mod tokens;
mod uploads;

/// Makes a test on SQLite and one on Postgres of each function.
macro_rules! on_both_ledgers {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                Box::pin(super::$name(crate::api::Api::start(kabar_tests::LedgerKind::Sqlite).await)).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: run tests/run"]
            async fn postgres() {
                Box::pin(super::$name(crate::api::Api::start(kabar_tests::LedgerKind::Postgres).await)).await;
            }
        }
    )+};
}
use on_both_ledgers;

/// A gateway in a process of its own, with a sender named `default` whose provider nobody asks.
pub(crate) struct Api {
    pub(crate) ledger: TestLedger,
    pub(crate) home: Home,
    pub(crate) process: KabarProcess,
}

impl Api {
    pub(crate) async fn start(kind: LedgerKind) -> Self {
        Self::start_with(kind, |home| home).await
    }

    pub(crate) async fn start_with(kind: LedgerKind, change: impl FnOnce(Home) -> Home) -> Self {
        let ledger = TestLedger::open(kind, Time::System).await;
        let home = Home::new()
            .on_ledger(&ledger)
            .with("WHATSAPP_PHONE_NUMBER_ID", "106540352242922")
            .with("WHATSAPP_ACCESS_TOKEN", "test-access-token");
        let home = change(home);
        let mut process = home.start(&["run", "--only", "gateway,planner"]);
        process.ready().await;
        Self { ledger, home, process }
    }

    /// A key with these scopes.
    pub(crate) async fn key(&self, scopes: &[Scope]) -> String {
        self.key_of(DEFAULT_TENANT, scopes).await
    }

    /// A key of a tenant.
    pub(crate) async fn key_of(&self, tenant: TenantId, scopes: &[Scope]) -> String {
        let name = format!("key-{:08x}", fastrand::u32(..));
        self.made(tenant, NewApiKey { name, scopes: scopes.to_vec(), messages_per_minute: None, expires_at: None })
            .await
    }

    /// A key as it is wanted.
    pub(crate) async fn made(&self, tenant: TenantId, key: NewApiKey) -> String {
        let made = self.ledger.store().add_key(tenant, &key).await;
        made.unwrap_or_else(|error| panic!("the key: {error}")).1.expose().to_owned()
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Response {
        self.call("GET", path, &[("authorization", &bearer(key))], "").await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> Response {
        let headers = [("authorization", bearer(key)), ("content-type", "application/json".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.call("POST", path, &headers, body.to_string()).await
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        let answer = http::request(self.process.address(), method, path, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

pub(crate) fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// Fails unless the answer is a problem of this status and type.
#[track_caller]
pub(crate) fn assert_problem(answer: &Response, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:kabar:problem:{kind}"), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{problem}");
    problem
}
