//! Trust, connections, and no will of its own.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, NoProxy, Proxy, redirect, retry};

/// How long an idle connection is kept. Well below what servers and load balancers keep (60 s and more), so that hardly
/// any request meets a connection that its server has just closed, which would leave a message in doubt.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// How requests are made.
#[derive(Debug, Clone, Copy)]
pub struct ClientOptions {
    /// The longest time to resolve, connect and shake hands. Shorter than `request_timeout`, so that a connection that
    /// never came about is known as such.
    pub connect_timeout: Duration,
    /// The longest time for a whole request, from its start to the last byte of the answer.
    pub request_timeout: Duration,
    /// The most idle connections kept open to one host.
    pub max_idle_per_host: usize,
}

/// What keeps a client from being made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An option has a value that cannot work.
    #[error("{option}: {problem}")]
    Option {
        /// Which.
        option: &'static str,
        /// What is wrong and what is allowed.
        problem: &'static str,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// A client with a pool of connections of its own.
///
/// HTTP/1.1 only: one request per connection at a time makes "it was never written" provable, and a reset takes one
/// message into doubt instead of all that share the connection. Redirects are not followed: a repeated POST is a
/// second message.
///
/// # Errors
/// When an option cannot work, or the client cannot be built.
pub fn client(options: &ClientOptions) -> Result<Client, ClientError> {
    check(options)?;
    // The process-wide default, for whatever else speaks TLS in this process; it may be set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls()?)
        .http1_only()
        .retry(retry::never())
        .redirect(redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("kabar/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .connect_timeout(options.connect_timeout)
        .timeout(options.request_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(options.max_idle_per_host)
        .no_proxy();
    if let Some(proxy) = https_proxy()? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(ClientError::Client)
}

fn check(options: &ClientOptions) -> Result<(), ClientError> {
    let wrong = |option, problem| Err(ClientError::Option { option, problem });
    if options.connect_timeout.is_zero() {
        return wrong("connect_timeout", "is zero; give a duration such as 5s");
    }
    if options.connect_timeout >= options.request_timeout {
        return wrong("connect_timeout", "must be shorter than request_timeout, which includes it");
    }
    Ok(())
}

/// Mozilla's roots, compiled in: reqwest's own choice asks the operating system, whose store is missing in bare
/// containers, and then every handshake fails.
fn tls() -> Result<rustls::ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The proxy of the usual environment variables, for https alone: its tunnel sees no token. Plain http goes to this
/// machine and must not be sent through a proxy that would read the token.
fn https_proxy() -> Result<Option<Proxy>, ClientError> {
    let given = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let proxy = given.map(|address| Proxy::https(address).map_err(ClientError::Client)).transpose()?;
    Ok(proxy.map(|proxy| proxy.no_proxy(NoProxy::from_env())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_that_would_hide_a_missing_connection_are_refused() {
        let seconds = Duration::from_secs;
        let options = ClientOptions { connect_timeout: seconds(5), request_timeout: seconds(30), max_idle_per_host: 1 };
        client(&options).unwrap();
        let wrong = ClientOptions { connect_timeout: seconds(30), ..options };
        assert_eq!(
            client(&wrong).unwrap_err().to_string(),
            "connect_timeout: must be shorter than request_timeout, which includes it"
        );
    }
}
