//! What is kept to towards people while their messages are planned: consent, quiet hours, frequency caps.

use std::collections::HashMap;

use chrono::DateTime;
use kabar_domain::{
    category::Category, frequency_cap::FrequencyCap, people_rules::PeopleRules, phone::PhoneNumber,
    quiet_hours::QuietHours,
};

use super::Candidate;
use crate::{
    Store,
    db::{Tx, args, statements},
    dialect::LOCK_TENANT,
    error::StoreResult,
    jobs::json_list,
};

/// Why a message waits that is due in its recipient's quiet hours.
pub(crate) const QUIET_HOURS: &str = "quiet_hours";

statements! {
    /// What ended before it left counts no more.
    COUNTED = "select c.recipient_id, c.due_at from capped c join messages m on m.id = c.message_id
where c.recipient_id in (select cast(value as bigint) from json_each($1)) and c.category = $2
  and m.state not in ('failed', 'blocked', 'skipped', 'cancelled', 'expired')";
    COUNT = "insert into capped (recipient_id, category, due_at, message_id)
select recipient_id, $2, due_at, id from messages
where id in (select cast(value as bigint) from json_each($1)) and state = 'queued'
on conflict (recipient_id, category, due_at, message_id) do nothing";
    FORGET = "delete from capped
where recipient_id in (select cast(value as bigint) from json_each($1)) and category = $2 and due_at <= $3";
}

/// What is kept to towards the people of one chunk.
#[derive(Debug)]
pub(super) struct Courtesy<'r> {
    rules: &'r PeopleRules,
    category: Category,
    quiet_hours: Option<QuietHours>,
    cap: Option<FrequencyCap>,
    /// When each recipient gets messages that count against the cap, in Unix milliseconds.
    counted: HashMap<i64, Vec<i64>>,
}

/// When a message may leave, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) due: i64,
    /// When its recipient's next quiet hours begin; none where it knows none.
    pub(super) quiet_from: Option<i64>,
    /// Whether it would be due earlier but for quiet hours.
    pub(super) held: bool,
}

impl<'r> Courtesy<'r> {
    /// What is kept to towards `recipients` in messages of this category. Where a cap is set, planners of the tenant take
    /// turns from here to their commit: two that look at once would both find room.
    pub(super) async fn of(
        tx: &mut Tx,
        rules: &'r PeopleRules,
        tenant_id: i64,
        category: Category,
        urgent_single: bool,
        recipients: &[i64],
        now: i64,
    ) -> StoreResult<Self> {
        let cap = rules.frequency_caps.get(&category).copied();
        let mut counted = HashMap::new();
        if let Some(cap) = cap {
            tx.all::<(i64,), _>(LOCK_TENANT, args![tenant_id]).await?;
            let ids = json_list(recipients);
            tx.execute(FORGET, args![ids.as_str(), category.as_str(), now - cap.window_ms()]).await?;
            let rows: Vec<(i64, i64)> = tx.all(COUNTED, args![ids, category.as_str()]).await?;
            counted = by_recipient(rows);
        }
        let quiet_hours = rules.quiet_hours(category, urgent_single);
        Ok(Self { rules, category, quiet_hours, cap, counted })
    }

    /// Whether the recipient's consent is missing.
    pub(super) fn lacks_consent(&self, candidate: &Candidate) -> bool {
        candidate.consent_at.is_none() && self.rules.needs_consent(self.category)
    }

    /// When a message that is due at `due` may leave.
    pub(super) fn times(&self, candidate: &Candidate, due: i64) -> Times {
        let at = |ms| DateTime::from_timestamp_millis(ms);
        let zone = || zone_of(self.rules, candidate.timezone.as_deref(), &candidate.phone);
        match self.quiet_hours.zip(at(due)) {
            Some((hours, at)) => {
                let daytime = hours.daytime(at, zone());
                let (due_at, quiet_from) = (daytime.due.timestamp_millis(), daytime.quiet_from.timestamp_millis());
                Times { due: due_at, quiet_from: Some(quiet_from), held: due_at > due }
            }
            None => Times { due, quiet_from: None, held: false },
        }
    }

    /// Counts a message to the recipient at `due`; false where that were more than the cap allows.
    pub(super) fn admits(&mut self, recipient: i64, due: i64) -> bool {
        let Some(cap) = self.cap else { return true };
        let others = self.counted.entry(recipient).or_default();
        let admitted = cap.allows(others, due);
        if admitted {
            others.push(due);
        }
        admitted
    }

    /// The category against whose cap messages count, where it has one.
    pub(super) fn counts_as(&self) -> Option<Category> {
        self.cap.map(|_| self.category)
    }
}

impl Store {
    /// When recipients, by the ledger's ids, get messages of this category that count against its cap, in Unix milliseconds.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn counted_messages(
        &self,
        recipients: &[i64],
        category: Category,
    ) -> StoreResult<HashMap<i64, Vec<i64>>> {
        Ok(by_recipient(self.db.all(COUNTED, args![json_list(recipients), category.as_str()]).await?))
    }
}

/// Times of messages by recipient.
fn by_recipient(rows: Vec<(i64, i64)>) -> HashMap<i64, Vec<i64>> {
    let mut times: HashMap<i64, Vec<i64>> = HashMap::new();
    for (recipient, due) in rows {
        times.entry(recipient).or_default().push(due);
    }
    times
}

/// Writes down which of these messages count against a cap.
pub(super) async fn count(tx: &mut Tx, category: Category, messages: &[i64]) -> StoreResult<()> {
    tx.execute(COUNT, args![json_list(messages), category.as_str()]).await.map(drop)
}

/// Where somebody is whose own zone is in the ledger as a text.
pub(crate) fn zone_of(rules: &PeopleRules, own: Option<&str>, phone: &str) -> chrono_tz::Tz {
    let own = own.and_then(|zone| zone.parse().ok());
    // The ledger holds no number that is none.
    PhoneNumber::from_e164(phone).map_or(rules.default_timezone, |phone| rules.zone_of(own, &phone))
}
