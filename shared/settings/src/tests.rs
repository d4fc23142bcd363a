//! The layers and each kind of problem, by the way that a process takes: [`Settings::load`].

use std::{io::Write as _, path::Path};

use super::*;

mod layers;
mod problems;

/// A configuration file with `text`, deleted when dropped.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn from_file(path: &Path) -> Sources {
    Sources { config_file: Some(path.to_owned()), ..Sources::default() }
}

fn from_environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    Sources { environment, ..Sources::default() }
}

fn from_overrides(overrides: &[(&str, &str)]) -> Sources {
    let overrides = overrides.iter().map(|(key, text)| (key.to_string(), text.to_string())).collect();
    Sources { overrides, ..Sources::default() }
}

/// What is reported, with the file's name as `FILE`.
fn errors(sources: &Sources) -> String {
    let shown = Settings::load(sources).unwrap_err().to_string();
    match &sources.config_file {
        Some(path) => shown.replace(&path.display().to_string(), "FILE"),
        None => shown,
    }
}

fn file_errors(text: &str) -> String {
    errors(&from_file(file(text).path()))
}
