//! What the demo says at its start and at its end.

use std::{path::Path, time::Duration};

use anyhow::bail;
use kabar_domain::message::{MessageState, Phase, SkipReason};

use super::{
    super::output::{number as count, plural},
    End,
    lines::{about, seconds},
    plan::Plan,
    screen::Screen,
    tally::{Reason, Tally},
};

/// The width of the column of names.
const NAME_CHARS: usize = 13;

/// The width of running text.
const TEXT_CHARS: usize = 79;

/// The width of explanations.
const EXPLAINED_CHARS: usize = 60;

/// Arrivals may bunch by so much of the limit on a machine that has too much else to do; more is a fault of the pace.
const BUNCHED_AT_MOST: f64 = 0.1;

/// One thing that must hold.
struct Check {
    verdict: Verdict,
    name: &'static str,
    told: String,
}

/// Whether it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    /// Not quite, and for want of a quiet machine.
    Nearly,
    Broken,
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Broken }
    }
}

/// Says what is about to happen.
pub(super) fn introduce(screen: &mut Screen, plan: &Plan) {
    let paint = screen.paint();
    let people = plural(plan.recipients.into(), "made-up pilgrim");
    let get = if plan.recipients == 1 { "gets" } else { "get" };
    let (rate, limits) = match plan.rate.limit() {
        Some(rate) => (format!("at {rate} a second"), "limits the rate, throttles, hangs up on requests,"),
        None => ("as fast as it goes".to_owned(), "sets no limit, hangs up on some requests,"),
    };
    let text = format!(
        "{people} {get} a departure notice {rate}, with payment reminders and urgent messages in between. The planner, \
         dispatcher, couriers and SQLite ledger are those of `kabar run`. A sandbox on this machine plays WhatsApp: it \
         {limits} and posts its receipts twice and out of order. Nothing leaves this machine. It takes {}; Ctrl-C ends it.",
        about(plan.expected),
    );
    screen.say(paint.bold("kabar demo"));
    wrapped(&text, TEXT_CHARS).iter().for_each(|line| screen.say(line));
    screen.say("");
}

/// Says what it all came to.
///
/// # Errors
/// When something does not hold that must.
pub(super) fn tell(screen: &Screen, plan: &Plan, tally: &Tally, end: End, took: Duration) -> anyhow::Result<()> {
    let paint = screen.paint();
    let accepted = tally.counters.accepted;
    let rate = accepted as f64 / tally.seen.span.as_secs_f64().max(0.001);
    screen.say(format!(
        "{} {} messages accepted in {} ({rate:.1} a second), all receipts by {}.\n",
        paint.bold(if end == End::Settled { "Done:" } else { "Given up:" }),
        count(accepted),
        seconds(tally.seen.span),
        seconds(took),
    ));
    tell_table(screen, tally);
    tell_reasons(screen, tally);
    let checks = checks(plan, tally, end);
    screen.say(format!("\n{}", paint.bold("What must hold")));
    for check in &checks {
        let mark = match check.verdict {
            Verdict::Holds => paint.green("✓"),
            Verdict::Nearly => paint.yellow("!"),
            Verdict::Broken => paint.red("✗"),
        };
        screen.say(format!("  {mark} {:<15} {}", check.name, check.told));
    }
    let broken = checks.iter().filter(|check| check.verdict == Verdict::Broken);
    let broken: Vec<String> = broken.map(|check| format!("{}: {}", check.name, check.told)).collect();
    if !broken.is_empty() {
        bail!("the demo found what must not be: {}", broken.join("; "));
    }
    Ok(())
}

/// The jobs with the states in which their messages ended, as far as there are any.
fn tell_table(screen: &Screen, tally: &Tally) {
    let paint = screen.paint();
    let states: Vec<MessageState> =
        MessageState::ALL.into_iter().filter(|state| tally.ledger.get(*state) > 0).collect();
    let mut head = format!("  {:<NAME_CHARS$} {:>8}", "job", "messages");
    states.iter().for_each(|state| head.push_str(&column(state.as_str(), *state)));
    screen.say(paint.bold(&head));
    for row in &tally.rows {
        let mut line = format!("  {:<NAME_CHARS$} {:>8}", row.name, count(row.expected));
        states.iter().for_each(|state| line.push_str(&column(&count(row.counts.get(*state)), *state)));
        screen.say(line);
    }
    let mut total = format!("  {:<NAME_CHARS$} {:>8}", "total", count(tally.expected()));
    states.iter().for_each(|state| total.push_str(&column(&count(tally.ledger.get(*state)), *state)));
    screen.say(paint.bold(&total));
}

fn column(text: &str, state: MessageState) -> String {
    format!("  {text:>width$}", width = state.as_str().len().max(5))
}

/// Who was not reached, and why.
fn tell_reasons(screen: &Screen, tally: &Tally) {
    if tally.reasons.is_empty() {
        return;
    }
    let paint = screen.paint();
    screen.say(format!("\n{}", paint.bold("Not delivered, and why")));
    for reason in &tally.reasons {
        let more = if reason.has_more { " and others" } else { "" };
        let (messages, state, who) = (count(reason.messages), reason.state.as_str(), reason.who.join(", "));
        screen.say(format!("  {messages:>5} {state:<9}  {who}{more}"));
        for line in wrapped(&explained(reason), EXPLAINED_CHARS) {
            screen.say(paint.dim(&format!("{:19}{line}", "")));
        }
    }
}

