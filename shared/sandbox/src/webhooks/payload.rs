//! The JSON of a webhook, and its signature.

use ring::hmac;
use serde::Serialize;

use crate::api::codes;
use crate::numbers::display_digits;
use crate::webhooks::update::{InboundText, Status, Update};

#[derive(Serialize)]
struct Envelope<'a> {
    object: &'static str,
    entry: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    value: Value<'a>,
    field: &'static str,
}

#[derive(Serialize)]
struct Value<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<Contact<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<InboundObject<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<StatusObject<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    display_phone_number: String,
    phone_number_id: &'a str,
}

#[derive(Serialize)]
struct Contact<'a> {
    profile: Profile,
    wa_id: &'a str,
}

#[derive(Serialize)]
struct Profile {
    name: &'static str,
}

#[derive(Serialize)]
struct InboundObject<'a> {
    from: &'a str,
    id: &'a str,
    timestamp: String,
    #[serde(rename = "type")]
    kind: &'static str,
    text: TextBody<'a>,
}

#[derive(Serialize)]
struct TextBody<'a> {
    body: &'a str,
}

#[derive(Serialize)]
struct StatusObject<'a> {
    id: &'a str,
    status: &'static str,
    timestamp: String,
    recipient_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    biz_opaque_callback_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[ErrorObject; 1]>,
}

#[derive(Serialize)]
struct Pricing {
    billable: bool,
    pricing_model: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    category: &'static str,
}

#[derive(Serialize)]
struct ErrorObject {
    code: i64,
    title: &'static str,
    message: &'static str,
    error_data: ErrorDetails,
    href: &'static str,
}

#[derive(Serialize)]
struct ErrorDetails {
    details: &'static str,
}

const ERROR_PAGE: &str = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/";

/// Writes one webhook body. The updates of one number are together, in the order in which they were given.
pub(crate) fn write(waba_id: &str, updates: &[Update]) -> Result<Vec<u8>, serde_json::Error> {
    let mut changes: Vec<Change<'_>> = Vec::new();
    for update in updates {
        let value = value_for(&mut changes, update);
        match update {
            Update::Status { .. } => value.statuses.extend(status_object(update)),
            Update::Inbound(inbound) => add_inbound(value, inbound),
        }
    }
    let entry = [Entry { id: waba_id, changes }];
    serde_json::to_vec(&Envelope { object: "whatsapp_business_account", entry })
}

/// The change that an update belongs to: one per number for statuses and one for inbound messages, as the platform
/// never mixes them.
fn value_for<'v, 'a>(changes: &'v mut Vec<Change<'a>>, update: &'a Update) -> &'v mut Value<'a> {
    let phone_number_id = update.phone_number_id();
    let inbound = matches!(update, Update::Inbound(_));
    let found = changes.iter().rposition(|change| {
        change.value.metadata.phone_number_id == phone_number_id && change.value.messages.is_empty() != inbound
    });
    let index = found.unwrap_or_else(|| {
        changes.push(Change {
            value: Value {
                messaging_product: "whatsapp",
                metadata: Metadata { display_phone_number: display_digits(phone_number_id), phone_number_id },
                contacts: Vec::new(),
                messages: Vec::new(),
                statuses: Vec::new(),
            },
            field: "messages",
        });
        changes.len() - 1
    });
    &mut changes[index].value
}

fn status_object(update: &Update) -> Option<StatusObject<'_>> {
    let Update::Status { message, status, timestamp } = update else { return None };
    let priced = matches!(status, Status::Sent | Status::Delivered);
    let failed = message.fails_with.filter(|_| *status == Status::Failed);
    Some(StatusObject {
        id: &message.wamid,
        status: status.name(),
        timestamp: timestamp.to_string(),
        recipient_id: &message.recipient,
        biz_opaque_callback_data: message.opaque.as_deref(),
        pricing: priced.then_some(Pricing {
            billable: true,
            pricing_model: "PMP",
            kind: "regular",
            category: message.category,
        }),
        errors: failed.map(|code| {
            let known = codes::find(code);
            [ErrorObject {
                code,
                title: known.title,
                message: known.title,
                error_data: ErrorDetails { details: known.details },
                href: ERROR_PAGE,
            }]
        }),
    })
}

