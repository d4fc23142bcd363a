//! Broadcasts: how they stand, and what people do to them.

use axum::{
    Json,
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use kabar_domain::job::Job;
use kabar_store::ExportRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Caller,
    input::{self, Path, Query},
    page::{Page, PageQuery},
    problem::{Kind, Problem},
};
use crate::{
    admission::{Admission, fresh_id},
    preview::BroadcastPreview,
    views::{Broadcast, BroadcastDetail, EXPORT_COLUMNS, export_record},
};

/// How many rows of an export are read from the ledger at once.
const EXPORT_PAGE: u32 = 1_000;

/// Look at what a broadcast would come to
///
/// For whom it would be, who would be left out and why, what the first of them would read, and when its last message would
/// leave. Nothing is written, and no id is used up.
#[utoipa::path(
    post,
    path = "/v1/broadcasts:preview",
    tag = "broadcasts",
    security(("key" = ["enqueue"])),
    request_body(content = super::document::OneJob, content_type = "application/json"),
    responses(
        (status = 200, description = "What it would come to", body = BroadcastPreview),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is no JSON, or packed otherwise than with gzip"),
        (status = 422, description = "The job is not valid, or no broadcast"),
    )
)]
pub(super) async fn preview(caller: Caller, input::Json(body): input::Json) -> Result<Json<BroadcastPreview>, Problem> {
    let id = fresh_id("broadcast").parse().ok();
    let job = Job::from_value(body.clone(), caller.door, id).map_err(|error| Problem::job("", &error, &body))?;
    let Job::Broadcast(broadcast) = &job else {
        return Err(Problem::new(Kind::Invalid, "type: only a broadcast has a preview").of("type"));
    };
    let mut admission = Admission::new(&caller.store, caller.tenant, caller.strict_templates);
    admission.check(&job).await.map_err(|refusal| Problem::refused("", refusal))?;
    let preview = BroadcastPreview::of(&caller.store, caller.tenant, broadcast, caller.margin).await;
    preview.map(Json).map_err(|error| Problem::enqueue("", error))
}

/// The broadcasts, the newest first
#[utoipa::path(
    get,
    path = "/v1/broadcasts",
    tag = "broadcasts",
    security(("key" = ["read"])),
    params(PageQuery),
    responses((status = 200, description = "A page of them", body = Page<Broadcast>))
)]
pub(super) async fn list(caller: Caller, Query(query): Query<PageQuery>) -> Result<Json<Page<Broadcast>>, Problem> {
    let wanted = query.wanted(i64::MAX)?;
    let rows = caller.store.broadcasts(caller.tenant, wanted.after, wanted.look_up()).await?;
    Ok(Json(wanted.page(rows.iter().map(|row| (row.job_id, row.into())))))
}

/// One broadcast, with the reasons of what did not arrive
#[utoipa::path(
    get,
    path = "/v1/broadcasts/{id}",
    tag = "broadcasts",
    security(("key" = ["read"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "The broadcast", body = BroadcastDetail),
        (status = 404, description = "There is no such broadcast"),
    )
)]
pub(super) async fn show(caller: Caller, Path(id): Path) -> Result<Json<BroadcastDetail>, Problem> {
    let broadcast = caller.store.broadcast(caller.tenant, &id).await?;
    let reasons = caller.store.reasons(broadcast.job_id).await?;
    Ok(Json(BroadcastDetail::new(&broadcast, &reasons)))
}

/// Pause a broadcast
///
/// What couriers hold of it goes back, too; what is being sent just now leaves. Pausing again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/pause",
    tag = "broadcasts",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "The broadcast as it is now", body = Broadcast),
        (status = 404, description = "There is no such broadcast"),
        (status = 409, description = "It is over"),
    )
)]
pub(super) async fn pause(caller: Caller, Path(id): Path) -> Result<Json<Broadcast>, Problem> {
    caller.store.pause_broadcast(caller.tenant, &id).await?;
    as_it_is(&caller, &id).await
}

/// Let a paused broadcast go on
///
/// Resuming one that is not paused changes nothing.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/resume",
    tag = "broadcasts",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "The broadcast as it is now", body = Broadcast),
        (status = 404, description = "There is no such broadcast"),
        (status = 409, description = "It is over"),
    )
)]
pub(super) async fn resume(caller: Caller, Path(id): Path) -> Result<Json<Broadcast>, Problem> {
    caller.store.resume_broadcast(caller.tenant, &id).await?;
    as_it_is(&caller, &id).await
}

/// Cancel a broadcast for good
///
/// What has not left does not leave. Cancelling again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/cancel",
    tag = "broadcasts",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "The broadcast as it is now", body = Broadcast),
        (status = 404, description = "There is no such broadcast"),
        (status = 409, description = "It has completed"),
    )
)]
pub(super) async fn cancel(caller: Caller, Path(id): Path) -> Result<Json<Broadcast>, Problem> {
    caller.store.cancel_broadcast(caller.tenant, &id).await?;
    as_it_is(&caller, &id).await
}

/// How many messages are tried anew.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retried {
    retried: u64,
}

/// Try the failed messages of a broadcast anew
///
/// Those whose time has run out stay failed.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/retry",
    tag = "broadcasts",
    security(("key" = ["operate"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "How many wait again", body = Retried),
        (status = 404, description = "There is no such broadcast"),
        (status = 409, description = "It was cancelled"),
    )
)]
pub(super) async fn retry(caller: Caller, Path(id): Path) -> Result<Json<Retried>, Problem> {
    Ok(Json(Retried { retried: caller.store.retry_failed(caller.tenant, &id).await? }))
}

/// What became of every recipient of a broadcast, as CSV
///
/// One row for each, with state and reason; the file can be taken for another broadcast. It is written as it is read, so a
/// million rows take no memory; where the ledger goes away meanwhile, it breaks off.
#[utoipa::path(
    get,
    path = "/v1/broadcasts/{id}/export",
    tag = "broadcasts",
    security(("key" = ["read"])),
    params(("id" = String, Path, description = "The broadcast's id")),
    responses(
        (status = 200, description = "Every recipient", body = String, content_type = "text/csv"),
        (status = 404, description = "There is no such broadcast"),
    )
)]
pub(super) async fn export(caller: Caller, Path(id): Path) -> Result<Response, Problem> {
    let job_id = caller.store.broadcast(caller.tenant, &id).await?.job_id;
    let pages = stream::try_unfold(Some(0), move |after| {
        let store = caller.store.clone();
        async move {
            let Some(after) = after else { return Ok::<_, anyhow::Error>(None) };
            let rows = store.export(job_id, after, EXPORT_PAGE).await?;
            let next = rows.last().map(|last| last.message_id);
            Ok(Some((Bytes::from(export_csv(&rows, after == 0)?), next)))
        }
    });
    let name = format!("attachment; filename=\"{id}.csv\"");
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, &name)];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// Rows as CSV, after the names of the columns where it begins with them.
fn export_csv(rows: &[ExportRow], begins: bool) -> anyhow::Result<Vec<u8>> {
    let mut csv = ::csv::Writer::from_writer(Vec::new());
    if begins {
        csv.write_record(EXPORT_COLUMNS)?;
    }
    for row in rows {
        csv.write_record(export_record(row))?;
    }
    Ok(csv.into_inner()?)
}

async fn as_it_is(caller: &Caller, id: &str) -> Result<Json<Broadcast>, Problem> {
    Ok(Json(Broadcast::from(&caller.store.broadcast(caller.tenant, id).await?)))
}
