//! The Cloud API simulator, set up so that a fleet's default sender fits it.

use std::time::Duration;

use kabar_sandbox::{Sandbox, SandboxConfig, WebhookTarget};

/// The one phone number id that the sandbox knows.
pub const PHONE_NUMBER_ID: &str = "106540352242922";
/// The one access token that it accepts.
pub const ACCESS_TOKEN: &str = "test-access-token";
/// What it signs webhooks with.
pub const APP_SECRET: &str = "test-app-secret";
/// What the gateway's verification is asked with.
pub const VERIFY_TOKEN: &str = "test-verify-token";

/// How long a request may be held up between its departure and the sandbox's look at it, on a machine that runs dozens of
/// tests at once.
const HELD_UP_AT_MOST: Duration = Duration::from_millis(300);

/// Fails where more than `limit` requests left in any one second, as far as arrivals can tell on a busy machine: those that
/// left within a second of each other arrive within that and 300 ms of each other. Whole seconds are for the
/// benchmarks, on a quiet one.
///
/// # Panics
/// When there were more.
#[track_caller]
pub fn assert_pace(sandbox: &Sandbox, limit: usize) {
    let stretch = Duration::from_secs(1) - HELD_UP_AT_MOST;
    let mut times: Vec<_> = sandbox.arrivals().into_iter().map(|arrival| arrival.at).collect();
    times.sort_unstable();
    let (mut first, mut worst) = (0, 0);
    for (index, at) in times.iter().enumerate() {
        while *at - times[first] >= stretch {
            first += 1;
        }
        worst = worst.max(index + 1 - first);
    }
    assert!(worst <= limit, "{worst} arrivals within {stretch:?}, of {limit} allowed in a second");
}

/// Starts a sandbox that keeps the bodies of what arrives; `change` may set anything else.
///
/// # Panics
/// When it cannot start.
pub async fn start(change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let mut config = SandboxConfig {
        access_tokens: vec![ACCESS_TOKEN.to_owned()],
        phone_number_ids: vec![PHONE_NUMBER_ID.to_owned()],
        record_arrivals: true,
        ..SandboxConfig::default()
    };
    change(&mut config);
    Sandbox::start(config).await.expect("the sandbox starts")
}

/// The environment by which a fleet has a sender named `default` on this sandbox.
#[must_use]
pub fn environment(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    vec![
        ("WHATSAPP_API_BASE", sandbox.base_url()),
        ("WHATSAPP_PHONE_NUMBER_ID", PHONE_NUMBER_ID.to_owned()),
        ("WHATSAPP_ACCESS_TOKEN", ACCESS_TOKEN.to_owned()),
        ("WHATSAPP_APP_SECRET", APP_SECRET.to_owned()),
        ("WHATSAPP_WEBHOOK_VERIFY_TOKEN", VERIFY_TOKEN.to_owned()),
    ]
}

/// Lets the sandbox post its webhooks to the gateway that listens at `address`: quickly, and half the messages are read.
pub fn report_to(sandbox: &Sandbox, address: &str) {
    sandbox.set_webhook(Some(WebhookTarget {
        url: format!("http://{address}/webhooks/whatsapp"),
        app_secret: APP_SECRET.to_owned(),
        delay: Duration::from_millis(20),
        read_share: 0.5,
    }));
}
