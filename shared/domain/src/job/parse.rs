//! From what a producer wrote to a job that can be carried out, or to an error that says what, where and what to do.

use chrono_tz::Tz;
use serde_json::Value;

use super::{Audience, AudienceMember, BroadcastJob, Job, JobId, MAX_INLINE_RECIPIENTS};
use crate::{
    content::Content,
    json,
    phone::{DefaultRegion, PhoneNumber},
    reminder::MAX_OFFSETS,
};

/// How a door reads what producers leave open.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// The country of numbers in national notation.
    pub default_region: Option<DefaultRegion>,
    /// The zone of reminders that name none.
    pub default_timezone: Tz,
    /// Whether a broadcast's recipients may come from a file, which only who loads that file can say.
    pub loads_files: bool,
}

impl Default for Door {
    fn default() -> Self {
        Self { default_region: None, default_timezone: Tz::UTC, loads_files: false }
    }
}

/// Why a job cannot be understood. The text never holds a phone number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidJob {
    /// Where, as a path.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

fn invalid<T>(field: impl Into<String>, problem: impl ToString) -> Result<T, InvalidJob> {
    Err(InvalidJob { field: field.into(), problem: problem.to_string() })
}

impl Job {
    /// Reads a job from JSON text; `fallback_id` is its id where it names none.
    ///
    /// # Errors
    /// The first field that cannot be understood.
    pub fn from_json(text: &[u8], door: Door, fallback_id: Option<JobId>) -> Result<Self, InvalidJob> {
        match json::parse(text) {
            Ok(value) => Self::from_value(value, door, fallback_id),
            Err(error) => invalid("job", format!("not JSON: {error}")),
        }
    }

    /// Reads a job from a JSON value; `fallback_id` is its id where it names none.
    ///
    /// # Errors
    /// The first field that cannot be understood.
    pub fn from_value(mut value: Value, door: Door, fallback_id: Option<JobId>) -> Result<Self, InvalidJob> {
        if holds_nul(&value) {
            return invalid("job", "holds a NUL character (\\u0000), which no provider takes; remove it");
        }
        let Value::Object(fields) = &mut value else { return invalid("job", "must be a JSON object") };
        fields.retain(|_, value| !value.is_null());
        if !fields.contains_key("id") {
            let Some(id) = fallback_id else { return invalid("id", "is missing; give the job an id of your own") };
            fields.insert("id".to_owned(), Value::String(id.to_string()));
        }
        normalise_numbers(&mut value, door.default_region)?;
        let job = match value.get("type").and_then(Value::as_str) {
            Some("send") => Self::Send(read(value)?),
            Some("broadcast") => Self::Broadcast(read(value)?),
            Some("reminder") => {
                if let Value::Object(fields) = &mut value {
                    fields.entry("timezone").or_insert_with(|| door.default_timezone.name().into());
                }
                Self::Reminder(read(value)?)
            }
            Some(other) => return invalid("type", format!("{other:?} is not known; give send, broadcast or reminder")),
            None => return invalid("type", "is missing; give send, broadcast or reminder"),
        };
        if let Self::Broadcast(BroadcastJob { audience: Audience::File(_), .. }) = &job
            && !door.loads_files
        {
            return invalid("audience", "must be {\"group\": …} or {\"recipients\": […]}");
        }
        job.check()?;
        Ok(job)
    }

    fn check(&self) -> Result<(), InvalidJob> {
        let content = match self {
            Self::Broadcast(job) => job.content.check(),
            Self::Send(job) => job.content.check_filled(),
            Self::Reminder(job) => job.content.due_on(job.due).check_filled(),
        };
        if let Err(error) = content {
            return invalid(format!("content.{}", error.field), error.problem);
        }
        match self {
            Self::Send(job) if job.send_at.zip(job.expires_at).is_some_and(|(from, until)| until <= from) => {
                invalid("expires_at", "is not after send_at")
            }
            Self::Broadcast(job) if job.send_at.zip(job.expires_at).is_some_and(|(from, until)| until <= from) => {
                invalid("expires_at", "is not after send_at")
            }
            Self::Broadcast(job) => match &job.audience {
                Audience::Recipients(list) if list.len() > MAX_INLINE_RECIPIENTS => invalid(
                    "audience.recipients",
                    format!("has {}; at most {MAX_INLINE_RECIPIENTS} may be listed, use a group or a file", list.len()),
                ),
                Audience::Recipients(list) => check_values(list, &job.content),
                Audience::Group(_) | Audience::File(_) => Ok(()),
            },
            Self::Reminder(job) if job.before.is_empty() || job.before.len() > MAX_OFFSETS => {
                invalid("before", format!("has {} offsets; 1 to {MAX_OFFSETS} are allowed", job.before.len()))
            }
            Self::Send(_) | Self::Reminder(_) => Ok(()),
        }
    }
}

