//! The queue: takes jobs in and hands out tickets.

use crate::{Secret, reader::Reader};

/// Settings of the queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Where it is.
    pub url: QueueUrl,
    /// The largest item that the queues on Amazon SQS take, in bytes, 1 KiB to 1 MiB.
    pub sqs_body_limit_bytes: usize,
}

/// Which engine carries the lines.
#[derive(Debug, Clone)]
pub enum QueueUrl {
    /// The ledger itself.
    Database,
    /// A RabbitMQ broker.
    RabbitMq {
        /// `amqp://…` or `amqps://…`, with its password.
        url: Secret,
    },
    /// Amazon SQS. Region, credentials and endpoint come from the usual `AWS_*` variables.
    Sqs {
        /// What the names of the queues begin with: 1 to [`MAX_SQS_PREFIX`] letters, digits, `-` and `_`.
        prefix: String,
    },
}

/// The longest prefix of SQS queue names: a name has at most 80 characters, of which 16 are kept for the line's.
pub const MAX_SQS_PREFIX: usize = 64;

impl QueueUrl {
    /// `database:`, `amqp://…`, `amqps://…` or `sqs://PREFIX`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "database:" {
            return Some(Self::Database);
        }
        if let Some(prefix) = text.strip_prefix("sqs://") {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            let fits = (1..=MAX_SQS_PREFIX).contains(&prefix.len()) && prefix.bytes().all(plain);
            return fits.then(|| Self::Sqs { prefix: prefix.to_owned() });
        }
        let rest = text.strip_prefix("amqp://").or_else(|| text.strip_prefix("amqps://"))?;
        (!rest.is_empty()).then(|| Secret::parse(text)).flatten().map(|url| Self::RabbitMq { url })
    }
}

impl Queue {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { url: reader.get("queue.url")?, sqs_body_limit_bytes: reader.get("queue.sqs_body_limit_bytes")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_urls() {
        assert!(matches!(QueueUrl::parse("database:"), Some(QueueUrl::Database)));
        assert!(matches!(QueueUrl::parse("amqps://kabar:pw@mq/%2f"), Some(QueueUrl::RabbitMq { .. })));
        assert!(
            matches!(QueueUrl::parse("sqs://kabar-prod"), Some(QueueUrl::Sqs { prefix }) if prefix == "kabar-prod")
        );
        let too_long = format!("sqs://{}", "x".repeat(MAX_SQS_PREFIX + 1));
        for text in ["", "database", "amqp://", "sqs://", "sqs://a/b", "redis://cache", &too_long] {
            assert!(QueueUrl::parse(text).is_none(), "{text}");
        }
    }
}
