//! Metrics: gathered in the process, rendered for Prometheus when asked.

use std::sync::{Mutex, PoisonError};

use metrics::Label;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::names::{Kind, METRICS, Metric, Unit, field};

/// Why metrics could not start.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be gathered: {0}")]
pub struct MetricsError(#[from] BuildError);

/// Reads the metrics of this process.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// All metrics in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds the values of histograms into their buckets. To be called every few seconds: values gathered since then
    /// are kept one by one in memory, also when nobody asks for metrics.
    pub fn tidy(&self) {
        self.0.run_upkeep();
    }
}

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Starts gathering metrics in this process, or finds it started, as tests which share a process do.
///
/// # Errors
/// When something else in the process gathers metrics already.
pub fn init_metrics() -> Result<MetricsHandle, MetricsError> {
    static STARTED: Mutex<Option<MetricsHandle>> = Mutex::new(None);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = started.as_ref() {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)?;
    }
    let handle = MetricsHandle(builder.install_recorder()?);
    METRICS.iter().for_each(describe);
    METRICS
        .iter()
        .filter(|metric| metric.kind == Kind::Counter)
        .for_each(|metric| start_at_zero(metric, &mut Vec::new()));
    *started = Some(handle.clone());
    Ok(handle)
}

fn describe(metric: &Metric) {
    let unit = match metric.unit {
        Unit::Count => metrics::Unit::Count,
        Unit::Seconds => metrics::Unit::Seconds,
    };
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(metric.name, unit, metric.description),
        Kind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.description),
        Kind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.description),
    }
}

/// Exports a counter before its first event, once for each set of its labels' values: an alert on growth wants to have
/// seen the zero. `labels` are those that have a value already.
fn start_at_zero(metric: &Metric, labels: &mut Vec<Label>) {
    let Some(label) = metric.labels.get(labels.len()) else {
        return metrics::counter!(metric.name, labels.clone()).increment(0);
    };
    for value in field::values(label).unwrap_or_default() {
        labels.push(Label::new(*label, *value));
        start_at_zero(metric, labels);
        labels.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    #[test]
    fn counters_are_there_before_anything_happened() {
        let rendered = init_metrics().unwrap().render();
        let there = |start: &str| rendered.lines().any(|line| line.starts_with(start));
        for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter) {
            let closed = metric.labels.iter().all(|label| field::values(label).is_some());
            assert_eq!(
                there(&format!("{}{{", metric.name)) || there(&format!("{} ", metric.name)),
                closed,
                "{}",
                metric.name
            );
        }
        assert!(there("kabar_attempts_total{provider=\"whatsapp_cloud\",decision=\"in_doubt\"} "), "{rendered}");
        assert!(there("kabar_dead_letters_total 0"), "{rendered}");
    }

    #[test]
    fn metrics_are_rendered_with_their_descriptions_and_buckets() {
        let handle = init_metrics().unwrap();
        metrics::counter!(names::SENDERS_PARKED, field::SCOPE => "sender").increment(2);
        metrics::histogram!(names::SLOT_LATENESS).record(0.004);
        handle.tidy();
        let rendered = init_metrics().unwrap().render();
        for line in [
            "# HELP kabar_senders_parked_total Times that senders were parked by a throttle or an outage, by how far it reached.",
            "# TYPE kabar_senders_parked_total counter",
            "kabar_senders_parked_total{scope=\"sender\"} 2",
            "# TYPE kabar_slot_lateness_seconds histogram",
            "kabar_slot_lateness_seconds_bucket{le=\"0.003\"} 0",
            "kabar_slot_lateness_seconds_bucket{le=\"0.005\"} 1",
        ] {
            assert!(rendered.lines().any(|rendered| rendered == line), "{line}\n{rendered}");
        }
    }
}
