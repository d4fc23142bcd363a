//! Lists of messages for people: by state, job and sender, a page at a time.

use kabar_domain::{message::MessageState, phone::PhoneNumber};

use crate::{
    Store, TenantId,
    db::{args, row, statements},
    error::StoreResult,
    recipients::phone_of,
    status::state_of,
};

/// What a list shows of a message, from the rows that `$from` names.
macro_rules! list {
    ($from:literal, $order:literal) => {
        concat!(
            "select m.id, j.job_key, j.kind, s.name as sender, r.phone, m.state, m.reason, m.due_at, m.updated_at
from messages m join jobs j on j.id = m.job_id join senders s on s.id = m.sender_id
join recipients r on r.id = m.recipient_id
where j.tenant_id = $1 and s.name = coalesce($4, s.name) and ",
            $from,
            " order by ",
            $order,
            " limit $3"
        )
    };
}

statements! {
    /// States that few messages are in stand in the text, so that their indexes are found.
    UNRESOLVED = list!("m.id > $2 and m.state = 'unresolved'", "m.id");
    IN_DOUBT = list!("m.id > $2 and m.state = 'in_doubt'", "m.id");
    OF_STATE = list!("m.id > $2 and m.state = coalesce($5, m.state)", "m.id");
    OF_JOB = list!("m.job_id = (select id from jobs where tenant_id = $1 and job_key = $6)
  and m.state = coalesce($5, m.state) and (m.recipient_id, m.part) > (
    coalesce((select recipient_id from messages where id = $2), -1),
    coalesce((select part from messages where id = $2), -1))", "m.recipient_id, m.part");
    COUNT_UNRESOLVED = "select count(*) from messages m join senders s on s.id = m.sender_id
where m.state = 'unresolved' and s.tenant_id = $1";
}

/// Which messages are meant; what is none leaves all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Those in this state.
    pub state: Option<MessageState>,
    /// Those of the job with the producer's id: a send, a broadcast or a reminder.
    pub job_key: Option<String>,
    /// Those of the sender with this name.
    pub sender: Option<String>,
}

/// A message as lists over several jobs show it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMessage {
    /// The message; the cursor of lists.
    pub id: i64,
    /// The id of its job.
    pub job_key: String,
    /// `send`, `broadcast` or `reminder`.
    pub kind: String,
    /// The sender's name.
    pub sender: String,
    /// To whom.
    pub phone: PhoneNumber,
    /// Where it is in its life.
    pub state: MessageState,
    /// Why.
    pub reason: Option<String>,
    /// Not to be acted on before; in doubt, when evidence or policy decides.
    pub due_at: i64,
    /// Since when it is so.
    pub updated_at: i64,
}

row! {
    struct ListRow {
        id: i64,
        job_key: String,
        kind: String,
        sender: String,
        phone: String,
        state: String,
        reason: Option<String>,
        due_at: i64,
        updated_at: i64,
    }
}

impl Store {
    /// A tenant's messages, those after the message `after` (0 begins), at most `limit`: of a job in the order of its
    /// recipients, else in the order of their ids. Those in doubt and those unresolved are found at once however many
    /// messages there are; for other states of all jobs it walks through messages until the page is full.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn list_messages(
        &self,
        tenant: TenantId,
        filter: &MessageFilter,
        after: i64,
        limit: u32,
    ) -> StoreResult<Vec<ListedMessage>> {
        let (limit, sender) = (i64::from(limit), filter.sender.as_deref());
        let state = filter.state.map(MessageState::as_str);
        let rows: Vec<ListRow> = match (&filter.job_key, filter.state) {
            (Some(key), _) => self.db.all(OF_JOB, args![tenant.0, after, limit, sender, state, key.as_str()]).await?,
            (None, Some(MessageState::Unresolved)) => {
                self.db.all(UNRESOLVED, args![tenant.0, after, limit, sender]).await?
            }
            (None, Some(MessageState::InDoubt)) => self.db.all(IN_DOUBT, args![tenant.0, after, limit, sender]).await?,
            (None, _) => self.db.all(OF_STATE, args![tenant.0, after, limit, sender, state]).await?,
        };
        rows.into_iter().map(ListRow::into_listed).collect()
    }

    /// How many messages of a tenant wait for a person.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn count_unresolved(&self, tenant: TenantId) -> StoreResult<i64> {
        let count: Option<(i64,)> = self.db.optional(COUNT_UNRESOLVED, args![tenant.0]).await?;
        Ok(count.map_or(0, |(count,)| count))
    }
}

impl ListRow {
    fn into_listed(self) -> StoreResult<ListedMessage> {
        Ok(ListedMessage {
            id: self.id,
            job_key: self.job_key,
            kind: self.kind,
            sender: self.sender,
            phone: phone_of(self.phone)?,
            state: state_of(&self.state)?,
            reason: self.reason,
            due_at: self.due_at,
            updated_at: self.updated_at,
        })
    }
}
