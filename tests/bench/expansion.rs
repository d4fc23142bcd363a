//! From a list of recipients to messages, and what a broadcast to them would come to: how many a second, and how much
//! memory at ten thousand and at a million.
//!
//! Each size runs in a process of its own, so that its peak memory is its own.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::{fmt, process::Command, time::Instant};

use kabar::preview::{BroadcastPreviewer, Person};
use kabar_domain::{
    content::Fields,
    job::{Door, Job},
    phone::PhoneNumber,
};
use kabar_store::{AudienceRow, DEFAULT_TENANT, Place};
use serde_json::json;

#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use support::{Provider, ProviderOptions, add_sender, open, peak_memory_mib};

const SIZE: &str = "KABAR_BENCH_SIZE";
const CHUNK: usize = 1_000;

fn main() {
    let Some(size) = std::env::var(SIZE).ok().and_then(|text| text.parse::<usize>().ok()) else {
        println!("expansion: recipients loaded in chunks, planned into messages and previewed, ledger on disk");
        println!("each with the most memory that was held by its end");
        println!("{:>10} {:>26} {:>26} {:>26}", "recipients", "loaded/s", "planned/s", "previewed/s");
        for size in [10_000, 1_000_000] {
            let program = std::env::current_exe().expect("this program has a path");
            let status = Command::new(program).env(SIZE, size.to_string()).status().expect("it runs");
            assert!(status.success());
        }
        return;
    };
    support::main(async || run(size).await);
}

async fn run(size: usize) {
    let folder = tempfile::tempdir_in(std::env::current_dir().expect("a current folder")).expect("a folder on disk");
    let store = open(&Place::File(folder.path().join("kabar.db"))).await;
    let provider = Provider::start(&ProviderOptions::default());
    add_sender(&store, &provider, kabar_domain::pace::Rate::default()).await;
    let Job::Broadcast(broadcast) = file_job(json!({"type": "broadcast", "id": "big", "audience": {"file": "0"},
        "content": {"template": {"name": "departure_reminder", "language": "id", "params": ["{name}", "{package}"]}}}))
    else {
        return;
    };
    let started = Instant::now();
    let mut file = store.begin_file_broadcast(DEFAULT_TENANT, broadcast.clone(), size as u64).await.expect("it begins");
    for chunk in 0..size / CHUNK {
        let rows: Vec<AudienceRow> = (0..CHUNK).map(|row| audience_row(chunk * CHUNK + row)).collect();
        store.append_audience(&mut file, &rows).await.expect("rows are appended");
    }
    store.start_file_broadcast(&file).await.expect("it starts");
    let loaded = Figure::since(started, size);
    let started = Instant::now();
    while store.plan_next().await.expect("planning goes on").is_some() {}
    let planned = Figure::since(started, size);
    let started = Instant::now();
    let mut previewer = BroadcastPreviewer::begin(&store, DEFAULT_TENANT, &broadcast).await.expect("it begins");
    let mut people: Vec<Person> = Vec::with_capacity(CHUNK);
    for chunk in 0..size / CHUNK {
        people.extend((0..CHUNK).map(|row| person(chunk * CHUNK + row)));
        previewer.look_at(&mut people).await.expect("people are looked at");
    }
    let preview = previewer.finish(std::time::Duration::from_millis(15)).await.expect("it ends");
    assert_eq!(preview.to_send, size as u64);
    println!("{size:>10} {loaded} {planned} {}", Figure::since(started, size));
}

/// How many a second, and the peak of this process's memory by then.
struct Figure {
    per_second: f64,
    peak_mib: f64,
}

impl Figure {
    fn since(started: Instant, count: usize) -> Self {
        Self { per_second: count as f64 / started.elapsed().as_secs_f64(), peak_mib: peak_memory_mib() }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11.0} at {:>7.1} MiB", self.per_second, self.peak_mib)
    }
}

fn person(number: usize) -> Person {
    let AudienceRow { phone, name, mut fields } = audience_row(number);
    fields.extend(name.map(|name| ("name".to_owned(), name)));
    Person { row: Some(number as u64), phone, fields }
}

/// Who loads the file may say that the recipients come from one.
fn file_job(value: serde_json::Value) -> Job {
    Job::from_value(value, Door { loads_files: true, ..Door::default() }, None).expect("the job is valid")
}

fn audience_row(number: usize) -> AudienceRow {
    AudienceRow {
        phone: PhoneNumber::from_e164(format!("+62812{:08}", 10_000_000 + number)).expect("a number"),
        name: Some(format!("Guest {number}")),
        fields: Fields::from([("package".to_owned(), "Hemat".to_owned())]),
    }
}
