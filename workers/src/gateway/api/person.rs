//! What a request says of people: name, fields, time zone, consent.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use kabar_domain::phone::{DefaultRegion, PhoneNumber};
use kabar_store::{NewConsent, NewRecipient};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use crate::views::Timestamp;

/// The most people of one request: what one transaction writes.
const MOST_PEOPLE: usize = 1_000;

/// The longest name and value, in characters. No message can carry more.
const MOST_CHARS: usize = 4_096;

/// The longest source of a consent, in characters.
const MOST_SOURCE_CHARS: usize = 500;

/// What is said of a person; what is left out stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    /// The name.
    #[schema(max_length = 4096)]
    name: Option<String>,
    /// Values by field name, for the placeholders of broadcasts; they take the place of all that are known.
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// Where they are, such as `Asia/Jakarta`: for quiet hours.
    timezone: Option<String>,
    /// That they agree to marketing.
    consent: Option<GivenConsent>,
}

/// That a person agrees to marketing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenConsent {
    /// Where they said so, such as `web form`.
    #[schema(min_length = 1, max_length = 500)]
    source: String,
    /// When; now where it is left out. A consent that is known stays, unless this is later.
    #[schema(value_type = Option<Timestamp>)]
    at: Option<DateTime<Utc>>,
}

/// People of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Members {
    /// Who comes in.
    #[schema(min_items = 1, max_items = 1000)]
    recipients: Vec<Member>,
}

/// Somebody who comes into a group, and what is said of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    /// The number, as +628123456789.
    to: String,
    /// The name.
    #[schema(max_length = 4096)]
    name: Option<String>,
    /// Values by field name, for the placeholders of broadcasts; they take the place of all that are known.
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// Where they are, such as `Asia/Jakarta`: for quiet hours.
    timezone: Option<String>,
    /// That they agree to marketing.
    consent: Option<GivenConsent>,
}

/// What a body says of the person with this number.
pub(super) fn person(body: Value, phone: PhoneNumber) -> Result<NewRecipient, Problem> {
    read::<Person>(body)?.of(phone, "")
}

/// The people of a body.
pub(super) fn members(body: Value, region: Option<DefaultRegion>) -> Result<Vec<NewRecipient>, Problem> {
    let members: Members = read(body)?;
    let count = members.recipients.len();
    if !(1..=MOST_PEOPLE).contains(&count) {
        let problem = format!("recipients: has {count} people; 1 to {MOST_PEOPLE} are taken at once");
        return Err(Problem::new(Kind::Invalid, problem).of("recipients"));
    }
    let read = |(index, member): (usize, Member)| {
        let Member { to, name, fields, timezone, consent } = member;
        let place = format!("recipients[{index}].");
        let parsed = PhoneNumber::parse(&to, region);
        let phone = parsed.map_err(|error| invalid(&place, "to", &error.to_string()).given(Some(&to.into())))?.number;
        Person { name, fields, timezone, consent }.of(phone, &place)
    };
    members.recipients.into_iter().enumerate().map(read).collect()
}

impl Person {
    fn of(self, phone: PhoneNumber, place: &str) -> Result<NewRecipient, Problem> {
        let fits = |field: &str, text: &str, most: usize| {
            let problem = || invalid(place, field, &format!("must have at most {most} characters, and no NUL"));
            if text.chars().count() > most || text.contains('\0') { Err(problem()) } else { Ok(()) }
        };
        if let Some(name) = &self.name {
            fits("name", name, MOST_CHARS)?;
        }
        for (name, value) in &self.fields {
            fits("fields", name, MOST_CHARS)?;
            fits(&format!("fields.{name}"), value, MOST_CHARS)?;
        }
        let zone = |text: String| {
            let problem = || invalid(place, "timezone", "is no time zone; write it as Asia/Jakarta");
            text.parse::<Tz>().map_err(|_| problem().given(Some(&text.into())))
        };
        let consent = |given: GivenConsent| {
            fits("consent.source", &given.source, MOST_SOURCE_CHARS)?;
            if given.source.trim().is_empty() {
                return Err(invalid(place, "consent.source", "is empty; say where they agreed"));
            }
            Ok(NewConsent { source: given.source, at: given.at.map(|at| at.timestamp_millis()) })
        };
        Ok(NewRecipient {
            phone,
            name: self.name,
            fields: self.fields,
            timezone: self.timezone.map(zone).transpose()?,
            consent: self.consent.map(consent).transpose()?,
        })
    }
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { path };
        let detail = error.into_inner().to_string();
        let detail = if field.is_empty() { detail } else { format!("{field}: {detail}") };
        Problem::new(Kind::Invalid, detail).of(field)
    })
}

fn invalid(place: &str, field: &str, problem: &str) -> Problem {
    Problem::new(Kind::Invalid, format!("{place}{field}: {problem}")).of(format!("{place}{field}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_of_a_person_is_read() {
        let phone = PhoneNumber::from_e164("+6281234567890").unwrap();
        let body = json!({"name": "Siti", "fields": {"package": "Hemat"}, "timezone": "Asia/Jakarta",
            "consent": {"source": "web form", "at": "2026-12-01T07:00:00+07:00"}});
        let person = person(body, phone.clone()).unwrap();
        assert_eq!((person.timezone, person.fields["package"].as_str()), (Some(chrono_tz::Asia::Jakarta), "Hemat"));
        assert_eq!(person.consent, Some(NewConsent { source: "web form".to_owned(), at: Some(1_796_083_200_000) }));
        assert_eq!(super::person(json!({}), phone.clone()).unwrap(), NewRecipient::new(phone));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (wrong, place) in [
            (json!({"timezone": "WIB"}), "recipients[1].timezone"),
            (json!({"to": "nobody"}), "recipients[1].to"),
            (json!({"consent": {"source": " "}}), "recipients[1].consent.source"),
            (json!({"fields": {"a": 7}}), "recipients[1].fields.a"),
            (json!({"nickname": "x"}), "recipients[1].nickname"),
        ] {
            let mut second = json!({"to": "+6281234567891"});
            second.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
            let body = json!({"recipients": [{"to": "+6281234567890"}, second]});
            let problem = format!("{:?}", members(body, None).unwrap_err());
            assert!(problem.contains(place), "{place}: {problem}");
        }
        for none in [
            json!({"recipients": []}),
            json!({}),
            json!([]),
            json!({"recipients": vec![json!({"to": "+6281234567890"}); 1_001]}),
        ] {
            assert!(members(none, None).is_err());
        }
    }
}
