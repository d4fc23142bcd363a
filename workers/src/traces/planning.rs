//! How a job became messages.

use std::time::SystemTime;

use kabar_store::Planned;
use kabar_telemetry::{
    Span,
    names::{attribute, span},
};

use super::{Ways, instant};
use crate::context::Context;

/// Tells of a step of planning that began at `began` and is committed; with the last one, of the whole job.
pub(crate) fn planned(context: &Context, planned: &Planned, began: SystemTime) {
    let Some(ways) = Ways::of(context) else { return };
    let Some(root) = ways.job(planned.job_id).filter(|root| ways.traces.keep(*root)) else { return };
    let now = SystemTime::now();
    let plan = Span::new(span::PLAN, root.beside(), began, now).under(root);
    ways.traces.tell(plan.attribute(attribute::MESSAGES, i64::try_from(planned.messages).unwrap_or(i64::MAX)));
    if planned.finished {
        let job = Span::new(span::JOB, root, instant(planned.created_at), now)
            .attribute(attribute::JOB_ID, planned.key.to_string())
            .attribute(attribute::JOB_TYPE, planned.kind)
            .attribute(attribute::SENDER, planned.sender.clone())
            .attribute(attribute::TENANT, planned.tenant.0);
        ways.traces.tell(job);
    }
}
