//! Content into the body of `POST /{phone-number-id}/messages`.

mod template;

use kabar_domain::content::Content;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::access::SendRequest;

/// Room for a usual body, so that writing it takes one allocation.
const USUAL_BODY_BYTES: usize = 1_024;

/// The body, written in one pass.
///
/// # Errors
/// When the content holds something that JSON cannot.
pub(crate) fn body(request: &SendRequest<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::with_capacity(USUAL_BODY_BYTES);
    serde_json::to_writer(&mut body, &Envelope(request))?;
    Ok(body)
}

struct Envelope<'a>(&'a SendRequest<'a>);

impl Serialize for Envelope<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SendRequest { to, content, opaque } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("messaging_product", "whatsapp")?;
        map.serialize_entry("recipient_type", "individual")?;
        // With its "+": without, the platform may put the business number's country code in front.
        map.serialize_entry("to", to.as_str())?;
        let kind = content.kind();
        map.serialize_entry("type", kind)?;
        match content {
            Content::Template(template) => map.serialize_entry(kind, &template::Written::new(template))?,
            Content::Text(text) => map.serialize_entry(kind, text)?,
            Content::Image(media)
            | Content::Video(media)
            | Content::Audio(media)
            | Content::Document(media)
            | Content::Sticker(media) => map.serialize_entry(kind, media)?,
            Content::Location(value)
            | Content::Contacts(value)
            | Content::Interactive(value)
            | Content::Reaction(value) => map.serialize_entry(kind, value)?,
        }
        if !opaque.is_empty() {
            map.serialize_entry("biz_opaque_callback_data", opaque)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use kabar_domain::phone::PhoneNumber;
    use serde_json::Value;

    use super::*;

    /// Each holds `content`, as a producer gives it, and `body`, as the platform documents it.
    const FIXTURES: [(&str, &str); 17] = [
        ("template_positional", include_str!("testdata/requests/template_positional.json")),
        ("template_named", include_str!("testdata/requests/template_named.json")),
        ("template_typed", include_str!("testdata/requests/template_typed.json")),
        ("template_media_buttons", include_str!("testdata/requests/template_media_buttons.json")),
        ("template_location", include_str!("testdata/requests/template_location.json")),
        ("template_bare", include_str!("testdata/requests/template_bare.json")),
        ("template_components", include_str!("testdata/requests/template_components.json")),
        ("text", include_str!("testdata/requests/text.json")),
        ("image", include_str!("testdata/requests/image.json")),
        ("audio", include_str!("testdata/requests/audio.json")),
        ("document", include_str!("testdata/requests/document.json")),
        ("sticker", include_str!("testdata/requests/sticker.json")),
        ("video", include_str!("testdata/requests/video.json")),
        ("location", include_str!("testdata/requests/location.json")),
        ("contacts", include_str!("testdata/requests/contacts.json")),
        ("interactive", include_str!("testdata/requests/interactive.json")),
        ("reaction", include_str!("testdata/requests/reaction.json")),
    ];

    #[test]
    fn every_kind_is_written_as_documented() {
        let to = PhoneNumber::from_e164("+6281234567890").unwrap();
        for (name, fixture) in FIXTURES {
            let fixture: Value = serde_json::from_str(fixture).unwrap();
            let content: Content = serde_json::from_value(fixture["content"].clone()).unwrap();
            content.check().unwrap();
            let body = body(&SendRequest { to: &to, content: &content, opaque: "att_01J" }).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body, fixture["body"], "{name}");
        }
    }

    #[test]
    fn without_an_opaque_value_the_field_is_absent() {
        let to = PhoneNumber::from_e164("+6281234567890").unwrap();
        let content = serde_json::from_str(r#"{"text": "Halo"}"#).unwrap();
        let body = body(&SendRequest { to: &to, content: &content, opaque: "" }).unwrap();
        assert!(!String::from_utf8(body).unwrap().contains("biz_opaque"));
    }
}
