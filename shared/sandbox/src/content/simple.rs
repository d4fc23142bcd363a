//! The contents that are a few plain fields: text, location, contacts, reaction.

use serde_json::Value;

use crate::api::error::ApiError;
use crate::content::fields::Fields;

/// The most contacts in one message.
pub(crate) const CONTACTS_MAX: usize = 257;

const TEXT_CHARACTERS_MAX: usize = 4_096;
const NAME_CHARACTERS_MAX: usize = 1_024;

pub(crate) fn check_text(text: Fields<'_>) -> Result<(), ApiError> {
    text.text("body", TEXT_CHARACTERS_MAX)?;
    match text.get("preview_url") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(_) => Err(text.invalid("preview_url", "must be true or false")),
    }
}

pub(crate) fn check_location(location: Fields<'_>) -> Result<(), ApiError> {
    location.number("latitude", 90.0)?;
    location.number("longitude", 180.0)?;
    location.optional_text("name", NAME_CHARACTERS_MAX)?;
    location.optional_text("address", NAME_CHARACTERS_MAX)?;
    Ok(())
}

pub(crate) fn check_contacts(contacts: &[Value]) -> Result<(), ApiError> {
    for contact in contacts {
        let contact = Fields::of(contact, "contacts[]")?;
        contact.object("name", "contacts[]['name']")?.text("formatted_name", NAME_CHARACTERS_MAX)?;
        contact.optional_list("phones")?;
    }
    Ok(())
}

/// An empty emoji takes the reaction back, so only the target is required.
pub(crate) fn check_reaction(reaction: Fields<'_>) -> Result<(), ApiError> {
    reaction.text("message_id", NAME_CHARACTERS_MAX)?;
    reaction.optional_text("emoji", 64)?;
    Ok(())
}
