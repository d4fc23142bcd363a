//! Takes over the templates of a business account from its provider: for a person who asks, and every so often.

use std::time::Duration;

use kabar_domain::{outcome::Outcome, template::Template};
use kabar_providers::Providers;
use kabar_store::{Sender, Store, StoreError, TemplatesSynced};
use serde::Serialize;

use crate::{
    context::{Shared, access_of},
    steps::{Next, StepError},
};

/// The most pages of a list: the platform's bound of 6,000 templates in pages of 100, and room for more.
const MOST_PAGES: usize = 200;

/// How often it is looked whose list is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The most accounts in one look.
const MOST_ACCOUNTS: u32 = 100;

/// What a provider's list came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Synced {
    /// The sender by which it was asked for.
    pub sender: String,
    /// The business account.
    pub account: String,
    /// What it changed in the ledger.
    #[serde(flatten)]
    pub templates: TemplatesSynced,
    /// Templates that cannot be read, with the reasons; they stay unknown.
    pub unreadable: Vec<String>,
}

/// Why a list could not be taken over. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The provider refused, or was not reached.
    #[error("the provider's list of templates: {}. {}", .0.meaning, .0.advice)]
    Provider(Box<Outcome>),
    /// So much of a limit on calls is used up that what is left is for others.
    #[error(
        "the provider's list of templates was left before its end: {percent} % of the calls of this hour are used up"
    )]
    NearLimit {
        /// How much of it.
        percent: u32,
    },
    /// The list goes on and on.
    #[error("the provider's list of templates has more than {MOST_PAGES} pages")]
    Endless,
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] StoreError),
}

/// Takes over the whole list of the sender's business account; where `most_percent` is given, only as long as less of a limit
/// on calls is used up.
///
/// # Errors
/// When the provider cannot be asked, or the ledger cannot be written.
pub async fn sync(
    store: &Store,
    providers: &Providers,
    sender: &Sender,
    most_percent: Option<u32>,
) -> Result<Synced, SyncError> {
    let access = access_of(sender);
    let (mut listed, mut unreadable) = (Vec::new(), Vec::new());
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let page = providers.templates(&access, &sender.account, after.as_deref()).await;
        let page = page.map_err(|outcome| SyncError::Provider(Box::new(outcome)))?;
        for object in page.templates {
            match Template::parse(object) {
                Ok(template) => listed.push(template),
                Err(error) => unreadable.push(error.to_string()),
            }
        }
        after = page.next;
        if after.is_none() {
            let templates = store.sync_templates(sender.tenant, &sender.account, &listed).await?;
            return Ok(Synced { sender: sender.name.clone(), account: sender.account.clone(), templates, unreadable });
        }
        if let Some(usage) = page.usage.filter(|usage| most_percent.is_some_and(|most| usage.percent >= most)) {
            return Err(SyncError::NearLimit { percent: usage.percent });
        }
    }
    Err(SyncError::Endless)
}

/// Takes over what is due, as often as the settings say.
pub(crate) async fn step(context: Shared) -> Result<Next, StepError> {
    let Some(every) = context.settings.templates.sync_every else { return Ok(Next::After(LOOK_EVERY)) };
    let before = context.store.now_ms() - i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    for due in context.store.template_syncs_due(before, MOST_ACCOUNTS).await? {
        // Noted before the provider is asked: an account that cannot be read is tried again when it is due again.
        if !context.store.begin_template_sync(&due).await? || due.account.bytes().any(|byte| !byte.is_ascii_digit()) {
            continue;
        }
        let sender = context.store.sender_by_id(due.sender_id).await?;
        let most_percent = Some(context.settings.pace.call_limit_percent);
        match sync(&context.store, &context.providers, &sender, most_percent).await {
            Ok(Synced { templates, unreadable, .. }) => tracing::info!(
                sender = sender.id,
                listed = templates.listed,
                added = templates.added.len(),
                changed = templates.changed.len(),
                gone = templates.gone.len(),
                unreadable = unreadable.len(),
                "templates were taken over from the provider"
            ),
            Err(error) => tracing::warn!(
                sender = sender.id,
                error = &error as &dyn std::error::Error,
                "templates could not be taken over; the next try comes when they are due again"
            ),
        }
    }
    Ok(Next::After(LOOK_EVERY.min(every)))
}
