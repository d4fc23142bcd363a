//! A plain client of the Cloud API.

use kabar_sandbox::{Sandbox, SandboxConfig};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

/// The number that tests send from.
pub(crate) const NUMBER: &str = "106540352242922";

/// A sandbox and a client for it.
pub(crate) struct Session {
    pub(crate) sandbox: Sandbox,
    pub(crate) http: Client,
}

impl Session {
    pub(crate) async fn start(config: SandboxConfig) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = Sandbox::start(config).await.unwrap();
        let http = Client::builder().no_proxy().retry(reqwest::retry::never()).build().unwrap();
        Self { sandbox, http }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.base_url())
    }

    pub(crate) async fn try_post(&self, body: &Value) -> reqwest::Result<Response> {
        let url = self.url(&format!("/v23.0/{NUMBER}/messages"));
        self.http.post(url).bearer_auth("token").body(body.to_string()).send().await
    }

    pub(crate) async fn post(&self, body: &Value) -> (StatusCode, Value) {
        read(self.try_post(body).await.unwrap()).await
    }

    pub(crate) async fn send_text(&self, to: &str) -> (StatusCode, Value) {
        self.post(&text(to)).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.http.get(self.url(path)).bearer_auth("token").send().await.unwrap()).await
    }
}

pub(crate) fn text(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hello"}})
}

pub(crate) fn template(to: &str, name: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters.iter().map(|text| json!({"type": "text", "text": text})).collect();
    json!({"messaging_product": "whatsapp", "to": to, "type": "template", "template": {
        "name": name, "language": {"code": "id"}, "components": [{"type": "body", "parameters": parameters}]
    }})
}

pub(crate) async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
