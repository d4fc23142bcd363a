//! The one table of settings.
//!
//! **To add a setting:** a line here, its default and comment in `defaults.toml`, a field in its section's struct.
//! Everything else (variables of the environment, checks, `kabar config`, suggestions) follows from the line.

use crate::{
    errors,
    kind::{Kind, SECOND_MS as S, integer, time},
};

const M: u64 = 60 * S;
const H: u64 = 60 * M;
const D: u64 = 24 * H;

/// A setting: its key, what may be typed, and the name that it has in the environment beside `KABAR_SECTION_KEY`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// `section.name`.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    /// A second variable, fixed by the contract with users.
    pub(crate) variable: Option<&'static str>,
    /// Whether nothing (an empty text) is allowed and means none.
    pub(crate) optional: bool,
}

/// All settings, in the order of `defaults.toml`. Durations are bounded in milliseconds.
pub(crate) const TABLE: &[Row] = &[
    row("ledger.url", Kind::DatabaseUrl).or("KABAR_DATABASE_URL"),
    row("ledger.max_connections", integer(4, 500)),
    row("ledger.pooler", Kind::Flag),
    row("ledger.statement_timeout", time(100, 10 * M)),
    row("ledger.connect_timeout", time(100, 5 * M)),
    row("ledger.master_key", Kind::MasterKey).or("KABAR_MASTER_KEY").optional(),
    row("queue.url", Kind::QueueUrl),
    row("queue.sqs_body_limit_bytes", integer(1 << 10, 1 << 20)),
    row("gateway.listen", Kind::Address).or("KABAR_LISTEN"),
    row("gateway.body_limit_bytes", integer(3 << 20, 64 << 20)),
    row("gateway.upload_limit_bytes", integer(1 << 20, 64 << 30)),
    row("gateway.cors_origins", Kind::Origins),
    row("jwt.issuer", Kind::Word).optional(),
    row("jwt.audiences", Kind::Words),
    row("jwt.keys", Kind::KeysAt).optional(),
    row("jwt.tenant_claim", Kind::Word).optional(),
    row("jwt.scope_claim", Kind::Word),
    row("jwt.scope_prefix", Kind::Word).optional(),
    row("jwt.messages_per_minute", integer(1, 100_000_000)).optional(),
    row("jwt.refresh_every", time(S, D)),
    row("jwt.fetch_floor", time(10, H)),
    row("jwt.keep", time(S, 30 * D)),
    row("pace.default_rate", Kind::Rate),
    row("pace.margin", time(1, 200)),
    row("pace.reserve_ahead", time(10, S)),
    row("pace.lead", time(10, 50)),
    row("pace.late_tolerance", time(0, 100)),
    row("pace.normal_floor_percent", integer(0, 40)),
    row("pace.bulk_floor_percent", integer(0, 40)),
    row("pace.urgent_budget_percent", integer(0, 50)),
    row("pace.pair_interval", time(100, H)).optional(),
    row("pace.pair_burst", integer(1, 10_000)),
    row("pace.call_limit_percent", integer(50, 100)),
    row("courier.max_batches", integer(1, 1024)),
    row("courier.max_tries", integer(1, 100)),
    row("courier.connect_timeout", time(100, M)),
    row("courier.request_timeout", time(S, 5 * M)),
    row("courier.retry_first", time(100, H)),
    row("courier.retry_most", time(S, D)),
    row("courier.park_first", time(100, H)),
    row("courier.park_most", time(S, D)),
    row("courier.outage_run", integer(1, 1000)),
    row("dispatcher.ticket_horizon", time(100, M)),
    row("dispatcher.max_tickets", integer(1, 100_000)),
    row("fleet.lease", time(S, 10 * M)),
    row("fleet.shutdown_deadline", time(S, 10 * M)),
    row("doubt.grace", time(100, 7 * D)),
    row("repair.every", time(S, D)),
    row("people.default_region", Kind::Region).or("KABAR_DEFAULT_REGION").optional(),
    row("people.default_timezone", Kind::TimeZone),
    row("people.stop_words", Kind::Phrases),
    row("people.start_words", Kind::Phrases),
    row("people.stop_words_cover", Kind::Covers),
    row("people.marketing_needs_consent", Kind::Flag),
    row("quiet_hours.marketing", Kind::QuietHours).optional(),
    row("quiet_hours.utility", Kind::QuietHours).optional(),
    row("quiet_hours.service", Kind::QuietHours).optional(),
    row("frequency_caps.marketing", Kind::FrequencyCap).optional(),
    row("frequency_caps.utility", Kind::FrequencyCap).optional(),
    row("templates.strict", Kind::Flag).or("KABAR_STRICT_TEMPLATES"),
    row("templates.sync_every", time(M, 30 * D)).optional(),
    row("whatsapp.phone_number_id", Kind::PhoneNumberId).or("WHATSAPP_PHONE_NUMBER_ID").optional(),
    row("whatsapp.access_token", Kind::Secret).or("WHATSAPP_ACCESS_TOKEN").optional(),
    row("whatsapp.api_base", Kind::HttpBase).or("WHATSAPP_API_BASE"),
    row("whatsapp.api_version", Kind::ApiVersion).or("WHATSAPP_API_VERSION"),
    row("whatsapp.app_secrets", Kind::Secrets).or("WHATSAPP_APP_SECRET"),
    row("whatsapp.verify_token", Kind::Secret).or("WHATSAPP_WEBHOOK_VERIFY_TOKEN").optional(),
    row("whatsapp.allow_plain_http", Kind::Flag),
    row("log.filter", Kind::LogFilter).or("KABAR_LOG"),
    row("log.format", Kind::LogFormat),
    row("traces.endpoint", Kind::HttpBase).or("OTEL_EXPORTER_OTLP_ENDPOINT").optional(),
    row("traces.traces_endpoint", Kind::HttpBase).or("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").optional(),
    row("traces.service_name", Kind::Word).or("OTEL_SERVICE_NAME"),
    row("traces.share", Kind::Share),
];

