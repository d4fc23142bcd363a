//! For whom a broadcast would be, who would be left out and why, what it would say, and when it would have left.
//!
//! People come in chunks, from a file, a group or a list, and none is kept but the few that are shown: a million of them
//! take no more memory than a thousand.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use kabar_domain::{
    category::Category,
    content::{Content, Fields},
    job::{Audience, BroadcastJob},
    message::SkipReason,
    pace::{Rate, spacing_us},
    phone::PhoneNumber,
    template::Template,
};
use kabar_store::{Forecast, Recipient, Sender, Store, StoreError, StoreResult, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::views;

/// The most people that are looked up at once.
pub const CHUNK: usize = 1_000;

/// The most people who are left out that are shown.
const MOST_LEFT_OUT: usize = 100;

/// The most examples.
const MOST_EXAMPLES: usize = 3;

/// What a broadcast would come to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BroadcastPreview {
    /// Everybody it is for.
    pub audience: u64,
    /// How many entries of a list repeat a number; they count once.
    pub repeated: u64,
    /// Those who may not be sent to.
    pub blocked: u64,
    /// Those who opted out of such messages.
    pub opted_out: u64,
    /// Those whose consent to marketing is needed and not known.
    pub no_consent: u64,
    /// Those without a value that the content takes.
    pub missing_parameter: u64,
    /// How many lack which value.
    pub missing: BTreeMap<String, u64>,
    /// Those with a value that is none of its kind, or too long.
    pub invalid_parameter: u64,
    /// Those who get as many such messages as the frequency cap allows.
    pub frequency_cap: u64,
    /// Those for whom it expires before their quiet hours end.
    pub expired_in_quiet_hours: u64,
    /// Who would be sent to.
    pub to_send: u64,
    /// How many of them only once their quiet hours end.
    pub after_quiet_hours: u64,
    /// The first of those who are left out for a value.
    pub left_out: Vec<LeftOut>,
    /// What the first of those who would be sent to would read.
    pub examples: Vec<Example>,
    /// The sender's rate, in messages per second.
    #[schema(value_type = views::Rate)]
    pub rate: Rate,
    /// How long that takes, had it the sender for itself; none where the rate is unlimited.
    pub duration_seconds: Option<u64>,
    /// How many messages that wait already would leave before its last.
    pub ahead: u64,
    /// When its last message would leave, as things are now; none where the sender does not send, or is unlimited.
    #[schema(value_type = Option<views::Timestamp>)]
    pub ends_at: Option<DateTime<Utc>>,
    /// From when on nothing of it is sent.
    #[schema(value_type = Option<views::Timestamp>)]
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether all of it leaves before then; none where either is unknown.
    pub fits: Option<bool>,
}

/// Somebody who would be left out for a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeftOut {
    /// Where they stand: a file's line, or a list's place from 1; none in a group.
    pub row: Option<u64>,
    /// Their number.
    #[schema(value_type = String)]
    pub to: PhoneNumber,
    /// Why, in the words of the ledger.
    pub reason: &'static str,
    /// What is missing or wrong.
    pub problem: String,
}

/// What somebody would read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Example {
    /// Their number.
    #[schema(value_type = String)]
    pub to: PhoneNumber,
    /// The text; without the template, its values.
    pub text: String,
}

/// Somebody whom a broadcast is for, as a file or a list brings them.
#[derive(Debug, Clone)]
pub struct Person {
    /// Where they stand there.
    pub row: Option<u64>,
    /// Their number.
    pub phone: PhoneNumber,
    /// Their values.
    pub fields: Fields,
}

/// A preview while people are looked at.
#[derive(Debug)]
pub struct BroadcastPreviewer<'a> {
    store: &'a Store,
    tenant: TenantId,
    broadcast: &'a BroadcastJob,
    sender: Sender,
    template: Option<Template>,
    /// Those who opted out of this are left out.
    category: Category,
    /// When it is due but for quiet hours.
    due: DateTime<Utc>,
    /// When the first and the last of those who would be sent to may be.
    dues: Option<(DateTime<Utc>, DateTime<Utc>)>,
    preview: BroadcastPreview,
}

