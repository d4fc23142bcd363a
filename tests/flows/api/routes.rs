//! Every route that the description names: nobody gets in without the right key, nobody sees another tenant's things.

use kabar_domain::{scope::Scope, sender::Channel};
use kabar_store::{DEFAULT_TENANT, NewApiKey};
use serde_json::{Value, json};

use super::{Api, assert_problem, bearer, on_both_ledgers};
use crate::support::number;

on_both_ledgers!(every_route_refuses_who_may_not, tenants_see_nothing_of_each_other, the_api_describes_itself,);

const PHONE: &str = "+6281200000001";

/// A route of the description.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: String,
    /// With values in the place of parameters.
    pub(super) path: String,
    pub(super) scope: Scope,
    has_parameter: bool,
    needs_body: bool,
}

pub(super) async fn routes(api: &Api) -> Vec<Route> {
    let description = api.call("GET", "/openapi.json", &[], "").await.json();
    let mut routes = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("it has paths") {
        for (method, operation) in methods.as_object().expect("it has methods") {
            let scope = operation["security"][0]["key"][0].as_str().expect("it names a scope");
            routes.push(Route {
                method: method.to_uppercase(),
                path: path.replace("{id}", "thing").replace("{name}", "thing").replace("{phone}", "%2B6281200000001"),
                scope: scope.parse().expect("it is a scope"),
                has_parameter: path.contains('{'),
                needs_body: operation["requestBody"]["required"] == true,
            });
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

pub(super) async fn ask(api: &Api, route: &Route, authorization: Option<&str>) -> kabar_tests::http::Response {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    api.call(&route.method, &route.path, &headers, if route.needs_body { "{}" } else { "" }).await
}

async fn every_route_refuses_who_may_not(api: Api) {
    let store = api.ledger.store();
    let expiring = NewApiKey {
        name: "expired".to_owned(),
        scopes: vec![Scope::Admin],
        messages_per_minute: None,
        expires_at: Some(1),
    };
    let expired = api.made(DEFAULT_TENANT, expiring.clone()).await;
    let revoked =
        api.made(DEFAULT_TENANT, NewApiKey { name: "revoked".to_owned(), expires_at: None, ..expiring }).await;
    store.revoke_key(DEFAULT_TENANT, "revoked").await.expect("it is revoked");
    let worthless = [bearer(&expired), bearer(&revoked), bearer("kabar_x"), bearer(""), "Basic eDp5".to_owned()];
    for route in routes(&api).await {
        let refusal = ask(&api, &route, None).await;
        assert_problem(&refusal, 401, "unauthenticated");
        assert_eq!(refusal.header("www-authenticate"), Some("Bearer realm=\"kabar\""), "{route:?}");
        for value in &worthless {
            assert_problem(&ask(&api, &route, Some(value)).await, 401, "unauthenticated");
        }
        let others: Vec<Scope> =
            Scope::ALL.into_iter().filter(|scope| ![route.scope, Scope::Admin].contains(scope)).collect();
        let wrong = bearer(&api.key(&others).await);
        let refusal = ask(&api, &route, Some(&wrong)).await;
        let problem = assert_problem(&refusal, 403, "missing-scope");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(route.scope.as_str())), "{problem}");
        let right = bearer(&api.key(&[route.scope]).await);
        let status = ask(&api, &route, Some(&right)).await.status;
        assert!([200, 404, 415, 422].contains(&status), "{route:?}: {status}");
    }
    // What the log holds of all this: no key.
    for key in [&expired, &revoked] {
        assert!(!api.process.log().contains(&key[..20]), "a key is in the log");
    }
}

async fn tenants_see_nothing_of_each_other(api: Api) {
    let acme = api.ledger.store().ensure_tenant("acme").await.expect("there is a tenant");
    let stranger = api.key_of(acme, &[Scope::Admin]).await;
    finds_nothing_of_ours(&api, &stranger).await;
}

/// Whatever one tenant has, a stranger's key with every scope finds nothing of it and changes nothing of it.
pub(super) async fn finds_nothing_of_ours(api: &Api, stranger: &str) {
    let store = api.ledger.store();
    let key = api.key(&[Scope::Enqueue, Scope::Operate, Scope::Read]).await;
    for job in [
        json!({"type": "broadcast", "id": "thing", "audience": {"recipients": [{"to": PHONE}]}, "content": {"text": "x"}}),
        json!({"type": "reminder", "id": "due", "to": PHONE, "due": "2099-12-12", "content": {"text": "x"}}),
        json!({"type": "send", "id": "one", "to": PHONE, "content": {"text": "x"}}),
    ] {
        assert_eq!(api.post(&key, "/v1/jobs", &job).await.status, 202);
    }
    store.block(DEFAULT_TENANT, &number(PHONE), Channel::Whatsapp, "x").await.expect("they are blocked");
    let member = kabar_store::NewRecipient::new(number(PHONE));
    store.import_recipients(DEFAULT_TENANT, &[member], Some("thing")).await.expect("there is a group");
    for mut route in routes(api).await {
        if route.path.starts_with("/v1/reminders/") {
            route.path = route.path.replace("thing", "due");
        }
        let answer = ask(api, &route, Some(&bearer(stranger))).await;
        match (route.method.as_str(), route.path.as_str()) {
            // Whom they block themselves is theirs.
            ("PUT", _) => continue,
            (_, "/v1/stats") => {
                let stats = answer.json();
                assert_eq!((&stats["senders"], &stats["dead"]), (&json!([]), &json!(0)));
                assert!(stats["messages"].as_object().is_some_and(|states| states.values().all(|count| *count == 0)));
            }
            ("POST", "/v1/jobs" | "/v1/broadcasts:preview" | "/v1/schedules") => {
                drop(assert_problem(&answer, 422, "invalid"))
            }
            // A group of this name would be their own.
            ("POST", "/v1/groups/thing/members") => drop(assert_problem(&answer, 422, "invalid")),
            ("POST", "/v1/broadcasts") => drop(assert_problem(&answer, 415, "unsupported-type")),
            (_, "/v1/audit") => assert_eq!(answer.json()["data"], json!([]), "{answer:?}"),
            // What the body lacks is told first.
            ("POST", path) if path.ends_with("/move") => drop(assert_problem(&answer, 422, "invalid")),
            _ if route.has_parameter => {
                // They may have blocked the number themselves by now, but never see the other's block.
                if !route.path.contains("/recipients/") {
                    assert_problem(&answer, 404, "not-found");
                } else if answer.status == 200 {
                    assert!(!answer.body.contains("\"reason\":\"x\""), "{answer:?}");
                }
            }
            _ => assert_eq!(answer.json(), json!({"data": [], "next": null}), "{route:?}"),
        }
    }
    let of_ours = json!({"type": "send", "to": PHONE, "content": {"text": "x"}});
    let refusal = api.post(stranger, "/v1/jobs", &of_ours).await;
    assert_eq!(assert_problem(&refusal, 422, "invalid")["field"], "sender", "our sender is not theirs");
    // Nothing of ours has changed.
    let state = api.get(&key, "/v1/broadcasts/thing").await.json()["state"].clone();
    assert!(state != "paused" && state != "cancelled", "{state}");
    let members = api.get(&key, "/v1/groups/thing/members").await.json();
    assert_eq!(members["data"].as_array().map(Vec::len), Some(1), "{members}");
    let ours = api.get(&key, "/v1/recipients/%2B6281200000001").await.json();
    assert_eq!(ours["blocks"][0]["reason"], "x", "{ours}");
}

async fn the_api_describes_itself(api: Api) {
    let description = api.call("GET", "/openapi.json", &[], "").await;
    assert_eq!(description.header("content-type"), Some("application/json"));
    assert_eq!(description.json()["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    let printed = api.home.kabar(&["schema", "openapi"]).await.success().json();
    assert_eq!(description.json(), printed);
    let page = api.call("GET", "/docs", &[], "").await;
    assert!(page.status == 200 && page.body.contains("/openapi.json"), "{page:?}");
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && !page.body.contains("https://"), "nothing comes from elsewhere");
    let value: Value = description.json();
    assert!(value["components"]["schemas"]["Job_send"].is_object());
}
