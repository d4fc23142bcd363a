//! A server on a real socket that does to requests what real servers and networks do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use kabar_domain::sender::ProviderKind;
use kabar_providers::{Access, Token};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the server does with a connection.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Answers every request with these bytes and keeps the connection.
    Answer(String),
    /// Answers every request with these bytes and closes.
    AnswerAndClose(String),
    /// Answers the first request of a connection and closes when it has read the second.
    AnswerOnceThenClose(String),
    /// Reads a request and closes.
    ReadAndClose,
    /// Reads a request and resets the connection.
    ReadAndReset,
    /// Reads and never answers.
    Hang,
    /// Accepts and closes without reading.
    AcceptAndClose,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    arrivals: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&arrivals);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, behaviour.clone(), Arc::clone(&log)));
            }
        });
        Self { address, arrivals }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The way to a sender at this server.
    pub(crate) fn access(&self) -> Access {
        Access {
            provider: ProviderKind::WhatsappCloud,
            address: "106540352242922".into(),
            token: Token::new("EAAGsecret"),
            api_base: self.base(),
            api_version: "v26.0".into(),
        }
    }

    /// Every request that arrived whole, head and body.
    pub(crate) fn arrivals(&self) -> Vec<String> {
        self.arrivals.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, arrivals: Arc<Mutex<Vec<String>>>) {
    if matches!(behaviour, Behaviour::AcceptAndClose) {
        return;
    }
    let mut served = 0;
    while let Some(request) = read_request(&mut stream).await {
        arrivals.lock().unwrap().push(request);
        served += 1;
        match &behaviour {
            Behaviour::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Behaviour::AnswerOnceThenClose(answer) if served == 1 => stream.write_all(answer.as_bytes()).await.unwrap(),
            Behaviour::AnswerAndClose(answer) => return stream.write_all(answer.as_bytes()).await.unwrap(),
            Behaviour::ReadAndReset => return stream.set_zero_linger().unwrap(),
            Behaviour::Hang => {}
            _ => return,
        }
    }
}

/// One request with its body by `Content-Length`; none when the peer closes first.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if bytes.len() >= head + 4 + length {
                return Some(String::from_utf8(bytes).unwrap());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// An answer with its length.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}
