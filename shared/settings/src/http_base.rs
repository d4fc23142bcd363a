//! The address of an HTTP API, checked for where secrets may go.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// `http://` or `https://`, a host, perhaps a port and a path; no user, query or fragment, no slash at the end.
///
/// Only plain signs are allowed, so that no reader of the address can find another host in it than this one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpBase {
    text: String,
    is_plain: bool,
    is_loopback: bool,
}

impl HttpBase {
    /// The address in `text`; none if it is not of this form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('/');
        let (is_plain, rest) = match text.strip_prefix("https://") {
            Some(rest) => (false, rest),
            None => (true, text.strip_prefix("http://")?),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        let is_loopback = is_loopback(authority)?;
        path.bytes().all(plain).then(|| Self { text: text.to_owned(), is_plain, is_loopback })
    }

    /// The address, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether secrets may be sent there: by https anywhere, by plain http to this machine alone unless
    /// `allow_plain_http`.
    #[must_use]
    pub fn is_allowed(&self, allow_plain_http: bool) -> bool {
        !self.is_plain || self.is_loopback || allow_plain_http
    }
}

impl fmt::Display for HttpBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether the host of `authority` (`HOST` or `HOST:PORT`) is this machine; none if it is no host.
fn is_loopback(authority: &str) -> Option<bool> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if !port.is_empty() {
        let digits = port.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<u16>().ok()?;
    }
    if authority.starts_with('[') {
        return host.parse::<Ipv6Addr>().ok().map(|address| address.is_loopback());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let is_host = !host.is_empty() && host.bytes().all(plain);
    let address: Option<Ipv4Addr> = host.parse().ok();
    is_host.then(|| host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_unless_allowed() {
        for (text, allowed) in [
            ("https://graph.facebook.com", true),
            ("http://127.0.0.1:8081/", true),
            ("http://localhost:8081/graph", true),
            ("http://[::1]:8081", true),
            ("http://graph.facebook.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://0.0.0.0:8081", false),
            ("http://sandbox:8081", false),
        ] {
            let base = HttpBase::parse(text).unwrap();
            assert_eq!(base.is_allowed(false), allowed, "{text}");
            assert!(base.is_allowed(true));
        }
        assert_eq!(HttpBase::parse("http://localhost:1/x/").unwrap().as_str(), "http://localhost:1/x");
    }

    #[test]
    fn addresses_that_could_be_misread_are_refused() {
        for text in [
            "",
            "graph.facebook.com",
            "ftp://host",
            "https://",
            "https:///path",
            "http://localhost\\@example.com",
            "http://user:pw@localhost",
            "http://localhost?x",
            "http://localhost:",
            "http://localhost:99999",
            "http://localhost:+80",
            "http://[::1]x",
            "http://[::1",
        ] {
            assert!(HttpBase::parse(text).is_none(), "{text}");
        }
    }
}
