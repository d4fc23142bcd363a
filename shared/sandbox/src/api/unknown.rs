//! Paths and methods that the sandbox does not serve, refused in the Graph API's shape.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::response::IntoResponse;

use crate::api::error::ApiError;
use crate::api::path::GraphPath;

/// Answers a path that nothing serves.
pub(crate) async fn path(request: Request) -> Response<Body> {
    ApiError::path_unknown(request.uri().path()).into_response()
}

/// Answers a method that a served path does not take.
pub(crate) async fn method(request: Request) -> Response<Body> {
    match GraphPath::parse(request.uri().path()) {
        Ok(path) => ApiError::object_unknown(request.method().as_str(), path.object).into_response(),
        Err(error) => error.into_response(),
    }
}
