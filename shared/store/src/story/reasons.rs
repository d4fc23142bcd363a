//! Why a message waits and what happens next, in a sentence each; pure.

use kabar_domain::message::MessageState;

use crate::status::rfc3339;

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
            "nobody knows whether it left{}; it waits for a receipt until {}",
            why(facts.reason),
            time(facts.due_at)
        )),
        MessageState::Unresolved => {
            Some(format!("nobody knows whether it left{}; a person decides", why(facts.reason)))
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
    if facts.due_at > facts.now {
        return Some(format!("it is due at {}{}", time(facts.due_at), why(facts.reason)));
    }
    if facts.parked_until > facts.now {
        return Some(format!("sender {sender} is parked until {}{}", time(facts.parked_until), why(facts.park_reason)));
    }
    Some(format!("it is due and waits for its turn at the pace of sender {sender}"))
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
            Some(until) => format!("a courier sends it once nothing is in its way, before {}", time(until)),
            None => "a courier sends it once nothing is in its way".to_owned(),
        },
        MessageState::Claimed if alive => "its courier sends it at its slot".to_owned(),
        MessageState::Claimed => "the janitor gives it back, and it is sent".to_owned(),
        MessageState::Sending if alive => "the provider's answer decides".to_owned(),
        MessageState::Sending => "the janitor puts it in doubt, and evidence or its policy decides".to_owned(),
        MessageState::InDoubt => {
            "a receipt settles it whenever it comes; without one, receipts for later messages or its policy decide"
                .to_owned()
        }
        MessageState::Unresolved => {
            let id = facts.id;
            format!("look whether the person has it, then `kabar message resolve {id} --sent` or `--resend`")
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
        MessageState::Read
        | MessageState::Blocked
        | MessageState::Skipped
        | MessageState::Cancelled
        | MessageState::Expired => "nothing; it is over".to_owned(),
    }
}

fn why(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

fn time(ms: i64) -> String {
    rfc3339(ms).unwrap_or_else(|| "the end of time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: i64 = 1_000_000_000_000;

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
        assert!(because(&queued).contains("its turn"));
        let paused = Facts { control: "paused", ..queued.clone() };
        assert_eq!(because(&paused), "broadcast b is paused; `kabar broadcast resume b` goes on");
        let halted = Facts { sender_state: "halted", sender_reason: Some("bad token"), ..queued.clone() };
        assert_eq!(
            because(&halted),
            "sender default is halted (bad token); mend that, then `kabar sender resume default`"
        );
        let parked = Facts { parked_until: LATER, park_reason: Some("throttled"), ..queued.clone() };
        assert_eq!(because(&parked), "sender default is parked until 2001-09-09T01:46:40Z (throttled)");
        let later = Facts { due_at: LATER, reason: Some("quiet hours"), ..queued.clone() };
        assert_eq!(because(&later), "it is due at 2001-09-09T01:46:40Z (quiet hours)");
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
