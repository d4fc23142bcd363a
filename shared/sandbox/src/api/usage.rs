//! The headers by which answers tell how much of the limits on calls is used up.

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::sends::fate::Usage;

const APP: HeaderName = HeaderName::from_static("x-app-usage");
const ACCOUNT: HeaderName = HeaderName::from_static("x-business-use-case-usage");

/// Puts what there is to tell into an answer's head.
pub(crate) fn tell(response: &mut Response<Body>, usage: Usage, waba_id: &str) {
    if let Some(app) = usage.app {
        let shares = json!({"call_count": app.percent, "total_cputime": 0, "total_time": 0});
        put(response, APP, &shares);
    }
    if let Some(account) = usage.account {
        let shares = json!({"type": "whatsapp", "call_count": account.percent, "total_cputime": 0, "total_time": 0,
            "estimated_time_to_regain_access": account.minutes});
        put(response, ACCOUNT, &json!({waba_id: [shares]}));
    }
}

fn put(response: &mut Response<Body>, name: HeaderName, told: &Value) {
    // JSON of numbers and an id is printable.
    if let Ok(value) = HeaderValue::from_str(&told.to_string()) {
        response.headers_mut().insert(name, value);
    }
}
