//! Adding a sender and changing one: what was typed, checked.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use kabar_domain::{pace::Rate, sender::ProviderKind};
use kabar_settings::{HttpBase, Settings};
use kabar_store::{NewSender, SenderChange};

use crate::cli::output::note;

/// The longest name of a sender, in characters.
const MAX_NAME_CHARS: usize = 64;

/// The longest secret that a file may hold, in bytes.
const MAX_SECRET_BYTES: u64 = 16 << 10;

/// Add a sender
///
/// The token is kept in the ledger, sealed where KABAR_MASTER_KEY is set, and never shown again.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("token").args(["access_token", "access_token_file"]).required(true)),
    after_help = "Example:
  kabar sender add shop --provider whatsapp_cloud --phone-number-id 106540352242922 \\
    --access-token-file token.txt --rate 20"
)]
pub(super) struct AddArgs {
    /// What people call it: letters, digits, . _ -
    name: String,
    /// Who carries its messages: whatsapp_cloud
    #[arg(long, value_name = "P")]
    provider: ProviderKind,
    /// Its address at the provider: the phone-number id, which is not the phone number
    #[arg(long, value_name = "ID")]
    phone_number_id: String,
    #[command(flatten)]
    options: Options,
}

/// Change a sender; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kabar sender set shop --rate 80
  kabar sender set shop --access-token-file new-token.txt")]
pub(super) struct SetArgs {
    /// The sender
    pub(super) name: String,
    /// Its address at the provider: the phone-number id, which is not the phone number
    #[arg(long, value_name = "ID")]
    phone_number_id: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// What adding and changing have in common.
#[derive(Debug, Args)]
struct Options {
    /// The provider's access token. Other users of this machine can see it: better use a file
    #[arg(long, value_name = "TOKEN", conflicts_with = "access_token_file")]
    access_token: Option<String>,
    /// File that holds the provider's access token; - for standard input
    #[arg(long, value_name = "FILE")]
    access_token_file: Option<PathBuf>,
    /// The provider's address, without version [default: whatsapp.api_base]
    #[arg(long, value_name = "URL")]
    api_base: Option<String>,
    /// The version of the provider's API [default: whatsapp.api_version]
    #[arg(long, value_name = "VERSION")]
    api_version: Option<String>,
    /// Messages per second, 1 to 1000, or unlimited [default: pace.default_rate]
    #[arg(long, value_name = "N")]
    rate: Option<Rate>,
    /// Business account whose limits it shares [default: senders with the same token share one]
    #[arg(long, value_name = "ID")]
    account_id: Option<String>,
    /// Application whose limits it shares [default: senders with the same token share one]
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// File that holds the secret which signs webhooks for this sender alone
    #[arg(long, value_name = "FILE")]
    app_secret_file: Option<PathBuf>,
}

impl AddArgs {
    /// The sender to be added.
    pub(super) fn new_sender(&self, settings: &Settings) -> anyhow::Result<NewSender> {
        let change = self.options.change(settings)?;
        let Some(access_token) = change.access_token else { bail!("--access-token-file is missing") };
        Ok(NewSender {
            name: checked_name(&self.name)?,
            provider: self.provider,
            address: checked_address(&self.phone_number_id)?,
            account: change.account,
            app: change.app,
            access_token,
            api_base: change.api_base.unwrap_or_else(|| settings.whatsapp.api_base.as_str().to_owned()),
            api_version: change.api_version.unwrap_or_else(|| settings.whatsapp.api_version.as_str().to_owned()),
            app_secret: change.app_secret,
            rate: change.rate.unwrap_or(settings.pace.default_rate),
        })
    }
}

impl SetArgs {
    /// What is to change.
    pub(super) fn change(&self, settings: &Settings) -> anyhow::Result<SenderChange> {
        let address = self.phone_number_id.as_deref().map(checked_address).transpose()?;
        let change = SenderChange { address, ..self.options.change(settings)? };
        if change.is_empty() {
            bail!("nothing to change: name what is to change, such as --rate 80");
        }
        Ok(change)
    }
}

impl Options {
    fn change(&self, settings: &Settings) -> anyhow::Result<SenderChange> {
        if self.access_token.is_some() {
            note(
                "warning: a token on the command line is seen by other users of this machine; use --access-token-file",
            );
        }
        let token = match (&self.access_token, &self.access_token_file) {
            (Some(token), _) => Some(checked_secret("--access-token", token)?),
            (None, Some(file)) => Some(read_secret("--access-token-file", file)?),
            (None, None) => None,
        };
        let version = self.api_version.as_deref().map(checked_version).transpose()?;
        Ok(SenderChange {
            address: None,
            account: self.account_id.clone(),
            app: self.app_id.clone(),
            access_token: token,
            api_base: self.api_base.as_deref().map(|base| checked_base(base, settings)).transpose()?,
            api_version: version,
            app_secret: self.app_secret_file.as_ref().map(|file| read_secret("--app-secret-file", file)).transpose()?,
            rate: self.rate,
        })
    }
}

fn checked_name(name: &str) -> anyhow::Result<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if (1..=MAX_NAME_CHARS).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(name.to_owned());
    }
    bail!("{name:?} is not a name for a sender: use 1 to {MAX_NAME_CHARS} of the characters A-Z a-z 0-9 . _ -")
}

