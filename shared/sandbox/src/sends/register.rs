//! The register of sends: decides the fate of each in a fixed order, and writes it down.
//!
//! The order is: faults of the way (down, closed connections, proxies, 5xx), token, the request's own errors,
//! throttling, errors of the recipient, acceptance, and faults of the answer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::api::error::ApiError;
use crate::arrival::Arrival;
use crate::config::SandboxConfig;
use crate::counters::Counters;
use crate::faults::Faults;
use crate::sends::fate::{Acceptance, Answer, CheckedSend, Decision, Fate, Offer, Usage};
use crate::sends::limits::{Calls, NUMBERS_MAX, Number};
use crate::sends::log::ArrivalLog;
use crate::sends::wamid::Wamids;
use crate::test_numbers::{self, Behaviour};

/// The 5xx errors that the platform is known to answer, drawn evenly.
const SERVER_ERRORS: [i64; 3] = [2, 131_000, 131_016];

/// The longest that an answer is held back.
const LATENCY_MAX: Duration = Duration::from_secs(60 * 60);

/// Everything that sends share.
pub(crate) struct Register {
    rate_per_second: Option<u32>,
    pair_limit: bool,
    record_bodies: bool,
    rng: Rng,
    wamids: Wamids,
    faults: Faults,
    since_faults_set: u64,
    since_burst: u32,
    burst_left: u32,
    app_calls: Calls,
    account_calls: Calls,
    numbers: HashMap<String, Number>,
    last_number: Option<String>,
    counters: Counters,
    pub(crate) log: ArrivalLog,
}

