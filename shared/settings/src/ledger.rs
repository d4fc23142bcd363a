//! The ledger: the SQL database that is the truth.

use std::{path::PathBuf, time::Duration};

use crate::{MasterKey, Secret, reader::Reader};

/// Settings of the ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The most connections of this process to Postgres, 2 to 500.
    pub max_connections: u32,
    /// Whether a pooler in transaction mode stands before Postgres.
    pub pooler: bool,
    /// The longest that one statement may take, 100 ms to 10 minutes.
    pub statement_timeout: Duration,
    /// The longest wait for a connection, 100 ms to 5 minutes.
    pub connect_timeout: Duration,
    /// Seals credentials and message contents; without it they are stored as they are.
    pub master_key: Option<MasterKey>,
}

/// Which database holds the ledger.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A SQLite file, for a fleet on one machine.
    Sqlite {
        /// The file; a relative path starts at the working directory.
        path: PathBuf,
    },
    /// A Postgres database, for a fleet on any number of machines.
    Postgres {
        /// `postgres://…`, with its password.
        url: Secret,
    },
}

impl DatabaseUrl {
    /// `sqlite://PATH` or `postgres://…`. SQLite's path is taken as it is: no percent signs are decoded, and neither
    /// options (`?…`) nor a database in memory are allowed, since several processes must see the same file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("sqlite://") {
            let is_file = !path.is_empty() && !path.contains('?') && !path.ends_with('/') && path != ":memory:";
            return is_file.then(|| Self::Sqlite { path: path.into() });
        }
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
        (!rest.is_empty()).then(|| Secret::parse(text)).flatten().map(|url| Self::Postgres { url })
    }
}

impl Ledger {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            url: reader.get("ledger.url")?,
            max_connections: reader.get("ledger.max_connections")?,
            pooler: reader.get("ledger.pooler")?,
            statement_timeout: reader.get("ledger.statement_timeout")?,
            connect_timeout: reader.get("ledger.connect_timeout")?,
            master_key: reader.get("ledger.master_key")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_urls() {
        for (text, expected) in [("sqlite://kabar.db", "kabar.db"), ("sqlite:///var/lib/kabar.db", "/var/lib/kabar.db")]
        {
            let Some(DatabaseUrl::Sqlite { path }) = DatabaseUrl::parse(text) else { panic!("{text}") };
            assert_eq!(path, PathBuf::from(expected));
        }
        for text in ["postgres://kabar:pw@db/kabar", "postgresql:///kabar"] {
            let Some(DatabaseUrl::Postgres { url }) = DatabaseUrl::parse(text) else { panic!("{text}") };
            assert_eq!(url.expose(), text);
        }
        for text in ["", "kabar.db", "sqlite://", "sqlite::memory:", "sqlite://:memory:", "mysql://db", "postgres://"] {
            assert!(DatabaseUrl::parse(text).is_none(), "{text}");
        }
    }
}
