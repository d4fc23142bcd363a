//! `kabar`: arguments in, one role played, an exit status out: 0 done, 1 failed, 2 wrong usage.

use std::process::ExitCode;

use clap::Parser;
use kabar::cli;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let runtime = if arguments.needs_threads() {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    };
    let done = match runtime {
        Ok(runtime) => runtime.block_on(cli::run(arguments)),
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
