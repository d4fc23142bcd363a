//! Takes HTTP in: the API, webhooks of providers, health and metrics. Durable before it answers; no business rule of its
//! own.

mod api;
mod gauges;
mod health;
mod webhooks;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{Router, extract::DefaultBodyLimit, routing::get};
use kabar_identity::Identity;
use kabar_telemetry::MetricsHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{context::Shared, identity};
use gauges::Gauges;

pub(crate) use api::openapi;

/// What every request can reach.
#[derive(Clone)]
struct Gateway {
    context: Shared,
    metrics: Option<MetricsHandle>,
    gauges: Arc<Gauges>,
    /// Checks tokens, where the settings name who gives them out.
    identity: Option<Identity>,
}

/// A gateway that has its address and does not serve yet.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

/// Takes the address from the settings.
///
/// # Errors
/// When the address cannot be had, or tokens could never be checked.
pub async fn listen(context: Shared, metrics: Option<MetricsHandle>) -> anyhow::Result<Listening> {
    let wanted = context.settings.gateway.listen;
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!("cannot listen on {wanted}: set KABAR_LISTEN to a free address, such as 127.0.0.1:0")
    })?;
    let address = listener.local_addr().context("the gateway's address cannot be read")?;
    let identity = identity::open(&context.settings).await?;
    let body_limit = context.settings.gateway.body_limit_bytes;
    let gateway = Arc::new(Gateway { context, metrics, gauges: Arc::default(), identity });
    let router = Router::new()
        .route("/webhooks/whatsapp", get(webhooks::verify).post(webhooks::receive))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .layer(DefaultBodyLimit::max(body_limit))
        .merge(api::router(&gateway))
        .with_state(gateway);
    tracing::info!(%address, "the gateway listens");
    Ok(Listening { listener, address, router })
}

impl Listening {
    /// The address, with the port that was chosen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`; requests under way are finished.
    pub async fn serve(self, stop: CancellationToken) {
        let served = axum::serve(self.listener, self.router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(error = &error as &dyn std::error::Error, "the gateway ended");
        }
    }
}
