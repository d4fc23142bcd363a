//! What a provider's error codes mean: rows that replace those which ship with kabar.

use std::collections::BTreeMap;

use kabar_domain::outcome::ErrorRule;
use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeValue, ValueDeserializer},
};

use crate::{
    file::Source,
    nearest::nearest,
    problem::{Origin, Problem},
    typed::{AsTyped, Rules},
};

/// The rules of each provider, by its error codes.
pub type ErrorRules = BTreeMap<String, BTreeMap<i64, ErrorRule>>;

/// The section of the configuration file that holds them: `[errors.PROVIDER.CODE]`.
pub(crate) const SECTION: &str = "errors";

/// The providers whose codes may be given a meaning. A new provider is added here, too.
const PROVIDERS: [&str; 4] = ["whatsapp_cloud", "aws_social", "aws_sms", "twilio"];

/// Takes over the rules in `section`, each of which is a whole row.
pub(crate) fn read<F: Fn(usize) -> Origin>(source: &Source<'_, F>, section: Spanned<DeValue<'_>>, typed: &mut AsTyped) {
    let DeValue::Table(providers) = section.into_inner() else { return };
    for (provider, codes) in providers {
        let name = format!("{SECTION}.{}", provider.get_ref());
        let origin = source.at(provider.span().start);
        let provider = provider.into_inner();
        if !PROVIDERS.contains(&&*provider) {
            let known: Vec<_> = PROVIDERS.iter().map(|known| format!("{SECTION}.{known}")).collect();
            let nearest = nearest(&name, &known);
            typed.problems.push(Problem::Unknown { name, origin, nearest, known });
            continue;
        }
        let DeValue::Table(codes) = codes.into_inner() else {
            typed.problems.push(bad(name, origin, "sections named by error codes".to_owned()));
            continue;
        };
        for (code, rule) in codes {
            let name = format!("{name}.{}", code.get_ref());
            let origin = source.at(code.span().start);
            let Ok(code) = code.get_ref().parse() else {
                typed.problems.push(bad(name, origin, "a whole number as error code".to_owned()));
                continue;
            };
            match ErrorRule::deserialize(ValueDeserializer::from(rule)) {
                Ok(rule) => drop(typed.rules.insert((provider.to_string(), code), (rule, origin))),
                Err(error) => {
                    let wrong = error.message().replace('\n', ", ");
                    typed.problems.push(bad(name, origin, format!("a whole rule; {wrong}")));
                }
            }
        }
    }
}

fn bad(key: String, origin: Origin, allowed: String) -> Problem {
    Problem::BadValue { key, value: "a rule".to_owned(), origin, allowed, nearest: None }
}

/// The rules by provider and code.
pub(crate) fn by_provider(rules: Rules) -> ErrorRules {
    let mut providers = ErrorRules::new();
    for ((provider, code), (rule, _)) in rules {
        providers.entry(provider).or_default().insert(code, rule);
    }
    providers
}
