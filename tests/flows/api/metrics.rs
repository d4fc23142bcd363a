//! What the gateway tells machines of what waits, and of jobs that came again.

use kabar_domain::scope::Scope;
use kabar_store::DEFAULT_TENANT;
use kabar_tests::{eventually, guests::phone};
use serde_json::json;

use super::{Api, on_both_ledgers};
use crate::support::{WITHIN, send, with};

on_both_ledgers!(metrics_tell_what_waits_and_what_came_again);

async fn metrics_tell_what_waits_and_what_came_again(api: Api) {
    let key = api.key(&[Scope::Enqueue]).await;
    let jobs = json!({"jobs": [
        send("due", &phone(0)),
        with(send("urgent", &phone(1)), &[("priority", json!("urgent"))]),
        with(send("later", &phone(2)), &[("send_at", json!("2099-01-01T00:00:00Z"))]),
    ]});
    for _ in 0..2 {
        assert_eq!(api.post(&key, "/v1/jobs", &jobs).await.status, 202);
    }
    let store = api.ledger.store();
    eventually(WITHIN, async || {
        for id in ["due", "urgent", "later"] {
            let (job, _) = store.job_summary(DEFAULT_TENANT, id, None).await.map_err(|error| error.to_string())?;
            if !store.job_is_planned(job).await.map_err(|error| error.to_string())? {
                return Err(format!("{id} is not planned"));
            }
        }
        Ok(())
    })
    .await;
    let metrics = api.call("GET", "/metrics", &[], "").await.body;
    let of = |lane: &str| format!("{{tenant=\"1\",sender=\"default\",lane=\"{lane}\"}}");
    for line in [
        format!("kabar_messages_waiting{} 1", of("urgent")),
        format!("kabar_messages_waiting{} 2", of("normal")),
        format!("kabar_messages_waiting{} 0", of("bulk")),
        format!("kabar_oldest_waiting_seconds{} 0", of("bulk")),
        "kabar_sender_rate_limit{tenant=\"1\",sender=\"default\"} 20".to_owned(),
        "kabar_sender_rate_now{tenant=\"1\",sender=\"default\"} 20".to_owned(),
        "kabar_messages_in_doubt 0".to_owned(),
        "kabar_messages_unresolved 0".to_owned(),
        "kabar_oldest_event_seconds 0".to_owned(),
        "kabar_jobs_accepted_total{type=\"send\"} 3".to_owned(),
        "kabar_jobs_repeated_total{type=\"send\"} 3".to_owned(),
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}\n{metrics}");
    }
    let start = format!("kabar_oldest_waiting_seconds{} ", of("urgent"));
    let age = metrics.lines().find_map(|line| line.strip_prefix(&start)).and_then(|age| age.parse::<f64>().ok());
    assert!(age.is_some_and(|age| age > 0.0), "{metrics}");
}
