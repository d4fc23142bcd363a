//! The little HTTP that tests speak to a gateway: one request on one connection, nothing repeated, nothing hidden.
//!
//! Requests are HTTP/1.0, so an answer is everything until the connection closes.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How long one exchange may take.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head: status line and headers as they came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Response {
    /// The value of a header; its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// `GET path` at `address` (`host:port`).
///
/// # Errors
/// When nothing answers there, or not with HTTP.
pub async fn get(address: &str, path: &str) -> io::Result<Response> {
    request(address, "GET", path, &[], "").await
}

/// `POST path` with a JSON body.
///
/// # Errors
/// When nothing answers there, or not with HTTP.
pub async fn post(
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &serde_json::Value,
) -> io::Result<Response> {
    let headers = [&[("content-type", "application/json")], headers].concat();
    request(address, "POST", path, &headers, &body.to_string()).await
}

/// Any request. The headers `host` and `content-length` are written already.
///
/// # Errors
/// When nothing answers there, or not with HTTP.
pub async fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> io::Result<Response> {
    request_within(EXCHANGE_WITHIN, address, method, path, headers, body).await
}

/// The same where it may take longer than anything in a test does.
///
/// # Errors
/// When nothing answers there in time, or not with HTTP.
pub async fn request_within(
    within: Duration,
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> io::Result<Response> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (body, length) = (body.as_ref(), body.as_ref().len());
    let head = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {length}\r\n{headers}\r\n");
    tokio::time::timeout(within, exchange(address, &[head.as_bytes(), body].concat())).await?
}

async fn exchange(address: &str, text: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Response { status, head: head.to_owned(), body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox;

    #[tokio::test]
    async fn it_speaks_with_a_real_server() {
        let sandbox = sandbox::start(|_| {}).await;
        let path = format!("/v24.0/{}/messages", sandbox::PHONE_NUMBER_ID);
        let bearer = format!("Bearer {}", sandbox::ACCESS_TOKEN);
        let body = serde_json::json!({
            "messaging_product": "whatsapp", "to": "628123456789", "type": "text", "text": {"body": "halo"}
        });
        let address = sandbox.address().to_string();
        let sent = post(&address, &path, &[("authorization", &bearer)], &body).await.unwrap();
        assert_eq!(sent.status, 200, "{sent:?}");
        assert!(sent.json()["messages"][0]["id"].is_string(), "{sent:?}");
        let refused = post(&address, &path, &[("authorization", "Bearer other")], &body).await.unwrap();
        assert_eq!(refused.status, 401, "{refused:?}");
    }
}
