//! What is read from where, and which layer wins.

use kabar_domain::{
    category::Category,
    outcome::{Decision, Scope},
    people_rules::PeopleRules,
    wish::{Covers, Wish},
};

use super::*;

#[test]
fn the_defaults_are_valid() {
    let settings = Settings::load(&Sources::default()).unwrap();
    assert!(matches!(&settings.ledger.url, DatabaseUrl::Sqlite { path } if path == Path::new("kabar.db")));
    assert!(matches!(settings.queue.url, QueueUrl::Database));
    assert_eq!(settings.queue.sqs_body_limit_bytes, 1_048_576);
    assert_eq!(settings.gateway.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.pace.default_rate.limit(), Some(20));
    assert_eq!(settings.fleet.renew_every().as_secs(), 5);
    assert_eq!(settings.people.default_region, None);
    assert_eq!(settings.whatsapp.api_version.as_str(), "v26.0");
    assert!(settings.whatsapp.default_sender.is_none() && settings.whatsapp.app_secrets.is_empty());
    assert!(settings.errors.is_empty());
    assert_eq!(settings.explain().len(), table::TABLE.len());
    assert!(settings.explain().iter().all(|explained| explained.source == "default"));
}

#[test]
fn every_setting_of_the_table_is_read() {
    let typed = Sources::default().read();
    let mut reader = Reader::new(&typed.settings, Vec::new());
    Settings::read(&mut reader).unwrap();
    assert!(reader.values.is_empty(), "nothing reads {:?}", reader.values.keys());
}

#[test]
fn higher_layers_win_and_say_so() {
    let file = file("[pace]\nmargin = \"20ms\"\nlead = \"20ms\"\nreserve_ahead = \"200ms\"\n");
    let sources = Sources {
        config_file: Some(file.path().to_owned()),
        ..from_environment(&[("KABAR_PACE_LEAD", "30ms"), ("KABAR_PACE_RESERVE_AHEAD", "300ms")])
    };
    let overrides = vec![("pace.reserve_ahead".to_owned(), "400ms".to_owned())];
    let settings = Settings::load(&Sources { overrides, ..sources }).unwrap();
    let pace = &settings.pace;
    assert_eq!([pace.margin, pace.lead, pace.reserve_ahead].map(|time| time.as_millis()), [20, 30, 400]);

    let explained = settings.explain();
    let source = |key: &str| explained.iter().find(|explained| explained.key == key).unwrap().source.clone();
    assert_eq!(source("pace.margin"), file.path().display().to_string());
    assert_eq!(source("pace.lead"), "KABAR_PACE_LEAD");
    assert_eq!(source("pace.reserve_ahead"), "command line");
    assert_eq!(source("pace.late_tolerance"), "default");
}

#[test]
fn the_usual_file_is_read_if_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut typed = AsTyped::default();
    file::read(None, directory.path(), &mut typed);
    assert!(typed.problems.is_empty() && typed.settings.is_empty());
    std::fs::write(directory.path().join("kabar.toml"), "log.format = \"json\"").unwrap();
    file::read(None, directory.path(), &mut typed);
    assert_eq!(typed.settings["log.format"].origin.to_string(), "kabar.toml:1");
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let file = file("[log]\nformat = \"json\"\n");
    let path = file.path().display().to_string();
    let settings = Settings::load(&from_environment(&[("KABAR_CONFIG", &path)])).unwrap();
    assert_eq!(settings.log.format, LogFormat::Json);
    Settings::load(&from_environment(&[("KABAR_CONFIG", "")])).unwrap();
}

