//! Where the real program, `kabar`, runs: a folder of a test's own, with no setting but those that the test gives.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use kabar_sandbox::Sandbox;
use tokio::process::Command;

use crate::{Finished, KabarProcess, TestLedger, ports::free_address, sandbox};

/// How long a command that is to end by itself may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(120);
/// Variables that would lead a process elsewhere than the test says.
const CLEARED: [&str; 4] = ["KABAR_", "WHATSAPP_", "AWS_", "OTEL_"];

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
        finished(&mut self.command(arguments)).await
    }

    /// Runs another program in the folder to its end, with the environment that processes have.
    ///
    /// # Panics
    /// When it cannot be started, or does not end in two minutes.
    pub async fn run(&self, program: &Path, arguments: &[&str]) -> Finished {
        finished(self.environed(Command::new(program)).args(arguments)).await
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
        self.start_at(&free_address().to_string(), arguments)
    }

    /// The same, at an address: that of a process which died, say.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_at(&self, address: &str, arguments: &[&str]) -> KabarProcess {
        self.spawn(address, self.command(arguments))
    }

    /// The same, with variables of its own beside those that every process has: a fault, say.
    #[must_use]
    pub fn start_with(&self, address: &str, variables: &[(&str, &str)], arguments: &[&str]) -> KabarProcess {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        self.spawn(address, command)
    }

    /// Starts a command, on a free port, whose files may not grow beyond `bytes` until
    /// [`KabarProcess::lift_file_limit`]: to the program it looks as if the disk were full.
    #[must_use]
    pub fn start_with_file_limit(&self, bytes: u64, arguments: &[&str]) -> KabarProcess {
        // A shell counts in blocks of 512 bytes. A write beyond the limit fails where the signal for it is ignored.
        let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"", bytes / 512);
        let mut command = self.environed(Command::new("sh"));
        command.arg("-c").arg(script).arg(program()).args(arguments);
        self.spawn(&free_address().to_string(), command)
    }

    fn spawn(&self, address: &str, command: Command) -> KabarProcess {
        let name = format!("process-{}", self.started.fetch_add(1, Ordering::Relaxed));
        KabarProcess::spawn(command, address, &self.path().join(name))
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

/// What a command comes to that ends by itself.
async fn finished(command: &mut Command) -> Finished {
    let told = command.as_std();
    let program = told.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let words = told.get_args().map(|word| word.to_string_lossy().into_owned());
    let told = std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ");
    let output = tokio::time::timeout(COMMAND_WITHIN, command.stdin(Stdio::null()).output()).await;
    let output = output.unwrap_or_else(|_| panic!("{told} did not end in {COMMAND_WITHIN:?}"));
    let output = output.unwrap_or_else(|error| panic!("{told} does not start: {error}"));
    Finished::of(told, &output)
}

/// The program that was built with this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own program");
    // target/PROFILE/deps/TEST-HASH
    let program = test.ancestors().nth(2).map(|profile| profile.join("kabar")).unwrap_or_default();
    assert!(program.is_file(), "{} is missing: run tests/run, or `cargo build -p kabar` first", program.display());
    program
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
}
