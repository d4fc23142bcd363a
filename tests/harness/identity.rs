//! An identity provider: a real HTTP server that lists its keys, and whoever holds this signs tokens with them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
        RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// What tokens are for.
pub const AUDIENCE: &str = "kabar-tests";
/// The claim that names the tenant.
pub const TENANT_CLAIM: &str = "org";
/// The algorithms that a provider may sign by.
pub const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// Of these tests alone, since ring makes no RSA keys. It opens nothing.
const RSA_KEY: &[u8] = include_bytes!("testdata/rsa.pk8");

/// The provider. Its server ends when it is dropped.
#[derive(Debug)]
pub struct IdentityProvider {
    address: SocketAddr,
    listing: Arc<Listing>,
    server: JoinHandle<()>,
}

/// What the server lists.
#[derive(Debug, Default)]
struct Listing {
    keys: Mutex<Vec<Value>>,
    is_away: AtomicBool,
    asked: AtomicU32,
}

impl IdentityProvider {
    /// One that lists no key yet.
    ///
    /// # Panics
    /// When there is no port for it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let listing = Arc::<Listing>::default();
        let routes = Router::new().route("/jwks.json", get(list)).with_state(listing.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("the server serves");
        });
        Self { address, listing, server }
    }

    /// The settings by which a process trusts its tokens, as variables.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("KABAR_JWT_ISSUER", self.issuer()),
            ("KABAR_JWT_AUDIENCES", format!("another-api,{AUDIENCE}")),
            ("KABAR_JWT_KEYS", format!("http://{}/jwks.json", self.address)),
            ("KABAR_JWT_TENANT_CLAIM", TENANT_CLAIM.to_owned()),
        ]
    }

    /// What it calls itself.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Lists these keys and no others.
    pub fn list(&self, keys: &[&SigningKey]) {
        *self.listing.keys.lock().unwrap_or_else(PoisonError::into_inner) =
            keys.iter().map(|key| key.listed()).collect();
    }

    /// Whether its server answers with an error from now on.
    pub fn set_away(&self, is_away: bool) {
        self.listing.is_away.store(is_away, Ordering::Release);
    }

    /// How often its keys were asked for.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.listing.asked.load(Ordering::Acquire)
    }

    /// The claims of a token that is good for ten minutes, for the tenant `default`, with kabar's `scopes`.
    #[must_use]
    pub fn claims(&self, scopes: &[&str]) -> Value {
        let scopes: Vec<String> = scopes.iter().map(|scope| format!("kabar:{scope}")).collect();
        json!({
            "iss": self.issuer(), "aud": AUDIENCE, "sub": "shop-backend", "exp": now() + 600, "nbf": now() - 60,
            "scope": format!("openid {}", scopes.join(" ")), TENANT_CLAIM: "default",
        })
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn list(State(listing): State<Arc<Listing>>) -> Result<Json<Value>, StatusCode> {
    listing.asked.fetch_add(1, Ordering::AcqRel);
    if listing.is_away.load(Ordering::Acquire) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    Ok(Json(json!({"keys": *listing.keys.lock().unwrap_or_else(PoisonError::into_inner)})))
}

/// The time in Unix seconds.
///
/// # Panics
/// When the machine's clock is before 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

/// A key that tokens are signed with.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    algorithm: &'static str,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A key with this id, for one of [`ALGORITHMS`]. New ones differ, but for those of RSA.
    ///
    /// # Panics
    /// When the algorithm is another.
    #[must_use]
    pub fn new(id: &str, algorithm: &str) -> Self {
        let algorithm = ALGORITHMS.into_iter().find(|known| *known == algorithm).expect("it is one of the algorithms");
        let pair = match algorithm {
            "ES256" => Pair::Ecdsa(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)),
            "ES384" => Pair::Ecdsa(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)),
            "EdDSA" => {
                let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key can be made");
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key that was just made"))
            }
            _ => Pair::Rsa(RsaKeyPair::from_pkcs8(RSA_KEY).expect("the key of these tests")),
        };
        Self { id: id.to_owned(), algorithm, pair }
    }

    /// A token with these claims.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        let signed = unsigned(&json!({"typ": "JWT", "alg": self.algorithm, "kid": self.id}), claims);
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token with these claims that is signed as with a shared secret, which is the public key.
    #[must_use]
    pub fn token_by_public_key(&self, claims: &Value) -> String {
        let signed = unsigned(&json!({"typ": "JWT", "alg": "HS256", "kid": self.id}), claims);
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.public_key()), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// As everybody may see it.
    fn listed(&self) -> Value {
        let (public, text) = (self.public_key(), |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes));
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                let components = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": text(&components.n), "e": text(&components.e)})
            }
            // A point without compression: 4, then both coordinates.
            Pair::Ecdsa(_) => {
                let (x, y) = public[1..].split_at(public.len() / 2);
                let curve = if self.algorithm == "ES256" { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
            }
            Pair::Ed25519(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(&public)}),
        };
        key["kid"] = self.id.clone().into();
        key["alg"] = self.algorithm.into();
        key["use"] = "sig".into();
        key
    }

    fn public_key(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(rsa(self.algorithm), &random, message, &mut signature).expect("RSA signs");
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, message).expect("ECDSA signs").as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// Header and claims of a token, as they are signed.
#[must_use]
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key can be made");
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key that was just made")
}

fn rsa(algorithm: &str) -> &'static dyn RsaEncoding {
    match algorithm {
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}
