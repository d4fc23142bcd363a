//! Who owns senders, recipients, templates, jobs and keys. Nobody sees another's.

use crate::{
    Store, TenantId,
    db::{args, row, statements},
    error::{StoreError, StoreResult},
};

statements! {
    ADD = "insert into tenants (name, created_at) values ($1, $2) on conflict (name) do nothing";
    ONE = "select id from tenants where name = $1";
    NAMES = "select name from tenants order by name limit 20";
    ALL = "select id, name, created_at from tenants order by name";
}

row! {
    /// Who owns senders, recipients, templates, jobs and keys.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Tenant {
        /// The ledger's id.
        pub id: i64,
        /// What people call it.
        pub name: String,
        /// When it was added, in Unix milliseconds; 0 for the one that every ledger begins with.
        pub created_at: i64,
    }
}

impl Store {
    /// The tenant of a name.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn tenant(&self, name: &str) -> StoreResult<TenantId> {
        if let Some((id,)) = self.db.optional(ONE, args![name]).await? {
            return Ok(TenantId(id));
        }
        let known: Vec<(String,)> = self.db.all(NAMES, args![]).await?;
        let known: Vec<String> = known.into_iter().map(|(name,)| name).collect();
        let hint = format!(": known are {}; `kabar tenant add` adds one", known.join(", "));
        Err(StoreError::NotFound { what: "tenant", name: name.to_owned(), hint })
    }

    /// All tenants, by name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn tenants(&self) -> StoreResult<Vec<Tenant>> {
        self.db.all(ALL, args![]).await
    }

    /// The tenant of a name, added where it is absent.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn ensure_tenant(&self, name: &str) -> StoreResult<TenantId> {
        let mut tx = self.db.begin().await?;
        let added = tx.execute(ADD, args![name, self.now_ms()]).await?;
        let (id,): (i64,) = tx.one(ONE, args![name]).await?;
        if added > 0 {
            self.note_change(&mut tx, TenantId(id), "tenant.add", name).await?;
        }
        tx.commit().await?;
        Ok(TenantId(id))
    }
}