impl BroadcastPreview {
    /// The preview of a broadcast that names its audience itself: a group, or a list. `margin` is the pace's.
    ///
    /// # Errors
    /// When sender or group are not known, the audience is in a file, or the ledger cannot be read.
    pub async fn of(store: &Store, tenant: TenantId, broadcast: &BroadcastJob, margin: Duration) -> StoreResult<Self> {
        let mut previewer = BroadcastPreviewer::begin(store, tenant, broadcast).await?;
        match &broadcast.audience {
            Audience::Group(group) => previewer.look_at_group(group).await?,
            Audience::Recipients(list) => {
                let mut seen = HashSet::new();
                let mut people = Vec::with_capacity(list.len().min(CHUNK));
                for (index, member) in list.iter().enumerate() {
                    if !seen.insert(&member.to) {
                        previewer.preview.repeated += 1;
                        continue;
                    }
                    let written = member.params.iter().map(|(name, value)| {
                        // What cannot be written was refused when the job was read.
                        let text = value.written(broadcast.content.language()).unwrap_or_default();
                        (name.clone(), text.into_owned())
                    });
                    let mut fields: Fields = written.collect();
                    fields.extend(member.name.clone().map(|name| ("name".to_owned(), name)));
                    people.push(Person { row: Some(index as u64 + 1), phone: member.to.clone(), fields });
                    if people.len() == CHUNK {
                        previewer.look_at(&mut people).await?;
                    }
                }
                previewer.look_at(&mut people).await?;
            }
            Audience::File(_) => {
                return Err(StoreError::Refused(
                    "the broadcast's recipients are in a file of somebody else's".to_owned(),
                ));
            }
        }
        previewer.finish(margin).await
    }
}

impl<'a> BroadcastPreviewer<'a> {
    /// A preview that has looked at nobody yet.
    ///
    /// # Errors
    /// When the sender is not known, or the ledger cannot be read.
    pub async fn begin(store: &'a Store, tenant: TenantId, broadcast: &'a BroadcastJob) -> StoreResult<Self> {
        let sender = store.sender(tenant, &broadcast.sender).await?;
        let known = match &broadcast.content {
            Content::Template(content) => {
                store.find_template(tenant, &sender.account, &content.name, &content.language).await?
            }
            _ => None,
        };
        let template = known.map(|known| known.template);
        let preview = BroadcastPreview {
            audience: 0,
            repeated: 0,
            blocked: 0,
            opted_out: 0,
            no_consent: 0,
            missing_parameter: 0,
            missing: BTreeMap::new(),
            invalid_parameter: 0,
            frequency_cap: 0,
            expired_in_quiet_hours: 0,
            to_send: 0,
            after_quiet_hours: 0,
            left_out: Vec::new(),
            examples: Vec::new(),
            rate: sender.rate,
            duration_seconds: None,
            ahead: 0,
            ends_at: None,
            expires_at: broadcast.expires_at,
            fits: None,
        };
        let category = Category::of(&broadcast.content, template.as_ref(), true);
        let now = DateTime::from_timestamp_millis(store.now_ms()).unwrap_or_default();
        let due = broadcast.send_at.map_or(now, |at| at.max(now));
        Ok(Self { store, tenant, broadcast, sender, template, category, due, dues: None, preview })
    }

