//! Ledgers that hold a great many messages, written past the store: as planning and sending would have left them, in seconds
//! instead of hours.

use kabar_domain::job::Job;
use kabar_store::{DEFAULT_TENANT, Place, Store};
use kabar_tests::guests;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::support::job;

/// What became of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// They wait for their turn.
    Waiting,
    /// They were sent and have arrived.
    Delivered,
}

/// Fills a migrated ledger with `count` messages of one broadcast of the sender `sender`, each to a recipient of its own.
pub async fn fill(store: &Store, place: &Place, sender: &str, count: usize, messages: Messages) {
    // The first goes the usual way, and all others are like it.
    store.enqueue(DEFAULT_TENANT, &broadcast(sender)).await.expect("the job is enqueued");
    while store.plan_next().await.expect("planning goes on").is_some() {}
    let more = count - 1;
    let mut statements = vec![
        more_recipients(place, more),
        "insert into audience (job_id, position, recipient_id)
         select first.job_id, first.position + recipients.id - first.recipient_id, recipients.id
         from (select * from audience limit 1) first join recipients on recipients.id <> first.recipient_id"
            .to_owned(),
        "insert into messages (job_id, sender_id, recipient_id, part, lane, state, due_at, attempts, tries, pair_throttles,
           created_at, updated_at)
         select first.job_id, first.sender_id, recipients.id, first.part, first.lane, first.state, first.due_at, 0, 0, 0,
           first.created_at, first.updated_at
         from (select * from messages limit 1) first join recipients on recipients.id <> first.recipient_id
         order by recipients.id"
            .to_owned(),
        format!("update jobs set audience = {count}, cursor = cursor + {more}"),
    ];
    if messages == Messages::Delivered {
        statements.extend([
            "insert into attempts (message_id, number, lease_id, slot_us, started_at, ended_at, outcome,
               provider_message_id, sent_at, delivered_at)
             select id, 1, 1, due_at * 1000 + id, due_at, due_at, 'accepted', 'wamid.' || id, due_at, due_at from messages"
                .to_owned(),
            "update messages set state = 'delivered', attempts = 1".to_owned(),
        ]);
    }
    run_all(place, statements).await;
}

/// Fills a migrated ledger with `count` reminders of the sender `sender`, each with one message to a recipient of its own that
/// falls due in 2099.
pub async fn fill_with_reminders(store: &Store, place: &Place, sender: &str, count: usize) {
    let first = job(json!({"type": "reminder", "id": "reminder-0", "sender": sender, "to": guests::phone(0),
        "due": "2099-12-12", "before": ["0d"], "content": {"template": {"name": "payment_reminder", "language": "id",
        "params": ["Siti", {"date": "{due}"}]}}}));
    store.enqueue(DEFAULT_TENANT, &first).await.expect("the job is enqueued");
    while store.plan_next().await.expect("planning goes on").is_some() {}
    let more = count - 1;
    let series = series(place, more);
    let statements = vec![
        more_recipients(place, more),
        format!(
            "insert into jobs (tenant_id, job_key, kind, name, body, body_hash, sender_id, template_name,
               template_language, category, state, control, audience, cursor, created_at, planned_at)
             select tenant_id, 'reminder-' || number, kind, name, body, body_hash, sender_id, template_name,
               template_language, category, state, control, audience, cursor, created_at, planned_at
             from (select * from jobs limit 1) first cross join {series} numbers order by number"
        ),
        "insert into audience (job_id, position, recipient_id, fields)
         select jobs.id, first.position, first.recipient_id + jobs.id - first.job_id, first.fields
         from (select * from audience limit 1) first join jobs on jobs.id <> first.job_id"
            .to_owned(),
        "insert into messages (job_id, sender_id, recipient_id, part, lane, state, due_at, expires_at, attempts, tries,
           pair_throttles, created_at, updated_at)
         select jobs.id, first.sender_id, first.recipient_id + jobs.id - first.job_id, first.part, first.lane, first.state,
           first.due_at + jobs.id, first.expires_at, 0, 0, 0, first.created_at, first.updated_at
         from (select * from messages limit 1) first join jobs on jobs.id <> first.job_id order by jobs.id"
            .to_owned(),
    ];
    run_all(place, statements).await;
}

/// Numbers from 1 on, as a table.
fn series(place: &Place, count: usize) -> String {
    match place {
        Place::File(_) => format!(
            "(with recursive series(number) as (select 1 union all select number + 1 from series where number < {count})
              select number from series)"
        ),
        Place::Postgres(_) => format!("(select generate_series(1, {count}) as number)"),
    }
}

/// So many people beside the first.
fn more_recipients(place: &Place, count: usize) -> String {
    let series = series(place, count);
    format!(
        "insert into recipients (tenant_id, phone, created_at)
         select tenant_id, '+62812' || (10000000 + number), created_at
         from (select tenant_id, created_at from recipients limit 1) first cross join {series} numbers order by number"
    )
}

/// Runs the statements, then does what servers do by themselves in the hours that such a ledger takes to grow.
async fn run_all(place: &Place, statements: Vec<String>) {
    let upkeep = match place {
        Place::File(_) => ["analyze", "pragma wal_checkpoint(truncate)"],
        Place::Postgres(_) => ["vacuum analyze", "checkpoint"],
    };
    for statement in statements.into_iter().chain(upkeep.map(str::to_owned)) {
        run(place, statement).await;
    }
}

fn broadcast(sender: &str) -> Job {
    job(
        json!({"type": "broadcast", "id": "filled", "sender": sender, "audience": {"recipients": guests::recipients(0..1)},
        "content": {"template": {"name": "departure_reminder", "language": "id", "params": ["Siti", "1 Des 2026"]}}}),
    )
}

async fn run(place: &Place, statement: String) {
    let statement = AssertSqlSafe(statement);
    match place {
        Place::File(path) => {
            let mut file = SqliteConnection::connect(&path.display().to_string()).await.expect("the file opens");
            sqlx::raw_sql(statement).execute(&mut file).await.expect("the file can be filled");
            file.close().await.expect("the file closes");
        }
        Place::Postgres(url) => {
            let mut server = PgConnection::connect(url).await.expect("the server answers");
            sqlx::raw_sql(statement).execute(&mut server).await.expect("the database can be filled");
            server.close().await.expect("the connection closes");
        }
    }
}
