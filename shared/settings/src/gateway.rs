//! The gateway: the HTTP API and the webhooks.

use std::net::SocketAddr;

use crate::{WebOrigin, reader::Reader};

/// Settings of the gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The largest request body in bytes, 3 MiB to 64 MiB. Below 3 MB, webhooks of Meta would be refused for ever.
    pub body_limit_bytes: usize,
    /// The largest file of people in bytes that is taken over HTTP.
    pub upload_limit_bytes: u64,
    /// The origins of web pages that may call the API from a browser.
    pub cors_origins: Vec<WebOrigin>,
}

impl Gateway {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            listen: reader.get("gateway.listen")?,
            body_limit_bytes: reader.get("gateway.body_limit_bytes")?,
            upload_limit_bytes: reader.get("gateway.upload_limit_bytes")?,
            cors_origins: reader.get("gateway.cors_origins")?,
        })
    }
}
