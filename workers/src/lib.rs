//! The workers of kabar and the fleet that runs them.
//!
//! The way of the data: a job comes in through the `gateway`, the `intake` or the command line and is written down; the
//! `scheduler` adds those that fall due; the `planner` turns each into messages; the `dispatcher` hands out tickets for
//! senders with due messages; a `courier` claims, paces, sends and writes down what came of it; the `recorder` applies
//! what providers report later; the `janitor` repairs.

use std::process::ExitCode;

mod admission;
mod asyncapi;
pub mod cli;
pub mod context;
pub mod courier;
pub mod dispatcher;
mod fault;
mod file_broadcast;
pub mod fleet;
pub mod gateway;
mod identity;
mod intake;
mod janitor;
mod people_file;
mod people_import;
mod planner;
pub mod preview;
mod recorder;
mod scheduler;
mod steps;
pub mod templates;
mod traces;
mod views;

/// The program: parses the arguments, plays one role, and gives the exit status. It stands here and not in `main.rs`, for
/// the compiler makes the code of a role where it is run: there, all of it would be made a second time.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = cli::Arguments::of_process();
    let runtime = if arguments.needs_threads() {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    };
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(cli::run(arguments));
            // Whoever missed the deadline may wait for a ledger that says nothing; the process ends without them.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(anyhow::Error::new(error).context("the system gives this process no threads or timers")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output, such as `head`, has seen enough.
        Err(error) if cli::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", cli::one_line(&error));
            ExitCode::FAILURE
        }
    }
}
