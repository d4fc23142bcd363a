//! What a tenant has to send with: senders, templates, groups. Lists that are short and given whole.

use axum::Json;

use super::{access::Caller, page::Page, problem::Problem};
use crate::views::{Group, Sender, Template};

/// The senders, by name
#[utoipa::path(
    get,
    path = "/v1/senders",
    tag = "senders",
    security(("key" = ["read"])),
    responses((status = 200, description = "All of them", body = Page<Sender>))
)]
pub(super) async fn senders(caller: Caller) -> Result<Json<Page<Sender>>, Problem> {
    let senders = caller.store.senders(caller.tenant).await?;
    Ok(Json(Page::whole(senders.iter().map(Sender::from).collect())))
}

/// The templates, by name and language
#[utoipa::path(
    get,
    path = "/v1/templates",
    tag = "templates",
    security(("key" = ["read"])),
    responses((status = 200, description = "All of them", body = Page<Template>))
)]
pub(super) async fn templates(caller: Caller) -> Result<Json<Page<Template>>, Problem> {
    let templates = caller.store.templates(caller.tenant).await?;
    Ok(Json(Page::whole(templates.iter().map(Template::from).collect())))
}

/// The groups, by name
#[utoipa::path(
    get,
    path = "/v1/groups",
    tag = "groups",
    security(("key" = ["read"])),
    responses((status = 200, description = "All of them", body = Page<Group>))
)]
pub(super) async fn groups(caller: Caller) -> Result<Json<Page<Group>>, Problem> {
    let groups = caller.store.groups(caller.tenant).await?;
    Ok(Json(Page::whole(groups.iter().map(Group::from).collect())))
}
