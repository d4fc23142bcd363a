//! Questions about a sender's number over real sockets.

use std::time::Duration;

use kabar_domain::outcome::Decision;
use kabar_providers::{Number, Options, Providers};

use crate::server::{Behaviour, Server, http};

const NUMBER: &str = include_str!("../../src/whatsapp_cloud/testdata/answers/number.json");
const TOKEN_EXPIRED: &str = include_str!("../../src/whatsapp_cloud/testdata/answers/token_expired.json");

async fn check(behaviour: Behaviour) -> (Result<Number, Decision>, Vec<String>) {
    let options = Options {
        connect_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_millis(600),
        ..Options::default()
    };
    let server = Server::start(behaviour).await;
    let number = Providers::new(options).unwrap().check(&server.access()).await;
    (number.map_err(|outcome| outcome.decision), server.arrivals())
}

#[tokio::test]
async fn a_number_tells_its_state() {
    let (number, arrivals) = check(Behaviour::Answer(http("200 OK", "", NUMBER))).await;
    assert_eq!(number.unwrap().status.as_deref(), Some("CONNECTED"));
    assert!(arrivals[0].starts_with("GET /v26.0/106540352242922?fields=display_phone_number,"), "{}", arrivals[0]);
}

#[tokio::test]
async fn a_refused_token_halts() {
    let (number, _) = check(Behaviour::Answer(http("401 Unauthorized", "", TOKEN_EXPIRED))).await;
    assert_eq!(number, Err(Decision::Halt));
    let gone = r#"{"error":{"message":"Unsupported get request. Object with ID 'x' does not exist","code":100}}"#;
    assert_eq!(check(Behaviour::Answer(http("400 Bad Request", "", gone))).await.0, Err(Decision::Halt));
}

#[tokio::test]
async fn a_question_is_never_in_doubt() {
    for behaviour in [
        Behaviour::Answer(http("200 OK", "", "<html>")),
        Behaviour::Answer(http("502 Bad Gateway", "", "<html>")),
        Behaviour::ReadAndReset,
        Behaviour::Hang,
    ] {
        assert_eq!(check(behaviour).await.0, Err(Decision::Retry));
    }
}
