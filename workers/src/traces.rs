//! The way of a job and of its messages, as spans of OpenTelemetry.
//!
//! Processes hand no context to each other. A job's trace and the spans that others must name are worked out from the
//! ledger's key and ids (`Store::trace_seed`), so whoever does a part of the work knows where it belongs:
//!
//! ```text
//! job                     from its commit until it is planned       planner
//! ├─ enqueue              at the door; points to who called         gateway, intake
//! ├─ plan                 one for each thousand messages            planner
//! └─ message              due … end of its first attempt            courier
//!    └─ attempt           claimed … outcome in the ledger           courier
//!       ├─ provider_request                                         courier
//!       └─ receipt        arrived … applied; one for each           recorder
//! ```
//!
//! A broadcast may have a million messages, and no tool shows such a trace: each of its messages begins a trace of its own,
//! which points to the job's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kabar_settings::Settings;
use kabar_store::{Store, Traced};
use kabar_telemetry::{Place, Traces, TracesError, TracesExport, TracesOptions};

use crate::context::Context;

mod door;
mod planning;
mod receipts;
mod sending;

pub(crate) use door::Arrival;
pub(crate) use planning::planned;
pub(crate) use receipts::applied;
pub(crate) use sending::{Attempt, Exchange, attempted};

/// Starts exporting, where the settings name a collector; `instance` is this process.
///
/// # Errors
/// When the exporter cannot be made.
pub(crate) fn open(settings: &Settings, instance: &str) -> Result<(Traces, Option<TracesExport>), TracesError> {
    let Some(traces) = &settings.traces else { return Ok((Traces::default(), None)) };
    let (traces, export) = Traces::start(&TracesOptions {
        endpoint: traces.endpoint.clone(),
        service: traces.service_name.clone(),
        instance: instance.to_owned(),
        share: traces.share,
    })?;
    Ok((traces, Some(export)))
}

/// Where things are in traces, while traces are on.
#[derive(Clone, Copy)]
struct Ways<'a> {
    traces: &'a Traces,
    store: &'a Store,
}

/// Where a message is: under its job, or at the root of a trace that points to the job's.
#[derive(Clone, Copy)]
struct MessageWay {
    job: Place,
    place: Place,
    of_broadcast: bool,
}

impl<'a> Ways<'a> {
    /// None where traces are off, which is all that they cost then.
    fn of(context: &'a Context) -> Option<Self> {
        context.traces.are_on().then_some(Self { traces: &context.traces, store: &context.store })
    }

    /// Where a job is (the ledger's id), whether its trace is kept or not.
    fn job(self, job_id: i64) -> Option<Place> {
        Some(Place::from_seed(&self.store.trace_seed(Traced::Job(job_id))?))
    }

    /// Where a message is; none where its trace is not kept.
    fn message(self, job_id: i64, message_id: i64, of_broadcast: bool) -> Option<MessageWay> {
        let job = self.job(job_id)?;
        let own = Place::from_seed(&self.store.trace_seed(Traced::Message(message_id))?);
        let place = if of_broadcast { own } else { own.in_trace_of(job) };
        self.traces.keep(place).then_some(MessageWay { job, place, of_broadcast })
    }

    /// Where an attempt of that message is.
    fn attempt(self, message: MessageWay, message_id: i64, number: i64) -> Option<Place> {
        let own = Place::from_seed(&self.store.trace_seed(Traced::Attempt(message_id, number))?);
        Some(own.in_trace_of(message.place))
    }
}

/// A time of the ledger.
fn instant(unix_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_ms.max(0).unsigned_abs())
}