fn checked_address(id: &str) -> anyhow::Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (1..=64).contains(&id.len()) && id.bytes().all(plain) {
        return Ok(id.to_owned());
    }
    bail!(
        "--phone-number-id {id:?} is not a phone-number id: take the digits that WhatsApp Manager shows under \
         \"Phone number ID\"; it is not the phone number"
    )
}

fn checked_version(version: &str) -> anyhow::Result<String> {
    let digits = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = version.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    if parts.is_some_and(|(major, minor)| digits(major) && digits(minor)) {
        return Ok(version.to_owned());
    }
    bail!("--api-version {version:?} is not a version: write it as v26.0")
}

fn checked_base(base: &str, settings: &Settings) -> anyhow::Result<String> {
    let Some(parsed) = HttpBase::parse(base) else {
        bail!("--api-base {base:?} is not an address: give https://HOST, without user, query and version");
    };
    if !parsed.is_allowed(settings.whatsapp.allow_plain_http) {
        bail!(
            "--api-base {base:?}: plain http would show the access token to the network; use https, or set \
             whatsapp.allow_plain_http"
        );
    }
    Ok(parsed.as_str().to_owned())
}

fn read_secret(option: &str, file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().take(MAX_SECRET_BYTES).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_SECRET_BYTES).read_to_string(&mut text))
    };
    read.with_context(|| format!("{option} {}", file.display()))?;
    checked_secret(option, &text)
}

/// The secret without white space around it, since files end in a line break. Errors never show it.
fn checked_secret(option: &str, secret: &str) -> anyhow::Result<String> {
    let secret = secret.trim();
    if secret.is_empty() {
        bail!("{option}: it is empty");
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{option}: it holds a space, a line break or a sign that no token has; give the token alone");
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use kabar_settings::Sources;

    use super::*;

    #[test]
    fn what_no_sender_can_have_is_refused() {
        let settings = Settings::load(&Sources::default()).unwrap();
        assert!(checked_name("shop 1").is_err() && checked_name("").is_err() && checked_name("shop-1").is_ok());
        assert!(checked_address("+62 812").unwrap_err().to_string().contains("not the phone number"));
        assert!(checked_version("26").is_err() && checked_version("v26.0").is_ok());
        assert!(checked_base("http://api.example.com", &settings).unwrap_err().to_string().contains("plain http"));
        assert_eq!(checked_base("http://127.0.0.1:9000/", &settings).unwrap(), "http://127.0.0.1:9000");
    }

    #[test]
    fn errors_do_not_show_the_secret() {
        let error = checked_secret("--access-token", "EAAG secret").unwrap_err().to_string();
        assert!(!error.contains("EAAG"), "{error}");
        assert_eq!(checked_secret("--access-token", " EAAG\n").unwrap(), "EAAG");
    }
}
