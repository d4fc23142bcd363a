//! Tokens of an identity provider: which open the API and which do not, and what becomes of the provider's keys.

use kabar_domain::scope::Scope;
use kabar_tests::{
    Home, IdentityProvider, LedgerKind, eventually,
    identity::{ALGORITHMS, SigningKey, TENANT_CLAIM, now, unsigned},
};
use serde_json::{Value, json};

use super::{Api, assert_problem, bearer, routes};
use crate::support::{WITHIN, send, with};

/// A gateway that trusts a provider with one key.
async fn start(kind: LedgerKind, settings: &[(&str, &str)]) -> (Api, IdentityProvider, SigningKey) {
    let provider = IdentityProvider::start().await;
    let key = SigningKey::new("first", "ES256");
    provider.list(&[&key]);
    (start_trusting(kind, &provider, settings).await, provider, key)
}

async fn start_trusting(kind: LedgerKind, provider: &IdentityProvider, settings: &[(&str, &str)]) -> Api {
    let trust = |home: Home| {
        let home = provider.environment().into_iter().fold(home, |home, (name, value)| home.with(name, value));
        settings.iter().fold(home, |home, (name, value)| home.with(name, *value))
    };
    Api::start_with(kind, trust).await
}

async fn status(api: &Api, token: &str) -> u16 {
    api.get(token, "/v1/senders").await.status
}

async fn comes_to(api: &Api, token: &str, wanted: u16) {
    eventually(WITHIN, async || {
        let status = status(api, token).await;
        (status == wanted).then_some(()).ok_or_else(|| format!("{status}, not {wanted}"))
    })
    .await;
}

