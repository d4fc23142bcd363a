//! How many different people a business portfolio may write to in a moving day.
//!
//! Providers count the people whom all senders of a portfolio reach within 24 hours, those aside who wrote to the sender
//! within the last 24 hours. Each claim of a sender with a budget books its people in its own transaction, so the budget
//! holds for the whole fleet; whom it does not fit waits until a place is free. People who were reached within the day, or
//! wrote, cost nothing and pass. Senders without a budget notice nothing of all this.

use std::collections::{BTreeSet, HashSet};

use kabar_domain::job::Priority;

use crate::{
    Sender, Store, TenantId, Topic,
    claims::{ClaimedRow, put_off},
    db::{Tx, args, statements},
    dialect::LOCK_BUDGET,
    error::StoreResult,
    jobs::json_list,
    lanes::rank_of,
};

/// Within this time before now a person counts, in milliseconds.
pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A message for which no place was found waits at least this long, in milliseconds: by then some may be free.
const WAIT_LEAST_MS: i64 = 10_000;

/// How many messages are held against quiet hours at once when a budget changes.
const QUIET_CHUNK: u32 = 1_000;

/// Why a message waits for its portfolio's budget.
const SPENT: &str = "the day's budget of people is used up";

statements! {
    FORGET = "delete from reached where budget_id = $1 and reached_at <= $2";
    REACHED = "select recipient_id from reached
where budget_id = $1 and recipient_id in (select cast(value as bigint) from json_each($2))";
    WROTE = "select recipient_id from inbound
where recipient_id in (select cast(value as bigint) from json_each($2)) and happened_at > $3 and sender_id = $1";
    REACH = "insert into reached (budget_id, recipient_id, reached_at)
select $1, cast(value as bigint), $2 from json_each($3) where true
on conflict (budget_id, recipient_id) do update set reached_at = excluded.reached_at";
    BOOK = "update budgets set people = $2, promised_at = $3 where id = $1";
    PLACES = "select reached_at from reached where budget_id = $1 and reached_at > $2 order by reached_at limit $3";
    BUDGET = "select people_per_day, (select count(*) from reached where budget_id = budgets.id and reached_at > $3) as people
from budgets where tenant_id = $1 and portfolio = $2";
    SET = "insert into budgets (tenant_id, portfolio, people_per_day) values ($1, $2, $3)
on conflict (tenant_id, portfolio) do update set people_per_day = excluded.people_per_day, promised_at = 0";
    MOVE = "update senders set portfolio = $2, updated_at = $3 where id = $1";
    SENDERS_OF = "select distinct tenant_id, portfolio from senders
where provider = $1 and (account = $2 or portfolio = $2)";
    /// What waited for a place looks again at once: there may be more of them now. Quiet hours may have begun meanwhile.
    LOOK_AGAIN = "update messages set due_at = $4, updated_at = $4, quiet_at = case when quiet_at is not null then $4 end
where state = 'queued' and due_at > $4 and reason = $3
  and sender_id in (select id from senders where tenant_id = $1 and portfolio = $2)";
    FORGET_PROMISES = "update budgets set promised_at = 0 where exists (select 1 from senders
  where senders.id = $1 and senders.tenant_id = budgets.tenant_id and senders.portfolio = budgets.portfolio)";
}

/// A portfolio's budget as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many different people it may write to in a moving day; none: as many as there are.
    pub people_per_day: Option<u64>,
    /// How many it has, those aside who wrote within a day before.
    pub people: u64,
}

impl Budget {
    /// How many more people may be reached now; none: as many as there are.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.people_per_day.map(|most| most.saturating_sub(self.people))
    }
}

impl Store {
    /// The budget of a sender's portfolio; none where nobody has set one.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn budget(&self, sender: &Sender) -> StoreResult<Option<Budget>> {
        let values = args![sender.tenant.0, sender.portfolio.as_str(), self.now_ms() - DAY_MS];
        let row: Option<(Option<i64>, i64)> = self.db.optional(BUDGET, values).await?;
        Ok(row.map(|(most, people)| Budget {
            people_per_day: most.map(i64::unsigned_abs),
            people: people.unsigned_abs(),
        }))
    }

    /// Puts a sender into a business portfolio, whose senders share a budget.
    ///
    /// # Errors
    /// When there is no such sender, or the ledger cannot be written.
    pub async fn set_portfolio(&self, tenant: TenantId, name: &str, portfolio: &str) -> StoreResult<Sender> {
        let sender = self.sender(tenant, name).await?;
        let mut tx = self.db.begin().await?;
        tx.execute(MOVE, args![sender.id, portfolio, self.now_ms()]).await?;
        self.note_change(&mut tx, tenant, "sender.change", name).await?;
        tx.commit().await?;
        self.sender(tenant, name).await
    }

    /// Sets how many different people the portfolio of a sender may write to in a moving day; none: as many as there are.
    /// Those whom it has reached count on, and what waits for a place looks again.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn set_budget(&self, sender: &Sender, people_per_day: Option<u64>) -> StoreResult<()> {
        let mut tx = self.db.begin().await?;
        self.set_budget_in(&mut tx, sender.tenant, &sender.portfolio, people_per_day).await?;
        self.note_change(&mut tx, sender.tenant, "sender.budget", &sender.name).await?;
        tx.commit().await?;
        self.wake.ring(Topic::Messages);
        Ok(())
    }

    /// Sets the budget of every portfolio that has a sender of `account` at `provider`, or is called so.
    pub(crate) async fn set_budget_of_account(
        &self,
        tx: &mut Tx,
        provider: &str,
        account: &str,
        people_per_day: Option<u64>,
    ) -> StoreResult<()> {
        let portfolios: Vec<(i64, String)> = tx.all(SENDERS_OF, args![provider, account]).await?;
        for (tenant, portfolio) in portfolios {
            self.set_budget_in(tx, TenantId(tenant), &portfolio, people_per_day).await?;
        }
        Ok(())
    }

    async fn set_budget_in(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        portfolio: &str,
        people_per_day: Option<u64>,
    ) -> StoreResult<()> {
        let most = people_per_day.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        tx.execute(SET, args![tenant.0, portfolio, most]).await?;
        tx.execute(LOOK_AGAIN, args![tenant.0, portfolio, SPENT, self.now_ms()]).await?;
        while self.keep_quiet_hours_in(tx, QUIET_CHUNK).await? == u64::from(QUIET_CHUNK) {}
        Ok(())
    }
}