/// Why, in words.
fn explained(reason: &Reason) -> String {
    // What follows a semicolon is the rule in full, and what is in brackets the provider's own words.
    let text = reason.text.split([';', '(']).next().unwrap_or_default().trim();
    match (reason.code, text) {
        (Some(code), text) => format!("{code}: {text}"),
        (None, text) if text == SkipReason::RecipientBlocked.as_str() => {
            "was blocked before it was their turn".to_owned()
        }
        (None, "paid") => "the invoice was paid before the next reminders were due".to_owned(),
        (None, text) => text.to_owned(),
    }
}

/// `text` in lines of at most `width` characters, unless a word is longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn checks(plan: &Plan, tally: &Tally, end: End) -> Vec<Check> {
    let (expected, found) = (tally.expected(), tally.ledger.total());
    let rows_agree = tally.rows.iter().all(|row| row.counts.total() == row.expected);
    let open = found - tally.ledger.of(Phase::Done);
    let astray = tally.missing + tally.unrecorded + tally.seen.foreign;
    let (met, left_later) = tally.throttled;
    let failed = met - left_later;
    let check = |holds: bool, name, told| Check { verdict: holds.into(), name, told };
    vec![
        check(
            rows_agree && expected == found && open == 0 && end == End::Settled,
            "adds up",
            match open {
                0 => format!("{} = {}: each message ended in exactly one state", count(expected), count(found)),
                _ => format!("{} = {}, of which {open} have not ended", count(expected), count(found)),
            },
        ),
        check(
            astray == 0,
            "nothing lost",
            match astray {
                0 => format!("the ledger and the sandbox agree about each of {} messages", count(found)),
                _ => format!("the ledger and the sandbox disagree about {astray} of {} messages", count(found)),
            },
        ),
        check(tally.doubled == 0, "nothing twice", tell_doubled(tally)),
        pace_check(plan, tally),
        check(
            failed == 0,
            "throttles",
            match tally.counters.throttled {
                0 => "none were met".to_owned(),
                requests => format!(
                    "{} requests told to slow down; {left_later} of {met} messages left later, {failed} failed",
                    count(requests)
                ),
            },
        ),
        check(
            tally.seen.after_block == 0,
            "blocks",
            match tally.seen.after_block {
                0 => "nobody was written to once they were blocked".to_owned(),
                requests => format!("{requests} requests went to people who were blocked"),
            },
        ),
    ]
}

fn tell_doubled(tally: &Tally) -> String {
    let doubled = match tally.doubled {
        0 => "no message was accepted twice".to_owned(),
        doubled => format!("{doubled} messages were accepted twice"),
    };
    match tally.counters.dropped_after_accept {
        0 => doubled,
        hung_up => format!("{doubled}; {hung_up} got no answer but a receipt"),
    }
}

fn pace_check(plan: &Plan, tally: &Tally) -> Check {
    let (name, worst) = ("the pace held", count(tally.worst as u64));
    let Some(limit) = plan.rate.limit() else {
        let told = format!("there was no limit; {worst} requests in the busiest second");
        return Check { verdict: Verdict::Holds, name, told };
    };
    let requests = plural(tally.worst as u64, "request");
    let told = format!("{requests} in the worst one-second window, {} allowed", count(limit.into()));
    let most = f64::from(limit) + (f64::from(limit) * BUNCHED_AT_MOST).max(1.0);
    let verdict = match tally.worst {
        within if within <= limit as usize => Verdict::Holds,
        few if few as f64 <= most => {
            let told = format!("{told}: this machine was too busy to keep arrivals apart");
            return Check { verdict: Verdict::Nearly, name, told };
        }
        _ => Verdict::Broken,
    };
    Check { verdict, name, told }
}

/// Says where the ledger was kept, and how to look at it.
pub(super) fn tell_where(screen: &Screen, directory: &Path) {
    let paint = screen.paint();
    let path = directory.display();
    screen.say(format!("\n{} {path}", paint.bold("Kept in")));
    screen.say(format!("  KABAR_DATABASE_URL=sqlite://{path}/kabar.db kabar status"));
    screen
        .say(format!("  KABAR_DATABASE_URL=sqlite://{path}/kabar.db kabar broadcast show {}", super::jobs::BROADCAST));
}

/// Says what to try next.
pub(super) fn tell_what_next(screen: &Screen) {
    let paint = screen.paint();
    screen.say(format!("\n{}", paint.bold("What to try next")));
    screen.say("  your own number   WHATSAPP_PHONE_NUMBER_ID=… WHATSAPP_ACCESS_TOKEN=… kabar run");
    screen.say("  a first message   kabar send --to +62… --template hello_world --language en_US");
    screen.say("  everything else   kabar --help, README.md, ARCHITECTURE.md");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_at_words() {
        assert_eq!(wrapped("one two  three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("incomprehensible", 5), ["incomprehensible"]);
        assert!(wrapped("", 5).is_empty());
    }
}
