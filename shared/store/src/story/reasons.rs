//! Why a message waits and what happens next, in a sentence each; pure.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use kabar_domain::{job::OnDoubt, message::MessageState, pace::spacing_us};

use crate::{broadcasts::MARGIN, plan::QUIET_HOURS};

/// What stands before a waiting message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Queue {
    /// Messages of its broadcast, or other single messages of its priority, that are due before it.
    pub(super) ahead: u64,
    /// Messages of a higher priority that are due.
    pub(super) more_urgent: u64,
    /// Neither is counted beyond this.
    pub(super) most: u64,
    /// Another message to the same person that is just being sent.
    pub(super) another_to_them: Option<i64>,
    /// Whether anybody is at work who could send it.
    pub(super) courier_lives: bool,
}

/// A template that keeps its messages waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) template: String,
    pub(super) until: i64,
}

/// What decides whether a message may leave. Times are Unix milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Facts<'a> {
    pub(super) id: i64,
    pub(super) state: MessageState,
    pub(super) now: i64,
    pub(super) due_at: i64,
    pub(super) expires_at: Option<i64>,
    /// The id of the broadcast, where it is of one.
    pub(super) broadcast: Option<&'a str>,
    pub(super) control: &'a str,
    pub(super) sender: &'a str,
    pub(super) sender_state: &'a str,
    pub(super) sender_reason: Option<&'a str>,
    pub(super) parked_until: i64,
    pub(super) park_reason: Option<&'a str>,
    pub(super) template: Option<Pause>,
    /// What stands before it; none unless it waits.
    pub(super) queue: Option<Queue>,
    /// Attempts started so far.
    pub(super) attempts: i64,
    /// What its job says about doubt.
    pub(super) on_doubt: OnDoubt,
    /// Messages per second as configured; none: unlimited.
    pub(super) rate: Option<u64>,
    /// Thousandths of a message per second after a cut; none: not cut.
    pub(super) rate_milli: Option<u64>,
    /// The process that holds it, and until when unless that renews its lease.
    pub(super) holder: Option<(&'a str, i64)>,
    pub(super) reason: Option<&'a str>,
}

/// Why the message waits; none where it does not. What a person must mend comes before what passes by itself.
pub(super) fn waits_because(facts: &Facts<'_>) -> Option<String> {
    match facts.state {
        MessageState::Queued => queued_because(facts),
        MessageState::Claimed => Some(held_by(facts, "is in a batch and waits for its slot")),
        MessageState::Sending => Some(held_by(facts, "is being sent")),
        MessageState::InDoubt => Some(format!(
            "nobody knows whether it reached the provider{}; it waits for a receipt until {}",
            why(facts.reason),
            time(facts.due_at)
        )),
        MessageState::Unresolved => {
            Some(format!("nobody knows whether it reached the provider{}; a person decides", why(facts.reason)))
        }
        _ => None,
    }
}

fn queued_because(facts: &Facts<'_>) -> Option<String> {
    let sender = facts.sender;
    if let (Some(broadcast), "paused") = (facts.broadcast, facts.control) {
        return Some(format!("broadcast {broadcast} is paused; `kabar broadcast resume {broadcast}` goes on"));
    }
    if facts.control == "cancelled" {
        return Some("its job was cancelled; it ends as cancelled".to_owned());
    }
    match facts.sender_state {
        "paused" => {
            let why = why(facts.sender_reason);
            return Some(format!("sender {sender} is paused{why}; `kabar sender resume {sender}` goes on"));
        }
        "halted" => {
            let why = why(facts.sender_reason);
            return Some(format!("sender {sender} is halted{why}; mend that, then `kabar sender resume {sender}`"));
        }
        _ => {}
    }
    if let Some(Pause { template, until }) = &facts.template {
        return Some(format!("template {template} is paused until {}", time(*until)));
    }
    if facts.due_at > facts.now && facts.reason == Some(QUIET_HOURS) {
        let until = time(facts.due_at);
        return Some(match facts.expires_at {
            Some(expires) if expires <= facts.due_at => format!(
                "quiet hours of the person until {until}, and its time runs out before, at {}: it will not be sent",
                time(expires)
            ),
            _ => format!("quiet hours of the person until {until}"),
        });
    }
    if facts.due_at > facts.now {
        let again =
            if facts.attempts > 0 { "it was tried before and is to be tried again" } else { "it is not due before" };
        let at = if facts.attempts > 0 { " at " } else { " " };
        return Some(format!("{again}{at}{}{}", time(facts.due_at), why(facts.reason)));
    }
    if facts.parked_until > facts.now {
        return Some(format!(
            "sender {sender} is parked until {}{}; it goes on by itself",
            time(facts.parked_until),
            why(facts.park_reason)
        ));
    }
    Some(turn(facts))
}

