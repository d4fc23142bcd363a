//! What somebody may have meant.

/// The most letters that a suggestion may differ in; beyond a third of the name it is a guess.
fn most_distance(name: &str) -> usize {
    (name.chars().count() / 3).max(2)
}

/// The one of `known` that `name` was most likely meant to be, if any comes close.
///
/// The last word of a dotted name counts for itself, so that a setting in the wrong section is found, too.
pub(crate) fn nearest<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_lowercase();
    let (typed, typed_last) = (name.to_lowercase(), last(name));
    known
        .into_iter()
        .map(|candidate| {
            let candidate = candidate.as_ref();
            let whole = distance(&typed, &candidate.to_lowercase());
            let misplaced = distance(&typed_last, &last(candidate)) + 1;
            let dotted = candidate.contains('.');
            (if dotted { whole.min(misplaced) } else { whole }, candidate.to_owned())
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= most_distance(&typed_last))
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or replaced to make `left` into `right` (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = row[j] + usize::from(a != *b);
            next.push(replaced.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_letters() {
        for (left, right, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("margin", "margn", 1)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn the_nearest_name_is_found_or_none() {
        let known = ["pace.margin", "fleet.lease", "log.format"];
        assert_eq!(nearest("pace.margn", known).as_deref(), Some("pace.margin"));
        assert_eq!(nearest("pace.lease", known).as_deref(), Some("fleet.lease"));
        assert_eq!(nearest("FORMAT", known).as_deref(), Some("log.format"));
        assert_eq!(nearest("smtp.host", known), None);
    }
}
