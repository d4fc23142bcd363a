//! What is known of a job's sender and template is asked before the job is taken in, so that a producer hears of a slip at
//! once and not from a thousand failed messages. Every door comes this way: the command line, the HTTP API, the line of jobs,
//! schedules, and dead letters that are tried again.

use std::collections::{HashMap, hash_map::Entry};

use kabar_domain::{
    content::{Content, TemplateContent},
    job::Job,
    template::Misfit,
};
use kabar_store::{Enqueued, Store, StoreError, StoredTemplate, TenantId};
use kabar_telemetry::names::{self, field};

/// A fresh id for a job of which the producer gave none; `kind` says of what.
pub(crate) fn fresh_id(kind: &str) -> String {
    format!("{kind}-{:08x}-{:08x}", fastrand::u32(..), fastrand::u32(..))
}

/// Counts a job that the ledger has: taken in, or there already.
pub(crate) fn count_job(job: &Job, enqueued: &Enqueued) {
    let name = match enqueued {
        Enqueued::New { .. } => names::JOBS_ACCEPTED,
        Enqueued::Same { .. } => names::JOBS_REPEATED,
    };
    metrics::counter!(name, field::TYPE => job.kind()).increment(1);
}

/// Looks at jobs of one tenant. Each sender and template is looked up once, however many jobs name it.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    store: &'a Store,
    tenant: TenantId,
    /// Whether templates that are not known are refused.
    strict: bool,
    /// The account of each sender at its provider.
    accounts: HashMap<String, String>,
    /// By account, name and language.
    templates: HashMap<(String, String, String), Option<StoredTemplate>>,
}

/// Why a job is not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Its sender is not known, or the ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] StoreError),
    /// Its template is known, and its provider sends nothing with it.
    #[error(
        "template {name:?} ({language}) is {status}: its provider sends no messages with it. Mend it there, then \
         `kabar template sync`, or `kabar template add` its new object"
    )]
    Unsendable {
        /// Its name.
        name: String,
        /// Its language.
        language: String,
        /// Its status at the provider.
        status: String,
    },
    /// Its template is not known, and the settings demand that it is.
    #[error(
        "template {name:?} is not known in {language:?}: {hint}; `kabar template sync` takes over the provider's, \
         `kabar template add` adds one"
    )]
    Unknown {
        /// Its name.
        name: String,
        /// Its language.
        language: String,
        /// What is known instead.
        hint: String,
    },
    /// Its values do not fit its template.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

impl<'a> Admission<'a> {
    /// For jobs of `tenant`; where `strict`, templates must be known.
    pub(crate) fn new(store: &'a Store, tenant: TenantId, strict: bool) -> Self {
        Self { store, tenant, strict, accounts: HashMap::new(), templates: HashMap::new() }
    }

    /// Checks that the job's sender is known, and its content against the template that it names. What is worth a word
    /// though nothing is wrong.
    pub(crate) async fn check(&mut self, job: &Job) -> Result<Option<String>, Refusal> {
        let account = match self.accounts.get(job.sender()) {
            Some(account) => account.clone(),
            None => {
                let account = self.store.sender(self.tenant, job.sender()).await?.account;
                self.accounts.insert(job.sender().to_owned(), account.clone());
                account
            }
        };
        let Content::Template(content) = job.content() else { return Ok(None) };
        let key = (account, content.name.clone(), content.language.clone());
        let known = match self.templates.entry(key) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(unseen) => {
                let (account, name, language) = unseen.key();
                let found = self.store.find_template(self.tenant, account, name, language).await?;
                unseen.insert(found)
            }
        };
        match known {
            None => self.unknown_template(content).await,
            Some(known) if !known.template.is_sendable() => Err(Refusal::Unsendable {
                name: content.name.clone(),
                language: content.language.clone(),
                status: known.template.status.clone(),
            }),
            Some(known) => {
                known.template.check(content)?;
                Ok(None)
            }
        }
    }

    /// A template that is not known goes as it is given, unless the settings are strict.
    async fn unknown_template(&self, content: &TemplateContent) -> Result<Option<String>, Refusal> {
        let known = self.store.templates(self.tenant).await?;
        let (name, language) = (content.name.clone(), content.language.clone());
        let hint = hint(&known, &name);
        if self.strict {
            return Err(Refusal::Unknown { name, language, hint });
        }
        let note = format!("note: template {name:?} is not known in {language:?} and goes unchecked; {hint}");
        Ok((!known.is_empty()).then_some(note))
    }
}

/// Which templates there are that may have been meant.
fn hint(known: &[StoredTemplate], name: &str) -> String {
    let of_name = known.iter().filter(|one| one.template.name == name);
    let languages: Vec<&str> = of_name.map(|one| one.template.language.as_str()).collect();
    if !languages.is_empty() {
        return format!("it is known in {}", languages.join(", "));
    }
    let names: Vec<String> =
        known.iter().map(|one| format!("{} ({})", one.template.name, one.template.language)).collect();
    if names.is_empty() { "none is known".to_owned() } else { format!("known are {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use kabar_domain::job::JobId;

    use super::*;

    #[test]
    fn fresh_ids_are_ids_and_differ() {
        let (one, two) = (fresh_id("send"), fresh_id("send"));
        assert_ne!(one, two);
        assert!(one.starts_with("send-") && one.parse::<JobId>().is_ok(), "{one}");
    }
}
