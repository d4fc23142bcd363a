//! `kabar doctor`: what is in order, what is not, and what to do about it.

use clap::Args;
use kabar_providers::Providers;
use kabar_queue::Line;
use kabar_settings::Settings;
use kabar_store::{DEFAULT_TENANT, Sender, Store, StoreError, Tenant, TenantId};
use serde::Serialize;

use super::{Common, errors::one_line, ledger, output};
use crate::{context, identity};

/// A line of the database queue that only the check of the disk writes to, and empties again.
const CHECK_LINE: &str = "doctor";

/// Check configuration, ledger, queue, each sender's credentials and receipts, and say what to do
///
/// Asks each sender's provider once; sends nothing. Exit status 1 if anything is broken.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kabar doctor

  ✓ in order   ! works, but something is missing   ✗ broken")]
pub(crate) struct DoctorArgs {}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// In order.
    Ok,
    /// It works, but something is missing.
    Warning,
    /// It does not work.
    Broken,
}

impl Verdict {
    const fn sign(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Warning => "!",
            Self::Broken => "✗",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
struct Check {
    what: String,
    verdict: Verdict,
    /// What was found and, where something is to be done, what.
    detail: String,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Check>);

impl Findings {
    fn add(&mut self, verdict: Verdict, what: &str, detail: impl Into<String>) {
        self.0.push(Check { what: what.to_owned(), verdict, detail: detail.into() });
    }

    /// Notes what came of a step; whether it went well.
    fn step<T>(&mut self, what: &str, result: anyhow::Result<T>, ok: impl FnOnce(&T) -> String) -> Option<T> {
        match result {
            Ok(value) => {
                self.add(Verdict::Ok, what, ok(&value));
                Some(value)
            }
            Err(error) => {
                self.add(Verdict::Broken, what, one_line(&error));
                None
            }
        }
    }

    fn broken(&self) -> usize {
        self.0.iter().filter(|check| check.verdict == Verdict::Broken).count()
    }
}

pub(crate) async fn run(_: DoctorArgs, common: &Common) -> anyhow::Result<()> {
    let mut findings = Findings::default();
    if let Some(settings) =
        findings.step("configuration", ledger::settings(common), |_| "every value is allowed".to_owned())
    {
        check_secrets(&mut findings, &settings);
        check_identity(&mut findings, &settings).await;
        check_ledger(&mut findings, &settings).await;
    }
    output::show(common.json, &findings.0, || {
        let lines = findings.0.iter().map(|check| format!("{} {}: {}", check.verdict.sign(), check.what, check.detail));
        lines.collect::<Vec<_>>().join("\n")
    })?;
    match findings.broken() {
        0 => Ok(()),
        broken => anyhow::bail!("{broken} of {} checks failed: mend what is marked ✗", findings.0.len()),
    }
}

fn check_secrets(findings: &mut Findings, settings: &Settings) {
    if settings.ledger.master_key.is_some() {
        findings.add(Verdict::Ok, "master key", "credentials and message contents are sealed");
    } else {
        findings.add(
            Verdict::Warning,
            "master key",
            "not set: credentials and message contents are stored as they are; set KABAR_MASTER_KEY (`openssl rand \
             -base64 32` makes one)",
        );
    }
    if settings.whatsapp.verify_token.is_some() {
        findings.add(Verdict::Ok, "webhook verify token", "set");
    } else {
        findings.add(
            Verdict::Warning,
            "webhook verify token",
            "not set: Meta cannot verify the webhook; set WHATSAPP_WEBHOOK_VERIFY_TOKEN to a text of your own",
        );
    }
}

/// Whether tokens could be checked, where the settings name who gives them out.
async fn check_identity(findings: &mut Findings, settings: &Settings) {
    let asked = async {
        match identity::open(settings).await? {
            Some(identity) => Ok(Some(identity.check().await?)),
            None => anyhow::Ok(None),
        }
    };
    match asked.await {
        Ok(None) => {}
        Ok(Some(keys)) => findings.add(Verdict::Ok, "identity provider", format!("lists {keys} usable keys")),
        Err(error) => findings.add(Verdict::Broken, "identity provider", one_line(&error)),
    }
}

async fn check_ledger(findings: &mut Findings, settings: &Settings) {
    let opened =
        findings.step("ledger", context::open_store(settings).await, |_| "opens, tables up to date".to_owned());
    let Some(store) = opened else { return };
    let statements = store.check_statements().await.map_err(anyhow::Error::from);
    findings.step("statements", statements, |count| format!("all {count} fit the tables"));
    findings.step("disk", check_disk(&store).await, |()| "the ledger can be written".to_owned());
    findings.step("queue", check_queue(settings, &store).await, |ready| format!("{ready} jobs ready to be taken in"));
    check_workers(findings, &store).await;
    let tenants = store.tenants().await.map_err(anyhow::Error::from);
    let Some(tenants) = findings.step("tenants", tenants, |tenants| output::plural(tenants.len() as u64, "tenant"))
    else {
        return;
    };
    check_attention(findings, &store, &tenants).await;
    let ensured = ledger::ensure_default_sender(settings, &store).await;
    if ensured.is_err() {
        findings.step("default sender", ensured, |()| String::new());
    }
    check_senders(findings, settings, &store, &tenants).await;
    store.close().await;
}

/// Writes something and takes it away again.
async fn check_disk(store: &Store) -> anyhow::Result<()> {
    store.put_items(CHECK_LINE, &["written by `kabar doctor`".to_owned()]).await?;
    store.purge_items(CHECK_LINE).await?;
    Ok(())
}

async fn check_queue(settings: &Settings, store: &Store) -> anyhow::Result<u64> {
    let queue = context::open_queue(settings, store).await?;
    let ready = queue.ready(Line::Jobs).await;
    queue.close().await;
    Ok(ready?)
}

async fn check_workers(findings: &mut Findings, store: &Store) {
    match store.leases().await {
        Ok(leases) if leases.is_empty() => {
            findings.add(Verdict::Warning, "workers", "none at work: nothing is sent before `kabar run` starts them");
        }
        Ok(leases) => {
            let names: Vec<&str> = leases.iter().map(|lease| lease.process.as_str()).collect();
            findings.add(Verdict::Ok, "workers", format!("at work in {}", names.join(", ")));
        }
        Err(error) => findings.add(Verdict::Broken, "workers", one_line(&error.into())),
    }
}

/// What a command about a tenant's things needs beside its name.
fn tenant_option(tenant: &Tenant) -> String {
    if TenantId(tenant.id) == DEFAULT_TENANT { String::new() } else { format!(" --tenant {}", tenant.name) }
}

/// What waits for a person, tenant by tenant.
async fn check_attention(findings: &mut Findings, store: &Store, tenants: &[Tenant]) {
    let mut in_order = true;
    for tenant in tenants {
        let id = TenantId(tenant.id);
        let option = tenant_option(tenant);
        let looked =
            async { Ok::<_, StoreError>((store.count_unresolved(id).await?, store.count_dead_letters(id).await?)) };
        let (unresolved, dead) = match looked.await {
            Ok(counts) => counts,
            Err(error) => return findings.add(Verdict::Broken, "attention", one_line(&error.into())),
        };
        if unresolved > 0 {
            let count = output::plural(unresolved.unsigned_abs(), "message");
            let todo = format!("{count} perhaps sent: `kabar message list --state unresolved{option}` shows which");
            findings.add(Verdict::Warning, "attention", todo);
        }
        if dead > 0 {
            let count = output::plural(dead.unsigned_abs(), "dead letter");
            findings.add(Verdict::Warning, "attention", format!("{count}: `kabar dead list{option}` shows why"));
        }
        in_order &= (unresolved, dead) == (0, 0);
    }
    if in_order {
        findings.add(Verdict::Ok, "attention", "nothing waits for a person");
    }
}

async fn check_senders(findings: &mut Findings, settings: &Settings, store: &Store, tenants: &[Tenant]) {
    let senders = store.all_senders().await.map_err(anyhow::Error::from);
    let Some(senders) = findings.step("senders", senders, |senders| output::plural(senders.len() as u64, "sender"))
    else {
        return;
    };
    if senders.is_empty() {
        findings.0.retain(|check| check.what != "senders");
        findings.add(
            Verdict::Warning,
            "senders",
            "none yet: `kabar sender add` adds one, or set WHATSAPP_PHONE_NUMBER_ID and WHATSAPP_ACCESS_TOKEN",
        );
    }
    let providers = context::open_providers(settings);
    let Some(providers) = findings.step("providers", providers, |_| "ready to be asked".to_owned()) else { return };
    for sender in &senders {
        let owner = tenants.iter().find(|tenant| TenantId(tenant.id) == sender.tenant);
        let named = Named { sender, owner: owner.filter(|_| sender.tenant != DEFAULT_TENANT) };
        check_credentials(findings, &providers, named).await;
        check_receipts(findings, settings, named);
    }
}

/// A sender, and its tenant where that has to be told.
#[derive(Clone, Copy)]
struct Named<'a> {
    sender: &'a Sender,
    owner: Option<&'a Tenant>,
}

impl Named<'_> {
    fn told(self) -> String {
        let owner = self.owner.map(|tenant| format!(" of {}", tenant.name)).unwrap_or_default();
        format!("{}{owner}", self.sender.name)
    }

