//! What waiting costs: a fleet with schedules and reminders that fall due later, and nothing to do meanwhile.
//!
//! `tests/run bench pending [SCHEDULES [REMINDERS]]`, by default a thousand schedules and a million reminders, on SQLite and on
//! Postgres: once with the scheduler as the only worker, once with all of them.
#![expect(clippy::expect_used, unreachable_pub, reason = "a benchmark ends where it cannot go on")]

use std::time::{Duration, Instant};

use chrono_tz::Tz;
use kabar_domain::{job::Door, pace::Rate, schedule::Missed};
use kabar_store::{DEFAULT_TENANT, NewSchedule, Place, Store};
use kabar_tests::{Home, LedgerKind, TestLedger, Time};
use serde_json::json;

#[expect(dead_code, reason = "each benchmark uses a part")]
mod filled;
#[expect(dead_code, reason = "each benchmark uses a part")]
mod support;
use support::{Provider, ProviderOptions, cpu_seconds, cpu_seconds_of, machine_cpu_seconds, named_sender, open};

const SCHEDULES: usize = 1_000;
const REMINDERS: usize = 1_000_000;
const SENDER: &str = "default";

/// What a start costs is not what waiting costs.
const SETTLES: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(40);

fn main() {
    support::main(async || {
        let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
        let (schedules, reminders) = (numbers.next().unwrap_or(SCHEDULES), numbers.next().unwrap_or(REMINDERS));
        println!("pending: {schedules} schedules and {reminders} reminders that fall due later, in % of a core");
        println!("{:>9} {:>10} {:>10} {:>14} {:>12}", "ledger", "workers", "process", "whole machine", "resident");
        let folder =
            tempfile::tempdir_in(std::env::current_dir().expect("a current folder")).expect("a folder on disk");
        let path = folder.path().join("kabar.db");
        let home = Home::new().with("KABAR_DATABASE_URL", format!("sqlite://{}", path.display()));
        watch("SQLite", home, &Place::File(path), schedules, reminders).await;
        let database = TestLedger::empty(LedgerKind::Postgres, Time::System).await;
        watch("Postgres", Home::new().on_ledger(&database), &database.direct_place(), schedules, reminders).await;
    });
}

async fn watch(name: &str, home: Home, place: &Place, schedules: usize, reminders: usize) {
    let store = open(place).await;
    let provider = Provider::start(&ProviderOptions::default());
    let sender = named_sender(SENDER, "106540352242922", &provider, Rate::default());
    store.add_sender(DEFAULT_TENANT, &sender).await.expect("the sender can be added");
    add_schedules(&store, schedules).await;
    filled::fill_with_reminders(&store, place, SENDER, reminders).await;
    store.close().await;
    let home = home.with("KABAR_LOG", "warn").with("KABAR_WHATSAPP_ALLOW_PLAIN_HTTP", "true");
    // The gateway is there for `ready` to be asked; nobody asks it anything else.
    for (workers, arguments) in [("scheduler", &["run", "--only", "gateway,scheduler"][..]), ("all", &["run"])] {
        let mut fleet = home.start(arguments);
        fleet.ready().await;
        tokio::time::sleep(SETTLES).await;
        let (id, began) = (fleet.id().to_string(), Instant::now());
        let spent = || (cpu_seconds_of(&id), machine_cpu_seconds() - cpu_seconds());
        let (process, machine) = spent();
        tokio::time::sleep(WATCHED).await;
        let share = |after: f64, before: f64| (after - before) / began.elapsed().as_secs_f64() * 100.0;
        let (process, machine) = (share(spent().0, process), share(spent().1, machine));
        let resident = support::memory_mib_of(&id);
        println!("{name:>9} {workers:>10} {process:>8.2} % {machine:>12.2} % {resident:>8.1} MiB");
        fleet.stop().await;
    }
}

/// Schedules that fire once a year, on the second of January, spread over that day.
async fn add_schedules(store: &Store, count: usize) {
    let job = json!({"type": "send", "to": kabar_tests::guests::phone(0), "content": {"template": {"name": "report",
        "language": "id"}}});
    for number in 0..count {
        let cron = format!("{} {} 2 1 *", number % 60, number / 60 % 24);
        let new = NewSchedule { cron: &cron, timezone: Tz::Asia__Jakarta, job: &job, missed: Missed::Coalesce };
        store.add_schedule(DEFAULT_TENANT, &new, Door::default()).await.expect("the schedule can be added");
    }
}
