//! The identity provider whose tokens open the HTTP API, as the settings name it.

use kabar_identity::{Identity, KeysAt, KeysError, Options, Timing};
use kabar_settings::Settings;

/// Gets ready for its tokens; none where the settings name no provider.
///
/// # Errors
/// When a file of keys has none that can be used, or no HTTP client can be made.
pub(crate) async fn open(settings: &Settings) -> Result<Option<Identity>, KeysError> {
    let Some(jwt) = &settings.jwt else { return Ok(None) };
    let options = Options {
        issuer: jwt.issuer.clone(),
        audiences: jwt.audiences.clone(),
        keys: match &jwt.keys {
            kabar_settings::KeysAt::Url(address) => KeysAt::Url(address.as_str().to_owned()),
            kabar_settings::KeysAt::File(path) => KeysAt::File(path.clone()),
        },
        timing: Timing { refresh_every: jwt.refresh_every, fetch_floor: jwt.fetch_floor, keep: jwt.keep },
        tenant_claim: jwt.tenant_claim.clone(),
        scope_claim: jwt.scope_claim.clone(),
        scope_prefix: jwt.scope_prefix.clone(),
    };
    Identity::open(options).await.map(Some)
}