async fn every_route_takes_good_tokens_alone(kind: LedgerKind) {
    let (api, provider, key) = start(kind, &[]).await;
    let good = provider.claims(&["admin"]);
    let signed = |changes: &[(&str, Value)]| key.token(&with(good.clone(), changes));
    let stranger = SigningKey::new("first", "ES256");
    let mut lacking = good.clone();
    lacking.as_object_mut().expect("claims are an object").remove("exp");
    let none = |algorithm: &str| format!("{}.", unsigned(&json!({"alg": algorithm, "kid": "first"}), &good));
    let changed = {
        let good = key.token(&good);
        let (head, signature) =
            (good.split('.').next().unwrap_or_default(), good.rsplit('.').next().unwrap_or_default());
        let other = key.token(&with(provider.claims(&["admin"]), &[("sub", json!("root"))]));
        format!("{head}.{}.{signature}", other.split('.').nth(1).unwrap_or_default())
    };
    let refused = [
        ("nothing", String::new()),
        ("no token", "a.b.c".to_owned()),
        ("expired", signed(&[("exp", json!(now() - 60))])),
        ("expired for good", signed(&[("exp", json!(0))])),
        ("an end that is a text", signed(&[("exp", json!("never"))])),
        ("no end", key.token(&lacking)),
        ("not yet", signed(&[("nbf", json!(now() + 600))])),
        ("a beginning that is a text", signed(&[("nbf", json!("now"))])),
        ("another issuer", signed(&[("iss", json!("https://login.example.com/"))])),
        ("no issuer", signed(&[("iss", json!(null))])),
        ("another audience", signed(&[("aud", json!(["billing"]))])),
        ("no audience", signed(&[("aud", json!([]))])),
        ("no subject", signed(&[("sub", json!(null))])),
        ("no tenant", signed(&[(TENANT_CLAIM, json!(null))])),
        ("a tenant that is not there", signed(&[(TENANT_CLAIM, json!("nobody"))])),
        ("alg none", none("none")),
        ("alg NONE", none("NONE")),
        ("no signature", none("ES256")),
        ("HS256 by the public key", key.token_by_public_key(&good)),
        ("an unknown key", SigningKey::new("second", "ES256").token(&good)),
        ("another key of that id", stranger.token(&good)),
        ("another algorithm", SigningKey::new("first", "EdDSA").token(&good)),
        ("changed claims", changed),
    ];
    for route in routes::routes(&api).await {
        for (what, token) in &refused {
            let answer = routes::ask(&api, &route, Some(&bearer(token))).await;
            assert_problem(&answer, 401, "unauthenticated");
            assert!(answer.header("www-authenticate").is_some(), "{route:?}: {what}: {answer:?}");
        }
        let others: Vec<&str> = Scope::ALL
            .into_iter()
            .filter(|scope| ![route.scope, Scope::Admin].contains(scope))
            .map(Scope::as_str)
            .collect();
        let narrow = bearer(&key.token(&provider.claims(&others)));
        assert_problem(&routes::ask(&api, &route, Some(&narrow)).await, 403, "missing-scope");
        let right = bearer(&key.token(&provider.claims(&[route.scope.as_str()])));
        let status = routes::ask(&api, &route, Some(&right)).await.status;
        assert!([200, 404, 415, 422].contains(&status), "{route:?}: {status}");
    }
    assert_eq!(provider.asked(), 1, "what is made up has no keys fetched below the floor");
    let log = api.process.log();
    assert!(!log.contains(&key.token(&good)[..40]) && !log.contains("shop-backend"), "a token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_takes_good_tokens_alone_on_sqlite() {
    every_route_takes_good_tokens_alone(LedgerKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/run"]
async fn every_route_takes_good_tokens_alone_on_postgres() {
    every_route_takes_good_tokens_alone(LedgerKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_tenant_finds_nothing_of_ours() {
    let (api, provider, key) = start(LedgerKind::Sqlite, &[]).await;
    api.ledger.store().ensure_tenant("acme").await.expect("there is a tenant");
    let stranger = key.token(&with(provider.claims(&["admin"]), &[(TENANT_CLAIM, json!("acme"))]));
    routes::finds_nothing_of_ours(&api, &stranger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_algorithm_is_verified() {
    let provider = IdentityProvider::start().await;
    let keys = ALGORITHMS.map(|algorithm| SigningKey::new(algorithm, algorithm));
    provider.list(&keys.each_ref());
    let api = start_trusting(LedgerKind::Sqlite, &provider, &[]).await;
    for (algorithm, key) in ALGORITHMS.iter().zip(&keys) {
        let token = key.token(&provider.claims(&["read"]));
        assert_eq!(status(&api, &token).await, 200, "{algorithm}");
        // Of ten characters in the middle of the signature, none may be another.
        let mut damaged = token.into_bytes();
        let at = damaged.len() - 40;
        damaged[at..at + 10].reverse();
        let damaged = String::from_utf8(damaged).expect("it is ASCII");
        assert_eq!(status(&api, &damaged).await, 401, "{algorithm}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_outlive_their_provider_up_to_a_bound() {
    let provider = IdentityProvider::start().await;
    let (old, new) = (SigningKey::new("old", "ES256"), SigningKey::new("new", "EdDSA"));
    let token = |key: &SigningKey| key.token(&provider.claims(&["read"]));
    provider.list(&[&old]);
    provider.set_away(true);
    let settings = [("KABAR_JWT_FETCH_FLOOR", "10ms"), ("KABAR_JWT_REFRESH_EVERY", "1s"), ("KABAR_JWT_KEEP", "3s")];
    let api = start_trusting(LedgerKind::Sqlite, &provider, &settings).await;
    let away = api.get(&token(&old), "/v1/senders").await;
    assert_problem(&away, 503, "unavailable");
    assert!(away.header("retry-after").is_some(), "{away:?}");
    provider.set_away(false);
    comes_to(&api, &token(&old), 200).await;
    provider.list(&[&old, &new]);
    comes_to(&api, &token(&new), 200).await;
    assert_eq!(status(&api, &token(&old)).await, 200, "both are listed");
    provider.list(&[&new]);
    comes_to(&api, &token(&old), 401).await;
    provider.set_away(true);
    assert_eq!(status(&api, &token(&new)).await, 200, "known keys go on");
    comes_to(&api, &token(&new), 503).await;
    provider.set_away(false);
    comes_to(&api, &token(&new), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_changes_is_noted_without_naming_a_person() {
    let (api, provider, key) = start(LedgerKind::Sqlite, &[]).await;
    let person = json!("siti@example.com");
    let tokens =
        [key.token(&provider.claims(&["admin"])), key.token(&with(provider.claims(&["enqueue"]), &[("sub", person)]))];
    for (id, token) in ["a", "b"].into_iter().zip(&tokens) {
        let answer = api.post(token, "/v1/jobs", &send(id, "+6281200000001")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let audit = api.get(&tokens[0], "/v1/audit").await.json();
    let actors: Vec<&str> =
        audit["data"].as_array().into_iter().flatten().filter_map(|entry| entry["actor"].as_str()).collect();
    assert!(actors[0].starts_with("jwt:#") && actors[1] == "jwt:shop-backend", "{actors:?}");
    assert!(!api.process.log().contains("siti"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tokens_of_a_subject_enqueue_no_more_than_its_limit() {
    let (api, provider, key) = start(LedgerKind::Sqlite, &[("KABAR_JWT_MESSAGES_PER_MINUTE", "3")]).await;
    let claims = provider.claims(&["enqueue"]);
    // The provider gives out a new token every few minutes.
    let tokens = [60, 120].map(|seconds| key.token(&with(claims.clone(), &[("exp", json!(now() + seconds))])));
    let jobs = json!({"jobs": [send("a", "+6281200000001"), send("b", "+6281200000002"), send("c", "+6281200000003")]});
    assert_eq!(api.post(&tokens[0], "/v1/jobs", &jobs).await.status, 202);
    for token in &tokens {
        let refusal = api.post(token, "/v1/jobs", &send("d", "+6281200000004")).await;
        assert_problem(&refusal, 429, "over-limit");
        let wait: u64 = refusal.header("retry-after").expect("it says when").parse().expect("in seconds");
        assert!((1..=20).contains(&wait), "{wait}");
    }
    assert_eq!(api.post(&tokens[1], "/v1/jobs", &jobs).await.status, 202, "what is there already costs nothing");
    let other = key.token(&with(claims, &[("sub", json!("another-backend"))]));
    assert_eq!(api.post(&other, "/v1/jobs", &send("d", "+6281200000004")).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_is_read_at_the_start_and_doctor_says_what_is_wrong() {
    let provider = IdentityProvider::start().await;
    let home = provider.environment().into_iter().fold(Home::new(), |home, (name, value)| home.with(name, value));
    let checks = home.kabar(&["doctor", "--json"]).await.json();
    let found = checks.as_array().into_iter().flatten().find(|check| check["what"] == "identity provider");
    let found = found.unwrap_or_else(|| panic!("it was not looked at: {checks}"));
    assert_eq!(found["verdict"], "broken", "{found}");
    assert!(found["detail"].as_str().is_some_and(|text| text.contains("no usable key")), "{found}");
    let home = home.with("KABAR_JWT_KEYS", "keys.json");
    home.write("keys.json", "{\"keys\": []}");
    let refused = home.kabar(&["run", "--only", "gateway"]).await;
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("keys.json has no usable key"), "{}", refused.stderr);
}
