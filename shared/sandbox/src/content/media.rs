//! Media: an uploaded object by its id, or a public file by its link.

use crate::api::error::ApiError;
use crate::content::fields::Fields;

const ID_CHARACTERS_MAX: usize = 512;
const LINK_CHARACTERS_MAX: usize = 4_096;
const CAPTION_CHARACTERS_MAX: usize = 1_024;
const FILENAME_CHARACTERS_MAX: usize = 240;

/// Whether a kind of media may carry a caption.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caption {
    Allowed,
    None,
}

/// Checks one media object. That an uploaded id exists is not checked: the sandbox has no uploads.
pub(crate) fn check(media: Fields<'_>, caption: Caption) -> Result<(), ApiError> {
    let id = media.optional_text("id", ID_CHARACTERS_MAX)?.filter(|id| !id.is_empty());
    let link = media.optional_text("link", LINK_CHARACTERS_MAX)?;
    match (id, link) {
        (None, None) => return Err(media.missing("id")),
        (None, Some(link)) if !is_public_link(link) => {
            return Err(media.invalid("link", "must be an http or https URL"));
        }
        _ => {}
    }
    let given = media.optional_text("caption", CAPTION_CHARACTERS_MAX)?;
    if given.is_some() && caption == Caption::None {
        return Err(ApiError::parameter("Param caption is not allowed for this type of media."));
    }
    media.optional_text("filename", FILENAME_CHARACTERS_MAX)?;
    Ok(())
}

fn is_public_link(link: &str) -> bool {
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty())
}