    /// Looks at these people, each of whom comes once, and empties the list; at most [`CHUNK`] at a time.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn look_at(&mut self, people: &mut Vec<Person>) -> StoreResult<()> {
        let phones: Vec<PhoneNumber> = people.iter().map(|person| person.phone.clone()).collect();
        let known = self.store.recipients_by_phone(self.tenant, &phones).await?;
        let counted = self.counted(&known).await?;
        let known: HashMap<&str, &Recipient> = known.iter().map(|known| (known.phone.as_str(), known)).collect();
        for mut person in people.drain(..) {
            let known = known.get(person.phone.as_str()).copied();
            if let Some(name) = known.and_then(|known| known.name.clone()) {
                person.fields.entry("name".to_owned()).or_insert(name);
            }
            self.count(known, person, &counted);
        }
        Ok(())
    }

    /// When these people get messages that count against the frequency cap; of nobody where there is none.
    async fn counted(&self, known: &[Recipient]) -> StoreResult<HashMap<i64, Vec<i64>>> {
        if !self.store.rules().frequency_caps.contains_key(&self.category) {
            return Ok(HashMap::new());
        }
        let ids: Vec<i64> = known.iter().map(|known| known.id).collect();
        self.store.counted_messages(&ids, self.category).await
    }

    async fn look_at_group(&mut self, group: &str) -> StoreResult<()> {
        let group = self.store.group(self.tenant, group).await?;
        let mut after = 0;
        loop {
            let members = self.store.recipients_in_group(group.id, after, CHUNK as u32).await?;
            let Some(last) = members.last() else { return Ok(()) };
            after = last.id;
            let counted = self.counted(&members).await?;
            for member in &members {
                let mut fields = member.fields.clone();
                if let Some(name) = &member.name {
                    fields.entry("name".to_owned()).or_insert_with(|| name.clone());
                }
                self.count(Some(member), Person { row: None, phone: member.phone.clone(), fields }, &counted);
            }
        }
    }

    /// Counts one person, by the first reason to leave them out, in the planner's order.
    fn count(&mut self, known: Option<&Recipient>, person: Person, counted: &HashMap<i64, Vec<i64>>) {
        let channel = self.sender.provider.channel().as_str();
        let (preview, content) = (&mut self.preview, &self.broadcast.content);
        preview.audience += 1;
        if known.is_some_and(|known| known.blocks.iter().any(|block| block.channel == channel)) {
            preview.blocked += 1;
            return;
        }
        if known.is_some_and(|known| known.declines(channel, self.category)) {
            preview.opted_out += 1;
            return;
        }
        let rules = self.store.rules();
        if rules.needs_consent(self.category) && known.is_none_or(|known| known.consent.is_none()) {
            preview.no_consent += 1;
            return;
        }
        let Err(reason) = content.suits(&person.fields) else {
            let zone = || rules.zone_of(known.and_then(|known| known.timezone), &person.phone);
            let hours = rules.quiet_hours(self.category, false);
            let due = hours.map_or(self.due, |hours| hours.daytime(self.due, zone()).due);
            let others = known.and_then(|known| counted.get(&known.id)).map_or(&[][..], Vec::as_slice);
            let cap = rules.frequency_caps.get(&self.category);
            if cap.is_some_and(|cap| !cap.allows(others, due.timestamp_millis())) {
                preview.frequency_cap += 1;
                return;
            }
            if due > self.due && preview.expires_at.is_some_and(|expires| expires <= due) {
                preview.expired_in_quiet_hours += 1;
                return;
            }
            self.dues = Some(self.dues.map_or((due, due), |(first, last)| (first.min(due), last.max(due))));
            preview.to_send += 1;
            preview.after_quiet_hours += u64::from(due > self.due);
            if preview.examples.len() < MOST_EXAMPLES
                && let Some(text) = text(content, self.template.as_ref(), &person.fields)
            {
                preview.examples.push(Example { to: person.phone, text });
            }
            return;
        };
        let problem = if reason == SkipReason::MissingParameter {
            preview.missing_parameter += 1;
            let wanted = content.fields();
            let missing: Vec<&String> =
                wanted.iter().filter(|field| person.fields.get(*field).is_none_or(String::is_empty)).collect();
            for field in &missing {
                *preview.missing.entry((*field).clone()).or_default() += 1;
            }
            let missing: Vec<String> = missing.iter().map(|field| format!("{{{field}}}")).collect();
            format!("no value for {}", missing.join(", "))
        } else {
            preview.invalid_parameter += 1;
            problem(content, &person.fields)
        };
        if preview.left_out.len() < MOST_LEFT_OUT {
            preview.left_out.push(LeftOut { row: person.row, to: person.phone, reason: reason.as_str(), problem });
        }
    }

    /// The preview, once everybody was looked at.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn finish(self, margin: Duration) -> StoreResult<BroadcastPreview> {
        let Self { store, broadcast, sender, dues, mut preview, .. } = self;
        let takes = duration(preview.to_send, sender.rate, margin);
        preview.duration_seconds = takes.map(|takes| takes.as_secs() + u64::from(takes.subsec_nanos() > 0));
        let first = dues.map(|(first, _)| first).or(broadcast.send_at);
        let not_before = first.map_or(0, |at| at.timestamp_millis());
        let forecast = store.forecast(sender.id, broadcast.priority, preview.to_send, not_before).await?;
        let Forecast { ahead, ends_at } = forecast;
        preview.ahead = ahead;
        // Where quiet hours end at several times, the last to be sent to may be alone then.
        let last = dues.map(|(_, last)| last);
        preview.ends_at =
            ends_at.and_then(DateTime::from_timestamp_millis).map(|ends| last.map_or(ends, |last| ends.max(last)));
        preview.fits = preview.ends_at.zip(preview.expires_at).map(|(ends, expires)| ends < expires);
        Ok(preview)
    }
}

/// What somebody with these values would read.
fn text(content: &Content, template: Option<&Template>, fields: &Fields) -> Option<String> {
    match (content.for_recipient(fields).ok()?, template) {
        (Content::Template(filled), Some(template)) => Some(template.rendered(&filled)),
        (Content::Template(filled), None) => serde_json::to_string(&filled.params).ok(),
        (Content::Text(text), _) => Some(text.body),
        _ => None,
    }
}

/// What is wrong with somebody's values.
fn problem(content: &Content, fields: &Fields) -> String {
    match content.for_recipient(fields) {
        Err(error) => error.to_string(),
        Ok(filled) => filled.check_filled().map_or_else(|error| error.to_string(), |()| String::new()),
    }
}

/// How long `count` messages take at this rate; none where it is unlimited.
fn duration(count: u64, rate: Rate, margin: Duration) -> Option<Duration> {
    let spacing = spacing_us(u64::from(rate.limit()?) * 1_000, margin);
    Some(Duration::from_micros(count.saturating_mul(spacing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_messages_take_what_the_rate_says() {
        let takes = duration(1_000_000, Rate::per_second(80).unwrap(), Duration::from_millis(15));
        assert_eq!(takes.map(|takes| takes.as_secs()), Some(12_688));
        assert_eq!(duration(1, Rate::Unlimited, Duration::ZERO), None);
    }
}
