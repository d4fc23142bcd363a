//! Accepting connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::{connection, routes};
use crate::shared::Shared;

/// The most connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 10_000;

/// The pause after an accept failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts connections until stopped, serving each in a task of its own.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker, stop: CancellationToken) {
    tokio::select! {
        () = accept_all(&listener, shared, &tasks, &stop) => {}
        () = stop.cancelled() => {}
    }
}

async fn accept_all(listener: &TcpListener, shared: Arc<Shared>, tasks: &TaskTracker, stop: &CancellationToken) {
    let router = routes::router(shared);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed, so this goes on until its future is dropped.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = connection::serve(stream, router.clone(), stop.clone());
                tasks.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
