//! Where a request goes: checked before any token does.

use std::net::IpAddr;

use kabar_domain::outcome::{Decision, Outcome, Scope};
use reqwest::Url;

use crate::{access::Access, options::ProviderError};

/// The address of `path` below the sender's base and version, or the halt that explains why there is none.
pub(crate) fn url(access: &Access, path: &str, allow_plain_http: bool) -> Result<Url, Outcome> {
    let base = access.api_base.trim_end_matches('/');
    if !is_segment(&access.api_version) {
        return Err(halt(
            "the API version is malformed",
            "Set the version to one such as v26.0, then resume the sender.",
        ));
    }
    if !is_segment(&access.address) {
        let advice = "Set the sender's phone-number id (digits, as the provider shows it), then resume the sender.";
        return Err(halt("the sender's address at the provider is malformed", advice));
    }
    let url = Url::parse(&format!("{base}/{}/{}{path}", access.api_version, access.address));
    // The query is ours, so what is checked is the base's part.
    match url {
        Ok(url) if base.contains(['?', '#']) => Err(unusable(&refused(&url, "must have no query or fragment"))),
        Ok(url) => check(&url, allow_plain_http).map(|()| url).map_err(|error| unusable(&error)),
        Err(_) => Err(halt("the API base is not an address", "Correct the sender's API base, then resume the sender.")),
    }
}

/// A halt of the sender, with an alert.
pub(crate) fn halt(meaning: impl Into<String>, advice: impl Into<String>) -> Outcome {
    Outcome { scope: Scope::Sender, advice: advice.into(), alert: true, ..Outcome::of(Decision::Halt, meaning) }
}

fn unusable(error: &ProviderError) -> Outcome {
    halt(error.to_string(), "Correct the sender's API base, then resume the sender.")
}

/// Checks that a token may go to `base`.
pub(crate) fn check_base(base: &str, allow_plain_http: bool) -> Result<(), ProviderError> {
    let url = Url::parse(base)
        .map_err(|_| ProviderError::Base { base: String::new(), problem: "is not an address such as https://host" })?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused(&url, "must have no query or fragment"));
    }
    check(&url, allow_plain_http)
}

fn check(url: &Url, allow_plain_http: bool) -> Result<(), ProviderError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(url, "must have no user name or password in it"));
    }
    match url.scheme() {
        "https" if url.has_host() => Ok(()),
        "http" if url.has_host() && (allow_plain_http || is_loopback(url)) => Ok(()),
        "http" => Err(refused(url, "is plain http to another machine: use https, or allow plain http in the settings")),
        _ => Err(refused(url, "must be an https address")),
    }
}

/// The error, with scheme and host alone: the rest may hold credentials.
fn refused(url: &Url, problem: &'static str) -> ProviderError {
    ProviderError::Base { base: format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()), problem }
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// Whether `text` is one segment of a path and cannot lead to another resource.
fn is_segment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.bytes().all(allowed) && text.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use kabar_domain::sender::ProviderKind;

    use super::*;
    use crate::access::Token;

    fn access(base: &str, version: &str, address: &str) -> Access {
        Access {
            provider: ProviderKind::WhatsappCloud,
            address: address.into(),
            token: Token::new("t"),
            api_base: base.into(),
            api_version: version.into(),
        }
    }

    #[test]
    fn the_path_is_base_version_and_address() {
        let url = url(&access("https://graph.facebook.com/", "v26.0", "106540352242922"), "/messages", false).unwrap();
        assert_eq!(url.as_str(), "https://graph.facebook.com/v26.0/106540352242922/messages");
    }

    #[test]
    fn a_token_travels_unencrypted_to_this_machine_alone() {
        for base in
            ["http://127.0.0.1:9000", "http://localhost:9000/sandbox", "http://[::1]:9000", "https://proxy.example"]
        {
            check_base(base, false).unwrap();
        }
        for base in
            ["http://10.0.0.1", "http://127.0.0.1.example.com", "ftp://localhost", "file:///etc", "localhost:80", ""]
        {
            assert!(check_base(base, false).is_err(), "{base}");
        }
        check_base("http://sandbox:9000", true).unwrap();
        let halted = url(&access("http://10.0.0.1", "v26.0", "1"), "", false).unwrap_err();
        assert_eq!((halted.decision, halted.scope), (Decision::Halt, Scope::Sender));
    }

    #[test]
    fn an_address_cannot_lead_elsewhere() {
        for address in ["", "..", "1/../2", "1?x", "1#x", "1%2f2", "1 2"] {
            assert_eq!(url(&access("https://h", "v26.0", address), "", false).unwrap_err().decision, Decision::Halt);
            assert_eq!(url(&access("https://h", address, "1"), "", false).unwrap_err().decision, Decision::Halt);
        }
        assert_eq!(url(&access("https://h/?x=", "v26.0", "1"), "", false).unwrap_err().decision, Decision::Halt);
    }

    #[test]
    fn credentials_in_a_base_are_refused_and_not_repeated() {
        let error = check_base("https://user:hunter2@host/", false).unwrap_err().to_string();
        assert!(error.contains("password") && !error.contains("hunter2"), "{error}");
    }
}
