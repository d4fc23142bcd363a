//! Error policies: tables of rules by code, shipped as data and overridden row by row.

use std::{collections::BTreeMap, ops::RangeInclusive};

use kabar_domain::outcome::{Decision, ErrorRule};

use crate::options::ProviderError;

/// What a provider's codes mean and what to do about them.
#[derive(Debug, Clone)]
pub struct Policy {
    exact: BTreeMap<i64, ErrorRule>,
    ranges: Vec<(RangeInclusive<i64>, ErrorRule)>,
}

impl Policy {
    /// Reads a table whose keys are codes or ranges `LOW-HIGH`, and lays `overrides` over it.
    pub(crate) fn load(
        provider: &'static str,
        table: &str,
        overrides: &BTreeMap<i64, ErrorRule>,
    ) -> Result<Self, ProviderError> {
        let rows: BTreeMap<String, ErrorRule> =
            toml::from_str(table).map_err(|source| ProviderError::Table { provider, source })?;
        let mut policy = Self { exact: BTreeMap::new(), ranges: Vec::new() };
        for (key, rule) in rows {
            check(provider, &key, &rule)?;
            match (key.parse(), range(&key)) {
                (Ok(code), _) => drop(policy.exact.insert(code, rule)),
                (_, Some(range)) => policy.ranges.push((range, rule)),
                _ => return Err(unusable(provider, &key, "is neither a code nor a range such as 200-299")),
            }
        }
        for (code, rule) in overrides {
            check(provider, &code.to_string(), rule)?;
            policy.exact.insert(*code, rule.clone());
        }
        Ok(policy)
    }

    /// Whether the table has a row for `code`. Codes without one follow the provider's default rule and should be
    /// counted and shown: providers add several a year.
    #[must_use]
    pub fn knows(&self, code: i64) -> bool {
        self.rule(code).is_some()
    }

    /// The rule for `code`: its own row, else the range that holds it.
    #[must_use]
    pub fn rule(&self, code: i64) -> Option<&ErrorRule> {
        let range = || self.ranges.iter().find(|(range, _)| range.contains(&code)).map(|(_, rule)| rule);
        self.exact.get(&code).or_else(range)
    }

    /// Every row, for listings: lowest and highest code, which are the same but for ranges, and the rule.
    pub fn rows(&self) -> impl Iterator<Item = (i64, i64, &ErrorRule)> {
        let exact = self.exact.iter().map(|(code, rule)| (*code, *code, rule));
        exact.chain(self.ranges.iter().map(|(range, rule)| (*range.start(), *range.end(), rule)))
    }
}

fn range(key: &str) -> Option<RangeInclusive<i64>> {
    let (low, high) = key.split_once('-')?;
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some(low..=high)
}

/// Refuses decisions that an error can never be: they would mark a refused message as on its way, or as never tried.
fn check(provider: &'static str, key: &str, rule: &ErrorRule) -> Result<(), ProviderError> {
    match rule.decision {
        Decision::Accepted | Decision::NotSent => {
            Err(unusable(provider, key, "an error cannot be decided as accepted or not_sent"))
        }
        _ => Ok(()),
    }
}

fn unusable(provider: &'static str, code: &str, problem: &str) -> ProviderError {
    ProviderError::Rule { provider, code: code.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"
        [5]
        decision = "failed"
        meaning = "five"
        ["1-9"]
        decision = "halt"
        meaning = "one to nine"
    "#;

    #[test]
    fn a_code_wins_over_its_range_and_an_override_over_both() {
        let policy = Policy::load("p", TABLE, &BTreeMap::new()).unwrap();
        assert_eq!(policy.rule(5).unwrap().meaning, "five");
        assert_eq!(policy.rule(9).unwrap().meaning, "one to nine");
        assert!(policy.knows(1) && !policy.knows(0) && !policy.knows(10));

        let own = ErrorRule { meaning: "own".into(), ..policy.rule(5).unwrap().clone() };
        let policy = Policy::load("p", TABLE, &BTreeMap::from([(5, own.clone()), (77, own)])).unwrap();
        assert_eq!(policy.rule(5).unwrap().meaning, "own");
        assert!(policy.knows(77));
        assert_eq!(policy.rows().count(), 3);
    }

    #[test]
    fn an_error_cannot_be_an_acceptance() {
        let table = "[5]\ndecision = \"accepted\"\nmeaning = \"x\"";
        let error = Policy::load("p", table, &BTreeMap::new()).unwrap_err().to_string();
        assert_eq!(error, "errors.p.5: an error cannot be decided as accepted or not_sent");
        assert!(Policy::load("p", "[x]\ndecision = \"failed\"\nmeaning = \"x\"", &BTreeMap::new()).is_err());
    }
}
