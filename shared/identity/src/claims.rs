//! What the claims of a token mean here.

use kabar_domain::scope::Scope;
use serde_json::{Map, Value};

use crate::{Options, Proof, Refusal};

/// All claims, as they came.
pub(crate) type Claims = Map<String, Value>;

/// The most characters of a subject or a tenant's name.
const MOST_CHARS: usize = 255;

/// Whom the claims speak for, and what they may do. Scopes that kabar does not know are the business of others.
pub(crate) fn prove(claims: &Claims, options: &Options) -> Result<Proof, Refusal> {
    Ok(Proof {
        subject: text(claims, "sub")?,
        tenant: options.tenant_claim.as_deref().map(|name| text(claims, name)).transpose()?,
        scopes: scopes(claims.get(&options.scope_claim), &options.scope_prefix),
    })
}

fn text(claims: &Claims, name: &str) -> Result<String, Refusal> {
    let text = claims.get(name).and_then(Value::as_str);
    let fits = |text: &&str| !text.is_empty() && text.chars().count() <= MOST_CHARS;
    text.filter(fits).map(str::to_owned).ok_or_else(|| Refusal::Claim(name.to_owned()))
}

fn scopes(claim: Option<&Value>, prefix: &str) -> Vec<Scope> {
    let words: Vec<&str> = match claim {
        Some(Value::String(text)) => text.split(' ').collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut scopes: Vec<Scope> = words.iter().filter_map(|word| word.strip_prefix(prefix)?.parse().ok()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scopes_are_a_list_or_words_and_begin_with_the_prefix() {
        let both = vec![Scope::Enqueue, Scope::Read];
        for claim in [
            json!("openid kabar:read kabar:enqueue kabar:read"),
            json!(["kabar:read", 7, "kabar:enqueue", "kabar:fly", "read"]),
        ] {
            assert_eq!(scopes(Some(&claim), "kabar:"), both, "{claim}");
        }
        for none in [json!("read enqueue kabar:"), json!(null), json!(7), json!({"kabar:read": true})] {
            assert!(scopes(Some(&none), "kabar:").is_empty(), "{none}");
        }
        assert!(scopes(None, "kabar:").is_empty());
        assert_eq!(scopes(Some(&json!("read")), ""), [Scope::Read]);
    }

    #[test]
    fn a_subject_and_a_tenant_are_texts_that_are_there() {
        let claims = |value: Value| match json!({"sub": value}) {
            Value::Object(claims) => claims,
            _ => Claims::new(),
        };
        assert_eq!(text(&claims(json!("shop")), "sub").unwrap(), "shop");
        for none in [json!(""), json!(7), json!(null), json!("x".repeat(256))] {
            assert_eq!(text(&claims(none), "sub"), Err(Refusal::Claim("sub".to_owned())));
        }
        assert_eq!(text(&Claims::new(), "org"), Err(Refusal::Claim("org".to_owned())));
    }
}