/// A due message of a sender that sends: what stands before it, and how long that takes.
fn turn(facts: &Facts<'_>) -> String {
    let sender = facts.sender;
    let Some(queue) = facts.queue else { return format!("it is due and waits for its turn at sender {sender}") };
    if !queue.courier_lives {
        return "no courier is at work, so nothing is sent: start `kabar run`".to_owned();
    }
    if let Some(other) = queue.another_to_them {
        return format!("message {other} to the same person is just being sent; they are sent one after the other");
    }
    let count = |count: u64| if count >= queue.most { format!("more than {count}") } else { count.to_string() };
    let mut before = Vec::new();
    if queue.ahead > 0 {
        let of = facts.broadcast.map_or_else(String::new, |broadcast| format!(" of broadcast {broadcast}"));
        before.push(format!("{}{of} that are due earlier", count(queue.ahead)));
    }
    if queue.more_urgent > 0 {
        before.push(format!("{} more urgent ones", count(queue.more_urgent)));
    }
    let before = match before.as_slice() {
        [] => "nothing is before it".to_owned(),
        parts => format!("before it come {}", parts.join(" and ")),
    };
    let Some(rate) = facts.rate else { return format!("it is due; {before}") };
    let now_milli = facts.rate_milli.unwrap_or(rate * 1_000);
    let pace = if now_milli < rate * 1_000 {
        format!(
            "sender {sender} sends {} messages a second at present, of {rate} when it is not slowed down",
            tenths(now_milli)
        )
    } else {
        format!("sender {sender} sends {rate} messages a second")
    };
    let takes =
        Duration::from_micros(spacing_us(now_milli.max(1), MARGIN).saturating_mul(queue.ahead + queue.more_urgent));
    let takes = match takes.as_secs() {
        0..=1 => String::new(),
        seconds @ 2..=119 => format!(", so they take about {seconds} s"),
        seconds => format!(", so they take about {} min", seconds / 60),
    };
    format!("it is due; {before}, and {pace}{takes}")
}

/// Thousandths with one decimal, where it has one.
fn tenths(milli: u64) -> String {
    match (milli / 1_000, milli % 1_000 / 100) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}.{tenth}"),
    }
}

fn held_by(facts: &Facts<'_>, doing: &str) -> String {
    match facts.holder {
        Some((process, until)) if until > facts.now => {
            format!("it {doing}, in the hands of process {process}, which holds it until {} at least", time(until))
        }
        Some((process, until)) => {
            format!("it {doing}, but process {process}, which held it until {}, is gone", time(until))
        }
        None => format!("it {doing}, but the process that held it is gone"),
    }
}

/// What happens next.
pub(super) fn next_step(facts: &Facts<'_>) -> String {
    let alive = facts.holder.is_some_and(|(_, until)| until > facts.now);
    match facts.state {
        MessageState::Queued => match facts.expires_at {
            Some(until) if until <= facts.due_at => format!("its time runs out at {}; it ends as expired", time(until)),
            Some(until) => format!("a courier sends it once nothing is in its way, before {}", time(until)),
            None => "a courier sends it once nothing is in its way".to_owned(),
        },
        MessageState::Claimed if alive => "its courier sends it at its slot".to_owned(),
        MessageState::Claimed => "the janitor gives it back, and it is sent".to_owned(),
        MessageState::Sending if alive => "the provider's answer decides".to_owned(),
        MessageState::Sending => "the janitor puts it in doubt, and evidence or its policy decides".to_owned(),
        MessageState::InDoubt => {
            let then = match facts.on_doubt {
                OnDoubt::Auto => {
                    "it is sent again if receipts for later messages of this sender have come and none for it; else a \
                     person decides"
                }
                OnDoubt::Resend => "it is sent again, as its job says, at the risk that the person gets it twice",
                OnDoubt::Hold => "a person decides, as its job says",
            };
            format!("a receipt settles it whenever it comes; without one until {}, {then}", time(facts.due_at))
        }
        MessageState::Unresolved => {
            let id = facts.id;
            format!(
                "ask whether the person has it; then `kabar message resolve {id} --sent` if so, or `kabar message resolve \
                 {id} --resend` to send it again. A receipt that comes late settles it, too"
            )
        }
        MessageState::Accepted | MessageState::Sent | MessageState::Delivered => {
            "receipts may move it on; nothing else is to be done".to_owned()
        }
        MessageState::Failed => match facts.broadcast {
            Some(broadcast) => {
                format!("nothing, unless `kabar broadcast retry {broadcast}` tries the failed ones anew")
            }
            None => "nothing; enqueue it again under another id to try anew".to_owned(),
        },
        MessageState::Read => "nothing; it is over".to_owned(),
        MessageState::Blocked | MessageState::Skipped | MessageState::Cancelled | MessageState::Expired => {
            "nothing; to send it after all, once its reason is gone, enqueue it again under another id".to_owned()
        }
    }
}

