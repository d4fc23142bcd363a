//! Who a token of an identity provider (a JWT) speaks for.
//!
//! A token says by itself which key and which algorithm it wants to be checked with; neither is believed. The provider's
//! key set, fetched and kept here, says which key has that id, and each key verifies by one algorithm alone: the one that
//! the set names, else the usual one of its type. Only asymmetric algorithms are known here, so a public key can never be
//! taken for a shared secret.
//!
//! `jsonwebtoken` reads tokens and checks their claims; ring, which is in the program anyway, verifies signatures. Of the
//! library's own two kinds of cryptography, one needs the crate `rsa` with an open advisory (RUSTSEC-2023-0071), the other
//! a second library of cryptography.
//!
//! No token, and nothing out of one, gets into a log or an error here.

mod cache;
mod claims;
mod keys;
mod source;
mod verify;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jsonwebtoken::{Validation, errors::ErrorKind};
use kabar_domain::scope::Scope;

use cache::Cache;
pub use cache::Timing;
use claims::Claims;
pub use source::KeysError;
use source::Source;

/// How far the provider's clock and this machine's may be apart.
const LEEWAY: Duration = Duration::from_secs(30);

/// The longest token that is looked at, in bytes.
const MOST_TOKEN_BYTES: usize = 16 << 10;

/// Claims without which a token is worth nothing, beside those that the options ask for.
const REQUIRED: [&str; 4] = ["exp", "iss", "aud", "sub"];

/// Where the provider's key set (JWKS) is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysAt {
    /// An address that answers `GET` with it.
    Url(String),
    /// A file.
    File(PathBuf),
}

/// Whose tokens are trusted, and what their claims mean here.
#[derive(Debug, Clone)]
pub struct Options {
    /// What `iss` must be, sign by sign.
    pub issuer: String,
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
    /// Where the keys are.
    pub keys: KeysAt,
    /// When keys are fetched, and for how long they are good.
    pub timing: Timing,
    /// The claim that names the tenant. None: the caller knows whose all tokens are.
    pub tenant_claim: Option<String>,
    /// The claim with the scopes: a list, or one text separated by spaces.
    pub scope_claim: String,
    /// What kabar's scopes begin with there, so that a word such as `read`, meant for another API, gives nothing here.
    pub scope_prefix: String,
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Whom the provider gave it to: `sub`. May be personal, as an e-mail address is.
    pub subject: String,
    /// The tenant's name, where the options name a claim for it.
    pub tenant: Option<String>,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no token, or asks for something that is not done here.
    #[error("the token cannot be read, or asks for an algorithm that is not taken")]
    Unreadable,
    /// No key of the provider has its id.
    #[error("the token is signed with a key that the identity provider does not list")]
    UnknownKey,
    /// It was changed, or signed with another key.
    #[error("the token's signature does not hold")]
    BadSignature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// Another issuer made it.
    #[error("the token is of another issuer")]
    OtherIssuer,
    /// It is for another API.
    #[error("the token is for another audience")]
    OtherAudience,
    /// It lacks a claim, or has it in a form that cannot be read.
    #[error("the token's claim {0:?} is missing or cannot be read")]
    Claim(String),
    /// The keys are not at hand, so nothing can be said about it.
    #[error("the identity provider's keys cannot be had at the moment")]
    Unavailable,
}

/// Checks the tokens of one identity provider. Cheap to clone: clones share the keys.
#[derive(Debug, Clone)]
pub struct Identity {
    cache: Arc<Cache>,
    options: Arc<Options>,
}

impl Identity {
    /// Gets ready. A file of keys is read at once, for what is wrong with it is wrong with the set-up; an address is
    /// asked in the background, since its server may be away for a moment.
    ///
    /// # Errors
    /// When the file has no usable key, or no HTTP client can be made.
    pub async fn open(options: Options) -> Result<Self, KeysError> {
        verify::install();
        let cache = Arc::new(Cache::new(Source::new(&options.keys)?, options.timing));
        match &options.keys {
            KeysAt::File(_) => cache.load().await?,
            KeysAt::Url(_) => cache.refresh_in_background(),
        }
        Ok(Self { cache, options: Arc::new(options) })
    }

    /// Fetches the keys once; how many are usable. For whoever checks the set-up.
    ///
    /// # Errors
    /// What is wrong with them, or with the way there.
    pub async fn check(&self) -> Result<usize, KeysError> {
        self.cache.load().await?;
        Ok(self.cache.count())
    }

    /// What a token says, if its signature holds and it is meant for here and now.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn prove(&self, token: &str) -> Result<Proof, Refusal> {
        if token.len() > MOST_TOKEN_BYTES {
            return Err(Refusal::Unreadable);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Unreadable)?;
        // What a token says must be understood (RFC 7515, section 4.1.11), and nothing of the kind is.
        if header.crit.is_some() {
            return Err(Refusal::Unreadable);
        }
        let key = self.cache.key(header.kid.as_deref()).await?;
        if header.alg != key.algorithm {
            return Err(Refusal::Unreadable);
        }
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_audience(&self.options.audiences);
        validation.set_required_spec_claims(&REQUIRED);
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.key, &validation);
        let claims = decoded.map_err(|error| Refusal::of(error.into_kind()))?.claims;
        claims::prove(&claims, &self.options)
    }
}

impl Refusal {
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidSignature => Self::BadSignature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYet,
            ErrorKind::InvalidIssuer => Self::OtherIssuer,
            ErrorKind::InvalidAudience => Self::OtherAudience,
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => Self::Claim(claim),
            _ => Self::Unreadable,
        }
    }
}
