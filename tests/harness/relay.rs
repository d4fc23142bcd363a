//! A way to a server that can be cut, fall silent and be mended, as a network can.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How much is carried at once, in bytes; more than a request of WhatsApp has.
const CHUNK: usize = 16 << 10;

/// How much of a body is let through before a request stops in its middle, in bytes.
const BODY_PASSED: usize = 20;

/// What becomes of what comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections stand, and nothing is carried either way: a black hole.
    Silent,
    /// Every request of HTTP stops in the middle of its body.
    MidBody,
    /// There are no connections.
    Cut,
}

/// Passes connections on to a server while it is open. Cut, it ends them all, and new ones at once.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    way: watch::Sender<Way>,
    stopped: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// An open one to `server`, `host:port`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let (way, state) = watch::channel(Way::Open);
        let stopped = Arc::new(AtomicUsize::new(0));
        let (server, stops) = (server.to_owned(), stopped.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), state.clone(), stops.clone()));
            }
        });
        Self { address, way, stopped, accepting }
    }

    /// Where it listens: `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends every connection, and refuses new ones.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Carries nothing more, while every connection stands: as when a host vanishes.
    pub fn fall_silent(&self) {
        self.way.send_replace(Way::Silent);
    }

    /// Stops every request of HTTP in the middle of its body from now on.
    pub fn stop_in_bodies(&self) {
        self.way.send_replace(Way::MidBody);
    }

    /// How many requests have been stopped in the middle of their body.
    #[must_use]
    pub fn stopped_in_bodies(&self) -> usize {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Lets connections through again. What was stopped in the middle of a body ends there.
    pub fn mend(&self) {
        self.way.send_replace(Way::Open);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(client: TcpStream, server: String, way: watch::Receiver<Way>, stopped: Arc<AtomicUsize>) {
    if *way.borrow() == Way::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(&server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut until_cut = way.clone();
    let there = carry(from_client, to_server, way.clone(), Some(stopped));
    let back = carry(from_server, to_client, way, None);
    tokio::select! {
        _ = async { tokio::try_join!(there, back) } => {}
        _ = until_cut.wait_for(|way| *way == Way::Cut) => {}
    }
}

/// Carries what comes from one side to the other; requests, for which stops are counted, may stop in their body.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
    stops: Option<Arc<AtomicUsize>>,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        let now = *way.wait_for(|way| *way != Way::Silent).await.map_err(gone)?;
        if count == 0 {
            return to.shutdown().await;
        }
        if let (Way::MidBody, Some(stops)) = (now, &stops)
            && let Some(head) = chunk[..count].windows(4).position(|bytes| bytes == b"\r\n\r\n")
        {
            to.write_all(&chunk[..count.min(head + 4 + BODY_PASSED)]).await?;
            stops.fetch_add(1, Ordering::Relaxed);
            way.wait_for(|way| *way != Way::MidBody).await.map_err(gone)?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        to.write_all(&chunk[..count]).await?;
    }
}
