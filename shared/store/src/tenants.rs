//! Who owns senders, recipients, templates, jobs and keys. Nobody sees another's.

use crate::{
    Store, TenantId,
    db::{args, statements},
    error::{StoreError, StoreResult},
};

statements! {
    ADD = "insert into tenants (name, created_at) values ($1, $2) on conflict (name) do nothing";
    ONE = "select id from tenants where name = $1";
    NAMES = "select name from tenants order by name limit 20";
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
        let hint = format!(": known are {}; `kabar key add --tenant` makes one", known.join(", "));
        Err(StoreError::NotFound { what: "tenant", name: name.to_owned(), hint })
    }

    /// The tenant of a name, made where it is absent.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn ensure_tenant(&self, name: &str) -> StoreResult<TenantId> {
        let mut tx = self.db.begin().await?;
        tx.execute(ADD, args![name, self.now_ms()]).await?;
        let (id,): (i64,) = tx.one(ONE, args![name]).await?;
        tx.commit().await?;
        Ok(TenantId(id))
    }
}
