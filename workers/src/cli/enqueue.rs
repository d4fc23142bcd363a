//! The way of a job from options into the ledger: through the same door as every other job, and checked against the
//! senders and templates that the ledger knows.

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use kabar_domain::{
    content::{Content, TemplateContent},
    job::{Door, Job},
};
use kabar_store::{DEFAULT_TENANT, Enqueued};
use serde_json::Value;

use super::{ledger::Ledger, output::note};

/// A fresh id of a job; `kind` says of what.
pub(crate) fn fresh_id(kind: &str) -> String {
    format!("{kind}-{:08x}-{:08x}", fastrand::u32(..), fastrand::u32(..))
}

/// Reads an instant that was typed.
pub(crate) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).map_err(|_| {
        "write it with its offset from UTC, as 2026-12-01T09:00:00+07:00 or 2026-12-01T02:00:00Z".to_owned()
    })
}

/// Reads a job and checks its sender and its template.
pub(crate) async fn read(ledger: &Ledger, job: Value) -> anyhow::Result<Job> {
    let door = Door { loads_files: true, ..ledger.door() };
    let job = Job::from_value(job, door, None)?;
    check(ledger, &job).await?;
    Ok(job)
}

/// Checks that the job's sender is known, and its content against the template that it names.
pub(crate) async fn check(ledger: &Ledger, job: &Job) -> anyhow::Result<()> {
    let sender = ledger.store.sender(DEFAULT_TENANT, job.sender()).await?;
    match job.content() {
        Content::Template(content) => check_template(ledger, &sender.account, content).await,
        _ => Ok(()),
    }
}

async fn check_template(ledger: &Ledger, account: &str, content: &TemplateContent) -> anyhow::Result<()> {
    let (name, language) = (&content.name, &content.language);
    let Some(known) = ledger.store.find_template(DEFAULT_TENANT, account, name, language).await? else {
        return unknown_template(ledger, content).await;
    };
    let template = known.template;
    if !template.is_sendable() {
        bail!(
            "template {name:?} ({language}) is {}: its provider sends no messages with it. Mend it there, then \
             `kabar template sync`, or `kabar template add` its new object",
            template.status
        );
    }
    template.check(content)?;
    Ok(())
}

/// A template that is not known goes as it is given, unless the settings are strict.
async fn unknown_template(ledger: &Ledger, content: &TemplateContent) -> anyhow::Result<()> {
    let known = ledger.store.templates(DEFAULT_TENANT).await?;
    let of_name = |name: &str| known.iter().filter(|one| one.template.name == name).collect::<Vec<_>>();
    let (name, language) = (&content.name, &content.language);
    let others: Vec<&str> = of_name(name).into_iter().map(|one| one.template.language.as_str()).collect();
    let hint = if others.is_empty() {
        let names: Vec<String> =
            known.iter().map(|one| format!("{} ({})", one.template.name, one.template.language)).collect();
        if names.is_empty() { "none is known".to_owned() } else { format!("known are {}", names.join(", ")) }
    } else {
        format!("it is known in {}", others.join(", "))
    };
    if ledger.settings.templates.strict {
        bail!(
            "template {name:?} is not known in {language:?}: {hint}; `kabar template sync` takes over the provider's, `kabar template add` adds one"
        );
    }
    if !known.is_empty() {
        note(format!("note: template {name:?} is not known in {language:?} and goes unchecked; {hint}"));
    }
    Ok(())
}

/// Writes the job down; the ledger's own id of it.
pub(crate) async fn enqueue(ledger: &Ledger, job: &Job) -> anyhow::Result<i64> {
    let enqueued = ledger.store.enqueue(DEFAULT_TENANT, job).await.context("nothing was enqueued")?;
    if let Enqueued::Same { .. } = enqueued {
        note(format!("note: this very job was enqueued before under {}; it is not sent again", job.id()));
    }
    Ok(enqueued.job_id())
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

    #[test]
    fn times_need_an_offset() {
        assert_eq!(instant("2026-12-01T09:00:00+07:00").unwrap(), instant("2026-12-01T02:00:00Z").unwrap());
        assert!(instant("2026-12-01 09:00").unwrap_err().contains("2026-12-01T09:00:00+07:00"));
    }
}
