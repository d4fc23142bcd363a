//! The real program, `kabar`, as child processes: in a folder of their own, with no setting but those that a test gives.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use kabar_sandbox::Sandbox;
use tokio::process::{Child, Command};

use crate::{TestLedger, eventually, http, sandbox};

/// How long a command that is to end by itself may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(120);
/// How long a process may take until it is ready, on a machine that builds and tests other things meanwhile.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a process may take to end after it was told to; a fleet's own deadline is shorter.
const STOP_WITHIN: Duration = Duration::from_secs(40);
/// How much of a log a failing test shows.
const LOG_LINES_SHOWN: usize = 40;
/// Variables that would lead a process elsewhere than the test says.
const CLEARED: [&str; 3] = ["KABAR_", "WHATSAPP_", "AWS_"];

/// Where processes run: a temporary folder, in which `kabar.db` is the ledger unless another is named, and their
/// environment.
#[derive(Debug)]
pub struct Home {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    started: AtomicU32,
}

impl Home {
    /// An empty one.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder, which no default should")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self { folder, environment: BTreeMap::new(), started: AtomicU32::new(0) }
    }

    /// The same, with this variable set for every process.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// The same, on this ledger. It should go by the machine's clock, as processes do.
    #[must_use]
    pub fn on_ledger(self, ledger: &TestLedger) -> Self {
        self.with("KABAR_DATABASE_URL", ledger.url()).with("KABAR_LEDGER_POOLER", ledger.options().pooler.to_string())
    }

    /// The same, with a sender named `default` that sends to this sandbox.
    #[must_use]
    pub fn on_sandbox(self, sandbox: &Sandbox) -> Self {
        sandbox::environment(sandbox).into_iter().fold(self, |home, (name, value)| home.with(name, value))
    }

    /// The folder that processes run in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder and gives its name, as an argument for a command.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write<'a>(&self, name: &'a str, text: &str) -> &'a str {
        fs::write(self.path().join(name), text).expect("a file can be written in the test's folder");
        name
    }

    /// Runs a command to its end: `home.kabar(&["status", "--json"]).await.success().json()`.
    ///
    /// # Panics
    /// When it cannot be started, or does not end in two minutes.
    pub async fn kabar(&self, arguments: &[&str]) -> Finished {
        let running = self.command(arguments).stdin(Stdio::null()).output();
        let output = tokio::time::timeout(COMMAND_WITHIN, running).await;
        let output = output.unwrap_or_else(|_| panic!("kabar {arguments:?} did not end in {COMMAND_WITHIN:?}"));
        let output = output.expect("kabar starts");
        Finished {
            command: format!("kabar {}", arguments.join(" ")),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts the whole fleet on a free port and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn fleet(&self) -> KabarProcess {
        let mut fleet = self.start(&["run"]);
        fleet.ready().await;
        fleet
    }

    /// Starts a command that goes on until it is stopped; its gateway, if it has one, on a free port.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> KabarProcess {
        self.start_at(&free_address(), arguments)
    }

    /// The same, at an address: that of a process which died, say.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_at(&self, address: &str, arguments: &[&str]) -> KabarProcess {
        self.spawn(address, self.command(arguments))
    }

    /// Starts a command, on a free port, whose files may not grow beyond `bytes` until
    /// [`KabarProcess::lift_file_limit`]: to the program it looks as if the disk were full.
    #[must_use]
    pub fn start_with_file_limit(&self, bytes: u64, arguments: &[&str]) -> KabarProcess {
        // A shell counts in blocks of 512 bytes. A write beyond the limit fails where the signal for it is ignored.
        let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"", bytes / 512);
        let mut command = self.environed(Command::new("sh"));
        command.arg("-c").arg(script).arg(program()).args(arguments);
        self.spawn(&free_address(), command)
    }

    fn spawn(&self, address: &str, mut command: Command) -> KabarProcess {
        let name = format!("process-{}", self.started.fetch_add(1, Ordering::Relaxed));
        let file = |ending: &str| self.path().join(format!("{name}.{ending}"));
        let open = |path: &Path| File::create(path).expect("a log can be made in the test's folder");
        let (log, out) = (file("log"), file("out"));
        let child = command
            .env("KABAR_LISTEN", address)
            .stdin(Stdio::null())
            .stdout(open(&out))
            .stderr(open(&log))
            .spawn()
            .expect("kabar starts");
        KabarProcess { child, address: address.to_owned(), log, out }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.environed(Command::new(program()));
        command.args(arguments);
        command
    }

    /// A command in the folder, with the environment that is given alone.
    fn environed(&self, mut command: Command) -> Command {
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| CLEARED.iter().any(|start| name.to_string_lossy().starts_with(start))) {
            command.env_remove(name);
        }
        command.current_dir(self.path()).envs(&self.environment).kill_on_drop(true);
        command
    }
}

