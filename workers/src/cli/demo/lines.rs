//! The lines of the live view, as text.

use std::{fmt::Write as _, time::Duration};

use kabar_domain::message::{MessageState, Phase, StateCounts};

use super::{super::output::number as count, paint::Paint, plan::Plan, watch::Snapshot};

/// How many lines the live view has.
pub(super) const LIVE_LINES: usize = 5;

/// The width of bars, in characters.
const BAR_CHARS: u64 = 28;

/// Something that has happened, with when.
pub(super) fn event(paint: Paint, seen: &Snapshot, text: &str) -> String {
    format!("  {} {} {text}", paint.dim(&stamp(seen)), paint.cyan("•"))
}

/// The lines of the live view.
pub(super) fn live(paint: Paint, plan: &Plan, seen: &Snapshot) -> [String; LIVE_LINES] {
    let row = |name: &str, text: String| format!("  {} {text}", paint.bold(&format!("{name:<9}")));
    [
        String::new(),
        row("broadcast", progress(paint, plan, seen)),
        row("pace", pace(paint, seen)),
        row("under way", on_the_way(seen)),
        row("ended", ended(paint, &seen.all)),
    ]
}

/// All of it in one line.
pub(super) fn plain(paint: Paint, plan: &Plan, seen: &Snapshot) -> String {
    let (done, all) = (count(seen.broadcast.counts.of(Phase::Done)), count(plan.recipients.into()));
    let pace = match seen.parked_for {
        Some(parked_for) => format!("parked {}", seconds(parked_for)),
        None => format!("{}/s", count(seen.last_second)),
    };
    format!("  {} {done} of {all} done, {pace}; {}  {}", stamp(seen), on_the_way(seen), ended(paint, &seen.all))
}

fn stamp(seen: &Snapshot) -> String {
    format!("{:>6.1} s", seen.elapsed.as_secs_f64())
}

fn progress(paint: Paint, plan: &Plan, seen: &Snapshot) -> String {
    let (done, all) = (seen.broadcast.counts.of(Phase::Done), u64::from(plan.recipients));
    let filled = done * BAR_CHARS / all.max(1);
    let bar = paint.green(&repeat('━', filled)) + &paint.dim(&repeat('─', BAR_CHARS - filled));
    let rest = match seen.left {
        _ if done == all => ", all done".to_owned(),
        Some(left) => format!(", {} left", about(left)),
        None => String::new(),
    };
    format!("{bar} {} of {}{rest}", count(done), count(all))
}

fn pace(paint: Paint, seen: &Snapshot) -> String {
    let Some(limit) = seen.sender.rate.limit() else {
        return format!(
            "{} in the last second, no limit; most so far {}",
            count(seen.last_second),
            count(seen.worst as u64)
        );
    };
    let limit = u64::from(limit);
    let filled = (seen.last_second * BAR_CHARS / limit).min(BAR_CHARS);
    let bar = paint.cyan(&repeat('▪', filled)) + &paint.dim(&repeat('·', BAR_CHARS - filled));
    let told = if let Some(parked_for) = seen.parked_for {
        paint.yellow(&format!("parked {}: provider says slow down", seconds(parked_for)))
    } else {
        let now = format!("{}/s of {limit} allowed", seen.last_second);
        match seen.sender.effective_rate.filter(|rate| *rate < limit as f64) {
            Some(rate) => format!("{now}, {}", paint.yellow(&format!("now at {rate:.0}/s"))),
            None => format!("{now}, most {}/s", seen.worst),
        }
    };
    format!("{bar} {told}")
}

fn on_the_way(seen: &Snapshot) -> String {
    use MessageState::{Accepted, Claimed, InDoubt, Queued, Sending, Sent};
    let of = |state| seen.all.get(state);
    let mut text = format!("{} queued  {} in flight", count(of(Queued)), count(of(Claimed) + of(Sending)));
    if of(InDoubt) > 0 {
        let _ = write!(text, "  {} in doubt", count(of(InDoubt)));
    }
    let _ = write!(text, "  {} accepted  {} sent", count(of(Accepted)), count(of(Sent)));
    text
}

fn ended(paint: Paint, counts: &StateCounts) -> String {
    use MessageState::{Blocked, Cancelled, Delivered, Expired, Failed, Read, Skipped, Unresolved};
    let told = |state: MessageState| format!("{} {state}", count(counts.get(state)));
    let mut parts = vec![told(Delivered), paint.green(&told(Read))];
    for state in [Failed, Blocked] {
        parts.push(if counts.get(state) > 0 { paint.red(&told(state)) } else { told(state) });
    }
    parts.push(told(Skipped));
    parts.extend([Cancelled, Expired, Unresolved].into_iter().filter(|state| counts.get(*state) > 0).map(told));
    parts.join("  ")
}

fn repeat(sign: char, times: u64) -> String {
    (0..times).map(|_| sign).collect()
}

/// A duration in seconds, to the tenth.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// About how long, in the largest unit that says enough.
pub(super) fn about(duration: Duration) -> String {
    match duration.as_secs_f64().ceil() as u64 {
        short @ 0..=99 => format!("about {short} s"),
        long @ 100..=5_999 => format!("about {} min", long.div_ceil(60)),
        longer => format!("about {:.1} h", longer as f64 / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let about = |seconds: u64| about(Duration::from_secs(seconds));
        assert_eq!(
            [9, 99, 100, 3_600, 100_000].map(about),
            ["about 9 s", "about 99 s", "about 2 min", "about 60 min", "about 27.8 h"]
        );
    }
}