/// The places that were promised to messages of this sender may be free now: some of them were taken back.
pub(crate) async fn forget_promises(tx: &mut Tx, sender_id: i64) -> StoreResult<()> {
    tx.execute(FORGET_PROMISES, args![sender_id]).await.map(drop)
}

/// Books the people of `claimed` with the budget that has this id, and lets the messages of those whom it does not fit wait
/// for a place. `urgent_percent` of it is kept for urgent messages.
pub(crate) async fn book(
    tx: &mut Tx,
    budget_id: i64,
    sender_id: i64,
    urgent_percent: u8,
    claimed: Vec<ClaimedRow>,
    now: i64,
) -> StoreResult<Vec<ClaimedRow>> {
    if claimed.is_empty() {
        return Ok(claimed);
    }
    let since = now - DAY_MS;
    let locked: Option<(Option<i64>, i64, i64)> = tx.optional(LOCK_BUDGET, args![budget_id]).await?;
    let Some((Some(most), people, promised_at)) = locked else { return Ok(claimed) };
    let people = people - i64::try_from(tx.execute(FORGET, args![budget_id, since]).await?).unwrap_or(people);
    let ids: Vec<i64> = claimed.iter().map(|message| message.recipient_id).collect();
    let ids = json_list(&ids);
    let reached: Vec<(i64,)> = tx.all(REACHED, args![budget_id, ids.as_str()]).await?;
    let wrote: Vec<(i64,)> = tx.all(WROTE, args![sender_id, ids, since]).await?;
    let reached: HashSet<i64> = reached.into_iter().map(|(id,)| id).collect();
    let wrote: HashSet<i64> = wrote.into_iter().map(|(id,)| id).collect();
    let mut places = Places { most, urgent_percent, people, reached, wrote, renewed: BTreeSet::new() };
    let (fit, left_over): (Vec<ClaimedRow>, Vec<ClaimedRow>) =
        claimed.into_iter().partition(|message| places.take(message));
    if !places.renewed.is_empty() {
        tx.execute(REACH, args![budget_id, now, json_list(&places.renewed.into_iter().collect::<Vec<_>>())]).await?;
    }
    let mut promised_at = promised_at.max(since);
    if !left_over.is_empty() {
        let wanted = i64::try_from(left_over.len()).unwrap_or(i64::MAX);
        let free: Vec<(i64,)> = tx.all(PLACES, args![budget_id, promised_at, wanted]).await?;
        promised_at = free.last().map_or(promised_at, |(at,)| *at);
        // More wait than places come free within a day: they look again then.
        let until = free.into_iter().map(|(at,)| at + DAY_MS).chain(std::iter::repeat(now + DAY_MS));
        let waits: Vec<(i64, i64)> =
            left_over.iter().zip(until).map(|(message, at)| (message.id, at.max(now + WAIT_LEAST_MS))).collect();
        put_off(tx, &waits, SPENT, now).await?;
    }
    tx.execute(BOOK, args![budget_id, places.people, promised_at]).await?;
    Ok(fit)
}

/// The places of a budget while a claim takes some.
struct Places {
    most: i64,
    urgent_percent: u8,
    /// How many are taken.
    people: i64,
    /// Those of the claim who have a place.
    reached: HashSet<i64>,
    /// Those of the claim who need none.
    wrote: HashSet<i64>,
    /// Those who are reached now, in the order in which rows are written everywhere.
    renewed: BTreeSet<i64>,
}

impl Places {
    /// Whether the recipient of a message has a place or gets one.
    fn take(&mut self, message: &ClaimedRow) -> bool {
        let id = message.recipient_id;
        if self.wrote.contains(&id) {
            return true;
        }
        if !self.reached.contains(&id) {
            let kept = if rank_of(message.lane) == Priority::Urgent.rank() {
                0
            } else {
                (self.most.saturating_mul(i64::from(self.urgent_percent)) + 99) / 100
            };
            if self.people >= self.most - kept {
                return false;
            }
            self.people += 1;
            self.reached.insert(id);
        }
        self.renewed.insert(id);
        true
    }
}
