use std::collections::BTreeMap;

use kabar_domain::{
    message::ReceiptStatus,
    outcome::{Decision, Scope},
    report::{Inbound, Receipt},
    wish::{Covers, Wish},
};
use proptest::prelude::*;

use super::*;

const EVENTS: [&str; 6] = [
    include_str!("../testdata/events/statuses.json"),
    include_str!("../testdata/events/inbound.json"),
    include_str!("../testdata/events/batch_with_odd_pieces.json"),
    include_str!("../testdata/events/template_paused.json"),
    include_str!("../testdata/events/account.json"),
    include_str!("../testdata/events/preferences.json"),
];

fn reports(body: &str) -> Vec<Report> {
    read(body.as_bytes(), &policy()).unwrap()
}

fn policy() -> Policy {
    crate::whatsapp_cloud::policy(&BTreeMap::new()).unwrap()
}

fn receipts(body: &str) -> Vec<Receipt> {
    let keep = |report| if let Report::Receipt(receipt) = report { Some(receipt) } else { None };
    reports(body).into_iter().filter_map(keep).collect()
}

fn inbound(body: &str) -> Vec<Inbound> {
    let keep = |report| if let Report::Inbound(inbound) = report { Some(inbound) } else { None };
    reports(body).into_iter().filter_map(keep).collect()
}

fn notices(body: &str) -> Vec<(String, String)> {
    let keep = |report| if let Report::Notice(notice) = report { Some((notice.kind, notice.detail)) } else { None };
    reports(body).into_iter().filter_map(keep).collect()
}

#[test]
fn receipts_carry_status_time_and_our_own_value() {
    let receipts = receipts(EVENTS[0]);
    let statuses: Vec<_> = receipts.iter().map(|receipt| receipt.status).collect();
    use ReceiptStatus::{Delivered, Failed, Read, Sent};
    assert_eq!(statuses, [Sent, Delivered, Read, Read, Failed, Failed]);
    assert!(receipts.iter().all(|receipt| receipt.sender_address == "106540352242922"));
    assert_eq!(receipts[0].opaque.as_deref(), Some("att_01J"));
    assert_eq!(receipts[0].at.timestamp(), 1_764_000_000);
    assert_eq!(receipts[1].at.timestamp(), 1_764_000_002, "a number serves as well as a text");
    assert!(receipts[..4].iter().all(|receipt| receipt.outcome.is_none()));
}

#[test]
fn failures_are_decided_by_the_policy() {
    let receipts = receipts(EVENTS[0]);
    let closed = receipts[4].outcome.as_ref().unwrap();
    assert_eq!((closed.decision, closed.scope, closed.code), (Decision::Blocked, Scope::Recipient, Some(131_047)));
    let silent = receipts[5].outcome.as_ref().unwrap();
    assert_eq!((silent.decision, silent.code), (Decision::Failed, None));
}

#[test]
fn inbound_messages_carry_number_and_words() {
    let messages = inbound(EVENTS[1]);
    let said: Vec<_> = messages.iter().map(|message| (message.kind.as_str(), message.text.as_deref())).collect();
    assert_eq!(
        said,
        [
            ("text", Some("STOP")),
            ("button", Some("Sudah bayar")),
            ("interactive", Some("Ubah jadwal")),
            ("image", Some("Bukti transfer")),
            ("reaction", None),
            ("unsupported", None),
            ("text", Some("Halo")),
        ]
    );
    assert_eq!(messages[0].from.as_ref().unwrap().as_str(), "+6281234567890");
    assert_eq!(messages[6].from, None, "a person with a username may hide their number");
    assert_eq!(notices(EVENTS[1]), [("system".into(), "a person changed their number".into())]);
}

#[test]
fn one_odd_piece_does_not_hide_the_rest() {
    assert_eq!(receipts(EVENTS[2]).len(), 3);
    assert_eq!(inbound(EVENTS[2]).len(), 1);
    let kinds: Vec<_> = notices(EVENTS[2]).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["unreadable", "receipt", "receipt", "unreadable", "error", "unreadable", "unreadable"]);
}

#[test]
fn a_template_change_has_the_language_of_sends() {
    let [Report::Template(change)] = &reports(EVENTS[3])[..] else { panic!("one template change") };
    assert_eq!((change.name.as_str(), change.language.as_str()), ("departure_reminder", "en_US"));
    assert_eq!((change.status.as_str(), change.account.as_str()), ("PAUSED", "102290129340398"));
}

