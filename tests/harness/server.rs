//! A PostgreSQL server of a test's own, for tests that stop it, start it again, have it fall silent or set its clock.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, postgres::PgConnection};
use tokio::process::{Child, Command};

use crate::{eventually, ports::free_address};

/// How long the server may take to start, with the repair that follows a crash.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Where Debian keeps the programs of each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// A clock of the server that can be set: what everybody who connects from then on gets by the name of the server's own. A
/// library that tells the whole server another time would do so in its signal handlers, too, where it may wait for itself.
const CLOCK: &str = "create schema clock;
create table clock.ahead (seconds bigint not null);
insert into clock.ahead values (0);
create function clock.clock_timestamp() returns timestamptz language plpgsql volatile
as $$ begin return pg_catalog.clock_timestamp() + (select make_interval(secs => seconds) from clock.ahead); end $$;
alter role kabar set search_path = clock, public, pg_catalog";

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended, and what is in memory is written to the files.
    Fast,
    /// Everything ends where it is, as in a crash; the next start repairs.
    Immediate,
}

/// A server with data, port and folder of its own; gone when it is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    folder: tempfile::TempDir,
    programs: PathBuf,
    address: String,
    password: String,
    running: Option<Child>,
}

impl PostgresServer {
    /// Makes one and starts it.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let password = format!("{:016x}", fastrand::u64(..));
        fs::write(folder.path().join("password"), &password).expect("a file can be written in a test's folder");
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres:"]).arg(folder.path())).await;
        }
        let mut server =
            Self { folder, programs: programs(), address: free_address().to_string(), password, running: None };
        let mut initdb = server.command("initdb");
        initdb.args(["--username=kabar", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        initdb.arg("--pgdata").arg(server.data()).arg("--pwfile").arg(server.folder.path().join("password"));
        run(&mut initdb).await;
        server.resume().await;
        server
    }

    /// Starts it again on the same port, and waits until it answers.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub async fn resume(&mut self) {
        assert!(self.running.is_none(), "the server runs already");
        let port = self.address.rsplit(':').next().unwrap_or_default().to_owned();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
        command.arg("-c").arg(format!("unix_socket_directories={}", self.folder.path().display()));
        self.running = Some(command.spawn().expect("the server starts"));
        eventually(READY_WITHIN, async || match PgConnection::connect(&self.url()).await {
            Ok(connection) => connection.close().await.map_err(|error| error.to_string()),
            Err(error) => Err(format!("{error}\n{}", self.log())),
        })
        .await;
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Panics
    /// When it does not run, or does not end in time.
    pub async fn stop(&mut self, how: Stop) {
        let signal = match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        };
        let mut server = self.running.take().expect("the server runs");
        self.signal(signal, &[server.id().expect("the server has not ended")]).await;
        let ended = tokio::time::timeout(STOP_WITHIN, server.wait()).await;
        assert!(ended.is_ok(), "the server does not end");
    }

    /// Has it fall silent, with all its connections open: as when its host vanishes.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn freeze(&self) {
        let server = self.id();
        // First who makes new processes, then those that are there.
        self.signal("STOP", &[server]).await;
        self.signal("STOP", &children(server)).await;
    }

    /// Has it go on.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn thaw(&self) {
        let server = self.id();
        self.signal("CONT", &children(server)).await;
        self.signal("CONT", &[server]).await;
    }

    /// Gives it a clock that can be set.
    ///
    /// # Panics
    /// When it does not answer, or has one.
    pub async fn with_a_clock(self) -> Self {
        self.execute(CLOCK.to_owned()).await;
        self
    }

    /// Sets its clock so many seconds ahead of the machine's, or behind it, while it runs: from one statement to the next, for
    /// whomever. Only the time of day steps.
    ///
    /// # Panics
    /// When it does not answer, or has no clock that can be set.
    pub async fn set_clock(&self, seconds_ahead: i64) {
        self.execute(format!("update clock.ahead set seconds = {seconds_ahead}")).await;
    }

    async fn execute(&self, statements: String) {
        let mut connection = PgConnection::connect(&self.url()).await.expect("the server answers");
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.expect("the statements hold");
        connection.close().await.expect("the server answers");
    }

    /// Where it listens: `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What `KABAR_DATABASE_URL` must be for a process to use it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://kabar:{}@{}/postgres", self.password, self.address)
    }

    fn id(&self) -> u32 {
        self.running.as_ref().and_then(Child::id).expect("the server runs")
    }

    async fn signal(&self, name: &str, processes: &[u32]) {
        let ids: Vec<String> = processes.iter().map(ToString::to_string).collect();
        // One that ended meanwhile is no failure; that the server heard is seen by what it does.
        let sent = Command::new("sh").arg("-c").arg(format!("kill -s {name} {}", ids.join(" "))).status().await;
        sent.expect("a shell starts");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// One of the server's programs, as a user other than root, which they refuse to run as; it ends with this process.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--no-new-privs", "--pdeathsig=QUIT"]);
        if is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        let log = || {
            let path = self.folder.path().join("log");
            fs::OpenOptions::new().create(true).append(true).open(path).expect("a log can be made")
        };
        command.arg(self.programs.join(program)).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C.UTF-8").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log()).stderr(log()).kill_on_drop(true);
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let Some(server) = self.running.as_ref().and_then(Child::id) else { return };
        // Killed alone, it would leave its processes behind; told to end at once, it takes them along.
        let ids: Vec<String> = children(server).iter().chain([&server]).map(ToString::to_string).collect();
        let script = format!("kill -s CONT {}; kill -s QUIT {server}", ids.join(" "));
        let _ = std::process::Command::new("sh").arg("-c").arg(script).stderr(Stdio::null()).status();
        let until = std::time::Instant::now() + STOP_WITHIN;
        while let Some(child) = &mut self.running {
            if child.try_wait().is_ok_and(|ended| ended.is_some()) || std::time::Instant::now() > until {
                return;
            }
            std::thread::yield_now();
        }
    }
}

async fn run(command: &mut Command) {
    let output = command.output().await.expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The folder of the server's programs, of the newest version.
fn programs() -> PathBuf {
    let versions = fs::read_dir(PROGRAMS).into_iter().flatten().flatten();
    let usable = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file());
    let newest = usable.max_by_key(|bin| version_of(bin));
    newest.unwrap_or_else(|| panic!("no PostgreSQL in {PROGRAMS}: run tests/run"))
}

fn version_of(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().parse().unwrap_or(0)
}

/// The processes that a process has started.
fn children(process: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
