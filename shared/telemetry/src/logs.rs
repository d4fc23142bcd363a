//! Logs: to standard error, so that a command's own output stays clean.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt::MakeWriter, util::SubscriberInitExt as _};

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; in colours on a terminal, unless the variable `NO_COLOR` is set.
    Text,
    /// For machines: one JSON object per line, the event's fields at its top.
    Json,
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The filter is none.
    #[error("log filter {filter:?} is not valid: give a level (error, warn, info, debug, trace) or levels by module")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Something else in this process logs already.
    #[error("logging has already been started in this process")]
    AlreadyStarted(#[from] tracing_subscriber::util::TryInitError),
}

/// Libraries that log what they also hand over as errors, some of it with bodies of items. Silent unless the filter names
/// them.
const SILENT: &str = "lapin=off,aws_smithy_runtime=off,aws_sdk_sqs=off";

/// Starts logging what `filter` lets through, such as `info` or `info,kabar=debug`. Once per process.
///
/// # Errors
/// When `filter` is not valid, or the process logs already.
pub fn init_logs(filter: &str, format: LogFormat) -> Result<(), LogsError> {
    let no_colours = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = io::stderr().is_terminal() && !no_colours;
    subscriber(filter, format, colours, io::stderr)?.try_init()?;
    Ok(())
}

type BoxedSubscriber = Box<dyn Subscriber + Send + Sync>;

fn subscriber<W>(filter: &str, format: LogFormat, colours: bool, writer: W) -> Result<BoxedSubscriber, LogsError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Checked by itself, for its own words; of two levels for one module, the later counts.
    let parsed = EnvFilter::try_new(filter).and_then(|_| EnvFilter::try_new(format!("{SILENT},{filter}")));
    let parsed = parsed.map_err(|source| LogsError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_ansi(colours).with_writer(writer);
    Ok(match format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::names::{field, span};

    /// What is logged with `format` when a span and two events happen, one of which the filter holds back.
    fn logged(format: LogFormat) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer(Arc::clone(&written));
        let subscriber = subscriber("info", format, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!(span::REQUEST, { field::MESSAGE_ID } = 7).entered();
            tracing::info!({ field::DECISION } = "accepted", "sent");
            tracing::debug!("held back");
        });
        let written = written.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    #[derive(Clone)]
    struct Writer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_is_one_flat_object_per_line() {
        let logged = logged(LogFormat::Json);
        assert_eq!(logged.lines().count(), 1, "{logged}");
        for part in ["\"level\":\"INFO\"", "\"message\":\"sent\"", "\"decision\":\"accepted\"", "\"name\":\"request\""]
        {
            assert!(logged.contains(part), "{logged}");
        }
        assert!(!logged.contains("\"fields\""), "{logged}");
    }

    #[test]
    fn text_has_no_colours_off_a_terminal() {
        let logged = logged(LogFormat::Text);
        assert!(logged.contains("INFO request{message_id=7}") && logged.contains("decision=\"accepted\""), "{logged}");
        assert!(!logged.contains('\u{1b}') && !logged.contains("held back"), "{logged}");
    }

    #[test]
    fn libraries_are_silent_unless_they_are_named() {
        for (filter, expected) in [("trace", false), ("info", false), ("info,aws_smithy_runtime=trace", true)] {
            let written = Arc::new(Mutex::new(Vec::new()));
            let writer = Writer(Arc::clone(&written));
            let subscriber = subscriber(filter, LogFormat::Text, false, move || writer.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "a body");
            });
            assert_eq!(!written.lock().unwrap().is_empty(), expected, "{filter}");
        }
    }

    #[test]
    fn a_bad_filter_is_named() {
        let error = init_logs("info,kabar=loud", LogFormat::Text).unwrap_err();
        assert!(error.to_string().contains("\"info,kabar=loud\""), "{error}");
    }

    #[test]
    fn logging_starts_once() {
        init_logs("off", LogFormat::Json).unwrap();
        assert!(matches!(init_logs("off", LogFormat::Json), Err(LogsError::AlreadyStarted(_))));
    }
}