impl Register {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        Self {
            rate_per_second: config.rate_per_second,
            pair_limit: config.pair_limit,
            record_bodies: config.record_arrivals,
            rng: Rng::with_seed(config.seed),
            wamids: Wamids::new(),
            faults: config.faults.clone(),
            since_faults_set: 0,
            since_burst: 0,
            burst_left: 0,
            app_calls: Calls::default(),
            account_calls: Calls::default(),
            numbers: HashMap::new(),
            last_number: None,
            counters: Counters::default(),
            log: ArrivalLog::default(),
        }
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        self.since_faults_set = 0;
        self.since_burst = 0;
        self.burst_left = 0;
        self.app_calls = Calls::default();
        self.account_calls = Calls::default();
    }

    /// Counts of sends; those of webhooks are kept elsewhere.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// The most arrivals in any one second at any one phone number id.
    pub(crate) fn worst_window(&self) -> usize {
        self.numbers.values().map(|number| number.arrivals.worst()).max().unwrap_or(0)
    }

    /// The number that a message was last accepted from.
    pub(crate) fn last_number(&self) -> Option<&str> {
        self.last_number.as_deref()
    }

    /// Whether every call is refused just now, and with what.
    pub(crate) fn refusal_of_all(&self) -> Option<ApiError> {
        if self.faults.down {
            return Some(ApiError::of_code(2));
        }
        let expired = self.faults.token_expires_after.is_some_and(|after| self.since_faults_set >= after);
        expired.then(ApiError::token_invalid)
    }

    /// Decides the fate of a send and records its arrival.
    pub(crate) fn decide<'a>(&mut self, offer: Offer<'a>) -> Decision<'a> {
        let mut arrival = self.arrival(&offer);
        let at = offer.at;
        let fate = self.fate(at, offer.phone_number_id, offer.checked);
        self.count(&fate);
        match &fate {
            Fate::Accept(acceptance) => {
                arrival.accepted = true;
                arrival.wamid = Some(acceptance.wamid.clone());
            }
            Fate::Throttle(error) | Fate::Refuse(error) => arrival.code = Some(error.code()),
            Fate::HangUp | Fate::ProxyPage => {}
        }
        self.log.push(arrival);
        Decision { fate, latency: self.latency(), usage: self.usage(at) }
    }

    /// Counts a call against the limits on calls, or refuses it.
    pub(crate) fn count_call(&mut self, at: Instant) -> Result<(), ApiError> {
        if self.faults.app_calls_per_hour.is_some_and(|most| !self.app_calls.admits(at, most)) {
            return Err(ApiError::of_code(4));
        }
        if self.faults.account_calls_per_hour.is_some_and(|most| !self.account_calls.admits(at, most)) {
            return Err(ApiError::of_code(80_007));
        }
        Ok(())
    }

    /// What answers tell of the limits on calls.
    pub(crate) fn usage(&self, at: Instant) -> Usage {
        Usage {
            app: self.faults.app_calls_per_hour.map(|most| self.app_calls.usage(at, most)),
            account: self.faults.account_calls_per_hour.map(|most| self.account_calls.usage(at, most)),
        }
    }

    /// What is known of a send before it is decided.
    fn arrival(&self, offer: &Offer<'_>) -> Arrival {
        let (to, opaque) = match &offer.checked {
            Ok(send) => (send.request.digits.clone(), send.request.opaque.map(str::to_owned)),
            Err(_) => (text(offer.body, "to").unwrap_or_default(), text(offer.body, "biz_opaque_callback_data")),
        };
        Arrival {
            at: offer.at,
            phone_number_id: offer.phone_number_id.to_owned(),
            to,
            opaque,
            wamid: None,
            accepted: false,
            code: None,
            body: offer.body.filter(|_| self.record_bodies).cloned(),
        }
    }

    fn fate<'a>(&mut self, at: Instant, phone_number_id: &str, checked: Result<CheckedSend<'a>, ApiError>) -> Fate<'a> {
        if !self.note(at, phone_number_id) {
            return Fate::Refuse(ApiError::object_unknown("POST", phone_number_id));
        }
        if let Some(fate) = self.fault_of_the_way() {
            return fate;
        }
        let send = match checked {
            Ok(send) => send,
            Err(error) => return Fate::Refuse(error),
        };
        let digits = send.request.digits.as_str();
        if let Some(error) = self.throttle(at, phone_number_id, digits) {
            return Fate::Throttle(error.retry_after(self.faults.retry_after));
        }
        if let Some(code) = self.faults.fail_codes.get(digits) {
            return Fate::Refuse(ApiError::of_code(*code));
        }
        let fails_with = match test_numbers::behaviour(digits) {
            Behaviour::Refused(code) => return Fate::Refuse(ApiError::of_code(code)),
            Behaviour::FailsLater(code) => Some(code),
            Behaviour::Accepted => None,
        };
        if self.last_number.as_deref() != Some(phone_number_id) {
            self.last_number = Some(phone_number_id.to_owned());
        }
        let (wamid, answer) = (self.wamids.next(), self.answer());
        Fate::Accept(Acceptance { send, wamid, fails_with, answer })
    }

    /// Notes an arrival at its number; `false` if there are too many numbers to note one more.
    fn note(&mut self, at: Instant, phone_number_id: &str) -> bool {
        if let Some(number) = self.numbers.get_mut(phone_number_id) {
            number.arrivals.note(at);
            return true;
        }
        if self.numbers.len() >= NUMBERS_MAX {
            return false;
        }
        self.numbers.entry(phone_number_id.to_owned()).or_default().arrivals.note(at);
        true
    }

    fn fault_of_the_way(&mut self) -> Option<Fate<'static>> {
        if let Some(error) = self.refusal_of_all() {
            return Some(Fate::Refuse(error));
        }
        self.since_faults_set += 1;
        if draw(&mut self.rng, self.faults.drop_before_accept_share) {
            return Some(Fate::HangUp);
        }
        if draw(&mut self.rng, self.faults.html_share) {
            return Some(Fate::ProxyPage);
        }
        if draw(&mut self.rng, self.faults.server_error_share) {
            let code = SERVER_ERRORS[self.rng.usize(..SERVER_ERRORS.len())];
            return Some(Fate::Refuse(ApiError::of_code(code)));
        }
        None
    }

    fn throttle(&mut self, at: Instant, phone_number_id: &str, digits: &str) -> Option<ApiError> {
        if self.burst() {
            return Some(ApiError::of_code(self.faults.throttle_code));
        }
        if let Err(error) = self.count_call(at) {
            return Some(error);
        }
        let number = self.numbers.get_mut(phone_number_id)?;
        if self.rate_per_second.is_some_and(|rate| !number.throughput.admits(at, rate)) {
            return Some(ApiError::of_code(130_429));
        }
        if self.pair_limit && !number.pairs.admits(at, digits) {
            return Some(ApiError::of_code(131_056));
        }
        None
    }

    /// Whether a burst of throttling covers this send.
    fn burst(&mut self) -> bool {
        let Some(every) = self.faults.throttle_every else { return false };
        if self.burst_left == 0 {
            self.since_burst += 1;
            if self.since_burst < every.max(1) {
                return false;
            }
            self.since_burst = 0;
            self.burst_left = self.faults.throttle_burst.max(1);
        }
        self.burst_left -= 1;
        true
    }

    fn answer(&mut self) -> Answer {
        if draw(&mut self.rng, self.faults.drop_after_accept_share) {
            Answer::None
        } else if draw(&mut self.rng, self.faults.half_answer_share) {
            Answer::Half
        } else {
            Answer::Whole
        }
    }

    fn count(&mut self, fate: &Fate<'_>) {
        let counters = &mut self.counters;
        counters.received += 1;
        match fate {
            Fate::HangUp => counters.dropped += 1,
            Fate::Throttle(_) => counters.throttled += 1,
            Fate::Refuse(_) | Fate::ProxyPage => counters.failed += 1,
            Fate::Accept(acceptance) => {
                counters.accepted += 1;
                if acceptance.answer == Answer::None {
                    counters.dropped += 1;
                    counters.dropped_after_accept += 1;
                }
            }
        }
    }

    /// How long the next answer takes.
    pub(crate) fn latency(&mut self) -> Duration {
        let Faults { latency, latency_jitter, .. } = self.faults;
        if latency_jitter.is_zero() {
            return latency.min(LATENCY_MAX);
        }
        (latency.min(LATENCY_MAX) + latency_jitter.min(LATENCY_MAX).mul_f64(self.rng.f64())).min(LATENCY_MAX)
    }
}

/// Whether a share of cases includes this one. A share of nothing draws nothing, so that one fault does not shift the
/// choices of another.
pub(crate) fn draw(rng: &mut Rng, share: f64) -> bool {
    share > 0.0 && rng.f64() < share
}

fn text(body: Option<&serde_json::Value>, field: &str) -> Option<String> {
    body?.get(field)?.as_str().map(str::to_owned)
}
