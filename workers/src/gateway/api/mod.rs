//! The HTTP API for producers and operators, under `/v1`.
//!
//! **To add a route:** a function with its `utoipa::path` in the file of its noun, and a line in [`router`] under the scope
//! that it needs. The description at `/openapi.json` follows; its snapshot (`workers/openapi.json`) is written anew with
//! `kabar schema openapi`.

mod access;
mod broadcasts;
mod catalogue;
mod cors;
mod document;
mod groups;
mod input;
mod jobs;
mod messages;
mod observe;
mod overview;
mod page;
mod person;
mod problem;
mod recipients;
mod reminders;
mod schedules;
mod uploads;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, http::Method, middleware, routing::get};
use kabar_domain::scope::Scope;
use tower_http::{compression::CompressionLayer, decompression::RequestDecompressionLayer};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

pub(crate) use document::openapi;
use problem::{Kind, Problem};

use super::Gateway;

/// Every route, each under the scope that it needs.
fn routes(
    guarded: impl Fn(Scope, OpenApiRouter<Arc<Gateway>>) -> OpenApiRouter<Arc<Gateway>>,
) -> OpenApiRouter<Arc<Gateway>> {
    let enqueue = OpenApiRouter::new()
        .routes(routes!(jobs::enqueue))
        .routes(routes!(broadcasts::preview))
        // A file may be large; its own bound is counted as it goes to disk.
        .routes(routes!(uploads::start).layer(DefaultBodyLimit::disable()))
        .routes(routes!(reminders::move_to))
        .routes(routes!(reminders::paid))
        .routes(routes!(reminders::cancel))
        .routes(routes!(schedules::add));
    let read = OpenApiRouter::new()
        .routes(routes!(jobs::show))
        .routes(routes!(broadcasts::list))
        .routes(routes!(broadcasts::show))
        .routes(routes!(broadcasts::export))
        .routes(routes!(reminders::list))
        .routes(routes!(reminders::show))
        .routes(routes!(messages::list))
        .routes(routes!(messages::show))
        .routes(routes!(recipients::list))
        .routes(routes!(recipients::show))
        .routes(routes!(catalogue::senders))
        .routes(routes!(catalogue::templates))
        .routes(routes!(catalogue::groups))
        .routes(routes!(groups::members))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::show))
        .routes(routes!(overview::stats));
    let operate = OpenApiRouter::new()
        .routes(routes!(broadcasts::pause))
        .routes(routes!(broadcasts::resume))
        .routes(routes!(broadcasts::cancel))
        .routes(routes!(broadcasts::retry))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::remove))
        .routes(routes!(recipients::put))
        .routes(routes!(recipients::block, recipients::unblock))
        .routes(routes!(recipients::opt_out, recipients::opt_in))
        .routes(routes!(groups::join))
        .routes(routes!(groups::replace).layer(DefaultBodyLimit::disable()))
        .routes(routes!(groups::leave));
    let admin = OpenApiRouter::new().routes(routes!(overview::audit));
    OpenApiRouter::new()
        .merge(guarded(Scope::Enqueue, enqueue))
        .merge(guarded(Scope::Read, read))
        .merge(guarded(Scope::Operate, operate))
        .merge(guarded(Scope::Admin, admin))
}

/// The API's routes, and beside them its description, for machines and for people.
pub(super) fn router(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    let guarded = |scope, routes: OpenApiRouter<_>| {
        routes.route_layer(middleware::from_fn_with_state(access::Guard::new(gateway.clone(), scope), access::guard))
    };
    let (routes, _) = routes(guarded).split_for_parts();
    let routes = routes
        .route("/openapi.json", get(document::json))
        .route("/docs", get(document::page))
        .fallback(async || Problem::no_route())
        .method_not_allowed_fallback(async |method: Method| {
            Problem::new(Kind::MethodNotAllowed, format!("{method} is not for this path")).fix("see the header Allow")
        })
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(observe::observe));
    cors::allow(routes, &gateway.context.settings.gateway.cors_origins)
}
