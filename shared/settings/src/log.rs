//! Logs.

use crate::reader::Reader;

/// Settings of logs.
#[derive(Debug, Clone)]
pub struct Log {
    /// A level, or levels by module. Whether it is valid is the logger's to say.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

impl LogFormat {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Log {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { filter: reader.get("log.filter")?, format: reader.get("log.format")? })
    }
}
