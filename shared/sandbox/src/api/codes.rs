//! The platform's documented error codes, each with its HTTP status, title and a detail.
//!
//! The statuses are those of the platform's table of December 2025; where it names none, 400 is used. Throttles are
//! 400 too: a client that looks for 429 misses them.

use axum::http::StatusCode;

/// One error code.
pub(crate) struct Code {
    pub(crate) code: i64,
    pub(crate) http: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) details: &'static str,
}

const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
const BAD_REQUEST: StatusCode = StatusCode::BAD_REQUEST;
const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;
const SERVER_ERROR: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

const fn row(code: i64, http: StatusCode, title: &'static str, details: &'static str) -> Code {
    Code { code, http, title, details }
}

/// The known codes in ascending order, which the search relies on.
static CODES: &[Code] = &[
    row(0, UNAUTHORIZED, "AuthException", "The app user could not be authenticated."),
    row(1, BAD_REQUEST, "API Unknown", "The request is malformed or the server failed."),
    row(2, UNAVAILABLE, "API Service", "The service is down or overloaded."),
    row(3, SERVER_ERROR, "API Method", "The app lacks a capability or permission."),
    row(4, BAD_REQUEST, "API Too Many Calls", "The app has made too many calls."),
    row(10, FORBIDDEN, "API Permission Denied", "The permission is missing."),
    row(33, BAD_REQUEST, "Parameter value is not valid", "The business phone number does not exist."),
    row(100, BAD_REQUEST, "Invalid parameter", "A parameter is unknown or not valid."),
    row(104, UNAUTHORIZED, "Missing access token", "The call carries no access token."),
    row(190, UNAUTHORIZED, "Invalid OAuth access token.", "The access token has expired or is not valid."),
    row(200, FORBIDDEN, "API Permission", "The permission is missing."),
    row(368, FORBIDDEN, "Temporarily blocked for policies violations", "The account is restricted for its conduct."),
    row(80_007, BAD_REQUEST, "Rate limit issues", "The business account has reached its call limit."),
    row(130_403, BAD_REQUEST, "User blocked by business", "The business has blocked this user."),
    row(130_429, BAD_REQUEST, "Rate limit hit", "The number's message throughput has been reached."),
    row(130_472, BAD_REQUEST, "User's number is part of an experiment", "The message was held back by an experiment."),
    row(
        130_497,
        FORBIDDEN,
        "Business account is restricted from messaging users in this country.",
        "The country is not open to this account.",
    ),
    row(131_000, SERVER_ERROR, "Something went wrong", "The message failed for an unknown reason."),
    row(131_005, FORBIDDEN, "Access denied", "The permission is missing or has been withdrawn."),
    row(131_008, BAD_REQUEST, "Required parameter is missing", "A required parameter is missing."),
    row(131_009, BAD_REQUEST, "Parameter value is not valid", "A parameter has a value that is not valid."),
    row(131_016, SERVER_ERROR, "Service unavailable", "A service is temporarily unavailable."),
    row(131_021, BAD_REQUEST, "Recipient cannot be sender", "Sender and recipient are the same number."),
    row(131_026, BAD_REQUEST, "Message undeliverable", "The message could not be delivered to this recipient."),
    row(
        131_030,
        BAD_REQUEST,
        "Recipient phone number not in allowed list",
        "The test number may not message this recipient.",
    ),
    row(131_031, FORBIDDEN, "Business Account locked", "The account is locked."),
    row(131_037, BAD_REQUEST, "Display name approval required", "The number's display name has not been approved."),
    row(
        131_042,
        BAD_REQUEST,
        "Business eligibility payment issue",
        "There is a problem with the account's payment method.",
    ),
    row(131_045, SERVER_ERROR, "Incorrect certificate", "The number's registration is faulty."),
    row(
        131_047,
        BAD_REQUEST,
        "Re-engagement message",
        "More than 24 hours have passed since the recipient last wrote.",
    ),
    row(131_048, BAD_REQUEST, "Spam rate limit hit", "Too many of this number's messages were reported."),
    row(
        131_049,
        BAD_REQUEST,
        "Message not delivered to maintain healthy ecosystem engagement",
        "The platform chose not to deliver the message.",
    ),
    row(
        131_050,
        BAD_REQUEST,
        "User has stopped marketing messages",
        "The recipient has opted out of marketing messages.",
    ),
    row(131_051, BAD_REQUEST, "Unsupported message type", "The message type is not supported."),
    row(131_052, BAD_REQUEST, "Media download error", "The user's media could not be downloaded."),
    row(131_053, BAD_REQUEST, "Media upload error", "The media could not be fetched."),
    row(131_055, BAD_REQUEST, "Method not allowed", "Only marketing templates may be sent here."),
    row(
        131_056,
        BAD_REQUEST,
        "(Business Account, Consumer Account) pair rate limit hit",
        "Too many messages to this recipient in a short time.",
    ),
    row(131_057, SERVER_ERROR, "Account in maintenance mode", "The account is being upgraded."),
    row(
        131_063,
        BAD_REQUEST,
        "Marketing templates disabled",
        "Marketing templates may not be sent through this endpoint.",
    ),
    row(
        132_000,
        BAD_REQUEST,
        "Number of parameters does not match the expected number of params",
        "The template expects another number of parameters.",
    ),
    row(
        132_001,
        NOT_FOUND,
        "Template name does not exist in the translation",
        "There is no approved template of this name and language.",
    ),
    row(132_005, BAD_REQUEST, "Translated text too long", "The filled-in text is too long."),
    row(132_007, BAD_REQUEST, "Template format character policy violated", "The template's content breaks a policy."),
    row(
        132_012,
        BAD_REQUEST,
        "Parameter format does not match format in the created template",
        "A template parameter has the wrong format.",
    ),
    row(132_015, BAD_REQUEST, "Template is paused", "The template is paused for its quality."),
    row(132_016, BAD_REQUEST, "Template is disabled", "The template has been disabled for good."),
    row(132_018, BAD_REQUEST, "Template parameter validation failed", "A template parameter is not valid."),
    row(132_068, BAD_REQUEST, "Flow is blocked", "The flow is blocked."),
    row(132_069, BAD_REQUEST, "Flow is throttled", "The flow has used up its messages of this hour."),
    row(133_004, UNAVAILABLE, "Server temporarily unavailable", "The server is temporarily unavailable."),
    row(133_010, BAD_REQUEST, "Phone number not registered", "The number is not registered."),
    row(134_011, BAD_REQUEST, "Payments terms not accepted", "The payment terms have not been accepted."),
    row(134_100, BAD_REQUEST, "Only marketing messages supported", "Only marketing templates may be sent here."),
    row(134_101, BAD_REQUEST, "Template is still syncing", "The template is not ready yet."),
    row(134_102, SERVER_ERROR, "Template unavailable", "The template cannot be used here."),
    row(135_000, BAD_REQUEST, "Generic user error", "The request's parameters are at fault."),
];

static UNKNOWN: Code = row(1, BAD_REQUEST, "Unknown error", "The code is not one that the sandbox knows.");

/// The row of a code. Codes that are not known get a row that says so; it is the caller who keeps the number.
pub(crate) fn find(code: i64) -> &'static Code {
    match CODES.binary_search_by_key(&code, |row| row.code) {
        Ok(index) => &CODES[index],
        Err(_) => &UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_ascending_order() {
        assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn throttles_are_bad_requests() {
        for code in [4, 80_007, 130_429, 131_056] {
            assert_eq!(find(code).http, BAD_REQUEST);
        }
        assert_eq!(find(999_999).title, "Unknown error");
    }
}
