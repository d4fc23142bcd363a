//! The one table of names: metrics, spans, their attributes, and fields.
//!
//! **To add a metric:** a line in [`METRICS`]' declaration below; its comment is the description that Prometheus shows.
//! Report it by its constant, with [`field`]'s constants as labels:
//!
//! ```
//! use kabar_telemetry::names::{self, field};
//! metrics::counter!(names::SENDERS_PARKED, field::SCOPE => "sender").increment(1);
//! ```

/// What a metric does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows; its name ends in `_total`.
    Counter,
    /// How much there is of something at the moment.
    Gauge,
    /// How values are spread, such as times and sizes.
    Histogram,
}

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: messages, attempts, events.
    Count,
    /// Seconds, with fractions; the name ends in `_seconds`.
    Seconds,
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, as it is reported.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// The labels that it always has.
    pub labels: &'static [&'static str],
    /// What it tells, for people.
    pub description: &'static str,
    /// The upper bounds of a histogram's buckets; none for other kinds.
    pub buckets: &'static [f64],
}

/// Waiting for another machine: from a local sandbox's answer to a request's timeout.
const NETWORK_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Around the margin of the pace, 15 ms by default.
const LATENESS_SECONDS: &[f64] = &[0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 1.0];

/// Commits: from a local disk to a database far away or in trouble.
const COMMIT_SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Waiting for others: from what whole seconds can tell to the days for which a provider repeats itself.
const LAG_SECONDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0];

/// Batches hold 1 to 20 messages.
const BATCH_MESSAGES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 15.0, 19.0, 20.0];

/// Operations which share a commit.
const OPERATIONS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 500.0, 1_000.0];

/// Declares each metric as a constant of its name, and all of them as one list.
macro_rules! metrics {
    ($(#[doc = $doc:literal] $kind:ident $constant:ident = $name:literal, $unit:ident, [$($label:ident),*] $(, $buckets:expr)?;)+) => {
        $(#[doc = $doc] pub const $constant: &str = $name;)+

        /// All metrics.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $constant,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$(field::$label),*],
            description: $doc.trim_ascii(),
            buckets: metrics!(@buckets $($buckets)?),
        }),+];
    };
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { $buckets };
}

