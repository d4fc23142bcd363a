//! The real program, `kabar`, as a child process that a test watches, signals and kills.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::{Child, Command};

use crate::{eventually, http};

/// How long a process may take until it is ready, on a machine that builds and tests other things meanwhile.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a process may take to end after it was told to; a fleet's own deadline is shorter.
const STOP_WITHIN: Duration = Duration::from_secs(40);
/// How much of a log a failing test shows.
const LOG_LINES_SHOWN: usize = 40;

/// A process that goes on until it is stopped. Dropped, it is killed; in a failing test it shows the end of its log.
#[derive(Debug)]
pub struct KabarProcess {
    child: Child,
    address: String,
    log: PathBuf,
    out: PathBuf,
}

impl KabarProcess {
    /// Starts it with its gateway, if it has one, at `address`. What it says goes to the files `stem.log` and `stem.out`.
    ///
    /// # Panics
    /// When it does not start.
    pub(crate) fn spawn(mut command: Command, address: &str, stem: &Path) -> Self {
        let (log, out) = (stem.with_extension("log"), stem.with_extension("out"));
        let open = |path: &Path| File::create(path).expect("a log can be made in the test's folder");
        command.env("KABAR_LISTEN", address).stdin(Stdio::null()).stdout(open(&out)).stderr(open(&log));
        Self { child: command.spawn().expect("kabar starts"), address: address.to_owned(), log, out }
    }

    /// The most memory that it has held at a time, in bytes.
    ///
    /// # Panics
    /// When the system does not tell, or it has ended already.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the system tells of a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kilobytes.expect("the system tells the peak") << 10
    }

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
        let process = self.id();
        // The shell's own `kill` is there even where no such program is installed.
        let sent = Command::new("sh").arg("-c").arg(format!("kill -s {name} {process}")).status().await;
        assert!(sent.expect("a shell starts").success(), "no signal {name} could be sent");
    }

    /// Lets its files grow again.
    ///
    /// # Panics
    /// When it has ended already.
    pub async fn lift_file_limit(&self) {
        let process = self.id().to_string();
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
    use crate::{Home, sandbox};

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
