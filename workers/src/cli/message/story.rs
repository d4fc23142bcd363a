//! The story of one message as a clerk reads it: how it stands, what happens next, and all that happened, in its order.

use kabar_domain::message::MessageState;
use kabar_store::{AttemptStory, MessageStory};

use crate::cli::output::{Table, time, time_or_dash};

/// The whole story.
pub(super) fn told(story: &MessageStory) -> String {
    let mut facts = Table::of_facts();
    facts.fact("message", story.id.to_string());
    facts.fact("job", format!("{} ({})", story.job_key, story.kind));
    facts.fact("to", story.phone.to_string());
    facts.fact("sender", &story.sender);
    facts.fact("state", format!("{}: {}", story.state, state_words(story.state)));
    let is_told = |reason: &&str| story.waits_because.as_ref().is_some_and(|because| because.contains(reason));
    if let Some(reason) = story.reason.as_deref().filter(|reason| !reason.is_empty() && !is_told(reason)) {
        facts.fact("reason", reason_words(reason));
    }
    if let Some(because) = &story.waits_because {
        facts.fact("waits because", because);
    }
    facts.fact("next", &story.next);
    if story.state == MessageState::Queued {
        facts.fact("not before", time(story.due_at));
        facts.fact("not after", time_or_dash(story.expires_at));
    }
    format!("{facts}\n\nwhat happened\n{}", events(story))
}

/// All that happened, the first first.
fn events(story: &MessageStory) -> Table {
    let mut events: Vec<(i64, String)> =
        vec![(story.created_at, "planned: from here on it waits to be sent".to_owned())];
    for attempt in &story.attempts {
        events.push((attempt.started_at, format!("attempt {} began", attempt.number)));
        events.extend(ended(attempt));
        let receipts = [
            (attempt.sent_at, "it is on its way to the phone (sent)"),
            (attempt.delivered_at, "it is on the phone (delivered)"),
            (attempt.read_at, "it was read (read)"),
            (attempt.failed_at, "it will not arrive (failed)"),
        ];
        events.extend(receipts.into_iter().filter_map(|(at, what)| {
            at.map(|at| (at, format!("attempt {}: the provider reports that {what}", attempt.number)))
        }));
    }
    if let (true, Some(what)) = (ends_apart(story), over_words(story.state)) {
        events.push((story.updated_at, what.to_owned()));
    }
    // Those of one moment stay in the order in which they were told.
    events.sort_by_key(|(at, _)| *at);
    let mut table = Table::of_facts();
    for (at, what) in events {
        table.fact(&format!("  {}", time(at)), what);
    }
    table
}

/// What an attempt came to.
fn ended(attempt: &AttemptStory) -> Vec<(i64, String)> {
    let Some(outcome) = &attempt.outcome else { return Vec::new() };
    let number = attempt.number;
    let code = attempt.code.map(|code| format!(" (code {code})")).unwrap_or_default();
    let meaning = attempt.meaning.as_ref().map(|meaning| format!(": {meaning}")).unwrap_or_default();
    let answered_at = attempt.ended_at.unwrap_or(attempt.started_at);
    // A receipt may say hours later what became of a message that had been accepted.
    let told_at = attempt.failed_at.filter(|_| refused_later(outcome)).unwrap_or(answered_at);
    let mut events = Vec::new();
    if let Some(id) = &attempt.provider_message_id {
        events.push((answered_at, format!("attempt {number} has the provider's id {id}")));
    }
    events.push((told_at, format!("attempt {number} {}{code}{meaning}", outcome_words(outcome))));
    if let Some(evidence) = &attempt.evidence {
        let heard = attempt.sent_at.or(attempt.delivered_at).or(attempt.read_at).is_some();
        let twice = if heard { "; a receipt says that it had left all the same" } else { "" };
        let decided_at = attempt.evidence_at.unwrap_or(answered_at);
        events.push((decided_at, format!("attempt {number} was taken for lost and the message {evidence}{twice}")));
    }
    events
}

/// Whether a failed receipt put this outcome in the place of an earlier one, if there is such a receipt.
fn refused_later(outcome: &str) -> bool {
    !matches!(outcome, "accepted" | "in_doubt" | "absent" | "not_sent")
}

/// Whether the message ended by something else than an attempt or a receipt.
const fn ends_apart(story: &MessageStory) -> bool {
    matches!(story.state, MessageState::Skipped | MessageState::Cancelled | MessageState::Expired)
}

const fn over_words(state: MessageState) -> Option<&'static str> {
    match state {
        MessageState::Skipped => Some("skipped: it is not sent"),
        MessageState::Cancelled => Some("taken back: it is not sent"),
        MessageState::Expired => Some("its time ran out: it is not sent"),
        _ => None,
    }
}

