//! Lists of templates over real sockets.

use kabar_domain::outcome::{Decision, Scope};
use kabar_providers::{Options, Providers, TemplatePage, Usage};
use serde_json::json;

use crate::server::{Behaviour, Server, http};

/// As answers have it beside their lists.
const USAGE: &str = "X-App-Usage: {\"call_count\":92,\"total_cputime\":1,\"total_time\":1}\r\n";

async fn page(account: &str, after: Option<&str>, answer: &str) -> (Result<TemplatePage, Decision>, Vec<String>) {
    let server = Server::start(Behaviour::Answer(http("200 OK", USAGE, answer))).await;
    let page = Providers::new(Options::default()).unwrap().templates(&server.access(), account, after).await;
    (page.map_err(|outcome| outcome.decision), server.arrivals())
}

#[tokio::test]
async fn the_next_page_is_asked_for_by_its_cursor_and_never_at_another_address() {
    let answer = json!({"data": [{"name": "t"}], "paging": {"cursors": {"before": "a", "after": "QVFI&x=1"},
        "next": "https://elsewhere.example/steal"}});
    let (first, arrivals) = page("102290129340398", None, &answer.to_string()).await;
    let usage = Some(Usage { scope: Scope::App, percent: 92, regain_after: None });
    let expected = TemplatePage { templates: vec![json!({"name": "t"})], next: Some("QVFI&x=1".into()), usage };
    assert_eq!(first.unwrap(), expected);
    assert!(arrivals[0].starts_with("GET /v26.0/102290129340398/message_templates?fields=name,"), "{}", arrivals[0]);
    let last = json!({"data": [], "paging": {"cursors": {"after": "z"}}});
    let (second, arrivals) = page("102290129340398", Some("QVFI&x=1"), &last.to_string()).await;
    assert_eq!(second.unwrap().next, None);
    assert!(arrivals[0].contains("&after=QVFI%26x%3D1 "), "{}", arrivals[0]);
}

#[tokio::test]
async fn a_page_may_be_longer_than_other_answers() {
    let long = json!({"data": [{"name": "x".repeat(200_000)}]});
    assert_eq!(page("1", None, &long.to_string()).await.0.unwrap().templates.len(), 1);
}

#[tokio::test]
async fn a_sender_without_an_account_asks_nobody() {
    let (page, arrivals) = page("token:5f2c", None, "{}").await;
    assert_eq!((page, arrivals.len()), (Err(Decision::Halt), 0));
}

#[tokio::test]
async fn what_is_no_list_is_tried_again() {
    assert_eq!(page("1", None, "<html>").await.0, Err(Decision::Retry));
}