/// Other names of settings in the configuration file and on the command line, and their keys.
const ALIASES: &[(&str, &str)] = &[("strict_templates", "templates.strict")];

const fn row(key: &'static str, kind: Kind) -> Row {
    Row { key, kind, variable: None, optional: false }
}

impl Row {
    const fn or(self, variable: &'static str) -> Self {
        Self { variable: Some(variable), ..self }
    }

    const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The variable that each setting has: `KABAR_SECTION_KEY`.
    pub(crate) fn common_variable(&self) -> String {
        format!("KABAR_{}", self.key.to_ascii_uppercase().replace('.', "_"))
    }

    /// All its variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = String> {
        let common = self.common_variable();
        let other = self.variable.map(str::to_owned).filter(|other| *other != common);
        other.into_iter().chain([common])
    }

    /// The section that the setting is in.
    pub(crate) fn section(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(section, _)| section)
    }
}

/// The setting named `key`, or of which `key` is another name.
pub(crate) fn find(key: &str) -> Option<&'static Row> {
    let key = ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, key)| key);
    TABLE.iter().find(|row| row.key == key)
}

/// All sections, in the order of the table; the error rules are one, too.
pub(crate) fn sections() -> impl Iterator<Item = &'static str> {
    let chunks = TABLE.chunk_by(|row, next| row.section() == next.section());
    chunks.filter_map(|rows| rows.first()).map(Row::section).chain([errors::SECTION])
}

/// Whether some setting is in `section`.
pub(crate) fn is_section(section: &str) -> bool {
    TABLE.iter().any(|row| row.section() == section)
}

/// All keys.
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::DEFAULTS;

    #[test]
    fn no_key_and_no_variable_is_there_twice() {
        let keys: BTreeSet<_> = keys().collect();
        assert_eq!(keys.len(), TABLE.len());
        let variables: Vec<_> = TABLE.iter().flat_map(Row::variables).collect();
        assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len());
    }

    #[test]
    fn aliases_lead_to_settings() {
        assert!(ALIASES.iter().all(|(alias, key)| find(alias).is_some_and(|row| row.key == *key)));
    }

    #[test]
    fn the_defaults_hold_exactly_the_table_in_its_order() {
        let mut section = "";
        let mut there = Vec::new();
        for line in DEFAULTS.lines().filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            } else if let Some((name, _)) = line.split_once(" = ") {
                there.push(format!("{section}.{name}"));
            }
        }
        assert_eq!(there, keys().collect::<Vec<_>>());
    }

    #[test]
    fn the_defaults_comment_on_each_setting_and_name_its_variable() {
        let mut comment = String::new();
        let mut rows = TABLE.iter();
        for line in DEFAULTS.lines() {
            if line.starts_with('#') {
                comment.push_str(line);
            } else if line.contains(" = ") {
                let row = rows.next().unwrap();
                assert!(!comment.is_empty(), "{} has no comment", row.key);
                let other = row.variable.filter(|other| *other != row.common_variable());
                assert!(other.is_none_or(|other| comment.contains(other)), "{} lacks {other:?}", row.key);
                comment.clear();
            } else {
                comment.clear();
            }
        }
    }
}
