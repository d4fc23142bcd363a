//! Answers that are no answers of the platform: a closed connection, a proxy's page, half an answer.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use hyper::body::Frame;

use crate::api::error::json_bytes;

/// Marks a response that must not be written: the server closes its connection instead.
#[derive(Clone, Copy)]
pub(crate) struct HangUp;

/// Closes the connection without an answer.
pub(crate) fn hang_up() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}

/// The page of a proxy that could not reach the platform.
pub(crate) fn proxy_page() -> Response<Body> {
    const PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
                        <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
    let mut response = Response::new(Body::from(PAGE));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// An answer whose head promises the whole body and whose connection closes after half of it.
pub(crate) fn half_answer(whole: Vec<u8>) -> Response<Body> {
    let promised = whole.len();
    let half = Bytes::from(whole).slice(..promised / 2);
    let mut response = json_bytes(StatusCode::OK, Body::new(BrokenBody { half: Some(half), flushed: false }));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(promised));
    response
}

/// A body that breaks off. It waits one turn after its only chunk so that the chunk is written before it fails.
struct BrokenBody {
    half: Option<Bytes>,
    flushed: bool,
}

impl HttpBody for BrokenBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(BrokenOff)))
    }
}

/// Why a connection ends without, or in the middle of, an answer.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the sandbox broke off its answer on purpose")
    }
}

impl std::error::Error for BrokenOff {}

impl From<Infallible> for BrokenOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
