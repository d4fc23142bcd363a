//! Changes of `messages`: receipts, inbound messages, and errors of the account.

use chrono::{DateTime, Utc};
use kabar_domain::{
    message::ReceiptStatus,
    outcome::{Decision, Outcome},
    phone::PhoneNumber,
    report::{Inbound, Receipt, Report},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    envelope::{Change, parse, text, time},
    notice, unreadable,
};
use crate::{
    policy::Policy,
    whatsapp_cloud::errors::{self, GraphError},
};

#[derive(Deserialize)]
struct Messages<'a> {
    #[serde(borrow, default)]
    statuses: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    messages: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    errors: Option<Value>,
}

#[derive(Deserialize)]
struct Status<'a> {
    id: String,
    status: String,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    biz_opaque_callback_data: Option<&'a RawValue>,
    #[serde(default)]
    errors: Option<Value>,
}

#[derive(Deserialize)]
struct Message<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    from: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
}

/// Adds what `change` says to `reports`: receipts first, then messages.
pub(super) fn read(change: &Change<'_>, policy: &Policy, reports: &mut Vec<Report>) {
    let Some(value) = parse::<Messages<'_>>(change.value) else {
        return reports.push(unreadable(&change.account, "a change of messages"));
    };
    if let Some(error) = value.errors.as_ref().and_then(first_error) {
        let outcome = errors::decide(&error, None, policy);
        reports.push(notice(&change.account, "error", format!("{}: {}", error.code, outcome.meaning)));
    }
    let (statuses, messages) = (value.statuses.unwrap_or_default(), value.messages.unwrap_or_default());
    if statuses.is_empty() && messages.is_empty() {
        return;
    }
    let Some(sender) = change.phone_number_id() else {
        return reports.push(unreadable(&change.account, "the number that a change of messages is about"));
    };
    reports.extend(statuses.into_iter().map(|piece| status(change, &sender, piece, policy)));
    reports.extend(messages.into_iter().map(|piece| message(change, &sender, piece)));
}

fn status(change: &Change<'_>, sender: &str, piece: &RawValue, policy: &Policy) -> Report {
    let Some(status) = parse::<Status<'_>>(piece) else {
        return unreadable(&change.account, "a receipt");
    };
    let kind = match status.status.as_str() {
        "sent" => ReceiptStatus::Sent,
        "delivered" => ReceiptStatus::Delivered,
        // A voice note that was played was read.
        "read" | "played" => ReceiptStatus::Read,
        "failed" => ReceiptStatus::Failed,
        other => {
            return notice(&change.account, "receipt", format!("of the kind {}, which says nothing here", word(other)));
        }
    };
    Report::Receipt(Receipt {
        sender_address: sender.to_owned(),
        provider_message_id: status.id,
        opaque: text(status.biz_opaque_callback_data).filter(|opaque| !opaque.is_empty()),
        status: kind,
        at: at(status.timestamp, change),
        outcome: (kind == ReceiptStatus::Failed).then(|| failure(status.errors.as_ref(), policy)),
    })
}

/// What a failed receipt comes to. The platform's last word is that the message did not arrive, so nothing of it can be
/// accepted, in doubt or never sent.
fn failure(errors: Option<&Value>, policy: &Policy) -> Outcome {
    let Some(error) = errors.and_then(first_error) else {
        return Outcome::of(Decision::Failed, "the provider reports a failure without its reason");
    };
    let outcome = errors::decide(&error, None, policy);
    match outcome.decision {
        Decision::Accepted | Decision::InDoubt | Decision::NotSent => Outcome { decision: Decision::Failed, ..outcome },
        _ => outcome,
    }
}

fn first_error(errors: &Value) -> Option<GraphError<'_>> {
    errors.as_array()?.iter().find_map(GraphError::read)
}

fn message(change: &Change<'_>, sender: &str, piece: &RawValue) -> Report {
    let Some(message) = parse::<Message<'_>>(piece) else {
        return unreadable(&change.account, "an inbound message");
    };
    let kind = word(&message.kind);
    match kind.as_str() {
        // Not a person's words, so they lift no block and open no window.
        "system" => return notice(&change.account, "system", system(piece)),
        "request_welcome" => {
            return notice(&change.account, "request_welcome", "a person opened the chat for the first time");
        }
        _ => {}
    }
    Report::Inbound(Inbound {
        sender_address: sender.to_owned(),
        from: text(message.from).and_then(|digits| number(&digits)),
        provider_message_id: message.id,
        at: at(message.timestamp, change),
        text: words(&kind, piece),
        kind,
    })
}

/// Digits, which come without the `+` of their E.164 form.
pub(super) fn number(digits: &str) -> Option<PhoneNumber> {
    PhoneNumber::from_e164(format!("+{}", digits.trim_start_matches('+'))).ok()
}

/// What a person wrote, tapped or put under a file, by kind.
fn words(kind: &str, piece: &RawValue) -> Option<String> {
    let paths: &[&str] = match kind {
        "text" => &["/text/body"],
        "button" => &["/button/text", "/button/payload"],
        "interactive" => {
            &["/interactive/button_reply/title", "/interactive/list_reply/title", "/interactive/nfm_reply/body"]
        }
        "image" => &["/image/caption"],
        "video" => &["/video/caption"],
        "document" => &["/document/caption"],
        "reaction" => &["/reaction/emoji"],
        "order" => &["/order/text"],
        _ => return None,
    };
    let message: Value = parse(piece)?;
    paths.iter().find_map(|path| message.pointer(path)?.as_str()).map(str::to_owned)
}

/// Which thing changed about a person; never from what to what.
fn system(piece: &RawValue) -> String {
    let message: Value = parse(piece).unwrap_or_default();
    match message.pointer("/system/type").and_then(Value::as_str) {
        Some("user_changed_number") => "a person changed their number".to_owned(),
        Some("user_changed_user_id") => "a person's user id changed".to_owned(),
        Some("customer_identity_changed") => "a person's identity key changed".to_owned(),
        Some(other) => format!("a change of the kind {}", word(other)),
        None => "a change of no named kind".to_owned(),
    }
}

/// The platform's time; its event's own time where the piece has none; else 1970, which is newer than nothing.
fn at(piece: Option<&RawValue>, change: &Change<'_>) -> DateTime<Utc> {
    time(piece).or(change.time).unwrap_or(DateTime::UNIX_EPOCH)
}

/// A name as the platform gives names, at most 40 characters; what is no name may be anything and is not shown.
pub(super) fn word(text: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if (1..=40).contains(&text.len()) && text.bytes().all(is_name) { text.to_owned() } else { "unknown".to_owned() }
}
