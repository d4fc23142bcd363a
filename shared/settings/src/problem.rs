//! What is wrong with the settings, and what to do about it.

use std::{fmt, path::PathBuf};

/// Why the settings cannot be used: all problems at once, one per line when shown. Secrets are masked.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct SettingsError {
    /// The problems, at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The configuration file was asked for, or is there, but cannot be read.
    #[error("{}: cannot read this configuration file: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The configuration file is no TOML.
    #[error("{origin}: not valid TOML: {message}")]
    Syntax {
        /// The file and line.
        origin: Origin,
        /// What the parser expected.
        message: String,
    },
    /// There is no such setting, section or provider.
    #[error("{name} ({origin}): unknown{}", meant_or(.nearest, .known))]
    Unknown {
        /// As it was typed.
        name: String,
        /// Where.
        origin: Origin,
        /// What may have been meant.
        nearest: Option<String>,
        /// The names that there are in its place.
        known: Vec<String>,
    },
    /// There is no such variable. Names that begin with `KABAR_` are kabar's own.
    #[error("{name}: unknown variable of the environment{}", meant(.nearest))]
    UnknownVariable {
        /// As it was typed.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A value that is not allowed.
    #[error("{key} = {value:?} ({origin}): allowed is {allowed}{}", meant(.nearest))]
    BadValue {
        /// The setting.
        key: String,
        /// As it was typed, masked if it may be secret.
        value: String,
        /// Where.
        origin: Origin,
        /// What is allowed instead.
        allowed: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// Values that are allowed each for itself, but not together.
    #[error("{settings}: {rule}")]
    Contradiction {
        /// The settings with their values (masked) and where they come from.
        settings: String,
        /// What must hold.
        rule: String,
    },
    /// A setting that the program reads otherwise than its table says: a defect of kabar itself.
    #[error("{key}: read otherwise than it is declared; this is a defect of kabar, please report it")]
    Undeclared {
        /// The setting.
        key: &'static str,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `defaults.toml`, which is part of the program.
    Default,
    /// The configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment, by its name.
    Variable(String),
    /// An option of the command line.
    CommandLine,
}

impl Origin {
    /// The origin without a line: `default`, the file, the variable, or `command line`.
    #[must_use]
    pub fn source(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn meant_or(nearest: &Option<String>, known: &[String]) -> String {
    if nearest.is_some() { meant(nearest) } else { format!("; known are {}", known.join(", ")) }
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}
