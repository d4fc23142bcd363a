//! The business identities that messages come from.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Who carries messages.
///
/// To add one: a variant here, its folder in the providers crate with the arms of that crate's match, its settings, and
/// a line in the conformance list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// The WhatsApp Business Cloud API, called directly.
    WhatsappCloud,
}

impl ProviderKind {
    /// Every provider.
    pub const ALL: [Self; 1] = [Self::WhatsappCloud];

    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhatsappCloud => "whatsapp_cloud",
        }
    }

    /// The channel it carries.
    #[must_use]
    pub const fn channel(self) -> Channel {
        match self {
            Self::WhatsappCloud => Channel::Whatsapp,
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a provider; known: {known}")]
pub struct UnknownProvider {
    given: String,
    known: String,
}

impl FromStr for ProviderKind {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownProvider { given: text.to_owned(), known: Self::ALL.map(Self::as_str).join(", ") })
    }
}

/// What carries a message to a handset; a block holds for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// WhatsApp, by whichever provider.
    Whatsapp,
}

impl Channel {
    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whatsapp => "whatsapp",
        }
    }
}

/// Whether a sender may send, as people and providers decided. That it is parked for a while is its pace's matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderState {
    /// It sends.
    Active,
    /// A person paused it; `kabar sender resume` goes on.
    Paused,
    /// The provider refused it (a bad token, a locked account); a person must mend that, then resume it.
    Halted,
}

impl SenderState {
    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Halted => "halted",
        }
    }
}

impl FromStr for SenderState {
    type Err = crate::message::UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Active, Self::Paused, Self::Halted]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| crate::message::UnknownName(text.to_owned()))
    }
}
