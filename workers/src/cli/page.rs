//! Lists of any length, a page at a time.

use clap::Args;

/// Which part of a list is shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct PageArgs {
    /// How many are shown at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Go on after this one, as the end of the page before said
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<i64>,
}

impl PageArgs {
    /// Says how to go on, where the page is full.
    pub(crate) fn note_more(&self, shown: usize, last: Option<i64>) {
        if let Some(last) = last.filter(|_| shown >= self.limit as usize) {
            super::output::note(format!("there may be more: --after {last}"));
        }
    }
}
