//! Errors as a user meets them: one line that says what went wrong and what to do.

use std::io;

/// The error and its causes on one line. A cause that the error before it says already is left out.
#[must_use]
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = text.lines().map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

/// Whether whoever reads our output has gone, as `head` does.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let of = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| of(cause) == Some(io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_joined_once_each_on_one_line() {
        let error = anyhow::anyhow!("disk full\ntry again").context("cannot write: disk full; try again").context("a");
        assert_eq!(one_line(&error), "a: cannot write: disk full; try again");
    }

    #[test]
    fn a_reader_that_has_gone_is_known() {
        let gone = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot print");
        assert!(is_closed_pipe(&gone));
        assert!(!is_closed_pipe(&anyhow::anyhow!("x")));
    }
}
