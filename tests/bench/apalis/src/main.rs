//! The same sends as in `fleet.rs`, through apalis on Postgres: `enqueue COUNT`, or `work PROVIDER_URL` until it is ended.
//! `DATABASE_URL` names the database.

use std::{env, time::Duration};

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const QUEUE: &str = "sends";
/// What the queue hands to a worker at once.
const BATCH: usize = 100;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Send {
    to: String,
}

#[derive(Clone)]
struct Provider {
    client: reqwest::Client,
    url: String,
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let pool = PgPool::connect(&env::var("DATABASE_URL")?).await?;
    let storage = PostgresStorage::new(&pool).with_config(Config::default().queue(QUEUE).batch_size(BATCH));
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["enqueue", count] => enqueue(&pool, storage, count.parse()?).await,
        ["work", url] => work(storage, url).await,
        _ => Err("enqueue COUNT or work PROVIDER_URL".into()),
    }
}

async fn enqueue(pool: &PgPool, mut storage: PostgresStorage<Send>, count: usize) -> Result<(), BoxDynError> {
    PostgresStorage::setup(pool).await?;
    for first in (0..count).step_by(1_000) {
        let sends =
            (first..count.min(first + 1_000)).map(|index| Send { to: format!("62812{:07}", 1_000_000 + index) });
        storage.push_stream(&mut stream::iter(sends)).await?;
    }
    Ok(())
}

async fn work(storage: PostgresStorage<Send>, url: &str) -> Result<(), BoxDynError> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "there is a provider of cryptography")?;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let provider = Provider { client, url: format!("{url}/v26.0/106540352242922/messages") };
    let name = format!("worker-{}", std::process::id());
    let worker =
        WorkerBuilder::new(name.as_str()).backend(storage).data(provider).parallelize(tokio::spawn).build(send);
    Ok(worker.run().await?)
}

async fn send(send: Send, provider: Data<Provider>) -> Result<String, BoxDynError> {
    let text = |text: &str| json!({"type": "text", "text": text});
    let body = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": send.to, "type": "template",
        "template": {
            "name": "departure_reminder", "language": {"code": "id"},
            "components": [{"type": "body", "parameters": [text("Siti"), text("1 Des 2026")]}]
        }
    });
    let request = provider.client.post(&provider.url).bearer_auth("bench").header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await?.error_for_status()?.bytes().await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    answer["messages"][0]["id"].as_str().map(ToOwned::to_owned).ok_or_else(|| "no id in the answer".into())
}
