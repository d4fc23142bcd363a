//! Interactive messages: reply buttons, lists and links, with their many length limits.

use serde_json::Value;

use crate::api::error::ApiError;
use crate::content::fields::Fields;
use crate::content::media;

const FOOTER_CHARACTERS_MAX: usize = 60;
const HEADER_CHARACTERS_MAX: usize = 60;
const BUTTONS_MAX: usize = 3;
const SECTIONS_MAX: usize = 10;
const ROWS_MAX: usize = 10;

/// Kinds whose envelope is checked and whose action is taken as it is.
const OTHER_KINDS: [&str; 9] = [
    "address_message",
    "call_permission_request",
    "carousel",
    "catalog_message",
    "flow",
    "location_request_message",
    "product",
    "product_list",
    "request_contact_info",
];

pub(crate) fn check(interactive: Fields<'_>) -> Result<(), ApiError> {
    let kind = interactive.text("type", 64)?;
    let body_max = if kind == "list" { 4_096 } else { 1_024 };
    if let Some(header) = interactive.optional_object("header", "interactive['header']")? {
        check_header(header, kind)?;
    }
    match interactive.optional_object("body", "interactive['body']")? {
        Some(body) => {
            body.text("text", body_max)?;
        }
        None if kind == "product" => {}
        None => return Err(interactive.missing("body")),
    }
    if let Some(footer) = interactive.optional_object("footer", "interactive['footer']")? {
        footer.text("text", FOOTER_CHARACTERS_MAX)?;
    }
    let action = interactive.object("action", "interactive['action']")?;
    match kind {
        "button" => check_buttons(action),
        "list" => check_list(action),
        "cta_url" => check_link(action),
        other if OTHER_KINDS.contains(&other) => Ok(()),
        _ => Err(interactive.invalid("type", "is not a kind of interactive message")),
    }
}

fn check_header(header: Fields<'_>, kind: &str) -> Result<(), ApiError> {
    match header.text("type", 16)? {
        "text" => header.text("text", HEADER_CHARACTERS_MAX).map(drop),
        _ if kind == "list" => Err(header.invalid("type", "must be text in a list")),
        "image" => media::check(header.object("image", "header['image']")?, media::Caption::None),
        "video" => media::check(header.object("video", "header['video']")?, media::Caption::None),
        "document" => media::check(header.object("document", "header['document']")?, media::Caption::None),
        _ => Err(header.invalid("type", "is not a kind of header")),
    }
}

fn check_buttons(action: Fields<'_>) -> Result<(), ApiError> {
    let buttons = action.list("buttons", BUTTONS_MAX)?;
    let mut seen = Vec::with_capacity(buttons.len());
    for button in buttons {
        let button = Fields::of(button, "action['buttons'][]")?;
        if button.get("type").and_then(Value::as_str) != Some("reply") {
            return Err(button.invalid("type", "must be reply"));
        }
        let reply = button.object("reply", "action['buttons'][]['reply']")?;
        let id = reply.text("id", 256)?;
        reply.text("title", 20)?;
        if seen.contains(&id) {
            return Err(reply.invalid("id", "must differ from the other buttons'"));
        }
        seen.push(id);
    }
    Ok(())
}

fn check_list(action: Fields<'_>) -> Result<(), ApiError> {
    action.text("button", 20)?;
    let sections = action.list("sections", SECTIONS_MAX)?;
    let mut rows_total = 0;
    for section in sections {
        let section = Fields::of(section, "action['sections'][]")?;
        let title = section.optional_text("title", 24)?;
        if title.is_none_or(str::is_empty) && sections.len() > 1 {
            return Err(section.missing("title"));
        }
        for row in section.list("rows", ROWS_MAX)? {
            let row = Fields::of(row, "rows[]")?;
            row.text("id", 200)?;
            row.text("title", 24)?;
            row.optional_text("description", 72)?;
            rows_total += 1;
        }
    }
    if rows_total > ROWS_MAX {
        return Err(action.invalid("sections", "must have at most 10 rows in total"));
    }
    Ok(())
}

fn check_link(action: Fields<'_>) -> Result<(), ApiError> {
    if action.get("name").and_then(Value::as_str) != Some("cta_url") {
        return Err(action.invalid("name", "must be cta_url"));
    }
    let parameters = action.object("parameters", "action['parameters']")?;
    parameters.text("display_text", 20)?;
    parameters.text("url", 4_096)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(interactive: Value) -> i64 {
        match Fields::of(&interactive, "interactive").and_then(check) {
            Ok(()) => 0,
            Err(error) => error.code(),
        }
    }

    fn buttons(count: usize) -> Value {
        let buttons: Vec<Value> =
            (0..count).map(|n| json!({"type": "reply", "reply": {"id": n.to_string(), "title": "Yes"}})).collect();
        json!({"type": "button", "body": {"text": "?"}, "action": {"buttons": buttons}})
    }

    fn list(rows_per_section: &[usize]) -> Value {
        let sections: Vec<Value> = rows_per_section
            .iter()
            .map(|&rows| {
                let rows: Vec<Value> = (0..rows).map(|n| json!({"id": n.to_string(), "title": "row"})).collect();
                json!({"title": "section", "rows": rows})
            })
            .collect();
        json!({"type": "list", "body": {"text": "?"}, "action": {"button": "Choose", "sections": sections}})
    }

    #[test]
    fn one_to_three_buttons() {
        assert_eq!(code(buttons(1)), 0);
        assert_eq!(code(buttons(3)), 0);
        assert_eq!(code(buttons(0)), 131_008);
        assert_eq!(code(buttons(4)), 100);
        let mut long = buttons(1);
        long["action"]["buttons"][0]["reply"]["title"] = json!("x".repeat(21));
        assert_eq!(code(long), 100);
    }

    #[test]
    fn at_most_ten_rows_in_all() {
        assert_eq!(code(list(&[5, 5])), 0);
        assert_eq!(code(list(&[6, 5])), 131_009);
        assert_eq!(code(list(&[11])), 100);
    }

    #[test]
    fn a_link_and_an_unknown_kind() {
        let link = json!({"type": "cta_url", "body": {"text": "?"}, "action": {"name": "cta_url",
            "parameters": {"display_text": "See", "url": "https://example.com"}}});
        assert_eq!(code(link), 0);
        assert_eq!(code(json!({"type": "dance", "body": {"text": "?"}, "action": {}})), 131_009);
        assert_eq!(code(json!({"type": "flow", "body": {"text": "?"}, "action": {"name": "flow"}})), 0);
    }
}
