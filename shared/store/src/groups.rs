//! Named sets of recipients, such as one departure.

use kabar_domain::phone::PhoneNumber;

use crate::{
    Store, TenantId,
    db::{args, row, statements},
    error::{StoreError, StoreResult},
    recipients::phone_of,
};

statements! {
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
}
