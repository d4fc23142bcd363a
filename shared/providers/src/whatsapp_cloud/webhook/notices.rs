//! Changes of templates, numbers and accounts.

use std::collections::BTreeMap;

use chrono::DateTime;
use kabar_domain::{
    report::{AccountBudget, PersonsWish, Report, TemplateChange},
    wish::{Covers, Wish},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    envelope::{Change, parse, text, time},
    messages::{number, word},
    notice, unreadable,
};
use crate::mask::mask;

#[derive(Deserialize)]
struct TemplateStatus<'a> {
    event: String,
    message_template_name: String,
    #[serde(borrow, default)]
    message_template_language: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Capability<'a> {
    #[serde(borrow, default)]
    max_daily_conversations_per_business: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Preferences<'a> {
    #[serde(borrow)]
    user_preferences: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Preference<'a> {
    #[serde(borrow, default)]
    wa_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    category: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
}

/// The fields that a notice shows, with those within them: a list of what is known to hold no personal data, as
/// against numbers, user ids and free text.
const SHOWN: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("decision", &[]),
    ("reason", &[]),
    ("alert_type", &[]),
    ("alert_severity", &[]),
    ("alert_status", &[]),
    ("current_limit", &[]),
    ("old_limit", &[]),
    ("max_daily_conversations_per_business", &[]),
    ("max_daily_conversation_per_phone", &[]),
    ("max_phone_numbers_per_business", &[]),
    ("max_phone_numbers_per_waba", &[]),
    ("message_template_name", &[]),
    ("message_template_language", &[]),
    ("previous_quality_score", &[]),
    ("new_quality_score", &[]),
    ("previous_category", &[]),
    ("new_category", &[]),
    ("correct_category", &[]),
    ("rejection_reason", &[]),
    ("violation_info", &["violation_type"]),
    ("ban_info", &["waba_ban_state", "waba_ban_date"]),
    ("disable_info", &["disable_date"]),
];

/// Adds what `change` says to `reports`.
pub(super) fn read(change: &Change<'_>, reports: &mut Vec<Report>) {
    match change.field.as_str() {
        "message_template_status_update" => reports.push(template(change)),
        "user_preferences" => preferences(change, reports),
        "business_capability_update" => {
            reports.extend(budget(change).map(Report::Budget));
            reports.push(notice(&change.account, "business_capability_update", detail(change.value)));
        }
        field => reports.push(notice(&change.account, word(field), detail(change.value))),
    }
}

fn template(change: &Change<'_>) -> Report {
    let Some(status) = parse::<TemplateStatus<'_>>(change.value) else {
        return unreadable(&change.account, "a change of a template's status");
    };
    Report::Template(TemplateChange {
        account: change.account.clone(),
        name: status.message_template_name,
        // Written `en-US` here alone; everywhere else it is `en_US`.
        language: text(status.message_template_language).unwrap_or_default().replace('-', "_"),
        status: status.event.to_ascii_uppercase(),
    })
}

/// How many people a portfolio may write to. The text is a tier's name; older versions of the webhook give a number, -1 for as
/// many as there are.
fn budget(change: &Change<'_>) -> Option<AccountBudget> {
    let capability: Capability<'_> = parse(change.value)?;
    let people_per_day = people_per_day(&text(capability.max_daily_conversations_per_business)?)?;
    Some(AccountBudget { account: change.account.clone(), people_per_day })
}

/// The number of people in a tier such as `TIER_2K`; none inside: as many as there are.
fn people_per_day(tier: &str) -> Option<Option<u64>> {
    let tier = tier.strip_prefix("TIER_").unwrap_or(tier);
    match (tier, tier.strip_suffix('K')) {
        ("UNLIMITED" | "-1", _) => Some(None),
        (_, Some(thousands)) => Some(Some(thousands.parse::<u64>().ok()?.checked_mul(1_000)?)),
        (number, None) => Some(Some(number.parse().ok()?)),
    }
}

fn preferences(change: &Change<'_>, reports: &mut Vec<Report>) {
    let Some(value) = parse::<Preferences<'_>>(change.value) else {
        return reports.push(unreadable(&change.account, "a change of preferences"));
    };
    let sender = change.phone_number_id();
    for piece in value.user_preferences {
        let Some(preference) = parse::<Preference<'_>>(piece) else {
            reports.push(unreadable(&change.account, "a preference"));
            continue;
        };
        reports.push(match wish(change, sender.as_deref(), &preference) {
            Some(wish) => Report::Wish(wish),
            None => {
                let shown = |piece: Option<&RawValue>| word(&text(piece).unwrap_or_default());
                let detail = format!("{} of {}", shown(preference.value), shown(preference.category));
                notice(&change.account, "user_preferences", detail)
            }
        });
    }
}

/// What a person chose in the settings of the chat; none where it says something that is not known, or not of whom.
fn wish(change: &Change<'_>, sender: Option<&str>, preference: &Preference<'_>) -> Option<PersonsWish> {
    let covers = match text(preference.category)?.as_str() {
        "marketing_messages" => Covers::Marketing,
        _ => return None,
    };
    Some(PersonsWish {
        sender_address: sender?.to_owned(),
        from: number(&text(preference.wa_id)?)?,
        wish: match text(preference.value)?.as_str() {
            "stop" => Wish::Stop(covers),
            "resume" => Wish::Start(covers),
            _ => return None,
        },
        source: "their settings on WhatsApp",
        at: time(preference.timestamp).or(change.time).unwrap_or(DateTime::UNIX_EPOCH),
    })
}

/// What may be shown of a change, as `name=value` in the order of [`SHOWN`].
fn detail(value: &RawValue) -> String {
    let fields: BTreeMap<String, &RawValue> = parse(value).unwrap_or_default();
    let mut shown = Vec::new();
    for (name, inner) in SHOWN {
        let Some(piece) = fields.get(*name).copied() else { continue };
        if inner.is_empty() {
            shown.extend(text(Some(piece)).map(|text| format!("{name}={text}")));
        } else {
            let within: BTreeMap<String, &RawValue> = parse(piece).unwrap_or_default();
            let texts = inner.iter().filter_map(|name| Some((name, text(within.get(*name).copied())?)));
            shown.extend(texts.map(|(name, text)| format!("{name}={text}")));
        }
    }
    mask(&shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_numbers_of_people() {
        for (tier, people) in [("TIER_250", 250), ("TIER_2K", 2_000), ("TIER_100K", 100_000), ("10000", 10_000)] {
            assert_eq!(people_per_day(tier), Some(Some(people)), "{tier}");
        }
        assert_eq!([people_per_day("TIER_UNLIMITED"), people_per_day("-1")], [Some(None), Some(None)]);
        assert_eq!([people_per_day("TIER_NEW"), people_per_day("K"), people_per_day("")], [None; 3]);
    }
}