metrics! {
    /// Jobs that were taken in.
    Counter JOBS_ACCEPTED = "kabar_jobs_accepted_total", Count, [TYPE];
    /// Jobs that came again under their id and were the same: duplicates that were not sent.
    Counter JOBS_REPEATED = "kabar_jobs_repeated_total", Count, [TYPE];
    /// Messages that planning wrote to the ledger.
    Counter MESSAGES_PLANNED = "kabar_messages_planned_total", Count, [];
    /// Messages that wait for a sender, due or not, by lane; counted up to 100,000. The same from every process.
    Gauge MESSAGES_WAITING = "kabar_messages_waiting", Count, [TENANT, SENDER, LANE];
    /// For how long the first message of a lane has been due. The same from every process.
    Gauge OLDEST_WAITING = "kabar_oldest_waiting_seconds", Seconds, [TENANT, SENDER, LANE];
    /// Messages of which nobody knows whether they left. The same from every process.
    Gauge MESSAGES_IN_DOUBT = "kabar_messages_in_doubt", Count, [];
    /// Messages that wait for a person. The same from every process.
    Gauge MESSAGES_UNRESOLVED = "kabar_messages_unresolved", Count, [];
    /// Tickets given out on the line of batches.
    Counter TICKETS_PUBLISHED = "kabar_tickets_published_total", Count, [];
    /// Tickets that couriers took.
    Counter TICKETS_TAKEN = "kabar_tickets_taken_total", Count, [];
    /// Messages that a ticket claimed.
    Histogram BATCH_MESSAGES_CLAIMED = "kabar_batch_messages", Count, [], BATCH_MESSAGES;
    /// Slots of the pace that couriers reserved.
    Counter SLOTS_RESERVED = "kabar_slots_reserved_total", Count, [];
    /// Reserved slots that went unused, since the courier was too late or had nothing to send.
    Counter SLOTS_FORFEITED = "kabar_slots_forfeited_total", Count, [];
    /// How long after its slot a request left.
    Histogram SLOT_LATENESS = "kabar_slot_lateness_seconds", Seconds, [], LATENESS_SECONDS;
    /// Attempts to send a message, by what was decided.
    Counter ATTEMPTS = "kabar_attempts_total", Count, [PROVIDER, DECISION];
    /// Requests that left for a sender, whatever came of them.
    Counter SENDER_REQUESTS = "kabar_sender_requests_total", Count, [TENANT, SENDER];
    /// The most messages a second of a sender, as configured; none where unlimited. The same from every process.
    Gauge SENDER_RATE_LIMIT = "kabar_sender_rate_limit", Count, [TENANT, SENDER];
    /// The most messages a second that a sender may send now: fewer after a throttle. The same from every process.
    Gauge SENDER_RATE_NOW = "kabar_sender_rate_now", Count, [TENANT, SENDER];
    /// Error codes that providers answered or reported, by whether the error policy knows them.
    Counter PROVIDER_CODES = "kabar_provider_codes_total", Count, [PROVIDER, CODE, KNOWN];
    /// From a request's departure to the provider's whole answer.
    Histogram SEND_DURATION = "kabar_send_seconds", Seconds, [PROVIDER], NETWORK_SECONDS;
    /// Times that senders were parked by a throttle or an outage, by how far it reached.
    Counter SENDERS_PARKED = "kabar_senders_parked_total", Count, [SCOPE];
    /// Times that senders were halted until a person acts.
    Counter SENDERS_HALTED = "kabar_senders_halted_total", Count, [];
    /// Requests to the HTTP API, by the route that took them and what they came to.
    Counter HTTP_REQUESTS = "kabar_http_requests_total", Count, [METHOD, ROUTE, STATUS];
    /// From a request to the HTTP API to its answer.
    Histogram HTTP_DURATION = "kabar_http_seconds", Seconds, [METHOD, ROUTE], COMMIT_SECONDS;
    /// Events that providers posted and that were stored.
    Counter EVENTS_RECEIVED = "kabar_events_received_total", Count, [PROVIDER];
    /// For how long the oldest event of a provider has waited to be applied. The same from every process.
    Gauge OLDEST_EVENT = "kabar_oldest_event_seconds", Seconds, [];
    /// Posts to the webhooks that were refused.
    Counter EVENTS_REJECTED = "kabar_events_rejected_total", Count, [REASON];
    /// Receipts that moved a message forward, or confirmed where it was.
    Counter RECEIPTS_APPLIED = "kabar_receipts_applied_total", Count, [];
    /// Receipts for messages that the ledger does not know (yet).
    Counter RECEIPTS_UNKNOWN = "kabar_receipts_unknown_total", Count, [];
    /// Attempts of which nobody knows whether they left.
    Counter DOUBTS_OPENED = "kabar_doubts_opened_total", Count, [];
    /// Doubts that were settled by a receipt, sent again by absence of one or by policy, or left to a person.
    Counter DOUBTS_SETTLED = "kabar_doubts_settled_total", Count, [BY];
    /// Messages that were sent again after doubt and then turned out to have left before: people have them twice.
    Counter SENT_TWICE = "kabar_messages_sent_twice_total", Count, [];
    /// Things in the ledger that had no way forward and were mended, by what was amiss.
    Counter REPAIRS = "kabar_repairs_total", Count, [GAP];
    /// Work that cannot go on and was set aside with its reason.
    Counter DEAD_LETTERS = "kabar_dead_letters_total", Count, [];
    /// Times that the janitor took over what ended worker processes held.
    Counter LEASES_EXPIRED = "kabar_leases_expired_total", Count, [];
    /// Messages that were taken over from ended worker processes: given back, or put in doubt.
    Counter MESSAGES_RESCUED = "kabar_messages_rescued_total", Count, [];
    /// From what a receipt tells of, by the provider's clock and in whole seconds, until it is applied.
    Histogram WEBHOOK_LAG = "kabar_webhook_lag_seconds", Seconds, [], LAG_SECONDS;
    /// From an event's durable arrival until it is applied: our part of the lag.
    Histogram EVENT_WAIT = "kabar_event_wait_seconds", Seconds, [], COMMIT_SECONDS;
    /// How far the end of a broadcast that was foreseen once all of it was planned was off.
    Histogram ETA_ERROR = "kabar_eta_error_seconds", Seconds, [CAME], LAG_SECONDS;
    /// Spans that the collector of traces took.
    Counter SPANS_EXPORTED = "kabar_spans_exported_total", Count, [];
    /// Spans that were dropped, since the collector of traces was away or too slow.
    Counter SPANS_DROPPED = "kabar_spans_dropped_total", Count, [];
    /// How long the ledger took for a commit that several senders share.
    Histogram LEDGER_COMMIT_DURATION = "kabar_ledger_commit_seconds", Seconds, [], COMMIT_SECONDS;
    /// Operations that shared a commit of the ledger.
    Histogram LEDGER_COMMIT_OPERATIONS = "kabar_ledger_commit_operations", Count, [], OPERATIONS;
}

