//! A connection that is made when first needed, and made anew when it is lost.

use std::sync::Arc;

use futures_util::StreamExt as _;
use lapin::{Channel, Connect as _, Connection, ConnectionProperties, Event};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until, timeout},
};

use super::{
    address::Address,
    backoff::Backoff,
    trouble::{CALL_WITHIN, Trouble, call},
};

/// AMQP's code for "closed in good order", with its text.
const REPLY_SUCCESS: (u16, &str) = (200, "OK");

/// A connection that is made when first needed, and made anew when it is lost.
#[derive(Debug)]
pub(super) struct Link {
    address: Arc<Address>,
    /// Shown in RabbitMQ's list of connections.
    name: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Arc<Connection>>,
    backoff: Backoff,
    /// The last attempt that failed: when, and why.
    failed: Option<(Instant, Arc<Trouble>)>,
    closed: bool,
}

impl Link {
    pub(super) fn new(address: Arc<Address>, name: &'static str) -> Self {
        Self { address, name, state: Mutex::default() }
    }

    /// A new channel.
    ///
    /// # Errors
    /// When the broker cannot be reached within [`CALL_WITHIN`], or allows no further channel.
    pub(super) async fn channel(&self) -> Result<Channel, Trouble> {
        let connection = self.connection().await?;
        call(connection.create_channel()).await
    }

    /// Whether the broker has said that it takes nothing in for now.
    pub(super) async fn is_blocked(&self) -> bool {
        self.state.lock().await.connection.as_ref().is_some_and(|connection| connection.status().blocked())
    }

    async fn connection(&self) -> Result<Arc<Connection>, Trouble> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if state.closed {
            return Err(Trouble::Closed);
        }
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.status().connected()) {
            return Ok(connection.clone());
        }
        state.connection = None;
        // Whoever waited for another's attempt in vain does not begin one of their own.
        if let Some((_, why)) = state.failed.as_ref().filter(|(at, _)| *at > asked) {
            return Err(self.unreachable(why.clone()));
        }
        if let Some(not_before) = state.backoff.not_before() {
            sleep_until(not_before).await;
        }
        match self.connect().await {
            Ok(connection) => {
                state.backoff.succeeded();
                let connection = Arc::new(connection);
                state.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(trouble) => {
                let (now, why) = (Instant::now(), Arc::new(trouble));
                state.backoff.failed(now, fastrand::f64());
                state.failed = Some((now, why.clone()));
                Err(self.unreachable(why))
            }
        }
    }

    fn unreachable(&self, source: Arc<Trouble>) -> Trouble {
        Trouble::Unreachable { host: self.address.host(), source }
    }

    async fn connect(&self) -> Result<Connection, Trouble> {
        // Read each time: certificates are renewed while a fleet runs.
        let tls = self.address.tls()?;
        let properties = ConnectionProperties::default().with_connection_name(self.name.into());
        let runtime = lapin::runtime::default_runtime()?;
        let connecting = self.address.uri().connect_with_config(properties, tls, runtime);
        let connection = timeout(CALL_WITHIN, connecting).await.map_err(|_| Trouble::NoAnswer(CALL_WITHIN))??;
        tokio::spawn(tell(self.name, connection.events_listener()));
        Ok(connection)
    }

    /// Closes the connection for good.
    pub(super) async fn close(&self) {
        let connection = {
            let mut state = self.state.lock().await;
            state.closed = true;
            state.connection.take()
        };
        if let Some(connection) = connection {
            end(connection).await;
        }
    }
}

impl Drop for Link {
    /// A channel keeps its connection open, and whoever still holds a delivery holds a channel.
    fn drop(&mut self) {
        let connection = self.state.get_mut().connection.take();
        if let (Some(connection), Ok(runtime)) = (connection, tokio::runtime::Handle::try_current()) {
            runtime.spawn(end(connection));
        }
    }
}

async fn end(connection: Arc<Connection>) {
    let (code, text) = REPLY_SUCCESS;
    if let Err(trouble) = call(connection.close(code, text.into())).await {
        tracing::debug!(error = &trouble as &dyn std::error::Error, "the connection to the broker had ended already");
    }
}

/// Logs what happens to a connection, each thing once, until it is gone.
async fn tell(connection: &'static str, events: impl futures_util::Stream<Item = Event>) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(connection, reason, "the broker blocks publishing until it has room again");
            }
            Event::ConnectionUnblocked => tracing::info!(connection, "the broker takes items in again"),
            Event::Error(error) => {
                tracing::warn!(connection, error = &error as &dyn std::error::Error, "trouble with the broker");
            }
            _ => {}
        }
    }
}
