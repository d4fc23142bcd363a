//! Sends and questions over real sockets, against servers that behave as badly as real ones.

// `cfg(test)` holds for the whole crate; it is said again so that clippy knows helpers for test code, too.
#[cfg(test)]
mod check;
#[cfg(test)]
mod send;
#[cfg(test)]
mod server;
#[cfg(test)]
mod templates;
