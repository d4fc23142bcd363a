//! The doors by which bytes of others come in, each as one function that reads them and panics where a promise is broken.
//!
//! The fuzz targets in `tests/fuzz` and the tests in `conformance/inputs.rs` call the same functions.

use std::{collections::BTreeSet, io::Write as _, path::PathBuf, sync::OnceLock};

use kabar_domain::{
    job::{Door, Job},
    report::Report,
    sender::ProviderKind,
};
use kabar_providers::{Options, Providers, whatsapp_cloud::webhook};
use serde_json::Value;

/// A door: its name, what reads the bytes, and where real inputs lie, below the root of the repository.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// The name, as of its fuzz target.
    pub name: &'static str,
    /// Reads bytes.
    ///
    /// # Panics
    /// Where a promise is broken.
    pub read: fn(&[u8]),
    /// A folder of real inputs.
    pub seeds: &'static str,
}

/// Every door.
pub const INPUTS: [Input; 3] = [
    Input { name: "webhook", read: webhook, seeds: "shared/providers/src/whatsapp_cloud/testdata/events" },
    Input { name: "job", read: job, seeds: "tests/fuzz/seeds/job" },
    Input { name: "recipients", read: recipients, seeds: "tests/fuzz/seeds/recipients" },
];

impl Input {
    /// The real inputs.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(self.seeds);
        let files = std::fs::read_dir(&folder).expect("the folder of real inputs is there");
        let mut paths: Vec<PathBuf> = files.map(|file| file.expect("it can be listed").path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).expect("a real input can be read")).collect()
    }
}

/// What the platform posts: it is read or refused as a whole, the same each time, and nothing in it speaks for a number
/// that it does not name, since a signature is checked against the numbers that are named.
///
/// # Panics
/// Where that is not so.
pub fn webhook(body: &[u8]) {
    static PROVIDERS: OnceLock<Providers> = OnceLock::new();
    let providers = PROVIDERS.get_or_init(|| Providers::new(Options::default()).expect("the shipped options work"));
    let read = providers.read_event(ProviderKind::WhatsappCloud, body);
    let subjects = webhook::subjects(body);
    assert_eq!(read.is_ok(), subjects.is_ok(), "one of two readers refuses it");
    let (Ok(reports), Ok(subjects)) = (read, subjects) else { return };
    let speaks_for: BTreeSet<&str> = reports
        .iter()
        .filter_map(|report| match report {
            Report::Receipt(receipt) => Some(receipt.sender_address.as_str()),
            Report::Inbound(inbound) => Some(inbound.sender_address.as_str()),
            Report::Wish(wish) => Some(wish.sender_address.as_str()),
            Report::Template(_) | Report::Budget(_) | Report::Notice(_) => None,
        })
        .collect();
    for address in speaks_for {
        assert!(subjects.phone_number_ids.contains(address) || address.is_empty(), "it speaks for {address:?} unnamed");
    }
    for report in reports {
        if let Report::Receipt(receipt) = report {
            assert!(!receipt.provider_message_id.is_empty() || receipt.opaque.is_some(), "a receipt for nothing");
        }
    }
}

/// A job of a producer: it is read or refused in one line, and what was read means the same when it is written down and
/// read again, as the ledger does.
///
/// # Panics
/// Where that is not so.
pub fn job(text: &[u8]) {
    let door = Door {
        default_region: "ID".parse().ok(),
        default_timezone: "Asia/Jakarta".parse().expect("a zone"),
        loads_files: false,
    };
    match Job::from_json(text, door, "fallback".parse().ok()) {
        Ok(job) => {
            let written = serde_json::to_value(&job).expect("a job can be written");
            let again = Job::from_value(written, Door::default(), None);
            assert_eq!(again.as_ref(), Ok(&job), "what was read cannot be read again");
        }
        Err(error) => assert!(!error.field.is_empty() && !error.problem.is_empty(), "it is refused without a reason"),
    }
}

/// A file of recipients: it is read or refused, the same each time; every line counts once, as a recipient, a repeat or a
/// bad row.
///
/// # Panics
/// Where that is not so, and when no file can be made.
pub fn recipients(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("it can be written");
    let region = "ID".parse().ok();
    let survey = kabar::cli::survey_file(file.path(), region);
    let again = kabar::cli::survey_file(file.path(), region);
    let (survey, again) = match (survey, again) {
        (Ok(survey), Ok(again)) => (survey, again),
        (Err(one), Err(other)) => {
            return assert_eq!(kabar::cli::one_line(&one), kabar::cli::one_line(&other));
        }
        _ => panic!("it is read one time and refused the other"),
    };
    assert_eq!(survey, again);
    let lines = 1 + bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
    // CSV has a header above its rows; a JSON object is a row.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = if text.trim_ascii_start().starts_with(b"{") { 1 } else { 2 };
    let count = |name: &str| survey[name].as_u64().expect("a count");
    let rows = count("recipients") + count("repeated_rows") + count("bad");
    assert!(first + rows <= lines.max(first) + 1, "more rows than lines");
    let bad: Vec<u64> = survey["bad_rows"].as_array().into_iter().flatten().map(line_of).collect();
    assert_eq!(bad.len() as u64, count("bad"));
    assert!(
        bad.is_sorted() && bad.iter().all(|line| (first..=lines).contains(line)),
        "bad rows in lines {bad:?} of {lines}"
    );
}

fn line_of(row: &Value) -> u64 {
    row["line"].as_u64().expect("a line")
}