#[test]
fn account_changes_are_notices_without_personal_data() {
    let notices = notices(EVENTS[4]);
    assert_eq!(notices[0], ("account_update".into(), "event=ACCOUNT_VIOLATION, violation_type=SCAM".into()));
    assert_eq!(notices[1], ("phone_number_quality_update".into(), "event=THROUGHPUT_UPGRADE".into()));
    assert_eq!(notices[2], ("security".into(), "event=PIN_CHANGED".into()));
    assert_eq!(notices[3].0, "message_template_quality_update");
    let unknown = self::notices(&EVENTS[5].replace("marketing_messages", "surveys"));
    assert_eq!(unknown[0], ("user_preferences".into(), "stop of surveys".into()));
    for (_, detail) in notices.iter().chain(&unknown) {
        assert!(!detail.contains("62812") && !detail.contains("Siti"), "{detail}");
    }
}

#[test]
fn preferences_are_wishes_with_their_own_times() {
    let [Report::Wish(stop), Report::Wish(resume)] = &reports(EVENTS[5])[..] else { panic!("two wishes") };
    assert_eq!((stop.wish, resume.wish), (Wish::Stop(Covers::Marketing), Wish::Start(Covers::Marketing)));
    assert_eq!((stop.from.as_str(), stop.sender_address.as_str()), ("+6281234567890", "106540352242922"));
    assert_eq!((stop.at.timestamp(), resume.at.timestamp()), (1_764_000_000, 1_764_000_100));
    let hidden = EVENTS[5].replace("\"wa_id\"", "\"user_id\"");
    assert_eq!(self::notices(&hidden)[0], ("user_preferences".into(), "stop of marketing_messages".into()));
}

#[test]
fn subjects_are_all_numbers_and_the_accounts_of_the_rest() {
    let batch = subjects(EVENTS[2].as_bytes()).unwrap();
    assert_eq!(Vec::from_iter(batch.phone_number_ids), ["106540352242922", "106540352242999"]);
    assert!(batch.incomplete);
    let template = subjects(EVENTS[3].as_bytes()).unwrap();
    assert!(template.phone_number_ids.is_empty() && !template.incomplete);
    assert_eq!(Vec::from_iter(template.account_ids), ["102290129340398"]);
    assert_eq!(phone_number_ids(EVENTS[0].as_bytes()).unwrap().len(), 1);
}

#[test]
fn what_is_no_event_is_refused_without_its_content() {
    for body in
        ["", "{", "[]", "null", "\"+6281234567890\"", "{\"entry\": 1}", "{\"object\": \"x\"}", "{\"entry\":[]} x"]
    {
        let error = read(body.as_bytes(), &policy()).unwrap_err().to_string();
        assert!(error.starts_with("not an event of whatsapp_cloud") && !error.contains("62812"), "{error}");
    }
    assert_eq!(reports(r#"{"entry":[]}"#), []);
}

#[test]
fn a_thousand_updates_are_read() {
    let status = r#"{"id":"wamid.X","status":"sent","timestamp":"1764000000","biz_opaque_callback_data":"a"}"#;
    let body = format!(
        r#"{{"entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":"2"}},"statuses":[{}]}}}}]}}]}}"#,
        vec![status; 1_000].join(",")
    );
    assert_eq!(receipts(&body).len(), 1_000);
}

#[test]
fn deep_nesting_is_survived() {
    let deep = "[".repeat(100_000);
    assert!(read(deep.as_bytes(), &policy()).is_err());
    let closed = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let body = format!(r#"{{"entry":[{{"id":"1","changes":[{{"field":"messages","value":{closed}}}]}},{closed}]}}"#);
    let _ = read(body.as_bytes(), &policy());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&body, &policy());
        let _ = subjects(&body);
    }

    #[test]
    fn damaged_events_never_panic(
        which in 0..EVENTS.len(),
        at in any::<prop::sample::Index>(),
        len in 0..40_usize,
        patch in "[\\[\\]{}\",:0-9a-z+ null]{0,12}",
    ) {
        let mut body = EVENTS[which].as_bytes().to_vec();
        let start = at.index(body.len());
        let end = (start + len).min(body.len());
        body.splice(start..end, patch.bytes());
        let _ = read(&body, &policy());
        let _ = subjects(&body);
    }
}
