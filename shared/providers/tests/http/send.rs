//! Sends over real sockets: what each kind of answer, and each kind of breakage, comes to.

use std::time::Duration;

use kabar_domain::{
    content::Content,
    outcome::{Decision, Outcome, Scope},
    phone::PhoneNumber,
    sender::ProviderKind,
};
use kabar_providers::{Access, Options, Providers, SendRequest, Token};

use crate::server::{Behaviour, Server, http};

const ACCEPTED: &str = include_str!("../../src/whatsapp_cloud/testdata/answers/accepted.json");
const THROUGHPUT: &str = include_str!("../../src/whatsapp_cloud/testdata/answers/throughput.json");
const TOKEN_EXPIRED: &str = include_str!("../../src/whatsapp_cloud/testdata/answers/token_expired.json");
const SECRETS: [&str; 3] = ["EAAGsecret", "6281234567890", "Halo Siti"];

fn providers() -> Providers {
    Providers::new(Options::default()).unwrap()
}

/// Gives up soon on an answer, and sooner on a connection; both are long for this machine.
fn impatient() -> Providers {
    let (connect_timeout, request_timeout) = (Duration::from_millis(500), Duration::from_millis(600));
    Providers::new(Options { connect_timeout, request_timeout, ..Options::default() }).unwrap()
}

/// Gives up soon on a connection alone.
fn impatient_to_connect() -> Providers {
    Providers::new(Options { connect_timeout: Duration::from_millis(300), ..Options::default() }).unwrap()
}

fn access(base: impl Into<String>) -> Access {
    Access {
        provider: ProviderKind::WhatsappCloud,
        address: "106540352242922".into(),
        token: Token::new("EAAGsecret"),
        api_base: base.into(),
        api_version: "v26.0".into(),
    }
}

