//! The log of the demo: warnings and errors are kept, not printed into the live view.

use std::{
    fmt::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use super::screen::Screen;

/// The most lines that are kept; later ones are counted.
const MOST_LINES: usize = 1_000;

/// The most lines that are shown at the end.
const MOST_SHOWN: usize = 5;

/// The log of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    kept: Vec<String>,
    left_out: usize,
}

impl Journal {
    /// Starts keeping the log, unless this process logs already.
    pub(super) fn start() -> Self {
        let journal = Self::default();
        // Where something else logs already, its lines go where they go, and none are kept here.
        let _ = tracing::subscriber::set_global_default(journal.clone());
        journal
    }

    /// Shows the first lines, if there are any.
    pub(super) fn tell(&self, screen: &Screen) {
        let lines = self.lines();
        if lines.kept.is_empty() {
            return;
        }
        let paint = screen.paint();
        screen.say(format!("\n{}", paint.bold("The log")));
        lines.kept.iter().take(MOST_SHOWN).for_each(|line| screen.say(format!("  {}", paint.dim(line))));
        let more = lines.kept.len().saturating_sub(MOST_SHOWN) + lines.left_out;
        if more > 0 {
            screen.say(format!("  {}", paint.dim(&format!("and {more} more lines; --keep keeps them"))));
        }
    }

    /// Writes all lines to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let lines = self.lines();
        let mut text = lines.kept.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        std::fs::write(path, text)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} {}:", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        let mut lines = self.lines();
        if lines.kept.len() < MOST_LINES {
            lines.kept.push(line.0);
        } else {
            lines.left_out += 1;
        }
    }

    // Spans are of no use in a list of warnings, so all of them are the same one.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// One event as one line.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string never fails.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let _ = write!(self.0, " {}={value}", field.name());
        let mut source = value.source();
        while let Some(error) = source {
            let _ = write!(self.0, ": {error}");
            source = error.source();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_kept_and_the_rest_is_not() {
        let journal = Journal::default();
        tracing::subscriber::with_default(journal.clone(), || {
            tracing::warn!(sender = 7, "slow");
            tracing::info!("usual");
        });
        let lines = journal.lines();
        assert_eq!(lines.kept.len(), 1);
        assert!(lines.kept[0].starts_with("WARN ") && lines.kept[0].contains(" slow sender=7"), "{}", lines.kept[0]);
    }
}
