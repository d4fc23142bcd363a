//! The HTTP client: trust, connections, and no will of its own.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, NoProxy, Proxy, redirect, retry};

use crate::options::{Options, ProviderError};

/// How long an idle connection is kept. Well below what servers and load balancers keep (60 s and more), so that hardly
/// any request meets a connection that its server has just closed, which would leave the message in doubt.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Builds the client that all requests share.
///
/// HTTP/1.1 only: one request per connection at a time makes "it was never written" provable, and a reset takes one
/// message into doubt instead of all that share the connection. Redirects are not followed: a repeated POST is a
/// second message.
pub(crate) fn build(options: &Options) -> Result<Client, ProviderError> {
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
    builder.build().map_err(ProviderError::Client)
}

fn check(options: &Options) -> Result<(), ProviderError> {
    let wrong = |option, problem: &str| Err(ProviderError::Option { option, problem: problem.to_owned() });
    if options.connect_timeout.is_zero() {
        return wrong("connect_timeout", "is zero; give a duration such as 5s");
    }
    if options.connect_timeout >= options.request_timeout {
        return wrong("connect_timeout", "must be shorter than request_timeout, which includes it");
    }
    if options.max_answer_bytes < 1_024 {
        return wrong("max_answer_bytes", "is too small for any answer; give at least 1024");
    }
    Ok(())
}

/// Mozilla's roots, compiled in: reqwest's own choice asks the operating system, whose store is missing in bare
/// containers, and then every handshake fails.
fn tls() -> Result<rustls::ClientConfig, ProviderError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ProviderError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The proxy of the usual environment variables, for https alone: its tunnel sees no token. Plain http goes to this
/// machine and must not be sent through a proxy that would read the token.
fn https_proxy() -> Result<Option<Proxy>, ProviderError> {
    let given = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let proxy = given.map(|address| Proxy::https(address).map_err(ProviderError::Client)).transpose()?;
    Ok(proxy.map(|proxy| proxy.no_proxy(NoProxy::from_env())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_that_would_hide_a_missing_connection_are_refused() {
        let options = Options { connect_timeout: Duration::from_secs(30), ..Options::default() };
        assert_eq!(
            build(&options).unwrap_err().to_string(),
            "connect_timeout: must be shorter than request_timeout, which includes it"
        );
        build(&Options::default()).unwrap();
    }
}
