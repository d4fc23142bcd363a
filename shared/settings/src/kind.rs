//! What may be typed for a setting, and what it becomes.

use std::{fmt, net::SocketAddr, time::Duration};

use kabar_domain::{frequency_cap::FrequencyCap, pace::Rate, quiet_hours::QuietHours, wish::Covers};

use crate::{
    ApiVersion, DatabaseUrl, HttpBase, KeysAt, LogFormat, MasterKey, QueueUrl, Region, Secret, WebOrigin, duration,
    secret::{mask_url, parse_list},
};

/// Milliseconds in a second.
pub(crate) const SECOND_MS: u64 = 1_000;

/// The longest word in a list, in characters.
const MOST_WORD_CHARS: usize = 100;

/// The kind of a setting. Bounds are inclusive.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Address,
    ApiVersion,
    Covers,
    DatabaseUrl,
    Duration { least_ms: u64, most_ms: u64 },
    Flag,
    FrequencyCap,
    HttpBase,
    Integer { least: u64, most: u64 },
    KeysAt,
    LogFilter,
    LogFormat,
    MasterKey,
    Origins,
    PhoneNumberId,
    Phrases,
    QueueUrl,
    QuietHours,
    Rate,
    Region,
    Secret,
    Secrets,
    Share,
    TimeZone,
    Word,
    Words,
}

/// A duration of `least_ms` to `most_ms` milliseconds.
pub(crate) const fn time(least_ms: u64, most_ms: u64) -> Kind {
    Kind::Duration { least_ms, most_ms }
}

/// A whole number of `least` to `most`.
pub(crate) const fn integer(least: u64, most: u64) -> Kind {
    Kind::Integer { least, most }
}

/// A valid value of a setting.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// An optional setting that was left empty.
    None,
    Address(SocketAddr),
    ApiVersion(ApiVersion),
    Covers(Covers),
    DatabaseUrl(DatabaseUrl),
    Duration(Duration),
    Flag(bool),
    FrequencyCap(FrequencyCap),
    HttpBase(HttpBase),
    Integer(u64),
    KeysAt(KeysAt),
    LogFormat(LogFormat),
    MasterKey(MasterKey),
    Origins(Vec<WebOrigin>),
    QueueUrl(QueueUrl),
    QuietHours(QuietHours),
    Rate(Rate),
    Region(Region),
    Secret(Secret),
    Secrets(Vec<Secret>),
    Share(f64),
    Text(String),
    TimeZone(chrono_tz::Tz),
    Words(Vec<String>),
}

impl Kind {
    /// The value that `text` stands for; none if it is not allowed.
    pub(crate) fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Address => text.parse().ok().map(Value::Address),
            Self::ApiVersion => ApiVersion::parse(text).map(Value::ApiVersion),
            Self::Covers => text.parse().ok().map(Value::Covers),
            Self::DatabaseUrl => DatabaseUrl::parse(text).map(Value::DatabaseUrl),
            Self::Duration { least_ms, most_ms } => duration::parse(text)
                .filter(|given| (millis(least_ms)..=millis(most_ms)).contains(given))
                .map(Value::Duration),
            Self::Flag => text.parse().ok().map(Value::Flag),
            Self::FrequencyCap => text.parse().ok().map(Value::FrequencyCap),
            Self::HttpBase => HttpBase::parse(text).map(Value::HttpBase),
            Self::Integer { least, most } => {
                let number = text.replace('_', "").parse().ok();
                number.filter(|given| (least..=most).contains(given)).map(Value::Integer)
            }
            Self::KeysAt => KeysAt::parse(text).map(Value::KeysAt),
            Self::LogFilter => (!text.is_empty()).then(|| Value::Text(text.to_owned())),
            Self::LogFormat => LogFormat::parse(text).map(Value::LogFormat),
            Self::MasterKey => MasterKey::parse(text).map(Value::MasterKey),
            Self::Origins => WebOrigin::parse_list(text).map(Value::Origins),
            Self::PhoneNumberId => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                let id = (1..=64).contains(&text.len()) && text.bytes().all(plain);
                id.then(|| Value::Text(text.to_owned()))
            }
            Self::Phrases => phrases(text).map(Value::Words),
            Self::QueueUrl => QueueUrl::parse(text).map(Value::QueueUrl),
            Self::QuietHours => text.parse().ok().map(Value::QuietHours),
            Self::Rate => text.parse().ok().map(Value::Rate),
            Self::Region => Region::parse(text).map(Value::Region),
            Self::Secret => Secret::parse(text).map(Value::Secret),
            Self::Secrets => parse_list(text).map(Value::Secrets),
            Self::Share => text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Value::Share),
            Self::TimeZone => text.parse().ok().map(Value::TimeZone),
            Self::Word => word(text).map(Value::Text),
            Self::Words => {
                let words = text.split(',').map(str::trim).filter(|one| !one.is_empty());
                words.map(word).collect::<Option<_>>().map(Value::Words)
            }
        }
    }

    /// `text` as it may be shown: without what is secret.
    pub(crate) fn mask(self, text: &str) -> String {
        match self {
            Self::DatabaseUrl | Self::QueueUrl | Self::HttpBase => mask_url(text),
            Self::MasterKey | Self::Secret | Self::Secrets if !text.is_empty() => Secret::MASK.to_owned(),
            _ => text.to_owned(),
        }
    }

    /// The words from which `text` may have been meant to be one.
    pub(crate) fn words(self) -> Vec<&'static str> {
        match self {
            Self::Covers => Covers::BOTH.map(Covers::as_str).to_vec(),
            Self::Flag => vec!["true", "false"],
            Self::LogFormat => vec!["text", "json"],
            Self::TimeZone => chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect(),
            _ => Vec::new(),
        }
    }
}

