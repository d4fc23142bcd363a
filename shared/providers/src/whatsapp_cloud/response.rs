//! Answers into outcomes.
//!
//! An error object with a code is the application's own word that the message was not accepted, under whatever status.
//! Without one, the status alone is left:
//!
//! | answer | decision | because |
//! |---|---|---|
//! | 2xx, unreadable or cut short | in doubt | it was probably taken over; its id is lost |
//! | 3xx | halt | no redirect is followed with a message, and the next would meet it too |
//! | 401, 403, 407 | halt | token or proxy refuse, and would refuse the next |
//! | 404, 405, 410, 421 | halt | not the API's own answer (that has a code): base or version lead elsewhere |
//! | 408 | in doubt | it waited for the rest of the request, and cannot say how much was read |
//! | 429 | throttled | with `Retry-After` where given |
//! | other 4xx | failed | refused for what it is; such as 413, too large |
//! | other 4xx, cut short | retry | refused, but the code that says why is lost |
//! | 5xx | in doubt | a proxy's 502 or 504 may stand before an application that took the message; so may a 500, 503 |

use std::borrow::Cow;

use kabar_domain::outcome::{Decision, Outcome, Scope};
use serde::Deserialize;
use serde_json::Value;

use super::errors::{self, GraphError};
use crate::{
    access::Number,
    endpoint::halt,
    exchange::{Answer, End},
    policy::Policy,
};

/// The answer to an accepted message. The rest of it (the recipient as the platform knows them) is not needed: a
/// message is known by its own id.
#[derive(Deserialize)]
struct Taken<'a> {
    #[serde(borrow)]
    messages: Vec<TakenMessage<'a>>,
}

#[derive(Deserialize)]
struct TakenMessage<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    message_status: Option<Cow<'a, str>>,
}

/// What became of a send.
pub(super) fn read_send(answer: &Answer, policy: &Policy) -> Outcome {
    if is_success(answer)
        && let Ok(taken) = serde_json::from_slice::<Taken<'_>>(&answer.body)
        && let Some(message) = taken.messages.first().filter(|message| !message.id.is_empty())
    {
        return accepted(message);
    }
    refused(answer, policy)
}

/// What the provider says about the sender's number.
pub(super) fn read_number(answer: &Answer, policy: &Policy) -> Result<Number, Outcome> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if !is_success(answer) || !body.is_object() || body.get("error").is_some() {
        return Err(refused(answer, policy));
    }
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Ok(Number {
        display_number: text("/display_phone_number"),
        verified_name: text("/verified_name"),
        quality: text("/quality_rating"),
        throughput: text("/throughput/level"),
        status: text("/status"),
    })
}

/// What came of a question. Asking changes nothing, so there is nothing to be in doubt about.
pub(super) fn asked(outcome: Outcome) -> Outcome {
    match outcome.decision {
        Decision::InDoubt => Outcome { decision: Decision::Retry, ..outcome },
        _ => outcome,
    }
}

pub(super) fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status) && answer.end == End::Whole
}

fn accepted(message: &TakenMessage<'_>) -> Outcome {
    let mut outcome = Outcome::accepted(message.id.as_ref());
    match message.message_status.as_deref() {
        Some("held_for_quality_assessment") => {
            "accepted, and held back while the platform assesses the template's quality"
                .clone_into(&mut outcome.meaning);
        }
        Some("paused") => "accepted, and paused by the platform".clone_into(&mut outcome.meaning),
        _ => {}
    }
    outcome
}

pub(super) fn refused(answer: &Answer, policy: &Policy) -> Outcome {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut outcome = match body.get("error").and_then(GraphError::read) {
        Some(error) => {
            tracing::debug!(
                code = error.code,
                status = answer.status,
                fbtrace_id = error.trace(),
                "refused by the provider"
            );
            errors::decide(&error, Some(answer.status), policy)
        }
        None => by_status(answer),
    };
    if matches!(outcome.decision, Decision::Throttled | Decision::Retry) {
        outcome.delay = answer.retry_after.or(outcome.delay);
    }
    outcome
}

