//! The buttons of a template, and the values that messages give for them.

use serde_json::Value;

use super::{Misfit, Template, placeholders};
use crate::content::{Button, ButtonValue};

/// What a button takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Its name in a job.
    pub(super) kind: &'static str,
    /// Whether nothing can be sent without it.
    pub(super) required: bool,
}

impl Template {
    /// The buttons as the provider describes them.
    pub(super) fn buttons(&self) -> &[Value] {
        let buttons = self.component("BUTTONS").and_then(|component| component.get("buttons"));
        buttons.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn check_buttons(&self, given: &[Button]) -> Result<(), Misfit> {
        let misfit = |problem: String| Err(Misfit::Part { template: self.name.clone(), problem });
        let buttons = self.buttons();
        let mut values: Vec<Option<&'static str>> = vec![None; buttons.len()];
        for (position, button) in given.iter().enumerate() {
            let index = button.index.map_or(position, usize::from);
            let kind = button.value.kind();
            let Some(described) = buttons.get(index) else {
                return misfit(format!("has no button {index}; it has {} (the first is 0)", buttons.len()));
            };
            if taken(described).is_none_or(|taken| taken.kind != kind) {
                return misfit(format!("button {index} takes no {kind}; leave it out of \"buttons\""));
            }
            values[index] = Some(kind);
        }
        for (index, described) in buttons.iter().enumerate() {
            if let Some(taken) = taken(described).filter(|taken| taken.required)
                && values[index].is_none()
            {
                let kind = taken.kind;
                return misfit(format!(
                    "needs a value for button {index}; add {{\"index\": {index}, \"{kind}\": …}} to \"buttons\""
                ));
            }
        }
        Ok(())
    }
}

impl ButtonValue {
    /// Its name in a job.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::QuickReply(_) => "quick_reply",
            Self::CopyCode(_) => "copy_code",
        }
    }
}

/// What a button takes by its description; nothing for those that are as they are (Cloud API, template components).
pub(super) fn taken(button: &Value) -> Option<Taken> {
    let text = |key: &str| button.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type").to_ascii_uppercase().as_str() {
        "URL" if !placeholders(text("url")).is_empty() => Some(Taken { kind: "url", required: true }),
        // The code of an authentication template is given again for its button, as the end of a link.
        "OTP" => Some(Taken { kind: "url", required: true }),
        "COPY_CODE" => Some(Taken { kind: "copy_code", required: true }),
        "QUICK_REPLY" => Some(Taken { kind: "quick_reply", required: false }),
        _ => None,
    }
}
