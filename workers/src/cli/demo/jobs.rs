//! What the demo enqueues, in the very JSON that producers write.

use chrono::{DateTime, Days, Timelike, Utc};
use chrono_tz::Asia::Jakarta;
use kabar_domain::{
    job::{Door, InvalidJob, Job},
    template::{InvalidTemplate, Template},
};
use serde_json::{Value, json};

use super::people;

/// The sender's name.
pub(super) const SENDER: &str = "demo";
/// The group's name.
pub(super) const GROUP: &str = "umroh-2026-12-01";
/// The broadcast's id.
pub(super) const BROADCAST: &str = "dep-2026-12-01";
/// How many urgent messages are sent, one job each.
pub(super) const URGENT: u64 = 5;

/// How many reminders there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reminders {
    /// One job per invoice.
    pub(super) jobs: u32,
    /// One message per offset of each.
    pub(super) messages: u64,
}

/// Six invoices; the first has three offsets, the others one.
pub(super) const REMINDERS: Reminders = Reminders { jobs: 6, messages: 8 };

/// The invoice that is paid in the middle of the run.
pub(super) const PAID: u32 = 0;

/// The invoice of the person whose number the provider refuses.
const TO_REFUSED: u32 = 5;

/// How many days ahead of the due date the reminders go out.
const DAYS_AHEAD: u64 = 3;

/// The templates as the Cloud API gives them.
pub(super) fn templates() -> Result<Vec<Template>, InvalidTemplate> {
    [
        ("departure_reminder", "Assalamu'alaikum {{1}}, keberangkatan umroh Anda tanggal {{2}} dengan {{3}}. Mohon hadir di bandara 4 jam sebelumnya."),
        ("payment_reminder", "Yth. {{1}}, pelunasan sebesar Rp {{2}} jatuh tempo pada {{3}}. Abaikan pesan ini bila sudah dibayar."),
        ("bus_change", "Pembimbing {{1}}: bus rombongan Anda pindah ke gerbang {{2}}. Mohon kabarkan jamaah."),
    ]
    .into_iter()
    .map(|(name, text)| {
        Template::parse(json!({
            "name": name, "language": "id", "category": "UTILITY", "status": "APPROVED",
            "components": [{"type": "BODY", "text": text}],
        }))
    })
    .collect()
}

/// The departure notice to the whole group.
pub(super) fn broadcast() -> Result<Job, InvalidJob> {
    read(json!({
        "type": "broadcast", "id": BROADCAST, "sender": SENDER, "name": "Departure 1 Dec",
        "audience": {"group": GROUP},
        "content": {"template": {"name": "departure_reminder", "language": "id",
            "params": {"1": "{name}", "2": "1 Desember 2026", "3": "{package}"}}},
    }))
}

/// The id of an invoice's reminder.
pub(super) fn reminder_id(index: u32) -> String {
    format!("invoice-{}", 7781 + index)
}

/// The payment reminder of an invoice whose first message goes out at `at`, rounded up to a whole second: it is due three
/// days after, and the first offset is three days ahead.
pub(super) fn reminder(index: u32, at: DateTime<Utc>) -> Result<Job, InvalidJob> {
    let local = whole_second_from(at).with_timezone(&Jakarta);
    let due = local.date_naive() + Days::new(DAYS_AHEAD);
    let before = if index == PAID { json!(["3d", "1d", "0d"]) } else { json!(["3d"]) };
    let to = if index == TO_REFUSED { people::REFUSED.to_owned() } else { people::pilgrim_phone(10 + index) };
    read(json!({
        "type": "reminder", "id": reminder_id(index), "sender": SENDER, "to": to, "due": due.to_string(),
        "before": before, "at": local.format("%H:%M:%S").to_string(), "timezone": Jakarta.name(),
        "content": {"template": {"name": "payment_reminder", "language": "id",
            "params": [people::pilgrim_name(10 + index), "2.500.000", due.format("%d-%m-%Y").to_string()]}},
    }))
}

/// An urgent message to a guide.
pub(super) fn urgent(index: u64) -> Result<Job, InvalidJob> {
    read(json!({
        "type": "send", "id": format!("bus-change-{}", index + 1), "sender": SENDER, "to": people::guide_phone(index),
        "priority": "urgent",
        "content": {"template": {"name": "bus_change", "language": "id",
            "params": [(index + 1).to_string(), (index + 3).to_string()]}},
    }))
}

fn read(job: Value) -> Result<Job, InvalidJob> {
    Job::from_value(job, Door::default(), None)
}

fn whole_second_from(at: DateTime<Utc>) -> DateTime<Utc> {
    let whole = at.with_nanosecond(0).unwrap_or(at);
    if whole < at { whole + chrono::Duration::seconds(1) } else { whole }
}

#[cfg(test)]
mod tests {
    use kabar_domain::reminder;

    use super::*;

    #[test]
    fn all_of_it_is_in_order() {
        assert_eq!(templates().unwrap().len(), 3);
        assert_eq!(broadcast().unwrap().content().fields().len(), 2);
        (0..URGENT).for_each(|index| drop(urgent(index).unwrap()));
    }

    #[test]
    fn the_first_reminder_goes_out_when_asked_also_across_midnight() {
        for at in ["2026-11-20T10:00:07.5Z", "2026-11-20T16:59:59.9Z", "2026-12-31T17:00:00Z"] {
            let at: DateTime<Utc> = at.parse().unwrap();
            let mut messages = 0;
            for index in 0..REMINDERS.jobs {
                let Job::Reminder(job) = reminder(index, at).unwrap() else { panic!("a reminder") };
                let plan =
                    reminder::plan(job.due, &job.before, job.at, job.timezone, at - chrono::Duration::seconds(3));
                let first = plan[0].not_before;
                assert!(first >= at && first < at + chrono::Duration::seconds(1), "{first} for {at}");
                messages += plan.len() as u64;
            }
            assert_eq!(messages, REMINDERS.messages);
        }
    }
}
