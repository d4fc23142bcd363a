//! Broadcasts to the people of a file, however long it is.
//!
//! The file goes to disk as it comes and is looked through whole before a row of it goes into the ledger: so a request that
//! breaks off leaves nothing behind, and bad rows are told of together. Of all that is held in memory only the numbers that
//! were seen grow with the file, at some twenty bytes each. From there it is loaded as the command line loads one. The same
//! file under the same id is the same broadcast; a load that was cut short goes on when it is sent again.

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        FromRequest as _, Multipart, Request, State,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
};
use kabar_domain::{
    job::{Audience, BroadcastJob, Door, Job},
    json,
    phone::DefaultRegion,
};
use kabar_store::Enqueued;
use serde::Serialize;
use serde_json::{Map, Value};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use utoipa::ToSchema;

use super::{
    super::Gateway,
    access::Caller,
    observe,
    problem::{Kind, Problem},
};
use crate::{
    admission::{Admission, count_job, fresh_id},
    file_broadcast::{self, LoadError, check_columns},
    people_file::{PeopleFile, Survey},
    views::FileReport,
};

/// The largest part `job`, in bytes: content and nothing else.
const MOST_JOB_BYTES: usize = 1 << 20;

/// The most bad rows, and the most repeats, that an answer lists.
const MOST_LISTED: usize = 1_000;

/// A broadcast and the file of its people.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form, which is read part by part")]
pub(super) struct UploadForm {
    /// The broadcast as JSON, first: as in `POST /v1/jobs`, without an audience.
    #[schema(value_type = Object)]
    job: Value,
    /// The people, in UTF-8. As CSV: a header line with `phone`; `name` and any fields are optional. As NDJSON: an object a
    /// line, with `to`, and perhaps `name` and `params`, as in `audience.recipients`.
    #[schema(format = Binary)]
    file: String,
}

/// A broadcast that is in the ledger with all its people.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Uploaded {
    /// The broadcast's id: the producer's own, or made.
    id: String,
    /// What the file came to.
    file: FileReport,
}

/// Start a broadcast to the people of a file of any length
///
/// 202 means that the broadcast and all its people are durable in the ledger; with any other answer nothing is sent. Rows
/// that cannot be used are left out and told of. The same file under the same id is the same broadcast, and an upload that
/// broke off is simply sent again, with its id.
#[utoipa::path(
    post,
    path = "/v1/broadcasts",
    tag = "broadcasts",
    security(("key" = ["enqueue"])),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 202, description = "It is all in the ledger", body = Uploaded),
        (status = 409, description = "The id belongs to another job"),
        (status = 413, description = "The file is too large"),
        (status = 415, description = "The body is no form of several parts"),
        (status = 422, description = "The broadcast or the file is not valid; nothing was enqueued"),
        (status = 429, description = "The key has enqueued enough for now"),
    )
)]
pub(super) async fn start(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<Uploaded>), Problem> {
    let arrival = observe::arrival(request.headers());
    let mut form = form(request).await?;
    let job = read_job(part(&mut form, "job").await?).await?;
    let limit = gateway.context.settings.gateway.upload_limit_bytes;
    let kept = keep(part(&mut form, "file").await?, limit).await?;
    let (file, survey) = look_through(&kept, caller.door.default_region, std::convert::identity).await?;
    let broadcast = broadcast(&caller, job, &file, &survey).await?;
    let loaded = file_broadcast::load(&caller.store, caller.tenant, &broadcast, &file, &survey, |_| ())
        .await
        .map_err(refused)?;
    let job_id = loaded.job_id;
    let enqueued = if loaded.is_new { Enqueued::New { job_id } } else { Enqueued::Same { job_id } };
    let broadcast = Job::Broadcast(broadcast);
    count_job(&broadcast, &enqueued);
    arrival.enqueued(&gateway.context, caller.tenant, [(&broadcast, &enqueued)]);
    Ok((StatusCode::ACCEPTED, Json(Uploaded { id: broadcast.id().to_string(), file: FileReport::from(&survey) })))
}

pub(super) async fn form(request: Request) -> Result<Multipart, Problem> {
    let said = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !said.to_ascii_lowercase().starts_with("multipart/form-data") {
        let fix = "send a form of two parts, `job` and `file`, as `curl -F job=@job.json -F file=@people.csv` does";
        let detail = "the body is no multipart/form-data";
        return Err(Problem::new(Kind::UnsupportedType, detail).of("content-type").fix(fix));
    }
    Multipart::from_request(request, &()).await.map_err(|error| Problem::new(Kind::Malformed, error.body_text()))
}

/// The next part of the form, which must have this name.
async fn part<'f>(form: &'f mut Multipart, name: &str) -> Result<Field<'f>, Problem> {
    match form.next_field().await.map_err(broken)? {
        Some(field) if field.name() == Some(name) => Ok(field),
        _ => Err(Problem::new(Kind::Invalid, format!("{name}: must come next; the parts are job, then file")).of(name)),
    }
}

