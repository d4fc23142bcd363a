//! The HTTP server: its routes, and a loop of our own that accepts connections, since no ready-made one can close a
//! connection instead of answering.

mod connection;
pub(crate) mod listen;
mod routes;
