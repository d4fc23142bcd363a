//! Messages: lists of them, and everything that happened to one.

use axum::Json;
use kabar_domain::message::MessageState;
use kabar_store::MessageFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    access::Caller,
    input::{Path, Query},
    page::{Page, Wanted},
    problem::Problem,
};
use crate::views::{ListedMessage, MessageStory, State};

/// Which messages are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MessageQuery {
    /// Those in this state
    #[param(value_type = Option<State>, inline)]
    state: Option<String>,
    /// Those of the job with this id: a send, a broadcast or a reminder
    job: Option<String>,
    /// Those of the sender with this name
    sender: Option<String>,
    /// How many are given at most
    #[param(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<u32>,
    /// Go on after a page: what was its `next`
    #[param(pattern = "^[0-9]{1,19}$")]
    after: Option<String>,
}

/// Messages by state, job and sender
///
/// Of a job in the order of its recipients, else in the order in which they were planned.
#[utoipa::path(
    get,
    path = "/v1/messages",
    tag = "messages",
    security(("key" = ["read"])),
    params(MessageQuery),
    responses((status = 200, description = "A page of them", body = Page<ListedMessage>))
)]
pub(super) async fn list(
    caller: Caller,
    Query(query): Query<MessageQuery>,
) -> Result<Json<Page<ListedMessage>>, Problem> {
    let wanted = Wanted::read(query.limit, query.after.as_deref(), 0)?;
    let state = query.state.as_deref().map(state).transpose()?;
    let filter = MessageFilter { state, job_key: query.job, sender: query.sender };
    let rows = caller.store.list_messages(caller.tenant, &filter, wanted.after, wanted.look_up()).await?;
    Ok(Json(wanted.page(rows.iter().map(|row| (row.id, row.into())))))
}

fn state(text: &str) -> Result<MessageState, Problem> {
    text.parse().map_err(|_| {
        let known = MessageState::ALL.map(MessageState::as_str).join(", ");
        Problem::parameter("state", text, format!("is no state; states are {known}"))
    })
}

/// Everything that happened to one message, why it waits and what happens next
#[utoipa::path(
    get,
    path = "/v1/messages/{id}",
    tag = "messages",
    security(("key" = ["read"])),
    params(("id" = String, Path, description = "The message's number, or the id of a job with one message")),
    responses(
        (status = 200, description = "The message", body = MessageStory),
        (status = 404, description = "There is no such message, or none of it yet"),
        (status = 409, description = "The job has several messages"),
    )
)]
pub(super) async fn show(caller: Caller, Path(id): Path) -> Result<Json<MessageStory>, Problem> {
    let message = caller.store.find_message(caller.tenant, &id).await?;
    Ok(Json(MessageStory::from(&caller.store.message_story(caller.tenant, message).await?)))
}
