//! One connection: HTTP/1.1 with keep-alive, ended without an answer when a handler says so.

use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::api::unusual::{BrokenOff, HangUp};

/// How long a call that is being answered may go on after a stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Serves a connection until its client leaves, a handler hangs up, or the sandbox stops.
pub(crate) async fn serve(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Answers are small: without this they wait for the client's acknowledgement. Only speed is lost if it fails.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = router.call(request);
        async move { unless_hung_up(answer.await?) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // Broken connections are the client's business, or were broken on purpose.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(STOP_GRACE, connection).await;
}

/// An error in place of a response makes the server close the connection with nothing written.
fn unless_hung_up<B>(response: Response<B>) -> Result<Response<B>, BrokenOff> {
    if response.extensions().get::<HangUp>().is_some() { Err(BrokenOff) } else { Ok(response) }
}
