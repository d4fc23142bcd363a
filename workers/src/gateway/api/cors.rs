//! Which web pages of others may call the API from a browser: none, unless the settings name their origins.

use axum::{
    Router,
    http::{HeaderValue, Method, header},
};
use kabar_settings::WebOrigin;
use tower_http::cors::CorsLayer;

use super::observe::REQUEST_ID;

/// Lets pages of these origins call the routes.
pub(super) fn allow<S: Clone + Send + Sync + 'static>(routes: Router<S>, origins: &[WebOrigin]) -> Router<S> {
    if origins.is_empty() {
        return routes;
    }
    let origins: Vec<HeaderValue> =
        origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok()).collect();
    routes.layer(
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::CONTENT_ENCODING, REQUEST_ID])
            .expose_headers([REQUEST_ID, header::RETRY_AFTER]),
    )
}
