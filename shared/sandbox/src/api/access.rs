//! Who may call: the access token, and whether the business owns the object that the path names.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::api::error::ApiError;
use crate::api::path;
use crate::config::SandboxConfig;

/// The tokens and objects that exist, fixed for a sandbox's life.
#[derive(Debug)]
pub(crate) struct Access {
    tokens: Vec<String>,
    phone_number_ids: Vec<String>,
    pub(crate) waba_id: String,
}

impl Access {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        Self {
            tokens: config.access_tokens.clone(),
            phone_number_ids: config.phone_number_ids.clone(),
            waba_id: config.waba_id.clone(),
        }
    }

    /// Checks the bearer token, or the `access_token` of the query as the Graph API also takes it.
    pub(crate) fn check_token(&self, head: &Parts) -> Result<(), ApiError> {
        let token = bearer(head).or_else(|| query_token(head)).ok_or_else(ApiError::token_missing)?;
        if self.tokens.is_empty() || self.tokens.iter().any(|accepted| accepted == token) {
            Ok(())
        } else {
            Err(ApiError::token_invalid())
        }
    }

    /// Whether a phone number id exists.
    pub(crate) fn knows_number(&self, id: &str) -> bool {
        if self.phone_number_ids.is_empty() {
            path::is_id(id)
        } else {
            self.phone_number_ids.iter().any(|known| known == id)
        }
    }

    /// The number that speaks when no other is named.
    pub(crate) fn first_number(&self) -> Option<&str> {
        self.phone_number_ids.first().map(String::as_str)
    }
}

fn bearer(head: &Parts) -> Option<&str> {
    let value = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn query_token(head: &Parts) -> Option<&str> {
    let pairs = head.uri.query()?.split('&');
    pairs.filter_map(|pair| pair.strip_prefix("access_token=")).find(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn head(uri: &str, authorization: Option<&str>) -> Parts {
        let mut request = Request::builder().uri(uri);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn any_token_will_do_unless_some_are_named() {
        let open = Access::new(&SandboxConfig::default());
        assert!(open.check_token(&head("/", Some("Bearer x"))).is_ok());
        assert!(open.check_token(&head("/?access_token=x", None)).is_ok());
        for missing in [None, Some("Bearer "), Some("Basic x")] {
            assert_eq!(open.check_token(&head("/", missing)).unwrap_err().code(), 104);
        }
        let config = SandboxConfig { access_tokens: vec!["good".to_owned()], ..SandboxConfig::default() };
        let closed = Access::new(&config);
        assert!(closed.check_token(&head("/", Some("bearer good"))).is_ok());
        assert_eq!(closed.check_token(&head("/", Some("Bearer bad"))).unwrap_err().code(), 190);
    }
}
