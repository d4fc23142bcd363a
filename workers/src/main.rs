//! `kabar`: arguments in, one role played, an exit status out: 0 done, 1 failed, 2 wrong usage.

use std::process::ExitCode;

fn main() -> ExitCode {
    kabar::main()
}