/// Declares names as constants, and all of them as one list.
macro_rules! names {
    ($list:ident; $($(#[$doc:meta])+ $constant:ident = $name:literal;)+) => {
        $($(#[$doc])+ pub const $constant: &str = $name;)+

        /// All names of this sort.
        pub const $list: &[&str] = &[$($constant),+];
    };
}

/// The names of spans: what happens to a job and to its messages. [`REQUEST`](span::REQUEST) is a span of logs, too.
pub mod span {
    names! { SPANS;
        /// One request to the gateway.
        REQUEST = "request";
        /// A job's way, from its commit until all of its messages are planned; the root of its trace.
        JOB = "job";
        /// A job is taken in at a door.
        ENQUEUE = "enqueue";
        /// A job, or a part of it, becomes messages.
        PLAN = "plan";
        /// A message's way, from its due time to the end of its first attempt.
        MESSAGE = "message";
        /// One attempt to send a message, from its claim until what came of it is in the ledger.
        ATTEMPT = "attempt";
        /// The request of an attempt, until the provider's answer.
        PROVIDER_REQUEST = "provider_request";
        /// A receipt, from its arrival until it is applied.
        RECEIPT = "receipt";
    }
}

/// The names of what happens within a span.
pub mod happening {
    names! { HAPPENINGS;
        /// The attempt is committed; its request waits for its slot.
        STARTED = "started";
    }
}

/// The names of attributes of spans; those of OpenTelemetry's conventions where there is one.
pub mod attribute {
    names! { ATTRIBUTES;
        /// A job's id: the producer's own key.
        JOB_ID = "kabar.job.id";
        /// A job's type: `send`, `broadcast` or `reminder`.
        JOB_TYPE = "kabar.job.type";
        /// Where a job came in: `http` or the line's name.
        DOOR = "kabar.door";
        /// A message's id.
        MESSAGE_ID = "kabar.message.id";
        /// How many messages were planned.
        MESSAGES = "kabar.messages";
        /// The number of an attempt, from 1.
        ATTEMPT = "kabar.attempt";
        /// What was decided about an attempt.
        DECISION = "kabar.decision";
        /// A provider's error code.
        CODE = "kabar.code";
        /// A provider's name, such as `whatsapp_cloud`.
        PROVIDER = "kabar.provider";
        /// A sender's name.
        SENDER = "kabar.sender";
        /// A tenant's id.
        TENANT = "kabar.tenant";
        /// What a receipt says: `sent`, `delivered`, `read` or `failed`.
        RECEIPT = "kabar.receipt";
        /// How long before its arrival the receipt's event happened by the provider's clock, in seconds.
        RECEIPT_LAG = "kabar.receipt.lag_seconds";
        /// An HTTP method.
        HTTP_METHOD = "http.request.method";
        /// The version that a span comes from.
        SERVICE_VERSION = "service.version";
        /// The process that a span comes from.
        SERVICE_INSTANCE = "service.instance.id";
    }
}

/// The names of fields of logs and spans, which are also the labels of metrics.
///
/// In a log: `tracing::info!({ field::MESSAGE_ID } = %id, "…")`, or by the same word as it stands here. Ids are never
/// labels, for each value of a label is a series of its own.
pub mod field {
    names! { FIELDS;
        /// An attempt's id.
        ATTEMPT_ID = "attempt_id";
        /// A broadcast's id.
        BROADCAST_ID = "broadcast_id";
        /// What settled a doubt: `receipt`, `absence`, `policy` or `person`.
        BY = "by";
        /// Whether something came `early` or `late`.
        CAME = "came";
        /// A provider's error code.
        CODE = "code";
        /// How many.
        COUNT = "count";
        /// What was decided about an attempt.
        DECISION = "decision";
        /// How long it took, in milliseconds.
        ELAPSED_MS = "elapsed_ms";
        /// What was amiss in the ledger, in one word.
        GAP = "gap";
        /// An error with its causes.
        ERROR = "error";
        /// A stored event's id.
        EVENT_ID = "event_id";
        /// A job's id: the producer's own key.
        JOB_ID = "job_id";
        /// Whether the error policy knows a code: `true` or `false`.
        KNOWN = "known";
        /// A sender's lane: `urgent`, `normal` or `bulk`.
        LANE = "lane";
        /// The line of a queue: `jobs` or `batches`.
        LINE = "line";
        /// An HTTP method.
        METHOD = "method";
        /// A message's id.
        MESSAGE_ID = "message_id";
        /// A provider's name, such as `whatsapp_cloud`.
        PROVIDER = "provider";
        /// Why something was refused or set aside, in one word.
        REASON = "reason";
        /// A recipient's id; never the phone number.
        RECIPIENT_ID = "recipient_id";
        /// The id of a request to the gateway: the caller's own, or made.
        REQUEST_ID = "request_id";
        /// A route of the HTTP API as its document names it, such as `/v1/jobs/{id}`; never the path that was asked for.
        ROUTE = "route";
        /// A schedule's id.
        SCHEDULE_ID = "schedule_id";
        /// For whom a decision holds: `sender`, `account`, …
        SCOPE = "scope";
        /// A sender's name.
        SENDER = "sender";
        /// What a receipt says: `sent`, `delivered`, `read` or `failed`. Of a request: the status code of its answer.
        STATUS = "status";
        /// A tenant's id.
        TENANT = "tenant";
        /// A ticket's id.
        TICKET_ID = "ticket_id";
        /// A job's type: `send`, `broadcast` or `reminder`.
        TYPE = "type";
        /// A worker, such as `courier`.
        WORKER = "worker";
    }

    /// The values that a label takes in metrics; none where they are open-ended, as codes are. A metric all of whose labels
    /// have theirs here is exported from the start, with zeros.
    #[must_use]
    pub fn values(label: &str) -> Option<&'static [&'static str]> {
        Some(match label {
            BY => &["receipt", "absence", "policy", "person"],
            CAME => &["early", "late"],
            DECISION => &[
                "accepted",
                "throttled",
                "retry",
                "failed",
                "blocked",
                "opted_out",
                "template_paused",
                "template_disabled",
                "halt",
                "in_doubt",
                "not_sent",
            ],
            GAP => &[
                "missing_message",
                "wrong_audience",
                "unfinished_cancel",
                "unheld_claim",
                "unheld_send",
                "missing_attempt",
                "endless_doubt",
                "unused_evidence",
                "left_receipt",
                "endless_lease",
                "ahead_of_time",
                "missing_pace",
            ],
            PROVIDER => &["whatsapp_cloud"],
            REASON => &["bad_signature", "ledger", "no_secret", "not_text"],
            SCOPE => &["sender", "account", "app"],
            TYPE => &["send", "broadcast", "reminder"],
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn is_snake_case(name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(plain) && !name.contains("__")
    }

    #[test]
    fn no_name_is_declared_twice() {
        let metrics: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        let others = [span::SPANS, happening::HAPPENINGS, attribute::ATTRIBUTES, field::FIELDS];
        for names in [metrics.as_slice()].into_iter().chain(others) {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        }
    }

    #[test]
    fn metrics_follow_the_naming_rules() {
        for metric in METRICS {
            let name = metric.name;
            assert!(name.starts_with("kabar_") && is_snake_case(name), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_seconds"), metric.unit == Unit::Seconds, "{name}");
            assert!(metric.description.ends_with('.') && metric.description.len() > 10, "{name}");
            assert!(metric.labels.iter().all(|label| !label.ends_with("_id")), "{name}: an id is no label");
        }
    }

    #[test]
    fn histograms_and_only_they_have_growing_buckets() {
        for metric in METRICS {
            assert_eq!(metric.buckets.is_empty(), metric.kind != Kind::Histogram, "{}", metric.name);
            assert!(metric.buckets.is_sorted_by(|one, next| one < next), "{}", metric.name);
        }
    }

    #[test]
    fn spans_and_fields_are_plain_words() {
        let plain = [span::SPANS, happening::HAPPENINGS, field::FIELDS];
        assert!(plain.into_iter().flatten().all(|name| is_snake_case(name)));
    }

    #[test]
    fn attributes_are_ours_or_of_the_conventions() {
        for name in attribute::ATTRIBUTES {
            let (space, _) = name.split_once('.').unwrap();
            assert!(["kabar", "http", "service"].contains(&space), "{name}");
            assert!(name.split('.').all(is_snake_case), "{name}");
        }
    }
}
