//! Takes personal data out of a provider's own words before they are shown.

/// The longest text that is kept, in characters.
const MAX_CHARS: usize = 200;
/// From how many digits on a run may be a phone number.
const MIN_NUMBER_DIGITS: usize = 7;

/// `text` without phone numbers, links and quoted values, on one line and at most 200 characters long.
///
/// A run of digits counts as one across the marks that people write in numbers. Quoted values go, since providers quote
/// the parameter that they refuse, and links, since they may carry a key.
pub(crate) fn mask(text: &str) -> String {
    let words: Vec<&str> =
        text.split_whitespace().map(|word| if word.contains("://") { "(link)" } else { word }).collect();
    let line = without_quotes(&words.join(" "));
    let mut masked = without_numbers(&line);
    if let Some((end, _)) = masked.char_indices().nth(MAX_CHARS) {
        masked.truncate(end);
        masked.push('…');
    }
    masked
}

/// Replaces what stands between double quotes, whatever their shape; a quote that is not closed hides the rest.
fn without_quotes(text: &str) -> String {
    let is_quote = |c: char| matches!(c, '"' | '“' | '”' | '„');
    let mut parts = text.split(is_quote);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    while parts.next().is_some() {
        shown.push_str("(value)");
        shown.push_str(parts.next().unwrap_or_default());
    }
    shown
}

fn without_numbers(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '+') {
        let (before, from) = rest.split_at(start);
        shown.push_str(before);
        let end = from.find(|c: char| !is_number_char(c)).unwrap_or(from.len());
        let run = from[..end].trim_end_matches(|c: char| !c.is_ascii_digit() && c != '+');
        let run = if run.is_empty() { &from[..1] } else { run };
        if run.bytes().filter(u8::is_ascii_digit).count() >= MIN_NUMBER_DIGITS {
            shown.push_str("(number)");
        } else {
            shown.push_str(run);
        }
        rest = &from[run.len()..];
    }
    shown.push_str(rest);
    shown
}

fn is_number_char(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '+' | '-' | ' ' | '.' | '(' | ')' | '/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_links_and_quoted_values_do_not_pass() {
        assert_eq!(mask("Recipient +62 812-3456-7890 is not allowed"), "Recipient (number) is not allowed");
        assert_eq!(mask("to 6281234567890."), "to (number).");
        assert_eq!(mask("(#132000) expected 3 params, got 2"), "(#132000) expected 3 params, got 2");
        assert_eq!(mask("value \"Siti\" of 'x' is too long"), "value (value) of 'x' is too long");
        assert_eq!(mask("cannot fetch https://cdn.example/a?key=1 now\nsorry"), "cannot fetch (link) now sorry");
        assert_eq!(mask("open \"quote with a secret"), "open (value)");
        assert_eq!(mask(&"ä".repeat(300)).chars().count(), 201);
    }

    proptest! {
        #[test]
        fn no_run_of_seven_digits_passes(text in ".{0,80}", number in "[0-9]{7,15}") {
            let masked = mask(&format!("{text}{number}{text}"));
            prop_assert!(!masked.contains(&number));
            let longest = masked.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
            prop_assert!(longest < MIN_NUMBER_DIGITS);
        }
    }
}
