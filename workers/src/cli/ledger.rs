//! The settings and the ledger that a command works on.

use anyhow::Context as _;
use kabar_domain::{
    job::Door,
    phone::{DefaultRegion, ParsedNumber, PhoneNumber},
    sender::ProviderKind,
};
use kabar_settings::{Settings, Sources};
use kabar_store::{Actor, DEFAULT_TENANT, NewSender, Store, TenantId};

use super::{Common, output::note};
use crate::context;

/// The settings in force and the ledger that they name, open.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The settings.
    pub(crate) settings: Settings,
    /// The ledger.
    pub(crate) store: Store,
    /// Whose things the command works on.
    pub(crate) tenant: TenantId,
}

impl Ledger {
    /// Opens the ledger of this command; the sender that the settings define is in it.
    pub(crate) async fn open(common: &Common) -> anyhow::Result<Self> {
        let settings = settings(common)?;
        let store = context::open_store(&settings).await?;
        ensure_default_sender(&settings, &store).await?;
        let store = store.acting_as(Actor::command_line(&account()));
        let tenant = match &common.tenant {
            Some(name) => store.tenant(name).await?,
            None => DEFAULT_TENANT,
        };
        Ok(Self { settings, store, tenant })
    }

    /// How this installation reads what is left open.
    pub(crate) fn door(&self) -> Door {
        context::door(&self.settings)
    }

    /// The country of numbers in national notation.
    pub(crate) fn region(&self) -> Option<DefaultRegion> {
        self.door().default_region
    }

    /// The number that was typed for `option`.
    pub(crate) fn phone(&self, option: &str, text: &str) -> anyhow::Result<PhoneNumber> {
        Ok(self.parsed(option, text)?.number)
    }

    /// The number that is to be sent to; one that is possible but not assigned is noted.
    pub(crate) fn phone_to_send(&self, option: &str, text: &str) -> anyhow::Result<PhoneNumber> {
        let ParsedNumber { number, assigned } = self.parsed(option, text)?;
        if !assigned {
            note(format!("note: {number} is possible, but no numbering plan says that such a number is assigned"));
        }
        Ok(number)
    }

    fn parsed(&self, option: &str, text: &str) -> anyhow::Result<ParsedNumber> {
        PhoneNumber::parse(text, self.region()).with_context(|| format!("{option} {text:?}"))
    }
}

/// The account of the system that runs this command, as far as the environment tells.
fn account() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "-".to_owned())
}

/// The settings of this command.
pub(crate) fn settings(common: &Common) -> anyhow::Result<Settings> {
    let sources = Sources { config_file: common.config.clone(), ..Sources::from_process() };
    let settings = Settings::load(&sources)?;
    if let Some(region) = &settings.people.default_region {
        region.as_str().parse::<DefaultRegion>().context("people.default_region (KABAR_DEFAULT_REGION)")?;
    }
    Ok(settings)
}

/// Adds the sender `default` where the settings define one, or brings its address and token up to date.
pub(crate) async fn ensure_default_sender(settings: &Settings, store: &Store) -> anyhow::Result<()> {
    let Some(defined) = &settings.whatsapp.default_sender else { return Ok(()) };
    let sender = NewSender {
        name: kabar_domain::job::DEFAULT_SENDER.to_owned(),
        provider: ProviderKind::WhatsappCloud,
        address: defined.phone_number_id.clone(),
        account: None,
        app: None,
        access_token: defined.access_token.expose().to_owned(),
        api_base: settings.whatsapp.api_base.as_str().to_owned(),
        api_version: settings.whatsapp.api_version.as_str().to_owned(),
        app_secret: None,
        rate: settings.pace.default_rate,
    };
    store.ensure_sender(DEFAULT_TENANT, &sender).await.context("the sender that the settings define")?;
    Ok(())
}
