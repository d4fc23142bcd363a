//! What a phone number is called and how it describes itself.

use serde_json::{Map, Value, json};

/// The digits that a number is displayed with, made from its id so that it is always the same.
pub(crate) fn display_digits(phone_number_id: &str) -> String {
    let digits: String = phone_number_id.chars().filter(char::is_ascii_digit).collect();
    format!("1555{:0>7}", &digits[digits.len().saturating_sub(7)..])
}

/// Every field of a phone number that the sandbox knows.
pub(crate) fn fields(phone_number_id: &str) -> Map<String, Value> {
    let digits = display_digits(phone_number_id);
    let display = format!("+{} {}-{}-{}", &digits[..1], &digits[1..4], &digits[4..7], &digits[7..]);
    let fields = json!({
        "id": phone_number_id,
        "display_phone_number": display,
        "verified_name": "Sandbox",
        "quality_rating": "GREEN",
        "quality_score": {"score": "GREEN"},
        "status": "CONNECTED",
        "name_status": "APPROVED",
        "code_verification_status": "VERIFIED",
        "platform_type": "CLOUD_API",
        "account_mode": "SANDBOX",
        "throughput": {"level": "STANDARD"},
        "whatsapp_business_manager_messaging_limit": "TIER_UNLIMITED",
        "health_status": {"can_send_message": "AVAILABLE", "entities": [
            {"entity_type": "PHONE_NUMBER", "id": phone_number_id, "can_send_message": "AVAILABLE"}
        ]},
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The fields of a number that are given when none are asked for.
pub(crate) const DEFAULT_FIELDS: &str =
    "verified_name,code_verification_status,display_phone_number,quality_rating,platform_type,throughput,status";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_eleven_digits_whatever_its_id() {
        assert_eq!(display_digits("106540352242922"), "15552242922");
        assert_eq!(display_digits("42"), "15550000042");
        assert_eq!(fields("42")["display_phone_number"], "+1 555-000-0042");
        assert_eq!(fields("106540352242922")["status"], "CONNECTED");
    }
}