async fn send_to(providers: &Providers, access: &Access) -> Outcome {
    let to = PhoneNumber::from_e164("+6281234567890").unwrap();
    let content: Content = serde_json::from_str(r#"{"text": "Halo Siti"}"#).unwrap();
    let outcome = providers.send(access, &SendRequest { to: &to, content: &content, opaque: "att_01J" }).await.outcome;
    let shown = format!("{outcome:?} {access:?}");
    let hidden = SECRETS.iter().all(|secret| !shown.contains(secret));
    assert!(hidden || outcome.decision == Decision::Accepted, "{shown}");
    outcome
}

async fn send(behaviour: Behaviour) -> (Outcome, Vec<String>) {
    let server = Server::start(behaviour).await;
    let outcome = send_to(&providers(), &access(server.base())).await;
    (outcome, server.arrivals())
}

#[tokio::test]
async fn an_accepted_send_is_one_documented_request() {
    let (outcome, arrivals) = send(Behaviour::Answer(http("200 OK", "", ACCEPTED))).await;
    assert_eq!(outcome.decision, Decision::Accepted);
    assert!(outcome.provider_message_id.unwrap().starts_with("wamid."));
    let [request] = &arrivals[..] else { panic!("{} arrivals", arrivals.len()) };
    assert!(request.starts_with("POST /v26.0/106540352242922/messages HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer EAAGsecret\r\n"));
    assert!(request.contains("content-type: application/json\r\n"));
    assert!(
        request.contains(r#""to":"+6281234567890""#) && request.contains(r#""biz_opaque_callback_data":"att_01J""#)
    );
}

#[tokio::test]
async fn refusals_are_decided_by_their_code() {
    let retry_after = http("400 Bad Request", "Retry-After: 17\r\n", THROUGHPUT);
    let (throttled, _) = send(Behaviour::Answer(retry_after)).await;
    assert_eq!((throttled.decision, throttled.scope), (Decision::Throttled, Scope::Sender));
    assert_eq!((throttled.code, throttled.delay), (Some(130_429), Some(Duration::from_secs(17))));

    let (halted, _) = send(Behaviour::Answer(http("401 Unauthorized", "", TOKEN_EXPIRED))).await;
    assert_eq!((halted.decision, halted.code, halted.alert), (Decision::Halt, Some(190), true));
}

#[tokio::test]
async fn a_bare_429_waits_as_long_as_it_says() {
    let (outcome, _) = send(Behaviour::Answer(http("429 Too Many Requests", "Retry-After: 7\r\n", ""))).await;
    assert_eq!((outcome.decision, outcome.scope), (Decision::Throttled, Scope::Sender));
    assert_eq!(outcome.delay, Some(Duration::from_secs(7)));
    let date = "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let (outcome, _) = send(Behaviour::Answer(http("429 Too Many Requests", date, "slow down"))).await;
    assert_eq!((outcome.decision, outcome.delay), (Decision::Throttled, Some(Duration::ZERO)));
    let (outcome, _) = send(Behaviour::Answer(http("429 Too Many Requests", "", ""))).await;
    assert_eq!((outcome.decision, outcome.delay), (Decision::Throttled, None));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_in_doubt() {
    let long = format!(r#"{{"messages":[{{"id":"wamid.X"}}],"padding":"{}"}}"#, "x".repeat(100_000));
    for answer in [
        http("200 OK", "", "<html>welcome to the proxy</html>"),
        http("200 OK", "", &long),
        http("502 Bad Gateway", "Content-Type: text/html\r\n", "<html>Bad Gateway</html>"),
        http("503 Service Unavailable", "Retry-After: 5\r\n", ""),
    ] {
        let (outcome, arrivals) = send(Behaviour::Answer(answer)).await;
        assert_eq!((outcome.decision, arrivals.len()), (Decision::InDoubt, 1), "{outcome:?}");
    }
    let half = &http("200 OK", "", ACCEPTED)[..120];
    for answer in [half, "HTTP/1.1 200 OK\r\nContent-Le", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let (outcome, arrivals) = send(Behaviour::AnswerAndClose(answer.to_owned())).await;
        assert_eq!((outcome.decision, arrivals.len()), (Decision::InDoubt, 1), "{answer} {outcome:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_is_in_doubt_and_not_repeated() {
    for behaviour in [Behaviour::ReadAndClose, Behaviour::ReadAndReset] {
        let (outcome, arrivals) = send(behaviour).await;
        assert_eq!((outcome.decision, arrivals.len()), (Decision::InDoubt, 1), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_after_the_request_is_not_repeated_on_another() {
    let server = Server::start(Behaviour::AnswerOnceThenClose(http("200 OK", "", ACCEPTED))).await;
    let (providers, access) = (providers(), access(server.base()));
    assert_eq!(send_to(&providers, &access).await.decision, Decision::Accepted);
    assert_eq!(send_to(&providers, &access).await.decision, Decision::InDoubt);
    assert_eq!(server.arrivals().len(), 2, "the second request arrived once");
}

#[tokio::test]
async fn connections_closed_between_sends_make_no_send_arrive_twice() {
    // Each answer is followed by a close that it does not announce, so the next send finds the connection idle, closing
    // or closed. What arrives is answered; nothing arrives that is not reported as accepted.
    let server = Server::start(Behaviour::AnswerAndClose(http("200 OK", "", ACCEPTED))).await;
    let (providers, access) = (providers(), access(server.base()));
    let mut accepted = 0;
    for _ in 0..50 {
        match send_to(&providers, &access).await.decision {
            Decision::Accepted => accepted += 1,
            decision => assert!(matches!(decision, Decision::InDoubt | Decision::NotSent), "{decision:?}"),
        }
    }
    assert_eq!(server.arrivals().len(), accepted);
}

#[tokio::test]
async fn a_connection_closed_before_the_request_never_counts_as_sent() {
    let (outcome, arrivals) = send(Behaviour::AcceptAndClose).await;
    // Which of the two is a race between the close and the write; neither may be anything else.
    assert!(matches!(outcome.decision, Decision::NotSent | Decision::InDoubt), "{outcome:?}");
    assert!(arrivals.is_empty());
}

#[tokio::test]
async fn silence_is_in_doubt() {
    let server = Server::start(Behaviour::Hang).await;
    let outcome = send_to(&impatient(), &access(server.base())).await;
    assert_eq!((outcome.decision, server.arrivals().len()), (Decision::InDoubt, 1));
    assert!(outcome.meaning.contains("request timeout"), "{}", outcome.meaning);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = send_to(&providers(), &access(format!("http://{closed}"))).await;
    assert_eq!((refused.decision, refused.scope), (Decision::NotSent, Scope::Sender));
    assert!(refused.meaning.contains("refused"), "{}", refused.meaning);

    // It accepts, but never shakes hands: the connect timeout covers TLS.
    let silent = Server::start(Behaviour::Hang).await;
    let timeout = send_to(&impatient_to_connect(), &access(format!("https://{}", silent.address))).await;
    assert_eq!(timeout.decision, Decision::NotSent);
    assert!(timeout.meaning.contains("connect timeout"), "{}", timeout.meaning);

    let no_tls = Server::start(Behaviour::AnswerAndClose(String::new())).await;
    let handshake = send_to(&impatient_to_connect(), &access(format!("https://{}", no_tls.address))).await;
    assert_eq!(handshake.decision, Decision::NotSent, "{handshake:?}");
}

#[tokio::test]
async fn no_redirect_is_followed_with_a_message() {
    let other = Server::start(Behaviour::Answer(http("200 OK", "", ACCEPTED))).await;
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let (outcome, _) = send(Behaviour::Answer(http(status, &format!("Location: {}/\r\n", other.base()), ""))).await;
        assert_eq!(outcome.decision, Decision::Halt, "{status}");
    }
    assert!(other.arrivals().is_empty());
}

#[tokio::test]
async fn a_token_goes_nowhere_that_it_must_not() {
    let server = Server::start(Behaviour::Answer(http("200 OK", "", ACCEPTED))).await;
    let providers = providers();
    let mut elsewhere = vec![access("http://192.0.2.1"), access("not an address")];
    elsewhere.push(Access { token: Token::new("two words"), ..access(server.base()) });
    elsewhere.push(Access { address: "1/../2".into(), ..access(server.base()) });
    for access in elsewhere {
        let outcome = send_to(&providers, &access).await;
        assert_eq!((outcome.decision, outcome.scope), (Decision::Halt, Scope::Sender));
        assert!(!outcome.advice.is_empty());
    }
    assert!(server.arrivals().is_empty());
    assert!(providers.check_base("http://192.0.2.1").is_err());
    providers.check_base(&server.base()).unwrap();
}

#[tokio::test]
async fn many_sends_share_few_connections_and_lose_nothing() {
    let server = Server::start(Behaviour::Answer(http("200 OK", "", ACCEPTED))).await;
    let (providers, access) = (providers(), access(server.base()));
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (providers, access) = (providers.clone(), access.clone());
        sends.spawn(async move { send_to(&providers, &access).await.decision });
    }
    assert!(sends.join_all().await.into_iter().all(|decision| decision == Decision::Accepted));
    assert_eq!(server.arrivals().len(), 200);
}
