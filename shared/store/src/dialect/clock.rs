//! Statements that read the database's clock.
//!
//! The pace is kept by one clock for the whole fleet, the database's. On Postgres that is `clock_timestamp()`, which
//! moves on inside a transaction, as `now()` does not. SQLite has no server: its clock is the machine's, read just before
//! the statement and given as `$2` (its own functions stop at milliseconds, and its RETURNING sees no other table).

use crate::db::Sql;

macro_rules! reserve {
    ($now:literal, $returned:literal) => {
        concat!(
            "with clock as (select ",
            $now,
            " as now_us)
update pace set clock_us = clock.now_us, ahead_us = pace.next_slot_us - pace.clock_us, next_slot_us = $5 + case
    when clock.now_us < pace.clock_us - $6 and pace.next_slot_us > pace.clock_us + $4
      then clock.now_us + pace.next_slot_us - pace.clock_us
    when clock.now_us < pace.clock_us - $6 or pace.next_slot_us < clock.now_us + $4 then clock.now_us + $4
    else pace.next_slot_us end
from clock, senders
where pace.sender_id = $1 and senders.id = pace.sender_id
  and senders.state = 'active' and pace.parked_until <= $3
returning pace.next_slot_us - $5, pace.ahead_us, ",
            $returned
        )
    };
}

/// Takes slots for `$5` microseconds of sending, the first at least `$4` after now, for a sender that may send at `$3`
/// (Unix milliseconds). A clock that is more than `$6` behind that of the latest reservation stepped back: the next slot
/// then lies as far ahead as it did at that reservation, which is late enough, for time has passed since. How far ahead it
/// lies tells nothing by itself: at a low rate, each of many processes holds a slot. Gives the first slot, how far ahead slots
/// had been given out before, and the clock.
pub(crate) const RESERVE_SLOTS: Sql = Sql {
    sqlite: reserve!("$2", "$2"),
    postgres: reserve!(
        "case when $2 >= 0 then cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) end",
        "clock.now_us"
    ),
};

/// The clock of the pace.
pub(crate) const READ_CLOCK: Sql = Sql {
    sqlite: "select $1",
    postgres: "select case when $1 >= 0 then cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) end",
};

macro_rules! reanchor {
    ($now:literal, $returned:literal) => {
        concat!(
            "with clock as (select ",
            $now,
            " as now_us)
update pace set next_slot_us = clock.now_us + $3
from clock where sender_id = $1 and pace.next_slot_us < clock.now_us + $3
returning ",
            $returned
        )
    };
}

/// Pauses a sender for `$3` microseconds after a process saw the clock step forward.
pub(crate) const REANCHOR_SLOTS: Sql = Sql {
    sqlite: reanchor!("$2", "$2"),
    postgres: reanchor!(
        "case when $2 >= 0 then cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) end",
        "clock.now_us"
    ),
};
