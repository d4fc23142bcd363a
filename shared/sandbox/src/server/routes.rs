//! Every path that the sandbox serves.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::api::{messages, nodes, template_list, unknown};
use crate::control;
use crate::shared::Shared;

/// The Cloud API and the control endpoints.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/{version}/{phone_number_id}/messages", post(messages::post))
        .route("/{version}/{waba_id}/message_templates", get(template_list::get).post(template_list::post))
        .route("/{version}/{object}", get(nodes::get))
        .merge(control::routes())
        .fallback(unknown::path)
        .method_not_allowed_fallback(unknown::method)
        .with_state(shared)
}
