//! `GET /{account}/message_templates`: the templates of a business account, page by page.

use kabar_domain::outcome::{Decision, Outcome};
use serde::Deserialize;
use serde_json::Value;

use super::{response, usage};
use crate::{
    access::{Access, TemplatePage},
    endpoint::{self, halt},
    exchange::Http,
    policy::Policy,
};

/// What is asked of each template.
const FIELDS: &str = "name,language,status,category,parameter_format,rejected_reason,components";

/// Templates on a page. A template has at most some ten kilobytes.
const PER_PAGE: u32 = 100;

/// The most bytes of a page.
const PAGE_MAX_BYTES: usize = 4 << 20;

/// The longest cursor that is followed, in bytes.
const CURSOR_MAX_BYTES: usize = 1_024;

#[derive(Deserialize)]
struct Page {
    data: Vec<Value>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Deserialize, Default)]
struct Paging {
    #[serde(default)]
    cursors: Cursors,
    /// There is a next page where this is; it is asked for by the cursor, so that the token goes nowhere else.
    next: Option<String>,
}

#[derive(Deserialize, Default)]
struct Cursors {
    after: Option<String>,
}

pub(crate) async fn page(
    http: &Http,
    policy: &Policy,
    access: &Access,
    account: &str,
    after: Option<&str>,
) -> Result<TemplatePage, Outcome> {
    if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(halt(
            "the sender has no business account id",
            "Set it with `kabar sender set NAME --account-id ID`: digits, as the provider shows it.",
        ));
    }
    let after = match after {
        Some(cursor) => format!("&after={}", escaped(cursor)),
        None => String::new(),
    };
    let path = format!("/message_templates?fields={FIELDS}&limit={PER_PAGE}{after}");
    let url =
        endpoint::url(&Access { address: account.to_owned(), ..access.clone() }, &path, http.allows_plain_http())?;
    let answer = match http.get_page(url, &access.token, PAGE_MAX_BYTES).await {
        Ok(answer) => answer,
        Err(outcome) => return Err(response::asked(outcome)),
    };
    let read = response::is_success(&answer).then(|| serde_json::from_slice::<Page>(&answer.body).ok()).flatten();
    let Some(Page { data, paging }) = read else { return Err(response::asked(response::refused(&answer, policy))) };
    let next = match (paging.next, paging.cursors.after) {
        (Some(_), Some(cursor)) if cursor.len() > CURSOR_MAX_BYTES => {
            return Err(Outcome::of(Decision::Retry, "the list of templates has a cursor of an impossible length"));
        }
        (Some(_), cursor) => cursor,
        (None, _) => None,
    };
    Ok(TemplatePage { templates: data, next, usage: usage::read(&answer.headers) })
}

/// A cursor as part of a query.
fn escaped(cursor: &str) -> String {
    cursor
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
