//! Proof that an event comes from the platform, and that a subscription comes from us.

use ring::hmac;

/// The longest challenge that is echoed. The platform's have about ten digits.
const MAX_CHALLENGE_BYTES: usize = 256;

/// Which of `secrets` signed `body`, by the value of the header `X-Hub-Signature-256`; none when none did.
///
/// The signature is `sha256=` and the hex of HMAC-SHA256 over the raw body, keyed with the application's secret. Give
/// the bytes as they came: re-written JSON has another signature. Every secret is tried in constant time; an empty one
/// signs nothing, since anyone could sign with it.
#[must_use]
pub fn verify_signature(secrets: &[impl AsRef<[u8]>], body: &[u8], header: &str) -> Option<usize> {
    let signature = decode(header.trim().strip_prefix("sha256=")?)?;
    let signed_by = |secret: &[u8]| {
        !secret.is_empty() && hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), body, &signature).is_ok()
    };
    secrets.iter().position(|secret| signed_by(secret.as_ref()))
}

/// What to answer, as plain text, to the request that verifies the endpoint: the challenge when mode and token are
/// right, else none (answer 403).
///
/// The arguments are the query's `hub.mode`, `hub.verify_token` and `hub.challenge`. A challenge that is not letters,
/// digits, `-`, `_` and `.` is not echoed, so that the answer is never markup.
#[must_use]
pub fn challenge<'a>(verify_token: &str, mode: &str, given_token: &str, challenge: &'a str) -> Option<&'a str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let sound = (1..=MAX_CHALLENGE_BYTES).contains(&challenge.len()) && challenge.bytes().all(plain);
    (mode == "subscribe" && !verify_token.is_empty() && same(verify_token, given_token) && sound).then_some(challenge)
}

/// Compares in a time that tells nothing about where they differ: by their tags under one key.
fn same(left: &str, right: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"comparison");
    hmac::verify(&key, right.as_bytes(), hmac::sign(&key, left.as_bytes()).as_ref()).is_ok()
}

/// 32 bytes from 64 hex digits.
fn decode(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |index: usize| char::from(*pair.get(index)?).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    const TAG: &str = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const BODY: &[u8] = b"what do ya want for nothing?";

    #[test]
    fn the_secret_that_signed_is_found() {
        assert_eq!(verify_signature(&["Jefe"], BODY, TAG), Some(0));
        assert_eq!(verify_signature(&["old", "Jefe"], BODY, TAG), Some(1));
        assert_eq!(verify_signature(&["Jefe"], BODY, &TAG.to_uppercase().replace("SHA", "sha")), Some(0));
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        assert_eq!(verify_signature(&["other"], BODY, TAG), None);
        assert_eq!(verify_signature(&["Jefe"], b"what do ya want for nothing!", TAG), None);
        assert_eq!(verify_signature(&[] as &[&str], BODY, TAG), None);
        for header in
            ["", "sha256=", "sha1=00", &TAG[7..], &TAG[..70], &format!("{TAG}00"), &TAG.replace('5', "g"), "sha256=ü"]
        {
            assert_eq!(verify_signature(&["Jefe"], BODY, header), None, "{header}");
        }
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), BODY);
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(verify_signature(&[""], BODY, &format!("sha256={hex}")), None);
    }

    #[test]
    fn a_challenge_is_echoed_to_who_knows_the_token() {
        assert_eq!(challenge("token", "subscribe", "token", "1158201444"), Some("1158201444"));
        assert_eq!(challenge("token", "subscribe", "tokem", "1158201444"), None);
        assert_eq!(challenge("token", "unsubscribe", "token", "1158201444"), None);
        assert_eq!(challenge("", "subscribe", "", "1158201444"), None);
        assert_eq!(challenge("token", "subscribe", "token", "<script>"), None);
        assert_eq!(challenge("token", "subscribe", "token", ""), None);
    }
}
