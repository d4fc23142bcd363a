//! Traces, for an OpenTelemetry collector.

use crate::{HttpBase, reader::Reader};

/// Where a collector takes traces, below its base address, by OTLP's specification.
const TRACES_PATH: &str = "/v1/traces";

/// Settings of traces, where some are exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The whole address that takes traces by OTLP over HTTP.
    pub endpoint: String,
    /// What the spans are said to come from.
    pub service_name: String,
    /// How many of the traces are kept, from 0 to 1.
    pub share: f64,
}

impl Traces {
    /// The outer option is none where a value is bad, which has been noted.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let base: Option<HttpBase> = reader.get("traces.endpoint")?;
        let whole: Option<HttpBase> = reader.get("traces.traces_endpoint")?;
        let service_name = reader.get("traces.service_name")?;
        let share = reader.get("traces.share")?;
        let endpoint = whole.map(|whole| whole.to_string()).or_else(|| Some(format!("{}{TRACES_PATH}", base?)));
        Some(endpoint.map(|endpoint| Self { endpoint, service_name, share }))
    }
}
