//! Where a provider's key set comes from: an address, or a file.

use std::{io, path::PathBuf, time::Duration};

use kabar_http::{ClientError, ClientOptions};
use reqwest::{Client, header};

use crate::{KeysAt, keys::KeySet};

/// The largest key set that is read, in bytes. Those of the large providers have some thousand.
const MOST_BYTES: usize = 256 << 10;

/// The longest wait for a connection, and for the whole answer. Callers wait for it when their key is not known.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No HTTP client can be made.
    #[error("the identity provider cannot be asked")]
    Client(#[from] ClientError),
    /// The address does not answer.
    #[error("the identity provider's keys cannot be fetched from {address}")]
    Away {
        /// The address.
        address: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The address answers something else.
    #[error("{address} answers with status {status}; a key set comes with 200, and redirects are not followed")]
    Status {
        /// The address.
        address: String,
        /// The status code.
        status: u16,
    },
    /// The file cannot be read.
    #[error("the identity provider's keys cannot be read from {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It is no key set, or has no key for signatures that can be used.
    #[error(
        "{place} has no usable key: give a key set (JWKS) with a public key for RS, PS, ES256, ES384 or EdDSA \
         signatures, of at most {MOST_BYTES} bytes"
    )]
    NoKeys {
        /// The address or the file.
        place: String,
    },
}

/// A key set that can be fetched.
#[derive(Debug)]
pub(crate) enum Source {
    Url { client: Client, address: String },
    File(PathBuf),
}

impl Source {
    pub(crate) fn new(keys: &KeysAt) -> Result<Self, KeysError> {
        Ok(match keys {
            KeysAt::File(path) => Self::File(path.clone()),
            KeysAt::Url(address) => Self::Url {
                client: kabar_http::client(&ClientOptions {
                    connect_timeout: CONNECT_TIMEOUT,
                    request_timeout: REQUEST_TIMEOUT,
                    max_idle_per_host: 1,
                })?,
                address: address.clone(),
            },
        })
    }

    /// Reads the set anew.
    pub(crate) async fn fetch(&self) -> Result<KeySet, KeysError> {
        let (text, place) = match self {
            Self::File(path) => {
                let read = tokio::fs::read(path).await;
                let text = read.map_err(|source| KeysError::File { path: path.clone(), source })?;
                (text, path.display().to_string())
            }
            Self::Url { client, address } => (ask(client, address).await?, address.clone()),
        };
        let set = Some(text).filter(|text| text.len() <= MOST_BYTES).and_then(|text| KeySet::read(&text));
        set.filter(|set| set.count() > 0).ok_or(KeysError::NoKeys { place })
    }
}

/// The answer's body, or as much of it as shows that it is too long.
async fn ask(client: &Client, address: &str) -> Result<Vec<u8>, KeysError> {
    let away = |source| KeysError::Away { address: address.to_owned(), source };
    let asked = client.get(address).header(header::ACCEPT, "application/json").send();
    let mut answer = asked.await.map_err(away)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(KeysError::Status { address: address.to_owned(), status: answer.status().as_u16() });
    }
    let mut text = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(away)? {
        text.extend_from_slice(&bytes);
        if text.len() > MOST_BYTES {
            break;
        }
    }
    Ok(text)
}
