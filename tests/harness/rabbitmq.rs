//! Brokers for tests: names of a test's own on the shared broker, and private brokers that a test may kill.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use kabar_queue::{Queue, RabbitQueue};
use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{eventually, ports::free_port};

/// Names the shared broker. `tests/run` sets it.
const SERVER: &str = "KABAR_TEST_RABBITMQ_URL";

/// How long a broker may take to start, beside others that do.
const STARTS_WITHIN: Duration = Duration::from_secs(90);

/// An exchange of its own on the shared broker, with its queues; gone when it is dropped.
#[derive(Debug)]
pub struct FreshExchange {
    url: String,
    name: String,
}

impl FreshExchange {
    /// Makes it.
    ///
    /// # Panics
    /// When no broker is named, which `tests/run` does, or it cannot be reached.
    pub async fn make() -> Self {
        let made = Self::name_only();
        made.connect().prepare().await.expect("the lines can be made");
        made
    }

    /// Its name and no more: nothing is made on the broker.
    ///
    /// # Panics
    /// When no broker is named, which `tests/run` does.
    #[must_use]
    pub fn name_only() -> Self {
        let url = std::env::var(SERVER).unwrap_or_else(|_| panic!("{SERVER} is not set: run tests/run"));
        Self { url, name: format!("kabar-test-{:016x}", fastrand::u64(..)) }
    }

    /// The queue, over connections of its own.
    ///
    /// # Panics
    /// When the broker's address is none.
    #[must_use]
    pub fn connect(&self) -> Queue {
        Queue::RabbitMq(RabbitQueue::new(&self.url, &self.name).expect("the broker's address is one"))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the broker is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for FreshExchange {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        // On a thread of its own, since a runtime may not wait inside another. At worst it stays until the broker goes.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(delete(&url, &name)).ok()
        });
        drop(dropping.join());
    }
}

async fn delete(url: &str, name: &str) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for line in kabar_queue::Line::ALL {
        let queue = format!("{name}.{}", line.as_str());
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    }
    channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?;
    connection.close(200, "OK".into()).await
}

/// Where those who publish jobs say that they are in a trace.
pub const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Publishes jobs as other services do: to exchange `exchange`, routing key `jobs`, with a [`TRACEPARENT`].
///
/// # Panics
/// When the broker does not take them.
pub async fn publish_jobs(url: &str, exchange: &str, jobs: &[(&[u8], Option<&str>)]) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the broker answers");
    let channel = connection.create_channel().await.expect("a channel can be opened");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the broker confirms");
    for (body, message_id) in jobs {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(TRACEPARENT.into()));
        let mut properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
        if let Some(id) = message_id {
            properties = properties.with_message_id((*id).into());
        }
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let published = channel.basic_publish(exchange.into(), "jobs".into(), options, body, properties).await;
        let confirmed = published.expect("a job can be sent").await.expect("a job is confirmed");
        assert_eq!(confirmed, Confirmation::Ack(None));
    }
    connection.close(200, "OK".into()).await.expect("the connection closes");
}

/// An error with its causes, as a user reads it.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A broker of a test's own, which may be killed and started again. Ends when it is dropped.
#[derive(Debug)]
pub struct PrivateBroker {
    home: tempfile::TempDir,
    password: String,
    /// Of the broker, of its distribution and of the port mapper.
    ports: [u16; 3],
    tls_port: u16,
    node: Option<Child>,
    /// The port mapper.
    _epmd: Child,
}

impl PrivateBroker {
    /// Starts one and waits until it listens.
    ///
    /// # Panics
    /// When it does not start; `tests/run` installs it.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        let password = format!("{:032x}", fastrand::u128(..));
        let ports = [(); 3].map(|()| free_port());
        let tls_port = free_port();
        let folder = home.path().to_string_lossy();
        let furnished = service(&["rabbitmq_furnish", &folder, &password, &tls_port.to_string()]).output().await;
        assert!(furnished.expect("a shell starts").status.success(), "the broker's folder cannot be furnished");
        let epmd = spawn(node(home.path(), &ports, &["epmd"]));
        let mut broker = Self { home, password, ports, tls_port, node: None, _epmd: epmd };
        broker.start_again().await;
        broker
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://kabar:{}@127.0.0.1:{}", self.password, self.ports[0])
    }

    /// Its address for encrypted connections, with a certificate that nobody trusts by themselves.
    #[must_use]
    pub fn tls_url(&self) -> String {
        format!("amqps://kabar:{}@127.0.0.1:{}", self.password, self.tls_port)
    }

    /// The certificate of the authority that signed the one of [`Self::tls_url`].
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// The password in its address, which must be seen nowhere else.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The queue with its usual names.
    ///
    /// # Panics
    /// Never: the address is one.
    #[must_use]
    pub fn connect(&self) -> Queue {
        Queue::RabbitMq(RabbitQueue::new(&self.url(), RabbitQueue::EXCHANGE).expect("the broker's address is one"))
    }

    /// Ends it as a power cut would (`kill -9`).
    ///
    /// # Panics
    /// When it has ended already.
    pub async fn kill(&mut self) {
        let mut node = self.node.take().expect("the broker runs");
        node.kill().await.expect("the broker can be killed");
    }

    /// Starts it again after it was killed, on the same port and with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        self.node = Some(spawn(node(self.home.path(), &self.ports, &["rabbitmq-server"])));
        // It opens one after the other.
        for port in [self.ports[0], self.tls_port] {
            eventually(STARTS_WITHIN, async || TcpStream::connect(("127.0.0.1", port)).await.map(drop)).await;
        }
    }

    /// Runs `rabbitmqctl`: `broker.control(&["close_all_connections", "test"])`.
    ///
    /// # Panics
    /// When it fails.
    pub async fn control(&self, arguments: &[&str]) -> String {
        let command = [&["rabbitmqctl", "--quiet"], arguments].concat();
        let Output { status, stdout, stderr } =
            node(self.home.path(), &self.ports, &command).output().await.expect("rabbitmqctl starts");
        assert!(status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }
}

/// A command as the node in this folder would run it.
fn node(home: &Path, ports: &[u16; 3], command: &[&str]) -> Command {
    let ports = ports.map(|port| port.to_string());
    let [port, distribution, epmd] = &ports;
    service(&[&["rabbitmq_node", &home.to_string_lossy(), port, distribution, epmd], command].concat())
}

/// A function of `services/rabbitmq.sh`, which knows how to keep a broker private.
fn service(command: &[&str]) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("services");
    let script = "set -euo pipefail; for file in machine service rabbitmq; do source \"$0/$file.sh\"; done; \"$@\"";
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(script).arg(folder).args(command).stdin(Stdio::null()).kill_on_drop(true);
    shell
}

/// Starts it with its output out of sight.
fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell starts")
}
