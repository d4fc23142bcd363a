//! How a tenant stands, and who changed what.

use axum::Json;

use super::{
    access::Caller,
    input::Query,
    page::{Page, PageQuery},
    problem::Problem,
};
use crate::views::{AuditEntry, Stats};

/// How many messages are in each state, and how each sender does
///
/// Walks through all messages: for people who look, not for a loop. `/metrics` is for that.
#[utoipa::path(
    get,
    path = "/v1/stats",
    tag = "stats",
    security(("key" = ["read"])),
    responses((status = 200, description = "How everything stands", body = Stats))
)]
pub(super) async fn stats(caller: Caller) -> Result<Json<Stats>, Problem> {
    Ok(Json(Stats::from(&caller.store.status(caller.tenant).await?)))
}

/// Who changed what, the newest first
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "audit",
    security(("key" = ["admin"])),
    params(PageQuery),
    responses((status = 200, description = "A page of entries", body = Page<AuditEntry>))
)]
pub(super) async fn audit(caller: Caller, Query(query): Query<PageQuery>) -> Result<Json<Page<AuditEntry>>, Problem> {
    let wanted = query.wanted(i64::MAX)?;
    let rows = caller.store.audit(caller.tenant, wanted.after, wanted.look_up()).await?;
    Ok(Json(wanted.page(rows.iter().map(|row| (row.id, row.into())))))
}
