//! How many sends per second the sandbox serves over kept connections on this machine, client included:
//! `cargo run --release -p kabar-sandbox --example throughput -- [SENDS] [CONNECTIONS]`.
//!
//! The client writes fixed bytes and reads fixed bytes, so that what is measured is the sandbox. Server and client run
//! on a thread each; the server's processor time per send is the figure to watch.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use kabar_sandbox::{Sandbox, SandboxConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

const BODY: &str = r#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"+628123456789","type":"template","template":{"name":"payment_reminder","language":{"code":"id"},"components":[{"type":"body","parameters":[{"type":"text","text":"Siti"},{"type":"text","text":"Paket Hemat"},{"type":"text","text":"12 Des 2026"},{"type":"text","text":"2.500.000"},{"type":"text","text":"Budi"},{"type":"text","text":"+62811000111"}]}]},"biz_opaque_callback_data":"0190e0c2-7c3d-7b8e-9b1e-2f1d3c4b5a69.k3Jx9Qm2"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let sends: usize = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let connections: usize = arguments.next().map_or(Ok(32), |text| text.parse())?;

    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let sandbox = server.block_on(Sandbox::start(SandboxConfig::default()))?;
    let client = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections).map(|_| client.spawn(send(sandbox.address(), sends / connections))).collect();
    for task in tasks {
        client.block_on(task)??;
    }
    let seconds = started.elapsed().as_secs_f64();
    let accepted = sandbox.counters().accepted;
    println!("{accepted} sends in {seconds:.2} s: {:.0} per second", accepted as f64 / seconds);
    println!("most in one second: {}", sandbox.worst_window());
    server.block_on(sandbox.shutdown());
    Ok(())
}

async fn send(address: SocketAddr, sends: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "POST /v23.0/106540352242922/messages HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer token\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut answer = vec![0; 4096];
    for _ in 0..sends {
        stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        while !answer[..filled].ends_with(b"]}") {
            match stream.read(&mut answer[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
    }
    Ok(())
}