fn by_status(answer: &Answer) -> Outcome {
    let status = answer.status;
    let ending = match answer.end {
        End::Whole => "a body that is not the API's",
        End::TooLong => "a body that is too long to be the API's",
        End::BrokenOff => "a body that broke off",
    };
    let meaning = format!("HTTP {status} with {ending}");
    let base =
        "Check that the sender's API base and version lead to the API and not to a proxy; then resume the sender.";
    match status {
        300..400 => {
            halt(format!("HTTP {status}: the API base leads elsewhere by a redirect, which is not followed"), base)
        }
        401 | 403 => halt(meaning, "Check the sender's token and what stands before the API; then resume the sender."),
        404 | 405 | 407 | 410 | 421 => halt(meaning, base),
        429 => Outcome { scope: Scope::Sender, ..Outcome::of(Decision::Throttled, "HTTP 429: too many requests") },
        408 => Outcome::in_doubt(meaning),
        400..500 if answer.end == End::BrokenOff => Outcome::of(Decision::Retry, meaning),
        400..500 => Outcome {
            advice: "Compare the message's content and size with the Cloud API's limits.".to_owned(),
            ..Outcome::of(Decision::Failed, meaning)
        },
        _ => Outcome::in_doubt(meaning),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, headers: HeaderMap::new(), body: body.as_bytes().to_vec(), end: End::Whole }
    }

    fn read(answer: &Answer) -> Outcome {
        read_send(answer, &errors::policy(&BTreeMap::new()).unwrap())
    }

    #[test]
    fn an_accepted_message_has_its_id() {
        let outcome = read(&answer(200, include_str!("testdata/answers/accepted.json")));
        assert_eq!(outcome.decision, Decision::Accepted);
        assert_eq!(
            outcome.provider_message_id.as_deref(),
            Some("wamid.HBgNNjI4MTIzNDU2Nzg5MBUCABEYEjZBQjA1RkQ0OTk4AA==")
        );
        let held = read(&answer(200, include_str!("testdata/answers/held.json")));
        assert_eq!(held.decision, Decision::Accepted);
        assert!(held.meaning.contains("held back"));
    }

    #[test]
    fn an_error_object_decides_under_any_status() {
        for status in [200, 400, 404, 429, 500, 502, 503] {
            let outcome = read(&answer(status, include_str!("testdata/answers/throughput.json")));
            assert_eq!((outcome.decision, outcome.code), (Decision::Throttled, Some(130_429)), "{status}");
        }
        let down = read(&answer(503, r#"{"error":{"message":"(#2) down","code":2}}"#));
        assert_eq!(down.decision, Decision::Retry);
        let token = read(&answer(401, include_str!("testdata/answers/token_expired.json")));
        assert_eq!((token.decision, token.scope, token.alert), (Decision::Halt, Scope::Sender, true));
    }

    #[test]
    fn without_an_error_object_the_status_decides() {
        let html = "<html><body>Bad Gateway</body></html>";
        let cases = [
            (200, Decision::InDoubt),
            (204, Decision::InDoubt),
            (302, Decision::Halt),
            (400, Decision::Failed),
            (401, Decision::Halt),
            (403, Decision::Halt),
            (404, Decision::Halt),
            (408, Decision::InDoubt),
            (413, Decision::Failed),
            (429, Decision::Throttled),
            (500, Decision::InDoubt),
            (502, Decision::InDoubt),
            (503, Decision::InDoubt),
            (504, Decision::InDoubt),
        ];
        for (status, decision) in cases {
            for body in [html, "", "{}", "null", "[1]", r#"{"error":{"message":"no code"}}"#] {
                assert_eq!(read(&answer(status, body)).decision, decision, "{status} {body}");
            }
        }
    }

    #[test]
    fn an_acceptance_that_cannot_be_read_is_in_doubt() {
        for body in [
            r#"{"messages":[]}"#,
            r#"{"messages":[{"id":""}]}"#,
            r#"{"messages":[{}]}"#,
            r#"{"messages":[{"id":"wamid"#,
        ] {
            assert_eq!(read(&answer(200, body)).decision, Decision::InDoubt, "{body}");
        }
        for end in [End::TooLong, End::BrokenOff] {
            let cut = Answer { end, ..answer(200, "") };
            assert_eq!(read(&cut).decision, Decision::InDoubt);
        }
        let refused = Answer { end: End::BrokenOff, ..answer(400, "{\"err") };
        assert_eq!(read(&refused).decision, Decision::Retry);
    }

    #[test]
    fn retry_after_goes_with_what_is_tried_again() {
        let wait = Some(Duration::from_secs(7));
        let bare = Answer { retry_after: wait, ..answer(429, "") };
        assert_eq!((read(&bare).delay, read(&bare).scope), (wait, Scope::Sender));
        let throttled = Answer { retry_after: wait, ..answer(400, r#"{"error":{"code":4}}"#) };
        assert_eq!((read(&throttled).delay, read(&throttled).scope), (wait, Scope::App));
        let failed = Answer { retry_after: wait, ..answer(400, r#"{"error":{"code":131026}}"#) };
        assert_eq!(read(&failed).delay, None);
    }

    #[test]
    fn a_number_is_read_with_what_there_is() {
        let policy = errors::policy(&BTreeMap::new()).unwrap();
        let number = read_number(&answer(200, include_str!("testdata/answers/number.json")), &policy).unwrap();
        assert_eq!(number.status.as_deref(), Some("CONNECTED"));
        assert_eq!(number.throughput.as_deref(), Some("STANDARD"));
        assert_eq!(number.quality.as_deref(), Some("GREEN"));
        assert!(read_number(&answer(200, "<html>"), &policy).is_err());
        assert_eq!(read_number(&answer(200, "{}"), &policy).unwrap(), Number::default());
    }
}