/// Printable ASCII without a space.
fn word(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// Phrases separated by commas; none if one of them says nothing, or too much for a word.
fn phrases(text: &str) -> Option<Vec<String>> {
    let phrases = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let is_word = |word: &str| word.chars().any(char::is_alphanumeric) && word.chars().count() <= MOST_WORD_CHARS;
    phrases.map(|word| is_word(word).then(|| word.to_owned())).collect()
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What is allowed, as the end of a sentence.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = match self {
            Self::Address => "an address and port, such as 127.0.0.1:8080 or [::]:8080",
            Self::ApiVersion => "a version such as v26.0",
            Self::Covers => "marketing or all",
            Self::DatabaseUrl => "sqlite://PATH or postgres://…",
            Self::Duration { least_ms, most_ms } => {
                let (least, most) = (duration::Typed(millis(*least_ms)), duration::Typed(millis(*most_ms)));
                return write!(f, "a duration from {least} to {most}, typed as 15ms, 2s, 10m or 1h30m");
            }
            Self::Flag => "true or false",
            Self::FrequencyCap => "messages and days such as 3/7d, 1 to 1000 and 1 to 365",
            Self::HttpBase => "https://HOST, with a port and a path if needed, without user, query and version",
            Self::Integer { least, most } => return write!(f, "a whole number from {least} to {most}"),
            Self::KeysAt => "https://… (http:// to this machine alone) or the path of a file",
            Self::LogFilter => "a level (error, warn, info, debug, trace) or levels by module",
            Self::LogFormat => "text or json",
            Self::MasterKey => "32 bytes in base64, as `openssl rand -base64 32` prints them",
            Self::Origins => "origins such as https://app.example.com, without a path, several separated by commas",
            Self::PhoneNumberId => "the digits of a phone-number id, which is not the phone number",
            Self::Phrases => "words of letters or digits, several separated by commas, each of at most 100 characters",
            Self::QueueUrl => "database:, amqp://…, amqps://… or sqs://PREFIX (letters, digits, - and _, at most 64)",
            Self::QuietHours => "two different times such as 21:00-08:00",
            Self::Rate => "messages per second, a whole number from 1 to 1000, or unlimited",
            Self::Region => "the two letters of a country, such as ID",
            Self::Secret => "printable ASCII",
            Self::Secrets => "printable ASCII, several separated by commas",
            Self::Share => "a number from 0 to 1, such as 0.01",
            Self::TimeZone => "a time zone such as Asia/Jakarta",
            Self::Word => "printable ASCII without spaces",
            Self::Words => "printable ASCII without spaces, several separated by commas",
        };
        f.write_str(allowed)
    }
}
