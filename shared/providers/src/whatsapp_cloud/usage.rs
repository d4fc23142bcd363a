//! The headers that say how many calls of the last hour an application and a business account have used up:
//! `X-App-Usage` (an object of percentages) and `X-Business-Use-Case-Usage` (such objects by account and kind of use).

use std::{collections::HashMap, time::Duration};

use kabar_domain::outcome::Scope;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::{Deserialize, de::DeserializeOwned};

use crate::usage::Usage;

const APP: &str = "x-app-usage";
const ACCOUNT: &str = "x-business-use-case-usage";

/// The kind of use that is this API's; an account may use others, whose limits are others.
const KIND: &str = "whatsapp";

/// The longest wait that is believed: the limits are for an hour.
const MOST_MINUTES: u64 = 60;

/// Percentages of what may be called, and of the time that calls may take.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Shares {
    call_count: f64,
    total_cputime: f64,
    total_time: f64,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// In minutes.
    estimated_time_to_regain_access: u64,
}

/// Of the limits that an answer's headers tell of, the one of which the most is used up.
pub(super) fn read(headers: &HeaderMap) -> Option<Usage> {
    let app: Option<Shares> = object(headers.get(APP));
    let accounts: Option<HashMap<String, Vec<Shares>>> = object(headers.get(ACCOUNT));
    let accounts = accounts.into_iter().flat_map(HashMap::into_values).flatten();
    let ours = accounts.filter(|shares| shares.kind.as_deref().is_none_or(|kind| kind == KIND));
    let app = app.map(|shares| usage(Scope::App, &shares));
    app.into_iter().chain(ours.map(|shares| usage(Scope::Account, &shares))).max_by_key(|usage| usage.percent)
}

/// What a header says; nothing where it is missing or says nothing that is known.
fn object<T: DeserializeOwned>(header: Option<&HeaderValue>) -> Option<T> {
    serde_json::from_slice(header?.as_bytes()).ok()
}

fn usage(scope: Scope, shares: &Shares) -> Usage {
    // A cast of a number that is none, or out of bounds, is the nearest bound.
    let percent = shares.call_count.max(shares.total_cputime).max(shares.total_time) as u32;
    let minutes = shares.estimated_time_to_regain_access.min(MOST_MINUTES);
    Usage { scope, percent, regain_after: (minutes > 0).then(|| Duration::from_secs(60 * minutes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(app: Option<&str>, account: Option<&str>) -> Option<Usage> {
        let mut headers = HeaderMap::new();
        for (name, text) in [("X-App-Usage", app), ("X-Business-Use-Case-Usage", account)] {
            if let Some(text) = text {
                headers.insert(reqwest::header::HeaderName::try_from(name).unwrap(), text.parse().unwrap());
            }
        }
        read(&headers)
    }

    #[test]
    fn the_fullest_limit_is_told_with_whose_it_is() {
        let app = r#"{"call_count":28,"total_time":25,"total_cputime":91.5}"#;
        let account = r#"{"100000000000001":[
            {"type":"ads_management","call_count":100,"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":9},
            {"type":"whatsapp","call_count":95,"total_cputime":25,"total_time":25,"estimated_time_to_regain_access":0}]}"#;
        let account = account.replace('\n', "");
        let usage = |scope, percent| Some(Usage { scope, percent, regain_after: None });
        assert_eq!(told(Some(app), None), usage(Scope::App, 91));
        assert_eq!(told(Some(app), Some(&account)), usage(Scope::Account, 95));
        assert_eq!(told(None, None), None);
    }

    #[test]
    fn the_wait_is_in_minutes_and_an_hour_at_most() {
        for (minutes, believed) in [(19, 19), (100_000, 60)] {
            let account = format!(
                r#"{{"1":[{{"type":"whatsapp","call_count":100,"estimated_time_to_regain_access":{minutes}}}]}}"#
            );
            let regain_after = Some(Duration::from_secs(60 * believed));
            assert_eq!(told(None, Some(&account)), Some(Usage { scope: Scope::Account, percent: 100, regain_after }));
        }
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for text in ["", "x", "[]", "7", r#"{"1":{"call_count":1}}"#, r#"{"1":[{"call_count":"x"}]}"#, r#"{"1":[]}"#] {
            assert_eq!(told(None, Some(text)), None, "{text}");
        }
        assert_eq!(told(Some(r#"{"call_count":-3}"#), None).map(|usage| usage.percent), Some(0));
        assert_eq!(told(Some(r#"{"call_count":1e300}"#), None).map(|usage| usage.percent), Some(u32::MAX));
    }
}