fn add_inbound<'a>(value: &mut Value<'a>, inbound: &'a InboundText) {
    if value.contacts.iter().all(|contact| contact.wa_id != inbound.from) {
        value.contacts.push(Contact { profile: Profile { name: "Sandbox user" }, wa_id: &inbound.from });
    }
    value.messages.push(InboundObject {
        from: &inbound.from,
        id: &inbound.wamid,
        timestamp: inbound.timestamp.to_string(),
        kind: "text",
        text: TextBody { body: &inbound.text },
    });
}

/// The value of `X-Hub-Signature-256` for a body: for tests that post webhooks of their own.
#[must_use]
pub fn signature(app_secret: &str, body: &[u8]) -> String {
    use std::fmt::Write;

    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    let mut value = String::with_capacity("sha256=".len() + 64);
    value.push_str("sha256=");
    for byte in hmac::sign(&key, body).as_ref() {
        // Writing into a String cannot fail.
        let _ = write!(value, "{byte:02x}");
    }
    value
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::webhooks::update::AcceptedMessage;

    fn status(number: &str, status: Status, fails_with: Option<i64>) -> Update {
        let message = AcceptedMessage {
            phone_number_id: number.to_owned(),
            wamid: "wamid.A".to_owned(),
            recipient: "15550100".to_owned(),
            opaque: Some("attempt-1".to_owned()),
            category: "utility",
            fails_with,
        };
        Update::Status { message: Arc::new(message), status, timestamp: 1_750_030_073 }
    }

    fn written(updates: &[Update]) -> serde_json::Value {
        serde_json::from_slice(&write("99", updates).unwrap()).unwrap()
    }

    #[test]
    fn the_signature_is_the_published_one() {
        // Test case 2 of RFC 4231.
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_sent_status_has_the_platforms_shape() {
        let body = written(&[status("42", Status::Sent, None)]);
        assert_eq!(body["object"], "whatsapp_business_account");
        assert_eq!(body["entry"][0]["id"], "99");
        let change = &body["entry"][0]["changes"][0];
        assert_eq!(change["field"], "messages");
        assert_eq!(change["value"]["metadata"]["phone_number_id"], "42");
        let status = &change["value"]["statuses"][0];
        assert_eq!(status["id"], "wamid.A");
        assert_eq!(status["status"], "sent");
        assert_eq!(status["timestamp"], "1750030073");
        assert_eq!(status["recipient_id"], "15550100");
        assert_eq!(status["biz_opaque_callback_data"], "attempt-1");
        assert_eq!(status["pricing"]["category"], "utility");
        assert!(status.get("errors").is_none());
        assert!(change["value"].get("messages").is_none());
    }

    #[test]
    fn a_failed_status_says_why() {
        let body = written(&[status("42", Status::Failed, Some(131_026))]);
        let status = &body["entry"][0]["changes"][0]["value"]["statuses"][0];
        assert_eq!(status["errors"][0]["code"], 131_026);
        assert!(status["errors"][0]["error_data"]["details"].is_string());
        assert!(status.get("pricing").is_none());
    }

    #[test]
    fn updates_are_grouped_by_number_and_kind() {
        let inbound = Update::Inbound(Arc::new(InboundText {
            phone_number_id: "42".to_owned(),
            wamid: "wamid.B".to_owned(),
            from: "15550100".to_owned(),
            text: "STOP".to_owned(),
            timestamp: 1,
        }));
        let updates = [
            status("42", Status::Sent, None),
            inbound.clone(),
            status("43", Status::Sent, None),
            status("42", Status::Delivered, None),
            inbound,
        ];
        let body = written(&updates);
        let changes = body["entry"][0]["changes"].as_array().unwrap();
        assert_eq!(changes.len(), 3);
        assert_eq!(changes[0]["value"]["statuses"][1]["status"], "delivered");
        assert_eq!(changes[1]["value"]["messages"].as_array().unwrap().len(), 2);
        assert_eq!(changes[1]["value"]["contacts"].as_array().unwrap().len(), 1);
        assert_eq!(changes[1]["value"]["messages"][0]["text"]["body"], "STOP");
    }
}
