//! Groups: who is in one, who comes in and who leaves.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Multipart, Request, State},
};
use kabar_domain::phone::PhoneNumber;
use serde::Serialize;
use tempfile::NamedTempFile;
use utoipa::ToSchema;

use super::{
    super::Gateway,
    access::Caller,
    input::{self, Path, Query},
    page::{Page, PageQuery},
    person::{self, Members},
    problem::{Kind, Problem},
    uploads::{broken, form, keep, look_through, no_room},
};
use crate::{
    file_broadcast::LoadError,
    people_file::PeopleFile,
    people_import::{ImportOptions, ImportReport, import},
    views::{FileReport, Recipient},
};

/// The longest name of a group, in characters.
const MOST_NAME_CHARS: usize = 200;

/// The people of a group, as a file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form, which is read part by part")]
pub(super) struct MembersForm {
    /// CSV in UTF-8: a header line with `phone`; `name`, `timezone`, `consent_source`, `consent_at` and any fields are optional.
    /// Or NDJSON, with these among `params`.
    #[schema(format = Binary)]
    file: String,
}

/// A group that is now what a file says.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replaced {
    /// What the file came to.
    file: FileReport,
    /// What became of its people.
    people: ImportReport,
}

/// Somebody who is in a group no more.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Left {
    /// How many left: 1, or 0 where they were not in it.
    left: u64,
}

/// The people of a group, in the order in which they became known
#[utoipa::path(
    get,
    path = "/v1/groups/{name}/members",
    tag = "groups",
    security(("key" = ["read"])),
    params(("name" = String, Path, description = "The group's name"), PageQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<Recipient>),
        (status = 404, description = "There is no such group"),
    )
)]
pub(super) async fn members(
    caller: Caller,
    Path(name): Path,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Recipient>>, Problem> {
    let wanted = query.wanted(0)?;
    let group = caller.store.group(caller.tenant, &name).await?;
    let rows = caller.store.recipients_in_group(group.id, wanted.after, wanted.look_up()).await?;
    Ok(Json(wanted.page(rows.iter().map(|row| (row.id, row.into())))))
}

/// Put people into a group, which is made if it is not there
///
/// What is said of somebody who is known takes the place of what was known; a consent that is known stays, unless a later one
/// comes. The same again changes nothing. All come in, or none.
#[utoipa::path(
    post,
    path = "/v1/groups/{name}/members",
    tag = "groups",
    security(("key" = ["operate"])),
    params(("name" = String, Path, description = "The group's name", max_length = 200)),
    request_body(content = Members, content_type = "application/json"),
    responses(
        (status = 200, description = "What became of them", body = ImportReport),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "The body is not valid; nothing was written"),
    )
)]
pub(super) async fn join(
    caller: Caller,
    Path(name): Path,
    input::Json(body): input::Json,
) -> Result<Json<ImportReport>, Problem> {
    let name = checked(&name)?;
    let people = person::members(body, caller.door.default_region)?;
    let imported = caller.store.import_recipients(caller.tenant, &people, Some(name)).await?;
    let mut report = ImportReport::default();
    report.add(&imported);
    Ok(Json(report))
}

/// Make a group of exactly the people of a file of any length
///
/// Whoever is not in the file leaves the group; they stay known, and in broadcasts that were planned. Rows that cannot be used
/// are left out and told of. An upload that broke off is simply sent again.
#[utoipa::path(
    put,
    path = "/v1/groups/{name}/members",
    tag = "groups",
    security(("key" = ["operate"])),
    params(("name" = String, Path, description = "The group's name", max_length = 200)),
    request_body(content = MembersForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "What the file came to", body = Replaced),
        (status = 413, description = "The file is too large"),
        (status = 415, description = "The body is no form of several parts"),
        (status = 422, description = "The file is not valid; nothing was written"),
    )
)]
pub(super) async fn replace(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(name): Path,
    request: Request,
) -> Result<Json<Replaced>, Problem> {
    let options = ImportOptions { group: Some(checked(&name)?.to_owned()), replace: true, consent: None };
    let kept = file(form(request).await?, gateway.context.settings.gateway.upload_limit_bytes).await?;
    let (file, survey) = look_through(&kept, caller.door.default_region, PeopleFile::of_people).await?;
    let people = import(&caller.store, caller.tenant, &file, &options, |_| ()).await.map_err(|error| match error {
        LoadError::Ledger(error) => Problem::from(error),
        LoadError::File(error) => no_room(std::io::Error::other(error)),
    })?;
    Ok(Json(Replaced { file: FileReport::from(&survey), people }))
}

/// Take somebody out of a group
///
/// They stay known, and in broadcasts that were planned. Taking out who is not in it changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/groups/{name}/members/{phone}",
    tag = "groups",
    security(("key" = ["operate"])),
    params(
        ("name" = String, Path, description = "The group's name"),
        ("phone" = String, Path, description = "The number, as +628123456789"),
    ),
    responses(
        (status = 200, description = "Whether they were in it", body = Left),
        (status = 404, description = "There is no such group"),
    )
)]
pub(super) async fn leave(caller: Caller, Path((name, phone)): Path<(String, String)>) -> Result<Json<Left>, Problem> {
    let parsed = PhoneNumber::parse(&phone, caller.door.default_region);
    let phone = parsed.map_err(|error| Problem::parameter("phone", &phone, error.to_string()))?.number;
    let left = caller.store.leave_group(caller.tenant, &name, &[phone]).await?;
    Ok(Json(Left { left }))
}

/// The name of a group that may be made.
fn checked(name: &str) -> Result<&str, Problem> {
    let is_name = !name.trim().is_empty() && name.trim() == name && name.chars().count() <= MOST_NAME_CHARS;
    let problem = || format!("must have 1 to {MOST_NAME_CHARS} characters, and no spaces around them");
    if is_name { Ok(name) } else { Err(Problem::parameter("name", name, problem())) }
}

/// The one part of the form, on disk until it is dropped.
async fn file(mut form: Multipart, limit: u64) -> Result<NamedTempFile, Problem> {
    match form.next_field().await.map_err(broken)? {
        Some(field) if field.name() == Some("file") => keep(field, limit).await,
        _ => Err(Problem::new(Kind::Invalid, "file: must come first; it is the only part").of("file")),
    }
}
