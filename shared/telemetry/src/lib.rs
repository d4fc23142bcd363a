//! What kabar tells about itself: logs, metrics and traces, and the one table of their names.
//!
//! Names are an interface: dashboards and alerts are written against them. So every name is declared in [`names`], and
//! the code that reports uses those constants; a test looks through all sources for names given otherwise.
//!
//! Nothing here may carry a secret or personal data: no token, no phone number, no text of a message. Ids instead.

pub mod names;

mod logs;
mod metrics;
mod traces;

pub use logs::{LogFormat, LogsError, init_logs};
pub use metrics::{MetricsError, MetricsHandle, init_metrics};
pub use traces::{Caller, Place, Span, SpanKind, Traces, TracesError, TracesExport, TracesOptions};
