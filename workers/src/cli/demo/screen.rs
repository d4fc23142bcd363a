//! Where the demo is shown: live on a terminal, in plain lines elsewhere.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    lines::{self, LIVE_LINES},
    paint::Paint,
    plan::Plan,
    watch::Snapshot,
};

/// Without a terminal a run is told in about so many lines.
const PLAIN_LINES: u32 = 25;

/// Where the demo is shown.
pub(super) struct Screen {
    paint: Paint,
    live: Option<Live>,
    /// When the latest plain line was written, since the start.
    plain_at: Option<Duration>,
}

/// A few lines at the bottom of a terminal that are drawn anew; what is told scrolls above them.
struct Live {
    area: MultiProgress,
    rows: Vec<ProgressBar>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self { paint: Paint::new(is_terminal), live: is_terminal.then(Live::new), plain_at: None }
    }

    pub(super) const fn paint(&self) -> Paint {
        self.paint
    }

    /// Writes a line, or several.
    pub(super) fn say(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        if let Some(live) = &self.live
            && !live.rows.is_empty()
        {
            // A terminal that is gone needs no news.
            let _ = live.area.println(text);
            return;
        }
        // A reader that has closed the pipe has seen enough; the run goes on and cleans up.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// Tells of something that has happened.
    pub(super) fn event(&self, seen: &Snapshot, event: &str) {
        self.say(lines::event(self.paint, seen, event));
    }

    /// Shows how everything stands.
    pub(super) fn draw(&mut self, plan: &Plan, seen: &Snapshot) {
        if let Some(live) = &mut self.live {
            live.draw(lines::live(self.paint, plan, seen));
            return;
        }
        let every = (plan.expected / PLAIN_LINES).max(Duration::from_secs(1));
        if self.plain_at.is_none_or(|at| seen.elapsed >= at + every) {
            self.plain_at = Some(seen.elapsed);
            self.say(lines::plain(self.paint, plan, seen));
        }
    }

    /// Ends the live lines; what they showed last stays.
    pub(super) fn finish(&mut self) {
        if let Some(mut live) = self.live.take() {
            live.rows.drain(..).for_each(|row| row.abandon());
            // The last of them has no line break of its own.
            self.say("");
        }
        self.say("");
    }
}

impl Live {
    fn new() -> Self {
        Self { area: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()), rows: Vec::new() }
    }

    fn draw(&mut self, lines: [String; LIVE_LINES]) {
        if self.rows.is_empty() {
            // An empty line sets the live ones apart from what scrolls.
            let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            let row = || self.area.add(ProgressBar::new_spinner().with_style(style.clone()));
            self.rows = (0..LIVE_LINES).map(|_| row()).collect();
        }
        for (row, line) in self.rows.iter().zip(lines) {
            row.set_message(line);
        }
    }
}
