//! What a key of the HTTP API may do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::message::UnknownName;

/// One thing that a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Hand jobs in, and take back reminders.
    Enqueue,
    /// Look at everything of the tenant, personal data included.
    Read,
    /// Pause, resume and cancel broadcasts; block people.
    Operate,
    /// All of these, and read the audit log.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Enqueue, Self::Read, Self::Operate, Self::Admin];

    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// Whether who has these scopes may do what needs this one.
    #[must_use]
    pub fn is_in(self, scopes: &[Self]) -> bool {
        scopes.iter().any(|scope| *scope == self || *scope == Self::Admin)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_may_do_everything_and_others_their_own_alone() {
        for needed in Scope::ALL {
            assert!(needed.is_in(&[Scope::Admin]) && !needed.is_in(&[]));
            assert_eq!(needed.as_str().parse(), Ok(needed));
            for had in [Scope::Enqueue, Scope::Read, Scope::Operate] {
                assert_eq!(needed.is_in(&[had]), needed == had);
            }
        }
    }
}
