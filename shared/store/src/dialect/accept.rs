//! What follows from accepted answers, the usual outcome.
//!
//! Postgres writes messages and attempts in one statement, which reads the list of them once. SQLite writes one table in a
//! statement.

use crate::db::Sql;

macro_rules! wanted {
    () => {
        "select cast(value->>0 as bigint) as message_id, cast(value->>1 as bigint) as number,
    value->>2 as provider_message_id, value->>3 as meaning from json_each($1)"
    };
}

macro_rules! accept_messages {
    ($accepted:expr) => {
        concat!(
            "update messages set state = 'accepted', reason = null, lease_id = null, updated_at = $2
from ",
            $accepted,
            " accepted
where messages.id = accepted.message_id and messages.attempts = accepted.number
  and messages.state in ('sending', 'in_doubt', 'unresolved', 'queued', 'claimed', 'skipped', 'cancelled', 'expired')"
        )
    };
}

macro_rules! accept_attempts {
    ($accepted:expr) => {
        concat!(
            "insert into attempts (message_id, number, lease_id, slot_us, started_at, ended_at, outcome, meaning,
  provider_message_id)
select accepted.message_id, accepted.number, coalesce(m.lease_id, 0), m.slot_us, m.updated_at, $2, 'accepted',
  accepted.meaning, accepted.provider_message_id
from ",
            $accepted,
            " accepted join messages m on m.id = accepted.message_id where true
on conflict (message_id, number) do update set outcome = 'accepted', code = null, meaning = excluded.meaning,
  provider_message_id = coalesce(excluded.provider_message_id, attempts.provider_message_id),
  ended_at = coalesce(attempts.ended_at, excluded.ended_at)
where attempts.outcome is null or attempts.outcome in ('in_doubt', 'absent', 'accepted', 'not_sent')"
        )
    };
}

/// Moves messages whose latest attempt was accepted: `$1` lists `[message, number, provider's id, meaning]` in the order of
/// ids. Postgres, which writes down the attempts as well, walks along the list and comes to attempts last, from messages as
/// they were before; should it plan otherwise and meet another transaction, it ends one of them, and the writer tries each
/// operation alone.
pub(crate) const ACCEPT_MESSAGES: Sql = Sql {
    sqlite: accept_messages!(concat!("(", wanted!(), ")")),
    postgres: concat!(
        "with wanted as materialized (",
        wanted!(),
        "), noted as (",
        accept_attempts!("wanted"),
        ") ",
        accept_messages!("wanted"),
    ),
};

/// Writes down attempts that were accepted, from what messages say that are still `sending`: before [`ACCEPT_MESSAGES`],
/// where that does not do so itself.
pub(crate) const ACCEPT_ATTEMPTS: &str = accept_attempts!(concat!("(", wanted!(), ")"));