/// The broadcast, so far without its audience.
async fn read_job(mut part: Field<'_>) -> Result<Map<String, Value>, Problem> {
    let mut text = Vec::new();
    while let Some(bytes) = part.chunk().await.map_err(broken)? {
        if text.len() + bytes.len() > MOST_JOB_BYTES {
            return Err(Problem::new(Kind::TooLarge, format!("job has more than {MOST_JOB_BYTES} bytes")).of("job"));
        }
        text.extend_from_slice(&bytes);
    }
    let invalid = |detail: &str, field: &str| Err(Problem::new(Kind::Invalid, format!("{field}: {detail}")).of(field));
    match json::parse(&text) {
        Err(error) => Err(Problem::new(Kind::Malformed, format!("job: not JSON: {error}")).of("job")),
        Ok(Value::Object(job)) if job.contains_key("audience") => {
            invalid("is the file; leave this field out", "job.audience")
        }
        Ok(Value::Object(job)) if job.get("type").is_some_and(|kind| kind != "broadcast") => {
            invalid("must be broadcast, or left out", "job.type")
        }
        Ok(Value::Object(job)) => Ok(job),
        Ok(_) => invalid("must be a JSON object", "job"),
    }
}

/// The file, on disk until it is dropped.
pub(super) async fn keep(mut part: Field<'_>, limit: u64) -> Result<NamedTempFile, Problem> {
    let kept = NamedTempFile::new().map_err(no_room)?;
    let mut file = tokio::fs::File::from_std(kept.reopen().map_err(no_room)?);
    let mut bytes = 0;
    while let Some(chunk) = part.chunk().await.map_err(broken)? {
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Err(Problem::new(Kind::TooLarge, format!("file has more than {limit} bytes"))
                .of("file")
                .fix("split it; gateway.upload_limit_bytes sets the limit"));
        }
        file.write_all(&chunk).await.map_err(no_room)?;
    }
    file.flush().await.map_err(no_room)?;
    Ok(kept)
}

/// Walks through the whole file, taken `as_what` it is to be, on a thread where that holds nobody up.
pub(super) async fn look_through(
    kept: &NamedTempFile,
    region: Option<DefaultRegion>,
    as_what: fn(PeopleFile) -> PeopleFile,
) -> Result<(Arc<PeopleFile>, Survey), Problem> {
    let path = kept.path().to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let file = as_what(PeopleFile::open_as(&path, "the file".to_owned(), region)?);
        let survey = Survey::of(&file, MOST_LISTED, |_| ())?;
        survey.judge(&file, false)?;
        anyhow::Ok((Arc::new(file), survey))
    });
    let looked = looked.await.map_err(|error| no_room(error.into()))?;
    looked.map_err(|error| Problem::new(Kind::Invalid, format!("file: {}", crate::cli::one_line(&error))).of("file"))
}

/// The broadcast to the people of the file, checked as any job is.
async fn broadcast(
    caller: &Caller,
    mut job: Map<String, Value>,
    file: &PeopleFile,
    survey: &Survey,
) -> Result<BroadcastJob, Problem> {
    job.insert("type".to_owned(), "broadcast".into());
    let audience = serde_json::to_value(Audience::File(survey.hash.clone())).unwrap_or_default();
    job.insert("audience".to_owned(), audience);
    let body = Value::Object(job);
    let door = Door { loads_files: true, ..caller.door };
    let job = Job::from_value(body.clone(), door, fresh_id("broadcast").parse().ok());
    let job = job.map_err(|error| Problem::job("job", &error, &body))?;
    let mut admission = Admission::new(&caller.store, caller.tenant, caller.strict_templates);
    admission.check(&job).await.map_err(|refusal| Problem::refused("job", refusal))?;
    check_columns(file, job.content()).map_err(|problem| Problem::new(Kind::Invalid, problem).of("job.content"))?;
    match job {
        Job::Broadcast(broadcast) => Ok(broadcast),
        Job::Send(_) | Job::Reminder(_) => Err(Problem::new(Kind::Invalid, "job: must be a broadcast").of("job")),
    }
}

fn refused(error: LoadError) -> Problem {
    match error {
        LoadError::Ledger(error) => Problem::enqueue("job", error),
        LoadError::File(error) => no_room(std::io::Error::other(error)),
    }
}

pub(super) fn broken(error: MultipartError) -> Problem {
    Problem::new(Kind::Malformed, format!("the form cannot be read: {}", error.body_text()))
}

pub(super) fn no_room(error: std::io::Error) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "an upload could not be kept or read");
    Problem::new(Kind::Internal, "the upload could not be kept; the log says why, under the id of this request")
}