const fn state_words(state: MessageState) -> &'static str {
    match state {
        MessageState::Queued => "it waits to be sent",
        MessageState::Claimed => "it is about to be sent",
        MessageState::Sending => "it is being sent",
        MessageState::InDoubt => "it was perhaps sent; no clear answer came",
        MessageState::Unresolved => "it was perhaps sent; a person must find out",
        MessageState::Accepted => "the provider has it; no receipt so far",
        MessageState::Sent => "the provider sent it to the phone",
        MessageState::Delivered => "it is on the phone",
        MessageState::Read => "the person has read it",
        MessageState::Failed => "it did not arrive and will not",
        MessageState::Blocked => "refused, and the person is now blocked",
        MessageState::Skipped => "it was not sent",
        MessageState::Cancelled => "it was taken back before it left",
        MessageState::Expired => "its time ran out before it left",
    }
}

fn outcome_words(outcome: &str) -> &str {
    match outcome {
        "accepted" => "was accepted",
        "throttled" => "was put off by the provider, at no cost",
        "retry" => "was refused for a passing reason",
        "failed" => "was refused for good",
        "blocked" => "was refused, and the person is blocked",
        "opted_out" => "was refused, as the person wants no marketing",
        "template_paused" => "was refused, as the template cannot be used for now",
        "template_disabled" => "was refused, as the template cannot be used any more",
        "halt" => "was refused, and so is the sender",
        "in_doubt" => "got no clear answer",
        "not_sent" => "did not leave, at no cost",
        "absent" => "got no clear answer and no receipt",
        other => other,
    }
}

/// Reasons that are words of the ledger, as sentences; others are sentences already.
fn reason_words(reason: &str) -> &str {
    match reason {
        "recipient_blocked" => "the person is blocked; `kabar recipient show` says why",
        "opted_out" => "the person opted out; `kabar recipient show` says of what",
        "missing_parameter" => "a value that the content needs is missing for this person",
        "invalid_parameter" => {
            "a value of this person is no date, time, number or amount as the content needs, or too long"
        }
        "template_disabled" => "the template cannot be used any more",
        "no_consent" => {
            "it is marketing, and nothing says that the person agreed to it (people.marketing_needs_consent)"
        }
        "frequency_cap" => "the person gets as many such messages as the frequency cap allows",
        "quiet_hours" => "it was put off until the end of the person's quiet hours",
        "expired_in_quiet_hours" => "its time ran out before the person's quiet hours ended",
        "broadcast_cancelled" => "its broadcast was cancelled",
        "cancelled" => "its job was cancelled",
        "paid" => "it was paid",
        "moved" => "its reminder was moved to another due date",
        "expired" => "its time ran out",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use kabar_domain::phone::PhoneNumber;

    use super::*;

    const NOON: i64 = 1_796_126_400_000;

    fn attempt(number: i64, outcome: &str) -> AttemptStory {
        AttemptStory {
            number,
            started_at: NOON + number * 1_000,
            ended_at: Some(NOON + number * 1_000 + 200),
            outcome: Some(outcome.to_owned()),
            code: None,
            meaning: None,
            evidence: None,
            evidence_at: None,
            provider_message_id: None,
            sent_at: None,
            delivered_at: None,
            read_at: None,
            failed_at: None,
        }
    }

    fn story(state: MessageState, attempts: Vec<AttemptStory>) -> MessageStory {
        MessageStory {
            id: 7,
            job_key: "invoice".to_owned(),
            kind: "send".to_owned(),
            sender: "default".to_owned(),
            phone: PhoneNumber::from_e164("+628123456789").unwrap(),
            state,
            reason: None,
            due_at: NOON,
            expires_at: None,
            created_at: NOON,
            updated_at: NOON + 9_000,
            attempts,
            waits_because: None,
            next: "nothing".to_owned(),
        }
    }

    #[test]
    fn what_was_sent_again_is_told_with_its_evidence() {
        let first = AttemptStory {
            evidence: Some("sent again: its policy on doubt is resend".to_owned()),
            evidence_at: Some(NOON + 1_900),
            meaning: Some("no answer within 30 s".to_owned()),
            ..attempt(1, "absent")
        };
        let second = AttemptStory { delivered_at: Some(NOON + 5_000), ..attempt(2, "accepted") };
        let told = told(&story(MessageState::Delivered, vec![first, second]));
        let expected = "\
message  7
job      invoice (send)
to       +628123456789
sender   default
state    delivered: it is on the phone
next     nothing

what happened
  2026-12-01T12:00:00Z  planned: from here on it waits to be sent
  2026-12-01T12:00:01Z  attempt 1 began
  2026-12-01T12:00:01Z  attempt 1 got no clear answer and no receipt: no answer within 30 s
  2026-12-01T12:00:01Z  attempt 1 was taken for lost and the message sent again: its policy on doubt is resend
  2026-12-01T12:00:02Z  attempt 2 began
  2026-12-01T12:00:02Z  attempt 2 was accepted
  2026-12-01T12:00:05Z  attempt 2: the provider reports that it is on the phone (delivered)";
        assert_eq!(told, expected);
    }

    #[test]
    fn every_state_and_every_reason_is_told_in_words() {
        for state in MessageState::ALL {
            assert!(told(&story(state, Vec::new())).contains(state_words(state)), "{state}");
        }
        let blocked =
            MessageStory { reason: Some("recipient_blocked".to_owned()), ..story(MessageState::Skipped, Vec::new()) };
        assert!(told(&blocked).contains("the person is blocked"));
    }
}