/// Dates and amounts of recipients' own are written in the content's language, so none may stand inside another.
fn check_values(recipients: &[AudienceMember], content: &Content) -> Result<(), InvalidJob> {
    let inside = content.typed_fields();
    for (index, recipient) in recipients.iter().enumerate() {
        for (name, value) in &recipient.params {
            if value.as_text().is_some() {
                continue;
            }
            let field = || format!("audience.recipients[{index}].params.{name}");
            if inside.contains(name) {
                return invalid(field(), "must be a text: the content's own date, time, number or amount takes it");
            }
            if let Err(error) = value.written(content.language()) {
                return invalid(field(), error);
            }
        }
    }
    Ok(())
}

impl AudienceMember {
    /// Reads one from JSON text, as it stands in `audience.recipients`, and whether numbering plans say that such a number
    /// is assigned; `region` reads numbers in national notation.
    ///
    /// # Errors
    /// When the text is no JSON or no recipient; never with the value that is wrong.
    pub fn from_json(text: &[u8], region: Option<DefaultRegion>) -> Result<(Self, bool), InvalidJob> {
        let mut value = json::parse(text).or_else(|error| invalid("recipient", format!("not JSON: {error}")))?;
        if holds_nul(&value) {
            return invalid("recipient", "holds a NUL character (\\u0000), which no provider takes; remove it");
        }
        if !value.is_object() {
            return invalid("recipient", "must be a JSON object, with the number as to");
        }
        let number = value.get("to").and_then(Value::as_str).map(|text| PhoneNumber::parse(text, region));
        let assigned = match number {
            Some(Ok(parsed)) => {
                value["to"] = parsed.number.as_str().into();
                parsed.assigned
            }
            Some(Err(error)) => return invalid("to", error),
            None => false,
        };
        Ok((read_as("recipient", value)?, assigned))
    }
}

fn read<T: serde::de::DeserializeOwned>(mut value: Value) -> Result<T, InvalidJob> {
    if let Value::Object(fields) = &mut value {
        fields.remove("type");
    }
    read_as("job", value)
}

/// Reads a value; `whole` is what problems call it where no field is meant.
fn read_as<T: serde::de::DeserializeOwned>(whole: &str, value: Value) -> Result<T, InvalidJob> {
    serde_path_to_error::deserialize(value).or_else(|error| {
        let path = error.path().to_string();
        let problem = without_values(&error.into_inner().to_string());
        // A field whose name is empty has an empty path.
        invalid(if path == "." || path.is_empty() { whole.to_owned() } else { path }, problem)
    })
}

/// What serde says, without the value that it quotes: that may be a phone number or a message's text, and problems are
/// logged. Names of fields, which it quotes in other problems, stay.
pub(crate) fn without_values(problem: &str) -> String {
    let quotes_a_value = problem.starts_with("invalid type") || problem.starts_with("invalid value");
    match (quotes_a_value, problem.find(['`', '"']), problem.rfind(", expected ")) {
        (true, Some(from), Some(to)) if from < to => format!("{}{}", problem[..from].trim_end(), &problem[to..]),
        _ => problem.to_owned(),
    }
}

/// Postgres stores no NUL, and no provider takes one.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, item)| name.contains('\0') || holds_nul(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Writes `to` and each `audience.recipients[].to` in E.164.
fn normalise_numbers(job: &mut Value, region: Option<DefaultRegion>) -> Result<(), InvalidJob> {
    normalise(job.get_mut("to"), "to", region)?;
    if let Some(Value::Array(recipients)) = job.pointer_mut("/audience/recipients") {
        for (index, recipient) in recipients.iter_mut().enumerate() {
            normalise(recipient.get_mut("to"), &format!("audience.recipients[{index}].to"), region)?;
        }
    }
    Ok(())
}

