//! How a job came in, and who brought it.

use std::time::SystemTime;

use kabar_domain::job::Job;
use kabar_store::{Enqueued, TenantId};
use kabar_telemetry::{
    Caller, Place, Span, SpanKind,
    names::{attribute, span},
};

use super::Ways;
use crate::context::Context;

/// Something that brought jobs and has just come in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    at: SystemTime,
    door: &'static str,
    caller: Option<Caller>,
}

impl Arrival {
    /// One that came in by this door just now, and where it said that its caller is in a trace.
    pub(crate) fn now(door: &'static str, traceparent: Option<&str>) -> Self {
        Self { at: SystemTime::now(), door, caller: traceparent.and_then(Caller::parse) }
    }

    /// Tells of the jobs that it brought and that were not there before. Where the caller keeps their trace, a span in it
    /// points to the jobs', as those point to it: their way goes on for hours after the caller's has ended.
    pub(crate) fn enqueued<'j>(
        self,
        context: &Context,
        tenant: TenantId,
        jobs: impl IntoIterator<Item = (&'j Job, &'j Enqueued)>,
    ) {
        let Some(ways) = Ways::of(context) else { return };
        let now = SystemTime::now();
        let in_callers_trace = self.caller.filter(|caller| caller.keeps).map(|caller| {
            let place = caller.place.beside();
            let request = Span::new(span::REQUEST, place, self.at, now).of_kind(SpanKind::Server);
            (place, request.under(caller.place).attribute(attribute::DOOR, self.door))
        });
        let points_to = in_callers_trace.as_ref().map(|(place, _)| *place).or(self.caller.map(|caller| caller.place));
        let mut request = in_callers_trace.map(|(_, request)| request);
        for (job, enqueued) in jobs {
            let Enqueued::New { job_id } = enqueued else { continue };
            let Some(root) = ways.job(*job_id).filter(|root| ways.traces.keep(*root)) else { continue };
            request = request.map(|request| request.link(root));
            ways.traces.tell(self.enqueue_span(root, tenant, job, points_to, now));
        }
        if let Some(request) = request {
            ways.traces.tell(request);
        }
    }

    fn enqueue_span(self, root: Place, tenant: TenantId, job: &Job, points_to: Option<Place>, now: SystemTime) -> Span {
        let span = Span::new(span::ENQUEUE, root.beside(), self.at, now)
            .under(root)
            .of_kind(SpanKind::Producer)
            .attribute(attribute::JOB_ID, job.id().to_string())
            .attribute(attribute::JOB_TYPE, job.kind())
            .attribute(attribute::SENDER, job.sender().to_owned())
            .attribute(attribute::TENANT, tenant.0)
            .attribute(attribute::DOOR, self.door);
        match points_to {
            Some(caller) => span.link(caller),
            None => span,
        }
    }
}
