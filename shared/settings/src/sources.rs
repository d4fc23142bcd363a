//! Where settings come from.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{DEFAULTS, environment, file, problem::Origin, typed::AsTyped};

/// What may set settings beside the defaults. Empty by default, for tests; [`Sources::from_process`] for a process.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file of `--config`. Without it: `KABAR_CONFIG`, else `kabar.toml` in the working directory if it is there.
    pub config_file: Option<PathBuf>,
    /// The environment: variables with their values.
    pub environment: BTreeMap<String, String>,
    /// Settings given by the command line: keys such as `gateway.listen` with their values, the last one winning.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The environment of this process; the command line is the caller's to add.
    #[must_use]
    pub fn from_process() -> Self {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        Self { environment, ..Self::default() }
    }

    /// What all sources say, lowest to highest.
    pub(crate) fn read(&self) -> AsTyped {
        let mut typed = AsTyped::default();
        file::read_defaults(DEFAULTS, &mut typed);
        file::read(self.named_file(), std::path::Path::new(""), &mut typed);
        environment::read(&self.environment, &mut typed);
        for (key, text) in &self.overrides {
            typed.set_by_name(key, text, Origin::CommandLine);
        }
        typed
    }

    fn named_file(&self) -> Option<PathBuf> {
        let by_variable = || self.environment.get(environment::CONFIG_VARIABLE).filter(|path| !path.is_empty());
        self.config_file.clone().or_else(|| by_variable().map(PathBuf::from))
    }
}
