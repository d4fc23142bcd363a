//! The settings of kabar.
//!
//! They come in four layers, lowest to highest: `defaults.toml`, which is the reference of settings; the configuration
//! file; the environment; the command line. The layers are merged as typed, then each value is checked and becomes its
//! type once: whoever holds [`Settings`] holds nothing that still needs a check. Whatever is wrong is reported at once,
//! with where it was typed, and nothing starts.
//!
//! To add a setting, see `table.rs`.

use serde::Serialize;

mod courier;
mod dispatcher;
mod doubt;
mod duration;
mod environment;
mod errors;
mod file;
mod fleet;
mod gateway;
mod http_base;
mod jwt;
mod kind;
mod ledger;
mod log;
mod nearest;
mod pace;
mod people;
mod problem;
mod queue;
mod reader;
mod repair;
mod secret;
mod sources;
mod table;
mod templates;
mod traces;
mod typed;
mod web_origin;
mod whatsapp;

pub use courier::Courier;
pub use dispatcher::Dispatcher;
pub use doubt::Doubt;
pub use environment::TENANT_VARIABLE;
pub use errors::ErrorRules;
pub use fleet::Fleet;
pub use gateway::Gateway;
pub use http_base::HttpBase;
pub use jwt::{Jwt, KeysAt};
pub use ledger::{DatabaseUrl, Ledger};
pub use log::{Log, LogFormat};
pub use pace::Pace;
pub use people::{People, Region};
pub use problem::{Origin, Problem, SettingsError};
pub use queue::{MAX_SQS_PREFIX, Queue, QueueUrl};
pub use repair::Repair;
pub use secret::{MasterKey, Secret};
pub use sources::Sources;
pub use templates::Templates;
pub use traces::Traces;
pub use web_origin::WebOrigin;
pub use whatsapp::{ApiVersion, DefaultSender, WhatsApp};

use reader::Reader;
use typed::AsTyped;

/// The reference of settings: every key with its default and a comment.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// Valid settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The ledger.
    pub ledger: Ledger,
    /// The queue.
    pub queue: Queue,
    /// The gateway.
    pub gateway: Gateway,
    /// Tokens of an identity provider, if they are taken.
    pub jwt: Option<Jwt>,
    /// The pace.
    pub pace: Pace,
    /// The couriers.
    pub courier: Courier,
    /// The dispatcher.
    pub dispatcher: Dispatcher,
    /// Each process of the fleet.
    pub fleet: Fleet,
    /// The settling of doubt.
    pub doubt: Doubt,
    /// The repair of the ledger.
    pub repair: Repair,
    /// How phone numbers and times are read.
    pub people: People,
    /// Templates.
    pub templates: Templates,
    /// WhatsApp.
    pub whatsapp: WhatsApp,
    /// Logs.
    pub log: Log,
    /// Traces, if they are exported.
    pub traces: Option<Traces>,
    /// Rules that replace those which ship with kabar, by provider and error code.
    pub errors: ErrorRules,
    explained: Vec<Explained>,
}

/// A setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Its key, such as `pace.margin`.
    pub key: String,
    /// As it was typed, secrets masked; empty for none. An error rule is a TOML table.
    pub value: String,
    /// Where it comes from: `default`, the configuration file, a variable's name, or `command line`.
    pub source: String,
}

impl Settings {
    /// The settings that `sources` say.
    ///
    /// # Errors
    /// When there is an unknown name, a value that is not allowed, or a contradiction: all of them.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let mut typed = sources.read();
        let problems = std::mem::take(&mut typed.problems);
        let mut reader = Reader::new(&typed.settings, problems);
        let settings = Self::read(&mut reader);
        let problems = reader.problems;
        match settings {
            Some(settings) if problems.is_empty() => {
                let explained = explain(&typed);
                Ok(Self { explained, errors: errors::by_provider(typed.rules), ..settings })
            }
            _ => Err(SettingsError { problems }),
        }
    }

    /// Every setting with its value and where it comes from, in the order of the reference; then the error rules.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        self.explained.clone()
    }

    /// Reads every section before giving up on any, so that all problems are found.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let ledger = Ledger::read(reader);
        let queue = Queue::read(reader);
        let gateway = Gateway::read(reader);
        let jwt = Jwt::read(reader);
        let pace = Pace::read(reader);
        let courier = Courier::read(reader);
        let dispatcher = Dispatcher::read(reader);
        let fleet = Fleet::read(reader);
        let doubt = Doubt::read(reader);
        let repair = Repair::read(reader);
        let people = People::read(reader);
        let templates = Templates::read(reader);
        let whatsapp = WhatsApp::read(reader);
        let log = Log::read(reader);
        let traces = Traces::read(reader);
        Some(Self {
            ledger: ledger?,
            queue: queue?,
            gateway: gateway?,
            jwt: jwt?,
            pace: pace?,
            courier: courier?,
            dispatcher: dispatcher?,
            fleet: fleet?,
            doubt: doubt?,
            repair: repair?,
            people: people?,
            templates: templates?,
            whatsapp: whatsapp?,
            log: log?,
            traces: traces?,
            errors: ErrorRules::new(),
            explained: Vec::new(),
        })
    }
}

fn explain(typed: &AsTyped) -> Vec<Explained> {
    let settings = table::TABLE.iter().filter_map(|row| {
        let typed = typed.settings.get(row.key)?;
        Some(Explained { key: row.key.to_owned(), value: row.kind.mask(&typed.text), source: typed.origin.source() })
    });
    let rules = typed.rules.iter().map(|((provider, code), (rule, origin))| Explained {
        key: format!("{}.{provider}.{code}", errors::SECTION),
        value: toml::Value::try_from(rule).map_or_else(|_| rule.meaning.clone(), |rule| rule.to_string()),
        source: origin.source(),
    });
    settings.chain(rules).collect()
}

#[cfg(test)]
mod tests;