#[test]
fn the_variables_of_the_contract_are_understood() {
    let settings = Settings::load(&from_environment(&[
        ("KABAR_DATABASE_URL", "postgres://kabar:pw@db/kabar"),
        ("KABAR_QUEUE_URL", "sqs://kabar"),
        ("KABAR_LISTEN", "[::]:9000"),
        ("KABAR_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("KABAR_DEFAULT_REGION", "id"),
        ("KABAR_DOUBT_GRACE", "1m30s"),
        ("KABAR_LOG", "info,kabar=debug"),
        ("KABAR_LOG_FORMAT", "json"),
        ("WHATSAPP_PHONE_NUMBER_ID", "106540352242922"),
        ("WHATSAPP_ACCESS_TOKEN", "EAAG-token\n"),
        ("WHATSAPP_API_BASE", "http://127.0.0.1:8081"),
        ("WHATSAPP_API_VERSION", "v25.0"),
        ("WHATSAPP_APP_SECRET", "old,new"),
        ("WHATSAPP_WEBHOOK_VERIFY_TOKEN", "verify"),
    ]))
    .unwrap();
    assert!(matches!(settings.ledger.url, DatabaseUrl::Postgres { .. }));
    assert!(matches!(&settings.queue.url, QueueUrl::Sqs { prefix } if prefix == "kabar"));
    assert_eq!(settings.gateway.listen.port(), 9000);
    assert_eq!(settings.ledger.master_key.unwrap().expose()[31], 31);
    assert_eq!(settings.people.default_region.unwrap().as_str(), "ID");
    assert_eq!(settings.doubt.grace.as_secs(), 90);
    assert_eq!(settings.log.filter, "info,kabar=debug");
    let whatsapp = settings.whatsapp;
    assert_eq!(whatsapp.default_sender.unwrap().access_token.expose(), "EAAG-token");
    assert_eq!(whatsapp.app_secrets.iter().map(Secret::expose).collect::<Vec<_>>(), ["old", "new"]);
    assert_eq!(whatsapp.verify_token.unwrap().expose(), "verify");
}

#[test]
fn empty_variables_leave_optional_settings_out() {
    let empty = ["KABAR_MASTER_KEY", "KABAR_DEFAULT_REGION", "WHATSAPP_ACCESS_TOKEN", "WHATSAPP_APP_SECRET"];
    let settings = Settings::load(&from_environment(&empty.map(|name| (name, "")))).unwrap();
    assert!(settings.ledger.master_key.is_none() && settings.whatsapp.app_secrets.is_empty());
    assert!(errors(&from_environment(&[("KABAR_DATABASE_URL", "")])).starts_with("ledger.url = \"\""));
}

#[test]
fn strict_templates_is_known_by_all_its_names() {
    let file = file("strict_templates = true\n");
    for sources in [
        from_file(file.path()),
        from_environment(&[("KABAR_STRICT_TEMPLATES", "true")]),
        from_environment(&[("KABAR_TEMPLATES_STRICT", "true")]),
        from_overrides(&[("strict_templates", "true")]),
        from_overrides(&[("templates.strict", "true")]),
    ] {
        assert!(Settings::load(&sources).unwrap().templates.strict);
    }
}

#[test]
fn words_of_wishes_may_be_a_list_and_are_taken_whole() {
    let file = file("[people]\nstop_words = [\"Genug!\"]\nstop_words_cover = \"all\"\n");
    for sources in
        [from_file(file.path()), from_overrides(&[("people.stop_words", "GENUG"), ("people.stop_words_cover", "all")])]
    {
        let words = Settings::load(&sources).unwrap().people.wish_words;
        assert_eq!(words.wish("genug"), Some(Wish::Stop(Covers::All)));
        assert_eq!(words.wish("STOP"), None);
        assert_eq!(words.wish("mulai"), Some(Wish::Start(Covers::All)));
    }
    let shipped = Settings::load(&Sources::default()).unwrap().people.wish_words;
    assert_eq!(shipped.wish("Berhenti."), Some(Wish::Stop(Covers::Marketing)));
}

#[test]
fn rules_about_people_are_by_category_and_off_by_default() {
    let rules = Settings::load(&Sources::default()).unwrap().people.rules;
    assert_eq!(rules, PeopleRules::default());
    let set = [
        ("quiet_hours.marketing", "21:00-08:00"),
        ("frequency_caps.marketing", "3/7d"),
        ("people.default_timezone", "Asia/Jakarta"),
    ];
    let rules = Settings::load(&from_overrides(&set)).unwrap().people.rules;
    assert_eq!(rules.quiet_hours[&Category::Marketing].to_string(), "21:00-08:00");
    assert_eq!(rules.frequency_caps[&Category::Marketing].to_string(), "3/7d");
    assert_eq!((rules.quiet_hours.len(), rules.default_timezone), (1, chrono_tz::Asia::Jakarta));
}

#[test]
fn what_may_be_several_may_be_a_list() {
    let file = file("[whatsapp]\napp_secrets = [\"old\", \"new\"]\n");
    assert_eq!(Settings::load(&from_file(file.path())).unwrap().whatsapp.app_secrets.len(), 2);
    // As the reference says; it was refused.
    let file = self::file("[gateway]\ncors_origins = [\"https://a.example\", \"https://b.example\"]\n");
    assert_eq!(Settings::load(&from_file(file.path())).unwrap().gateway.cors_origins.len(), 2);
}

#[test]
fn error_rules_are_whole_rows() {
    let rule = "[errors.whatsapp_cloud.131047]\ndecision = \"failed\"\nscope = \"recipient\"\nmeaning = \"Closed.\"\n";
    let file = file(rule);
    let settings = Settings::load(&from_file(file.path())).unwrap();
    let read = &settings.errors["whatsapp_cloud"][&131_047];
    assert_eq!((read.decision, read.scope), (Decision::Failed, Scope::Recipient));
    let explained = settings.explain();
    let last = explained.last().unwrap();
    assert_eq!(last.key, "errors.whatsapp_cloud.131047");
    assert!(last.value.contains("decision = \"failed\""), "{}", last.value);
}

#[test]
fn traces_go_where_opentelemetrys_variables_say() {
    let traces = |variables: &[(&str, &str)]| Settings::load(&from_environment(variables)).unwrap().traces;
    assert_eq!(traces(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), None);
    let collector = traces(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318/")]).unwrap();
    assert_eq!((collector.endpoint.as_str(), collector.share), ("http://otel:4318/v1/traces", 1.0));
    assert_eq!(collector.service_name, "kabar");
    let both = traces(&[
        ("KABAR_TRACES_ENDPOINT", "http://otel:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.example.com/otlp"),
        ("KABAR_TRACES_SHARE", "0.05"),
    ]);
    let both = both.unwrap();
    assert_eq!((both.endpoint.as_str(), both.share), ("https://traces.example.com/otlp", 0.05));
    assert!(errors(&from_environment(&[("KABAR_TRACES_SHARE", "5")])).contains("from 0 to 1"));
}