/// The program that was built with this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own program");
    // target/PROFILE/deps/TEST-HASH
    let program = test.ancestors().nth(2).map(|profile| profile.join("kabar")).unwrap_or_default();
    assert!(program.is_file(), "{} is missing: run tests/run, or `cargo build -p kabar` first", program.display());
    program
}

/// An address on loopback that was free a moment ago.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a listener has an address").to_string()
}

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Finished {
    /// What was run.
    pub command: String,
    /// The exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Itself, if the exit status was 0.
    ///
    /// # Panics
    /// When it was another.
    #[must_use]
    #[track_caller]
    pub fn success(self) -> Self {
        self.code(0)
    }

    /// Itself, if the exit status was this.
    ///
    /// # Panics
    /// When it was another.
    #[must_use]
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "{}\n{}{}", self.command, self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("{} printed no JSON ({error}): {}", self.command, self.stdout),
        }
    }
}

/// A process that goes on until it is stopped. Dropped, it is killed; in a failing test it shows the end of its log.
#[derive(Debug)]
pub struct KabarProcess {
    child: Child,
    address: String,
    log: PathBuf,
    out: PathBuf,
}

impl KabarProcess {
    /// Its id in the system.
    ///
    /// # Panics
    /// When it has ended already.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("the process still runs")
    }

    /// Where its gateway listens: `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until the gateway says that it is ready.
    ///
    /// # Panics
    /// When it does not in time, or the process ends.
    pub async fn ready(&mut self) {
        let address = self.address.clone();
        let ready = eventually(READY_WITHIN, async || {
            if let Some(status) = self.ended() {
                return Ok(Err(status));
            }
            match http::get(&address, "/readyz").await {
                Ok(answer) if answer.status == 200 => Ok(Ok(())),
                Ok(answer) => Err(format!("it is not ready: {}", answer.body)),
                Err(error) => Err(format!("its gateway does not answer: {error}")),
            }
        });
        if let Err(status) = ready.await {
            panic!("the process ended before it was ready: {status}\n{}", self.log());
        }
    }

    /// Waits until its log holds this text: for processes without a gateway.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn logged(&self, text: &str) {
        let missing = || format!("its log does not say {text:?}");
        eventually(READY_WITHIN, async || self.log().contains(text).then_some(()).ok_or_else(missing)).await;
    }

    /// Its standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the system does not know it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its end")
    }

    /// Ends it as a power cut would (`kill -9`), and waits until it is gone.
    ///
    /// # Panics
    /// When it has ended already.
    pub async fn kill(mut self) {
        assert!(self.ended().is_none(), "the process ended by itself:\n{}", self.log());
        self.child.kill().await.expect("a child can be killed");
    }

    /// Sends it a signal by name: `TERM`, or `STOP` and `CONT` for a process that stalls.
    ///
    /// # Panics
    /// When it has ended already.
    pub async fn signal(&self, name: &str) {
        let process = self.child.id().expect("the process still runs");
        // The shell's own `kill` is there even where no such program is installed.
        let sent = Command::new("sh").arg("-c").arg(format!("kill -s {name} {process}")).status().await;
        assert!(sent.expect("a shell starts").success(), "no signal {name} could be sent");
    }

    /// Lets its files grow again.
    ///
    /// # Panics
    /// When it has ended already.
    pub async fn lift_file_limit(&self) {
        let process = self.child.id().expect("the process still runs").to_string();
        let lifted = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited:"]).status().await;
        assert!(lifted.expect("prlimit starts").success(), "the limit could not be lifted");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `within`.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("the process did not end in {within:?}"),
        }
    }

    /// Asks it to stop (SIGTERM) and waits until it has, in good order.
    ///
    /// # Panics
    /// When it does not end in time, or not with success.
    pub async fn stop(mut self) {
        self.signal("TERM").await;
        let status = self.wait(STOP_WITHIN).await;
        assert!(status.success(), "it stopped with {status}");
    }
}

impl Drop for KabarProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("the end of {}:\n{}", self.log.display(), shown.join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[ignore = "needs the program: run tests/run"]
    async fn commands_run_in_the_environment_that_is_given() {
        let home = Home::new();
        let help = home.kabar(&["--help"]).await.success();
        assert!(help.stdout.contains("demo"), "{}", help.stdout);
        let wrong = home.with("KABAR_QUEUE_URL", "nonsense").kabar(&["config"]).await;
        assert_ne!(wrong.code, Some(0));
        assert!(wrong.stderr.contains("nonsense"), "{}", wrong.stderr);
    }

    #[tokio::test]
    #[ignore = "needs the program: run tests/run"]
    async fn a_fleet_is_killed_started_again_and_stopped() {
        let sandbox = sandbox::start(|_| {}).await;
        let home = Home::new().on_sandbox(&sandbox);
        let fleet = home.fleet().await;
        let address = fleet.address().to_owned();
        fleet.kill().await;
        let mut again = home.start_at(&address, &["run"]);
        again.ready().await;
        again.stop().await;
    }
}
