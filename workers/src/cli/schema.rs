//! `kabar schema`: what other programs may write against.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::output;
use crate::{asyncapi::asyncapi, gateway::openapi};

/// JSON Schema (draft 2020-12) of a job.
pub(crate) const JOB: &str = include_str!("job.schema.json");

/// The schemas of a job lie among the components of other documents under names that begin so.
pub(crate) const JOB_COMPONENT: &str = "Job";

/// The schema of a job as components of an OpenAPI or AsyncAPI document: itself, and each of its parts.
pub(crate) fn job_components() -> Map<String, Value> {
    let text = JOB.replace("#/$defs/", &format!("#/components/schemas/{JOB_COMPONENT}_"));
    let mut job: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    job.remove("$schema");
    let mut components = Map::new();
    if let Some(Value::Object(parts)) = job.remove("$defs") {
        components.extend(parts.into_iter().map(|(name, part)| (format!("{JOB_COMPONENT}_{name}"), part)));
    }
    components.insert(JOB_COMPONENT.to_owned(), job.into());
    components
}

/// What other programs are written against: the form of a job, the HTTP API, the brokers' queues
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kabar schema job > job.schema.json
  kabar schema openapi > openapi.json
  kabar schema asyncapi > asyncapi.json")]
pub(crate) struct SchemaArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A job, the same at every door: HTTP, RabbitMQ, SQS, `kabar schedule add`
    #[command(after_help = "Example:\n  kabar schema job > job.schema.json")]
    Job,
    /// The HTTP API, as OpenAPI 3.1; a running gateway answers with it at /openapi.json
    #[command(after_help = "Example:\n  kabar schema openapi > openapi.json")]
    Openapi,
    /// The queues of RabbitMQ and Amazon SQS that take jobs, as AsyncAPI 3.0
    #[command(after_help = "Example:\n  kabar schema asyncapi > asyncapi.json")]
    Asyncapi,
}

pub(crate) fn run(arguments: &SchemaArgs) -> anyhow::Result<()> {
    match arguments.command {
        Command::Job => output::print(JOB.trim_end()),
        Command::Openapi => output::print(openapi().trim_end()),
        Command::Asyncapi => output::print(asyncapi().trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use kabar_domain::job::{Door, Job};
    use serde_json::{Value, json};

    use super::*;

    fn schema() -> Value {
        serde_json::from_str(JOB).unwrap()
    }

    /// The names that an object of the schema lists.
    fn listed(schema: &Value, definition: &str) -> Vec<String> {
        let properties = schema["$defs"][definition]["properties"].as_object();
        properties.unwrap_or_else(|| panic!("{definition} lists properties")).keys().cloned().collect()
    }

    fn assert_listed(schema: &Value, definition: &str, value: &Value) {
        let listed = listed(schema, definition);
        for name in value.as_object().unwrap().keys() {
            assert!(listed.contains(name), "{definition} does not list {name}");
        }
        for required in schema["$defs"][definition]["required"].as_array().into_iter().flatten() {
            assert!(value.get(required.as_str().unwrap()).is_some(), "{definition} requires {required}");
        }
    }

    fn examples() -> Vec<Value> {
        let template = json!({"template": {"name": "payment_reminder", "language": "id",
            "params": ["Siti", "Paket Hemat", {"date": "2026-12-12"}, {"money": {"amount": "2500000", "currency": "IDR"}},
                "Budi", "+62811000111"]}});
        vec![
            json!({"type": "send", "id": "invoice-7781-d3", "sender": "default", "to": "+628123456789",
                "content": template, "priority": "urgent", "send_at": null, "expires_at": "2026-12-12T00:00:00Z",
                "on_doubt": "auto"}),
            json!({"type": "broadcast", "id": "dep-2026-12-01", "sender": "default", "name": "Departure 1 Dec",
                "audience": {"group": "umroh-2026-12-01"},
                "content": {"template": {"name": "departure_reminder", "language": "id",
                    "params": {"1": "{name}", "2": "1 Des 2026", "3": "{package}"}}}}),
            json!({"type": "broadcast", "id": "b", "priority": "bulk", "content": {"text": {"body": "Halo"}},
                "audience": {"recipients": [{"to": "+628123456789", "name": "Siti", "params": {"package": "Hemat"}}]}}),
            json!({"type": "reminder", "id": "invoice-7781", "sender": "default", "to": "+628123456789",
                "due": "2026-12-12", "before": ["7d", "3d", "1d", "0d"], "at": "09:00", "timezone": "Asia/Jakarta",
                "content": template}),
        ]
    }

    #[test]
    fn examples_of_every_kind_are_jobs_and_fit_the_schema() {
        let schema = schema();
        for example in examples() {
            Job::from_value(example.clone(), Door::default(), None).unwrap();
            assert_listed(&schema, example["type"].as_str().unwrap(), &example);
            let content = &example["content"];
            assert_listed(&schema, "content", content);
            if let Some(template) = content.get("template") {
                assert_listed(&schema, "template", template);
            }
            if let Some(recipient) = example.pointer("/audience/recipients/0") {
                assert_listed(&schema, "recipient", recipient);
            }
        }
    }

    #[test]
    fn the_schema_lists_whatever_a_job_may_have() {
        // A parsed job written out again names every field that it has.
        let schema = schema();
        for example in examples() {
            let kind = example["type"].as_str().unwrap().to_owned();
            let job = Job::from_value(example, Door::default(), None).unwrap();
            assert_listed(&schema, &kind, &serde_json::to_value(job).unwrap());
        }
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}
