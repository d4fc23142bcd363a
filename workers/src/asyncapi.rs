//! The brokers' queues that take jobs, described for whoever publishes there: AsyncAPI 3.0, from the one schema of a job.

use std::sync::LazyLock;

use kabar_queue::{Line, RabbitQueue};
use serde_json::{Value, json};

use crate::cli::{JOB_COMPONENT, job_components};

/// What stands at the top, for people.
const ABOUT: &str = "Sends WhatsApp messages exactly as fast as the sender's limit allows, and loses nothing.\n\n\
    Other services enqueue jobs by publishing them to RabbitMQ or Amazon SQS, whichever kabar is set up with. A job is \
    taken in once by its `id`, so publish it again whenever you do not know whether it was taken; another body under the \
    same id is refused. What cannot be carried out becomes a dead letter with its reason (`kabar dead list`); nothing is \
    answered. The HTTP API takes the same jobs and tells at once what is wrong with one.";

/// How to publish to RabbitMQ so that nothing is lost on the way.
const ON_RABBITMQ: &str = "Publish persistent and mandatory, and wait for the confirmation: an acknowledgement of a message \
    that was not handed back. Without `mandatory` a job for which no queue is bound is dropped in silence.";

/// The same for SQS.
const ON_SQS: &str = "A standard queue: what is sent may be delivered twice and in any order. SQS makes a new message id for \
    every call, so give each job an `id` of its own.";

/// The description as JSON, with a line break at its end.
pub(crate) fn asyncapi() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", describe()));
    &TEXT
}

fn describe() -> Value {
    let jobs = Line::Jobs.as_str();
    let exchange = RabbitQueue::EXCHANGE;
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "kabar",
            // The version of the interface; not the program's.
            "version": "1",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "rabbitmq": {
                "address": jobs,
                "title": "Jobs on RabbitMQ",
                "description": ON_RABBITMQ,
                "messages": {"job": {"$ref": "#/components/messages/job"}},
                "bindings": {"amqp": {
                    "is": "routingKey",
                    "exchange": {"name": exchange, "type": "direct", "durable": true, "autoDelete": false},
                    "bindingVersion": "0.3.0",
                }},
            },
            "sqs": {
                "address": format!("{{prefix}}-{jobs}"),
                "title": "Jobs on Amazon SQS",
                "description": ON_SQS,
                "parameters": {"prefix": {"description": "As in KABAR_QUEUE_URL=sqs://PREFIX", "examples": ["kabar"]}},
                "messages": {"job": {"$ref": "#/components/messages/job"}},
            },
        },
        "operations": {
            "takeFromRabbitmq": {
                "action": "receive",
                "title": "Take jobs from RabbitMQ",
                "channel": {"$ref": "#/channels/rabbitmq"},
                "messages": [{"$ref": "#/channels/rabbitmq/messages/job"}],
                "bindings": {"amqp": {
                    "deliveryMode": 2, "mandatory": true, "ack": true, "bindingVersion": "0.3.0",
                }},
            },
            "takeFromSqs": {
                "action": "receive",
                "title": "Take jobs from Amazon SQS",
                "channel": {"$ref": "#/channels/sqs"},
                "messages": [{"$ref": "#/channels/sqs/messages/job"}],
            },
        },
        "components": {
            "messages": {"job": {
                "name": "job",
                "title": "A job",
                "summary": "One message, a broadcast or a reminder",
                "description": "Where it names no `id`, it goes by its broker's: the property `message_id` on RabbitMQ.",
                "headers": {"type": "object", "properties": {"traceparent": {
                    "type": "string",
                    "description": "Where the producer is in a trace, as W3C's Trace Context has it; on SQS a message \
                        attribute. The trace of the job points there.",
                }}},
                "contentType": "application/json",
                "payload": {"$ref": format!("#/components/schemas/{JOB_COMPONENT}")},
                "examples": [{"name": "send", "payload": {
                    "type": "send",
                    "id": "invoice-7781-d3",
                    "to": "+628123456789",
                    "content": {"template": {
                        "name": "payment_reminder", "language": "id", "params": ["Siti", {"date": "2026-12-12"}],
                    }},
                }}],
            }},
            "schemas": job_components(),
        },
    })
}

#[cfg(test)]
mod tests {
    use kabar_domain::job::{Door, Job};

    use super::*;

    /// Where the description lies in the repository, for whoever writes against it and for whoever reviews a change.
    const SNAPSHOT: &str = include_str!("../asyncapi.json");

    #[test]
    fn the_snapshot_is_the_description() {
        assert!(
            asyncapi() == SNAPSHOT,
            "the queues or the form of a job have changed: look at the difference, then `kabar schema asyncapi > \
             workers/asyncapi.json`"
        );
    }

    #[test]
    fn whatever_the_description_refers_to_is_there() {
        let document = describe();
        let text = document.to_string();
        let mut references = 0;
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
            references += 1;
        }
        assert!(references > 30, "{references}");
    }

    #[test]
    fn its_example_is_a_job() {
        let example = describe()["components"]["messages"]["job"]["examples"][0]["payload"].clone();
        Job::from_value(example, Door::default(), None).unwrap();
    }
}
