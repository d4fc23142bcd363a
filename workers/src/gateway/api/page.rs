//! Lists of any length, a page at a time.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;

/// How much of a list a request gets that does not say.
const USUAL_LIMIT: u32 = 100;

/// How much of a list a request gets at most.
pub(super) const MOST: u32 = 1_000;

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many are given at most
    #[param(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<u32>,
    /// Go on after a page: what was its `next`
    #[param(pattern = "^[0-9]{1,19}$")]
    after: Option<String>,
}

impl PageQuery {
    /// The part that is wanted; `begin` is where the list begins.
    pub(super) fn wanted(&self, begin: i64) -> Result<Wanted, Problem> {
        Wanted::read(self.limit, self.after.as_deref(), begin)
    }
}

/// Which part of a list is wanted, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Go on after this.
    pub(super) after: i64,
    limit: u32,
}

impl Wanted {
    /// Reads what a query says.
    pub(super) fn read(limit: Option<u32>, after: Option<&str>, begin: i64) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(USUAL_LIMIT);
        if !(1..=MOST).contains(&limit) {
            return Err(Problem::parameter("limit", &limit.to_string(), format!("is not within 1 and {MOST}")));
        }
        let plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let after = match after {
            None => begin,
            Some(text) => Some(text)
                .filter(plain)
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Problem::parameter("after", text, "is no cursor; give what `next` of a page was"))?,
        };
        Ok(Self { after, limit })
    }

    /// How many rows to look up: one more than is given tells whether there are more.
    pub(super) const fn look_up(self) -> u32 {
        self.limit + 1
    }

    /// The page of what was looked up, each row with the cursor behind it.
    pub(super) fn page<T>(self, rows: impl IntoIterator<Item = (i64, T)>) -> Page<T> {
        let mut rows: Vec<(i64, T)> = rows.into_iter().collect();
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let next = rows.last().filter(|_| more).map(|(cursor, _)| cursor.to_string());
        Page { data: rows.into_iter().map(|(_, row)| row).collect(), next }
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The rows.
    data: Vec<T>,
    /// Give this as `after` to go on; null at the end.
    next: Option<String>,
}

impl<T> Page<T> {
    /// A list that is always given whole.
    pub(super) fn whole(data: Vec<T>) -> Self {
        Self { data, next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_how_to_go_on_only_where_there_is_more() {
        let wanted = Wanted::read(Some(2), None, 0).unwrap();
        assert_eq!((wanted.after, wanted.look_up()), (0, 3));
        let more = wanted.page([(5, "a"), (7, "b"), (9, "c")]);
        assert_eq!((more.data, more.next.as_deref()), (vec!["a", "b"], Some("7")));
        let end = wanted.page([(9, "c")]);
        assert_eq!((end.data, end.next), (vec!["c"], None));
    }

    #[test]
    fn limits_and_cursors_that_are_none_are_refused() {
        assert!(Wanted::read(Some(0), None, 0).is_err() && Wanted::read(Some(1_001), None, 0).is_err());
        for none in ["", "-1", "+1", "x", "99999999999999999999"] {
            assert!(Wanted::read(None, Some(none), 0).is_err(), "{none}");
        }
    }
}