    fn option(self) -> String {
        self.owner.map(tenant_option).unwrap_or_default()
    }
}

async fn check_credentials(findings: &mut Findings, providers: &Providers, named: Named<'_>) {
    let (sender, what) = (named.sender, format!("sender {}", named.told()));
    match providers.check(&context::access_of(sender)).await {
        Ok(number) => {
            let facts = [("", number.display_number), ("", number.verified_name), ("quality ", number.quality)];
            let facts: Vec<String> =
                facts.into_iter().filter_map(|(name, fact)| fact.map(|fact| format!("{name}{fact}"))).collect();
            let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
            findings.add(Verdict::Ok, &what, format!("the provider takes its token{facts}"));
        }
        Err(outcome) => {
            let code = outcome.code.map(|code| format!(" (code {code})")).unwrap_or_default();
            let advice = if outcome.advice.is_empty() { String::new() } else { format!("; {}", outcome.advice) };
            findings.add(Verdict::Broken, &what, format!("{}{code}{advice}", outcome.meaning));
        }
    }
    if sender.state.as_str() != "active" {
        let why = sender.state_reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let state = sender.state.as_str();
        let todo =
            format!("{state}{why}: it sends nothing before `kabar sender resume {}{}`", sender.name, named.option());
        findings.add(Verdict::Warning, &what, todo);
    }
}

fn check_receipts(findings: &mut Findings, settings: &Settings, named: Named<'_>) {
    let (sender, what) = (named.sender, format!("receipts of {}", named.told()));
    if settings.whatsapp.app_secrets.is_empty() && sender.app_secret().is_none() {
        findings.add(
            Verdict::Warning,
            &what,
            "no app secret: webhooks are refused, so doubt cannot be settled by evidence; set WHATSAPP_APP_SECRET",
        );
        return;
    }
    match sender.last_receipt_at {
        Some(at) => findings.add(Verdict::Ok, &what, format!("the latest came at {}", output::time(at))),
        None => findings.add(
            Verdict::Warning,
            &what,
            "none has come: doubt cannot be settled by evidence; point the app's webhook to /webhooks/whatsapp of the \
             gateway",
        ),
    }
}
