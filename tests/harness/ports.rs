//! Ports on loopback for what a test starts.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Below those that the system gives to outgoing connections, so that a port is still free when a process that was
/// killed comes back to it.
const PORTS: Range<u16> = 20_000..32_000;

/// A port that was free a moment ago, and that no other test of this process is given.
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn free_port() -> u16 {
    // One after the other, from anywhere: several test programs may run at once.
    static NEXT: LazyLock<AtomicUsize> = LazyLock::new(|| AtomicUsize::new(fastrand::usize(0..PORTS.len())));
    let ports = std::iter::repeat_with(|| PORTS.start + (NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.len()) as u16);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.take(PORTS.len()).find(is_free).expect("a port is free")
}

/// The same as an address.
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}
