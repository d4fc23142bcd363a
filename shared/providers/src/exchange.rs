//! One request, one answer: what came back, or how the exchange broke.

use std::{error::Error, io};

use chrono::Utc;
use kabar_domain::outcome::{Decision, Outcome, Scope};
use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};

use crate::{
    access::Token,
    endpoint,
    options::{Options, ProviderError},
    retry_after,
};

const NETWORK_ADVICE: &str = "Check the network, its name resolution and the sender's API base.";

/// The shared client with the bounds that it does not keep by itself.
pub(crate) struct Http {
    client: Client,
    max_answer_bytes: usize,
    allow_plain_http: bool,
}

/// An answer whose status line came, with as much of its body as could be had.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<std::time::Duration>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How an answer's body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it came.
    Whole,
    /// It was longer than what is read.
    TooLong,
    /// The connection broke, or time ran out, before all of it came.
    BrokenOff,
}

impl Http {
    pub(crate) fn new(options: &Options) -> Result<Self, ProviderError> {
        Ok(Self {
            client: kabar_http::client(&options.client()?)?,
            max_answer_bytes: options.max_answer_bytes,
            allow_plain_http: options.allow_plain_http,
        })
    }

    pub(crate) fn allows_plain_http(&self) -> bool {
        self.allow_plain_http
    }

    /// Posts `body`, once.
    pub(crate) async fn post(&self, url: Url, token: &Token, body: Vec<u8>) -> Result<Answer, Outcome> {
        let request = self.client.post(url).header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.exchange(request.body(body), token, self.max_answer_bytes).await
    }

    /// Asks, once.
    pub(crate) async fn get(&self, url: Url, token: &Token) -> Result<Answer, Outcome> {
        self.exchange(self.client.get(url), token, self.max_answer_bytes).await
    }

    /// Asks, once, for a list whose pages may be longer than other answers.
    pub(crate) async fn get_page(&self, url: Url, token: &Token, max_bytes: usize) -> Result<Answer, Outcome> {
        self.exchange(self.client.get(url), token, max_bytes).await
    }

    async fn exchange(&self, request: RequestBuilder, token: &Token, max_bytes: usize) -> Result<Answer, Outcome> {
        let Some(authorization) = token.header() else {
            let advice = "Set the sender's access token, then resume it.";
            return Err(endpoint::halt("the access token is missing or has characters that no token has", advice));
        };
        let sent = request.header(AUTHORIZATION, authorization).send().await;
        Ok(read(sent.map_err(|error| broken(&error))?, max_bytes).await)
    }
}

async fn read(mut response: Response, max_bytes: usize) -> Answer {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|value| retry_after::parse(value, Utc::now()));
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max_bytes => break End::TooLong,
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break End::Whole,
            Err(_) => break End::BrokenOff,
        }
    };
    Answer { status, retry_after, headers, body, end }
}

/// What to make of an exchange that broke before a status line came.
///
/// It never left when no connection came about (name resolution, TCP, proxy tunnel and TLS are all the connector's, and
/// so is the connect timeout), or when hyper gives the request back as cancelled, which it does only before writing any
/// of it. Everything else is doubt. The connect error is asked for first: a connect timeout is also a timeout.
fn broken(error: &reqwest::Error) -> Outcome {
    if error.is_connect() {
        let (what, advice) = connect_trouble(error);
        return not_sent(what, advice);
    }
    if error.is_builder() {
        return endpoint::halt("the request could not be put together", "Check the sender's API base, then resume it.");
    }
    if chain(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_canceled) {
        return not_sent("the connection was closed before the request was written".to_owned(), NETWORK_ADVICE);
    }
    if error.is_timeout() {
        return Outcome::in_doubt("no answer came within the request timeout");
    }
    Outcome::in_doubt("the connection broke before an answer came")
}

/// Holds for the sender: a run of these means that nothing of it can leave, and it is parked.
fn not_sent(meaning: String, advice: &str) -> Outcome {
    Outcome { scope: Scope::Sender, advice: advice.to_owned(), ..Outcome::of(Decision::NotSent, meaning) }
}

fn connect_trouble(error: &reqwest::Error) -> (String, &'static str) {
    if error.is_dns() {
        return ("the provider's name could not be resolved".to_owned(), NETWORK_ADVICE);
    }
    if error.is_timeout() {
        return ("no connection came about within the connect timeout".to_owned(), NETWORK_ADVICE);
    }
    for cause in chain(error) {
        // An io error hides what it wraps from `source`.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = cause.downcast_ref().or_else(|| wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if let Some(tls) = tls {
            let advice = "Check the clock and that nothing between here and the provider opens TLS connections.";
            return (format!("no trusted TLS connection came about: {tls}"), advice);
        }
        if cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return ("the connection was refused".to_owned(), NETWORK_ADVICE);
        }
    }
    ("no connection came about".to_owned(), NETWORK_ADVICE)
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}
