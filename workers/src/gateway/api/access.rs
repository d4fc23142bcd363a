//! Who asks, and whether they may: every route stands behind a scope.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use kabar_domain::{job::Door, scope::Scope};
use kabar_store::{Actor, Store, TenantId};

use super::{
    super::Gateway,
    problem::{Kind, Problem},
};
use crate::context;

/// What a route asks for.
#[derive(Clone)]
pub(super) struct Guard {
    gateway: Arc<Gateway>,
    scope: Scope,
}

impl Guard {
    /// Lets keys through that have `scope`.
    pub(super) const fn new(gateway: Arc<Gateway>, scope: Scope) -> Self {
        Self { gateway, scope }
    }
}

/// Whoever asks, once it is known that they may.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Whose things they may see and change.
    pub(super) tenant: TenantId,
    /// The ledger, in their hands.
    pub(super) store: Store,
    /// How this installation reads what they leave open.
    pub(super) door: Door,
    /// Whether templates must be known.
    pub(super) strict_templates: bool,
    /// The margin of the pace.
    pub(super) margin: Duration,
}

/// Lets a request through whose key is valid and has the scope.
pub(super) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let context = &guard.gateway.context;
    let unauthenticated = |detail: &str, challenge: &str| {
        Problem::new(Kind::Unauthenticated, detail)
            .challenge(challenge)
            .fix("send `Authorization: Bearer KEY`; `kabar key add` makes a key")
    };
    let Some(text) = bearer(request.headers()) else {
        return Err(unauthenticated("the request shows no key", ""));
    };
    let Some(key) = context.store.prove_key(text).await? else {
        return Err(unauthenticated("this key is not known, has expired or was revoked", ", error=\"invalid_token\""));
    };
    if !guard.scope.is_in(&key.scopes) {
        let scope = guard.scope;
        return Err(Problem::new(Kind::MissingScope, format!("this needs a key with the scope {scope}"))
            .challenge(&format!(", error=\"insufficient_scope\", scope=\"{scope}\""))
            .fix(format!("make one with `kabar key add NAME --scope {scope}`")));
    }
    request.extensions_mut().insert(Caller {
        tenant: key.tenant,
        store: context.store.acting_as(Actor::key(&key)),
        door: context::door(&context.settings),
        strict_templates: context.settings.templates.strict,
        margin: context.settings.pace.margin,
    });
    Ok(next.run(request).await)
}

/// The key that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A route without a guard lets nobody in.
        parts.extensions.get().cloned().ok_or_else(|| Problem::new(Kind::Internal, "this route has no guard"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_the_header_however_its_scheme_is_written() {
        let shown = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(shown("Bearer kabar_x").as_deref(), Some("kabar_x"));
        assert_eq!(shown("bearer  kabar_x ").as_deref(), Some("kabar_x"));
        assert_eq!(shown("Basic kabar_x"), None);
        assert_eq!(shown("kabar_x"), None);
    }
}
