//! Who carries messages: sending, reading answers and webhooks, and the error policies.
//!
//! # How to add a provider
//!
//! 1. A variant of `ProviderKind` in the domain.
//! 2. A folder here, named like it, with `request` (content into the provider's shape), `response` (its answers into
//!    outcomes), `errors` with `errors.toml` (its codes, as data), `webhook` (its events into reports), `testdata`.
//! 3. Its arms in the matches of this file; the compiler lists them.
//! 4. Its error policy beside the others in [`Providers`], its settings, a line in the conformance list.
//!
//! # What holds for every provider
//!
//! - A send is one request. Nothing here repeats one, follows a redirect with one, or waits to try again: that is the
//!   ledger's decision. The one thing that the HTTP client may do by itself is to take another connection when the
//!   pooled one turns out closed before the request was written (see [`Providers::new`]).
//! - Whatever happens is an [`Outcome`]. "It provably never left" and "nobody knows" are different outcomes.
//! - No token, phone number or message text gets into an outcome's words, a log line or a `Debug`.

mod access;
mod endpoint;
mod exchange;
mod mask;
mod options;
mod policy;
mod retry_after;
mod usage;
pub mod whatsapp_cloud;

use std::sync::Arc;

use kabar_domain::{outcome::Outcome, report::Report, sender::ProviderKind};

pub use access::{Access, Number, SendRequest, TemplatePage, Token};
pub use options::{Options, ProviderError, UnreadableEvent};
pub use policy::Policy;
pub use usage::{Sent, Usage};

use exchange::Http;

/// Every provider behind one door. Cheap to clone: clones share the connection pool and the error policies.
#[derive(Clone)]
pub struct Providers {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    whatsapp_cloud: Policy,
}

impl Providers {
    /// Sets up the connection pool and the error policies. Opens no connection.
    ///
    /// # Hidden retries
    ///
    /// reqwest repeats requests that the peer refused by protocol unless told otherwise; it is told so. The client
    /// beneath it takes another connection when a pooled one was closed before the request was taken off its queue,
    /// and that cannot be switched off through reqwest 0.13. It is safe: hyper hands the request back in that case
    /// alone, and not once its first byte may have been written (`TrySendError::message`, hyper 1.12,
    /// `proto/h1/dispatch.rs` and `client/dispatch.rs`).
    ///
    /// # Errors
    /// When an option or an error rule is unusable, or the client cannot be built.
    pub fn new(options: Options) -> Result<Self, ProviderError> {
        let whatsapp_cloud = whatsapp_cloud::policy(&options.errors)?;
        let http = Http::new(&options)?;
        Ok(Self { inner: Arc::new(Inner { http, whatsapp_cloud }) })
    }

    /// Sends one message in one request, and says what came of it, and how much of what limits calls is used up. Never
    /// repeats, never panics.
    ///
    /// Takes at most the request timeout. The future must be awaited to its end: dropping it leaves the message in
    /// doubt without an outcome.
    pub async fn send(&self, access: &Access, request: &SendRequest<'_>) -> Sent {
        match access.provider {
            ProviderKind::WhatsappCloud => {
                whatsapp_cloud::send(&self.inner.http, &self.inner.whatsapp_cloud, access, request).await
            }
        }
    }

    /// Asks the provider about the sender's number, which proves address and token without sending anything.
    ///
    /// # Errors
    /// What a send would have met: `Halt` for a refused token or address, `Throttled`, `Retry` when no answer or an
    /// unreadable one came, `NotSent` when there was no connection. Never `InDoubt`: asking changes nothing.
    pub async fn check(&self, access: &Access) -> Result<Number, Outcome> {
        match access.provider {
            ProviderKind::WhatsappCloud => {
                whatsapp_cloud::check(&self.inner.http, &self.inner.whatsapp_cloud, access).await
            }
        }
    }

    /// Asks for a page of the templates of the business account `account`: the first, or the one after a cursor.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn templates(
        &self,
        access: &Access,
        account: &str,
        after: Option<&str>,
    ) -> Result<TemplatePage, Outcome> {
        match access.provider {
            ProviderKind::WhatsappCloud => {
                let Inner { http, whatsapp_cloud: policy } = &*self.inner;
                whatsapp_cloud::templates::page(http, policy, access, account, after).await
            }
        }
    }

    /// What an event says, in its own order; parts that cannot be read become notices, and do not hide the rest.
    ///
    /// Does not verify who sent it: see [`whatsapp_cloud::webhook::verify_signature`].
    ///
    /// # Errors
    /// When the body is not JSON or not an event at all.
    pub fn read_event(&self, provider: ProviderKind, body: &[u8]) -> Result<Vec<Report>, UnreadableEvent> {
        match provider {
            ProviderKind::WhatsappCloud => whatsapp_cloud::webhook::read(body, &self.inner.whatsapp_cloud),
        }
    }

    /// The body that [`Self::send`] posts for `request`, in the provider's shape.
    ///
    /// # Errors
    /// When the content cannot be written as JSON.
    pub fn request_body(&self, provider: ProviderKind, request: &SendRequest<'_>) -> Result<Vec<u8>, ProviderError> {
        match provider {
            ProviderKind::WhatsappCloud => whatsapp_cloud::request::body(request).map_err(ProviderError::Body),
        }
    }

    /// The error policy in force for `provider`: the shipped table with the settings' overrides.
    #[must_use]
    pub fn policy(&self, provider: ProviderKind) -> &Policy {
        match provider {
            ProviderKind::WhatsappCloud => &self.inner.whatsapp_cloud,
        }
    }

    /// Checks that `base` is an address that requests with a token may go to: https, or plain http to this machine
    /// (to any machine where the options allow it), without credentials, query or fragment.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_base(&self, base: &str) -> Result<(), ProviderError> {
        endpoint::check_base(base, self.inner.http.allows_plain_http())
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Providers").finish_non_exhaustive()
    }
}
