//! What a reminder would send, and when.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use kabar_domain::{
    content::Content,
    job::ReminderJob,
    reminder::{DaysBefore, PlannedReminder, plan},
    template::Template,
};
use serde::Serialize;
use utoipa::ToSchema;

/// What a reminder would send, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReminderPreview {
    /// The day that it is about.
    #[schema(value_type = String, format = Date)]
    pub due: NaiveDate,
    /// The zone of that day and of the times below.
    #[schema(value_type = String)]
    pub timezone: Tz,
    /// Its messages, the earliest first.
    pub messages: Vec<PreviewedMessage>,
    /// How many of its offsets lie in the past and are not sent.
    pub past: usize,
    /// What each of them says, where its template is known.
    pub text: Option<String>,
}

/// One message of a reminder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PreviewedMessage {
    /// Which offset it is for.
    #[schema(value_type = String)]
    pub before: DaysBefore,
    /// Not before this time, by the clocks of the reminder's zone, with their offset from UTC.
    pub at: String,
    /// Not from this time on.
    pub until: String,
}

impl ReminderPreview {
    /// What the reminder would send if it were enqueued at `now`.
    #[must_use]
    pub fn of(reminder: &ReminderJob, template: Option<&Template>, now: DateTime<Utc>) -> Self {
        let planned = plan(reminder.due, &reminder.before, reminder.at, reminder.timezone, now);
        Self::of_plan(reminder, &planned, template)
    }

    /// What the reminder will send by this plan.
    #[must_use]
    pub fn of_plan(reminder: &ReminderJob, planned: &[PlannedReminder], template: Option<&Template>) -> Self {
        let zone = reminder.timezone;
        let mut offsets = reminder.before.clone();
        offsets.sort_unstable();
        offsets.dedup();
        let text = match (reminder.content.due_on(reminder.due), template) {
            (Content::Template(content), Some(template)) => Some(template.rendered(&content)),
            (Content::Text(text), _) => Some(text.body),
            _ => None,
        };
        let messages = planned.iter().map(|one| PreviewedMessage {
            before: one.before,
            at: local(one.not_before, zone),
            until: local(one.expires_at, zone),
        });
        Self {
            due: reminder.due,
            timezone: zone,
            messages: messages.collect(),
            past: offsets.len() - planned.len(),
            text,
        }
    }
}

/// An instant by the clocks of a zone, with their offset from UTC.
#[must_use]
pub fn local(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use kabar_domain::job::{Door, Job};
    use serde_json::json;

    use super::*;

    #[test]
    fn it_tells_local_times_what_is_past_and_what_is_said() {
        let job = json!({"type": "reminder", "id": "r", "to": "+6281234567890", "due": "2026-12-12",
            "before": ["7d", "1d", "0d", "0d"], "timezone": "Asia/Jakarta",
            "content": {"template": {"name": "t", "language": "id", "params": ["Siti", {"date": "{due}"}]}}});
        let Job::Reminder(reminder) = Job::from_value(job, Door::default(), None).unwrap() else {
            panic!("a reminder")
        };
        let template = Template::parse(json!({"name": "t", "language": "id",
            "components": [{"type": "BODY", "text": "Halo {{1}}, jatuh tempo {{2}}."}]}))
        .unwrap();
        let preview = ReminderPreview::of(&reminder, Some(&template), "2026-12-06T00:00:00Z".parse().unwrap());
        let times: Vec<_> = preview.messages.iter().map(|one| (one.at.as_str(), one.until.as_str())).collect();
        assert_eq!(
            times,
            [
                ("2026-12-11T09:00:00+07:00", "2026-12-12T09:00:00+07:00"),
                ("2026-12-12T09:00:00+07:00", "2026-12-13T00:00:00+07:00"),
            ]
        );
        assert_eq!(preview.past, 1);
        assert_eq!(preview.text.as_deref(), Some("Halo Siti, jatuh tempo 12 Des 2026."));
    }
}