fn why(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

fn time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or_else(|| "the end of time".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: i64 = 1_000_000_000_000;

    const QUEUE: Queue = Queue { ahead: 0, more_urgent: 0, most: 1_000, another_to_them: None, courier_lives: true };

    fn facts(state: MessageState) -> Facts<'static> {
        Facts {
            id: 7,
            state,
            now: LATER - 1,
            due_at: 0,
            expires_at: None,
            broadcast: Some("b"),
            control: "running",
            sender: "default",
            sender_state: "active",
            sender_reason: None,
            parked_until: 0,
            park_reason: None,
            template: None,
            queue: Some(QUEUE),
            attempts: 0,
            on_doubt: OnDoubt::Auto,
            rate: Some(20),
            rate_milli: None,
            holder: None,
            reason: None,
        }
    }

    fn because(facts: &Facts<'_>) -> String {
        waits_because(facts).unwrap()
    }

    #[test]
    fn every_reason_to_wait_is_said_with_what_to_do() {
        let queued = facts(MessageState::Queued);
        assert_eq!(because(&queued), "it is due; nothing is before it, and sender default sends 20 messages a second");
        let behind = Facts {
            queue: Some(Queue { ahead: 1_000, more_urgent: 3, ..QUEUE }),
            rate_milli: Some(2_500),
            ..queued.clone()
        };
        assert_eq!(
            because(&behind),
            "it is due; before it come more than 1000 of broadcast b that are due earlier and 3 more urgent ones, and \
             sender default sends 2.5 messages a second at present, of 20 when it is not slowed down, so they take about 6 \
             min"
        );
        let nobody = Facts { queue: Some(Queue { courier_lives: false, ..QUEUE }), ..queued.clone() };
        assert!(because(&nobody).contains("kabar run"));
        let pair = Facts { queue: Some(Queue { another_to_them: Some(9), ..QUEUE }), ..queued.clone() };
        assert!(because(&pair).starts_with("message 9 to the same person"));
        let paused = Facts { control: "paused", ..queued.clone() };
        assert_eq!(because(&paused), "broadcast b is paused; `kabar broadcast resume b` goes on");
        let halted = Facts { sender_state: "halted", sender_reason: Some("bad token"), ..queued.clone() };
        assert_eq!(
            because(&halted),
            "sender default is halted (bad token); mend that, then `kabar sender resume default`"
        );
        let parked = Facts { parked_until: LATER, park_reason: Some("throttled"), ..queued.clone() };
        assert_eq!(
            because(&parked),
            "sender default is parked until 2001-09-09T01:46:40Z (throttled); it goes on by itself"
        );
        let quiet = Facts { due_at: LATER, reason: Some(QUIET_HOURS), expires_at: Some(LATER + 1), ..queued.clone() };
        assert_eq!(because(&quiet), "quiet hours of the person until 2001-09-09T01:46:40Z");
        let too_late = Facts { expires_at: Some(LATER), ..quiet };
        assert!(because(&too_late).ends_with("at 2001-09-09T01:46:40Z: it will not be sent"));
        assert_eq!(next_step(&too_late), "its time runs out at 2001-09-09T01:46:40Z; it ends as expired");
        let later = Facts { due_at: LATER, reason: Some("as asked"), ..queued.clone() };
        assert_eq!(because(&later), "it is not due before 2001-09-09T01:46:40Z (as asked)");
        let again = Facts { attempts: 1, ..later };
        assert_eq!(because(&again), "it was tried before and is to be tried again at 2001-09-09T01:46:40Z (as asked)");
        let pause = Pause { template: "t".to_owned(), until: LATER };
        assert_eq!(
            because(&Facts { template: Some(pause), ..queued }),
            "template t is paused until 2001-09-09T01:46:40Z"
        );
        let doubt = Facts { due_at: LATER, ..facts(MessageState::InDoubt) };
        assert!(because(&doubt).ends_with("until 2001-09-09T01:46:40Z"));
    }

    #[test]
    fn a_dead_holder_is_told_from_a_living_one() {
        let held = Facts { holder: Some(("host:1", LATER)), ..facts(MessageState::Claimed) };
        assert!(because(&held).contains("host:1") && next_step(&held).contains("its slot"));
        let gone = Facts { holder: Some(("host:1", 5)), ..held };
        assert!(because(&gone).contains("gone") && next_step(&gone).contains("janitor"));
    }

    #[test]
    fn what_is_over_does_not_wait() {
        for state in MessageState::ALL {
            let over = matches!(state.phase(), kabar_domain::message::Phase::Done);
            assert_eq!(waits_because(&facts(state)).is_none(), over, "{state}");
            assert!(!next_step(&facts(state)).is_empty());
        }
    }
}
