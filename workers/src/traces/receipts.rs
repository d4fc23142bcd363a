//! What providers reported later.

use std::time::SystemTime;

use kabar_domain::message::ReceiptStatus;
use kabar_store::Heard;
use kabar_telemetry::{
    Span, SpanKind,
    names::{attribute, span},
};

use super::{Ways, instant};
use crate::context::Context;

/// Tells of receipts that were applied just now.
pub(crate) fn applied(context: &Context, heard: &[Heard]) {
    let Some(ways) = Ways::of(context) else { return };
    let now = SystemTime::now();
    for receipt in heard {
        let Some(way) = ways.message(receipt.job_id, receipt.message_id, receipt.of_broadcast) else { continue };
        let Some(attempt) = ways.attempt(way, receipt.message_id, receipt.number) else { continue };
        let lag_ms = receipt.received_at - receipt.happened_at;
        let span = Span::new(span::RECEIPT, attempt.beside(), instant(receipt.received_at), now)
            .under(attempt)
            .of_kind(SpanKind::Consumer)
            .attribute(attribute::MESSAGE_ID, receipt.message_id)
            .attribute(attribute::ATTEMPT, receipt.number)
            .attribute(attribute::RECEIPT, receipt.status.state().as_str())
            .attribute(attribute::RECEIPT_LAG, lag_ms.max(0) as f64 / 1_000.0);
        ways.traces.tell(if receipt.status == ReceiptStatus::Failed { span.failed("failed") } else { span });
    }
}