fn normalise(number: Option<&mut Value>, field: &str, region: Option<DefaultRegion>) -> Result<(), InvalidJob> {
    if let Some(Value::String(text)) = number {
        match PhoneNumber::parse(text, region) {
            Ok(parsed) => *text = parsed.number.to_string(),
            Err(error) => return invalid(field, error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<Job, InvalidJob> {
        let door = Door {
            default_region: Some("ID".parse().unwrap()),
            default_timezone: chrono_tz::Asia::Jakarta,
            loads_files: false,
        };
        Job::from_value(value, door, None)
    }

    #[test]
    fn the_same_job_in_other_words_is_the_same() {
        let one = parse(json!({"type": "send", "id": "a", "to": "0812-3456-7890", "send_at": null,
            "content": {"template": {"name": "t", "language": "id", "params": ["x", 7]}}}));
        let two = parse(json!({"id": "a", "to": "+6281234567890", "type": "send", "priority": "normal",
            "content": {"template": {"name": "t", "language": "id", "params": {"2": "7", "1": "x"}}}}));
        assert_eq!(one.unwrap(), two.unwrap());
    }

    #[test]
    fn a_job_survives_its_own_json() {
        let job = parse(json!({"type": "reminder", "id": "i", "to": "0812-3456-7890", "due": "2026-12-12",
            "content": {"template": {"name": "t", "language": "id"}}}))
        .unwrap();
        assert_eq!(parse(serde_json::to_value(&job).unwrap()).unwrap(), job);
        let Job::Reminder(reminder) = job else { panic!("a reminder") };
        assert_eq!(reminder.timezone, chrono_tz::Asia::Jakarta);
    }

    #[test]
    fn errors_name_the_field_and_never_the_number() {
        let content = json!({"text": "x"});
        let problem = |value: Value| parse(value).unwrap_err().to_string();
        assert!(
            problem(json!({"type": "send", "to": "0812-3456-7890", "content": content})).starts_with("id: is missing")
        );
        assert!(problem(json!({"type": "sned", "id": "a"})).contains("\"sned\" is not known"));
        let bad = problem(json!({"type": "send", "id": "a", "to": "0812", "content": content}));
        assert_eq!(bad, "to: too short for its country");
        let extra = problem(json!({"type": "send", "id": "a", "to": "0812-3456-7890", "content": content, "prio": 1}));
        assert!(extra.contains("unknown field `prio`"), "{extra}");
        let unnamed = problem(json!({"type": "send", "id": "a", "to": "0812-3456-7890", "content": content, "": 1}));
        assert!(unnamed.starts_with("job: unknown field ``"), "{unnamed}");
        let nested = problem(json!({"type": "broadcast", "id": "a", "content": content,
            "audience": {"recipients": [{"to": "0812-3456-7890"}, {"to": "x"}]}}));
        assert_eq!(nested, "audience.recipients[1].to: not a phone number");
        let number = problem(json!({"type": "send", "id": "a", "to": 628_123_456_789_i64, "content": content}));
        assert!(number.starts_with("to: invalid type: integer, expected") && !number.contains("628"), "{number}");
        let text =
            problem(json!({"type": "send", "id": "a", "to": "0812-3456-7890", "content": {"template": "secret"}}));
        assert!(!text.contains("secret"), "{text}");
        assert!(
            problem(json!({"type": "send", "id": "a b", "to": "0812-3456-7890", "content": content}))
                .starts_with("id:")
        );
    }

    #[test]
    fn dates_and_amounts_may_stand_wherever_a_text_may() {
        let money = |amount: &str| json!({"money": {"amount": amount, "currency": "IDR"}});
        let template = |params: Value| json!({"template": {"name": "t", "language": "id", "params": params}});
        parse(json!({"type": "send", "id": "a", "to": "0812-3456-7890", "content": template(json!([money("1")]))}))
            .unwrap();
        let job = json!({"type": "reminder", "id": "i", "to": "0812-3456-7890", "due": "2026-12-12",
            "content": template(json!({"tanggal": {"date": "{due}"}, "total": money("2500000")}))});
        let job = parse(job).unwrap();
        assert_eq!(parse(serde_json::to_value(&job).unwrap()).unwrap(), job, "as a job is kept");
        let broadcast = |content: Value, params: Value| {
            parse(json!({"type": "broadcast", "id": "b", "content": content,
                "audience": {"recipients": [{"to": "0812-3456-7890", "params": params}]}}))
        };
        broadcast(template(json!(["{total}"])), json!({"total": money("5"), "age": 7})).unwrap();
        let refused = |job: Result<Job, InvalidJob>| job.unwrap_err().to_string();
        let twice = refused(broadcast(template(json!([{"date": "{due}"}])), json!({"due": {"date": "2026-12-12"}})));
        assert!(twice.starts_with("audience.recipients[0].params.due: must be a text"), "{twice}");
        let bad = refused(broadcast(template(json!(["{total}"])), json!({"total": money("five")})));
        assert!(
            bad.starts_with("audience.recipients[0].params.total: is not a number") && !bad.contains("five"),
            "{bad}"
        );
        let open = refused(parse(
            json!({"type": "send", "id": "a", "to": "0812-3456-7890", "content": template(json!([{"date": "{due}"}]))}),
        ));
        assert_eq!(open, "content.template.params[0]: is not a date: write it as 2026-12-12");
        let shape = refused(parse(
            json!({"type": "send", "id": "a", "to": "0812-3456-7890", "content": template(json!([{"day": "x"}]))}),
        ));
        assert!(shape.starts_with("content.template.params: [0]: not one of"), "{shape}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,300}") {
            let _ = Job::from_json(text.as_bytes(), Door::default(), None);
        }
    }
}
