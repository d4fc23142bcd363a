//! Named sets of recipients, such as one departure.

use std::collections::HashSet;

use kabar_domain::phone::PhoneNumber;

use crate::{
    Store, TenantId,
    audience::to_json,
    db::{Tx, args, row, statements},
    error::{StoreError, StoreResult},
    jobs::json_list,
    recipients::{PhoneRow, phone_of},
};

/// The most members that one transaction looks at.
const CHUNK: i64 = 1_000;

statements! {
    ADD = "insert into groups (tenant_id, name, created_at) values ($1, $2, $3)
on conflict (tenant_id, name) do nothing";
    ID = "select id from groups where tenant_id = $1 and name = $2";
    JOIN = "insert into group_members (group_id, recipient_id, added_at)
select $1, cast(value as bigint), $2 from json_each($3) where true
on conflict (group_id, recipient_id) do nothing";
    LEAVE = "delete from group_members
where group_id = $1 and recipient_id in (select cast(value as bigint) from json_each($2))";
    BY_PHONE = "select id from recipients
where tenant_id = $1 and phone in (select value->>'phone' from json_each($2))";
    MEMBER_IDS = "select recipient_id from group_members where group_id = $1 and recipient_id > $2 order by recipient_id limit $3";
    GROUPS = "select id, name, created_at, (select count(*) from group_members where group_id = groups.id) as members
from groups where tenant_id = $1 order by name";
    GROUP = "select id, name, created_at, (select count(*) from group_members where group_id = groups.id) as members
from groups where tenant_id = $1 and name = $2";
    MEMBERS = "select r.id, r.phone, r.name from group_members g join recipients r on r.id = g.recipient_id
where g.group_id = $1 and g.recipient_id > $2 order by g.recipient_id limit $3";
}

row! {
    /// A named set of recipients.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Group {
        /// The ledger's id.
        pub id: i64,
        /// What people call it; unique per tenant.
        pub name: String,
        /// How many recipients are in it.
        pub members: i64,
        /// When it was made, in Unix milliseconds.
        pub created_at: i64,
    }
}

impl Store {
    /// A tenant's groups, by name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn groups(&self, tenant: TenantId) -> StoreResult<Vec<Group>> {
        self.db.all(GROUPS, args![tenant.0]).await
    }

    /// The group of a name.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn group(&self, tenant: TenantId, name: &str) -> StoreResult<Group> {
        let group: Option<Group> = self.db.optional(GROUP, args![tenant.0, name]).await?;
        group.ok_or_else(|| StoreError::NotFound {
            what: "group",
            name: name.to_owned(),
            hint: ": `kabar group list` shows what there is, `kabar recipient import --group` makes one".to_owned(),
        })
    }

    /// A group's members in the order of their ids, those after `after_recipient_id`, at most `limit`: id, number and
    /// name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn group_members(
        &self,
        group_id: i64,
        after_recipient_id: i64,
        limit: u32,
    ) -> StoreResult<Vec<(i64, PhoneNumber, Option<String>)>> {
        let rows: Vec<(i64, String, Option<String>)> =
            self.db.all(MEMBERS, args![group_id, after_recipient_id, i64::from(limit)]).await?;
        rows.into_iter().map(|(id, phone, name)| Ok((id, phone_of(phone)?, name))).collect()
    }

    /// Takes numbers out of a group; how many were in it. They stay known, and in the broadcasts that were planned.
    ///
    /// # Errors
    /// When there is no such group, or the ledger cannot be written.
    pub async fn leave_group(&self, tenant: TenantId, name: &str, phones: &[PhoneNumber]) -> StoreResult<u64> {
        let group = self.group(tenant, name).await?;
        let phones: Vec<PhoneRow<'_>> = phones.iter().map(|phone| PhoneRow { phone: phone.as_str() }).collect();
        let mut tx = self.db.begin().await?;
        let ids: Vec<(i64,)> = tx.all(BY_PHONE, args![tenant.0, to_json(&phones)?]).await?;
        let ids: Vec<i64> = ids.into_iter().map(|(id,)| id).collect();
        let left = tx.execute(LEAVE, args![group.id, json_list(&ids)]).await?;
        self.note_change(&mut tx, tenant, "group.leave", format!("{left} from group {name}")).await?;
        tx.commit().await?;
        Ok(left)
    }

    /// Takes everybody out of a group who is not among `stay`, by the ledger's ids; how many. The members are walked
    /// through in chunks, each a transaction: who breaks it off calls it again.
    ///
    /// # Errors
    /// When there is no such group, or the ledger cannot be written.
    pub async fn keep_in_group(&self, tenant: TenantId, name: &str, stay: &HashSet<i64>) -> StoreResult<u64> {
        let group = self.group(tenant, name).await?;
        let (mut after, mut left) = (0, 0);
        loop {
            let mut tx = self.db.begin().await?;
            let members: Vec<(i64,)> = tx.all(MEMBER_IDS, args![group.id, after, CHUNK]).await?;
            let Some(&(last,)) = members.last() else { break };
            after = last;
            let others: Vec<i64> = members.into_iter().map(|(id,)| id).filter(|id| !stay.contains(id)).collect();
            if !others.is_empty() {
                let gone = tx.execute(LEAVE, args![group.id, json_list(&others)]).await?;
                self.note_change(&mut tx, tenant, "group.leave", format!("{gone} from group {name}")).await?;
                left += gone;
            }
            tx.commit().await?;
        }
        Ok(left)
    }
}

/// Puts recipients into a group, which is made where it is absent; how many were not in it.
pub(crate) async fn join(tx: &mut Tx, tenant: TenantId, name: &str, ids: &[i64], now: i64) -> StoreResult<u64> {
    tx.execute(ADD, args![tenant.0, name, now]).await?;
    let (group,): (i64,) = tx.one(ID, args![tenant.0, name]).await?;
    tx.execute(JOIN, args![group, now, json_list(ids)]).await
}
