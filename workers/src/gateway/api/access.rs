//! Who asks, and whether they may: every route stands behind a scope.
//!
//! A request shows a key of kabar's own, or a token (JWT) of the identity provider that the settings name. Which of them it
//! is can be seen; either way it comes to a tenant, scopes and a name for the audit log.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use kabar_domain::{job::Door, scope::Scope};
use kabar_identity::{Identity, Refusal};
use kabar_store::{Actor, ApiKey, DEFAULT_TENANT, Store, StoreError, TenantId};

use super::{
    super::Gateway,
    problem::{Kind, Problem},
};
use crate::context::{self, Context};

/// What a route asks for.
#[derive(Clone)]
pub(super) struct Guard {
    gateway: Arc<Gateway>,
    scope: Scope,
}

impl Guard {
    /// Lets callers through that have `scope`.
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

/// What a key or a token comes to.
struct Pass {
    tenant: TenantId,
    scopes: Vec<Scope>,
    actor: Actor,
    /// How to get one with a scope that this one lacks.
    wider: fn(Scope) -> String,
}

/// Lets a request through that shows what is valid and has the scope.
pub(super) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let context = &guard.gateway.context;
    let Some(shown) = bearer(request.headers()) else {
        return Err(unauthenticated("the request shows no key", ""));
    };
    let pass = match &guard.gateway.identity {
        Some(identity) if !ApiKey::looks_like(shown) => of_token(context, identity, shown).await?,
        _ => of_key(&context.store, shown).await?,
    };
    if !guard.scope.is_in(&pass.scopes) {
        let scope = guard.scope;
        return Err(Problem::new(Kind::MissingScope, format!("this needs the scope {scope}"))
            .challenge(&format!(", error=\"insufficient_scope\", scope=\"{scope}\""))
            .fix((pass.wider)(scope)));
    }
    request.extensions_mut().insert(Caller {
        tenant: pass.tenant,
        store: context.store.acting_as(pass.actor),
        door: context::door(&context.settings),
        strict_templates: context.settings.templates.strict,
        margin: context.settings.pace.margin,
    });
    Ok(next.run(request).await)
}

async fn of_key(store: &Store, text: &str) -> Result<Pass, Problem> {
    let Some(key) = store.prove_key(text).await? else {
        return Err(unauthenticated("this key is not known, has expired or was revoked", INVALID));
    };
    let actor = Actor::key(&key);
    let wider = |scope| format!("make a key with `kabar key add NAME --scope {scope}`");
    Ok(Pass { tenant: key.tenant, scopes: key.scopes, actor, wider })
}

async fn of_token(context: &Context, identity: &Identity, text: &str) -> Result<Pass, Problem> {
    let proof = identity.prove(text).await.map_err(|refusal| match refusal {
        Refusal::Unavailable => Problem::away(refusal.to_string(), "try again; `kabar doctor` says what is wrong"),
        refusal => unauthenticated(&refusal.to_string(), INVALID),
    })?;
    let tenant = match &proof.tenant {
        None => DEFAULT_TENANT,
        Some(name) => context.store.tenant(name).await.map_err(|error| match error {
            StoreError::NotFound { .. } => unauthenticated("the token is for a tenant that is not known here", INVALID),
            error => error.into(),
        })?,
    };
    let wider = |scope| format!("ask the identity provider for a token with kabar's scope {scope}");
    let messages_per_minute = context.settings.jwt.as_ref().and_then(|jwt| jwt.messages_per_minute);
    let actor = Actor::token(&proof.subject, messages_per_minute);
    Ok(Pass { tenant, scopes: proof.scopes, actor, wider })
}

/// What a challenge says to whoever showed something that is worth nothing.
const INVALID: &str = ", error=\"invalid_token\"";

fn unauthenticated(detail: &str, challenge: &str) -> Problem {
    Problem::new(Kind::Unauthenticated, detail)
        .challenge(challenge)
        .fix("send `Authorization: Bearer KEY`; `kabar key add` makes a key")
}

/// The key or the token that a request shows.
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
