//! Where the broker is: `amqp://` and `amqps://` URLs as RabbitMQ's own clients read them.

use std::{fmt, path::PathBuf};

use lapin::{tcp::OwnedTLSConfig, uri::AMQPUri};
use url::{Host, Url};

use super::trouble::Trouble;

/// How often either side shows that it lives. A peer that is silent for twice as long is taken as gone.
const HEARTBEAT_SECONDS: u16 = 10;

/// The largest frame. The client keeps buffers of 64 frames per connection, and what kabar publishes and takes is small;
/// larger bodies go in several.
const FRAME_BYTES: u32 = 32 * 1_024;

/// What a URL's query may hold, after <https://www.rabbitmq.com/docs/uri-query-parameters>.
const PARAMETERS: [&str; 4] = ["cacertfile", "heartbeat", "frame_max", "channel_max"];

/// Where the broker is, and as whom to speak to it.
#[derive(Clone)]
pub(super) struct Address {
    uri: AMQPUri,
    /// Certificates to trust beside those that are compiled in: PEM.
    certificates: Option<PathBuf>,
}

impl Address {
    /// # Errors
    /// When it is none; the error says what is wrong without repeating the URL.
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let wrong = |what: String| Trouble::Address(what);
        let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it names no host".to_owned()));
        }
        let mut certificates = None;
        for (name, value) in url.query_pairs() {
            if !PARAMETERS.contains(&&*name) {
                let known = PARAMETERS.join(", ");
                return Err(wrong(format!("its parameter {name} is not known, as {known} are")));
            }
            if name == "cacertfile" {
                certificates = Some(PathBuf::from(&*value));
            }
        }
        let mut uri: AMQPUri = text.parse().map_err(wrong)?;
        if let Some(Host::Ipv6(address)) = url.host() {
            // The parser knows names alone.
            uri.authority.host = address.to_string();
        }
        if uri.vhost.is_empty() {
            // By the letter, a final slash names the virtual host "". Nobody has one of that name, and many write it.
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max.get_or_insert(FRAME_BYTES);
        Ok(Self { uri, certificates })
    }

    /// For the client.
    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }

    /// Whom to trust: Mozilla's roots, which are compiled in, and the certificates of `cacertfile`.
    pub(super) fn tls(&self) -> Result<OwnedTLSConfig, Trouble> {
        let read = |path| std::fs::read_to_string(path).map_err(Trouble::Certificates);
        let cert_chain = self.certificates.as_ref().map(read).transpose()?;
        Ok(OwnedTLSConfig { cert_chain, ..OwnedTLSConfig::default() })
    }

    /// `host:port`, for people.
    pub(super) fn host(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

impl fmt::Debug for Address {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.host()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_brokers_mean_them() {
        let all = Address::parse("amqps://kabar:p%40ss@mq.example:5673/prod%2f1?heartbeat=30&cacertfile=/etc/ca.pem");
        let all = all.unwrap();
        assert_eq!(all.host(), "mq.example:5673");
        assert_eq!(all.uri.authority.userinfo.password, "p@ss");
        assert_eq!((all.uri.vhost.as_str(), all.uri.query.heartbeat), ("prod/1", Some(30)));
        assert_eq!(all.certificates, Some(PathBuf::from("/etc/ca.pem")));
        let cases = [
            ("amqp://mq", "mq:5672", "/"),
            ("amqp://mq/", "mq:5672", "/"),
            ("amqp://mq/%2f", "mq:5672", "/"),
            ("amqps://mq/team", "mq:5671", "team"),
            ("amqp://[::1]:5699/team", "::1:5699", "team"),
        ];
        for (text, host, vhost) in cases {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host().as_str(), address.uri.vhost.as_str()), (host, vhost), "{text}");
            assert_eq!(address.uri.query.heartbeat, Some(HEARTBEAT_SECONDS), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        let cases = [
            ("amqp://kabar:secret@", "empty host"),
            ("amqp://kabar:secret@mq:99999", "port"),
            ("amqp://kabar:secret@mq?heartbeat=often", "invalid digit"),
            ("amqp://kabar:secret@mq?verify=verify_none", "verify is not known"),
            ("amqp:kabar:secret", "names no host"),
        ];
        for (text, says) in cases {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_hides_its_password() {
        let address = Address::parse("amqp://kabar:secret@mq").unwrap();
        assert_eq!(format!("{address:?}"), "Address(\"mq:5672\")");
    }
}
