//! Each kind of problem, as it is shown.

use super::*;

#[test]
fn bad_error_rules_are_named() {
    let shown = file_errors("[errors.whatsapp_cloud.131047]\ndecision = \"explode\"\nmeaning = \"x\"\n");
    assert!(
        shown.starts_with("errors.whatsapp_cloud.131047 = \"a rule\" (FILE:1): allowed is a whole rule;"),
        "{shown}"
    );
    assert!(shown.contains("explode") && shown.contains("throttled"), "{shown}");
    assert_eq!(
        file_errors("[errors.smtp.1]\ndecision = \"failed\"\nmeaning = \"x\"\n"),
        "errors.smtp (FILE:1): unknown; known are errors.whatsapp_cloud, errors.aws_social, errors.aws_sms, errors.twilio",
    );
    assert_eq!(
        file_errors("[errors.twillio.1]\ndecision = \"failed\"\nmeaning = \"x\"\n"),
        "errors.twillio (FILE:1): unknown; did you mean errors.twilio?",
    );
    assert!(file_errors("[errors.twilio.x]\n").contains("allowed is a whole number as error code"));
    assert!(file_errors("[errors]\ntwilio = 1\n").contains("allowed is sections named by error codes"));
}

#[test]
fn a_bad_value_is_named_with_where_and_what_is_allowed() {
    assert_eq!(
        file_errors("[pace]\n\nmargin = \"5s\"\n"),
        "pace.margin = \"5s\" (FILE:3): allowed is a duration from 1ms to 200ms, typed as 15ms, 2s, 10m or 1h30m",
    );
    assert_eq!(
        errors(&from_environment(&[("KABAR_LOG_FORMAT", "jsn")])),
        "log.format = \"jsn\" (KABAR_LOG_FORMAT): allowed is text or json; did you mean json?",
    );
    assert_eq!(
        errors(&from_overrides(&[("people.default_timezone", "Asia/Jakrta")])),
        "people.default_timezone = \"Asia/Jakrta\" (command line): allowed is a time zone such as Asia/Jakarta; \
         did you mean Asia/Jakarta?",
    );
}

#[test]
fn each_kind_refuses_what_it_is_not() {
    for (key, text) in [
        ("ledger.url", "kabar.db"),
        ("ledger.max_connections", "0"),
        ("ledger.master_key", "short"),
        ("queue.url", "redis://cache"),
        ("queue.sqs_body_limit_bytes", "1048577"),
        ("gateway.listen", "8080"),
        ("pace.default_rate", "0"),
        ("courier.max_tries", "many"),
        ("doubt.grace", "10"),
        ("people.default_region", "Indonesia"),
        ("people.default_timezone", "WIB"),
        ("people.stop_words", "STOP, !!"),
        ("people.stop_words_cover", "everything"),
        ("quiet_hours.marketing", "21:00"),
        ("frequency_caps.utility", "3 a week"),
        ("templates.strict", "yes"),
        ("whatsapp.phone_number_id", "+62 811"),
        ("whatsapp.access_token", "two\nlines"),
        ("whatsapp.app_secrets", "ä"),
        ("whatsapp.api_base", "graph.facebook.com"),
        ("whatsapp.api_version", "latest"),
        ("log.filter", ""),
        ("log.format", "xml"),
    ] {
        let shown = errors(&from_overrides(&[(key, text)]));
        assert!(shown.starts_with(&format!("{key} = ")) && shown.contains("(command line): allowed is "), "{shown}");
    }
}

#[test]
fn unknown_settings_are_named_with_the_nearest() {
    assert_eq!(file_errors("[pace]\nmargn = \"5ms\"\n"), "pace.margn (FILE:2): unknown; did you mean pace.margin?",);
    assert_eq!(file_errors("[pase]\nx = 1\n"), "pase (FILE:1): unknown; did you mean pace?");
    assert_eq!(
        file_errors("[log]\ndestination = 1\n"),
        "log.destination (FILE:2): unknown; known are log.filter, log.format",
    );
    assert!(file_errors("[telegram]\n").ends_with(
        "known are ledger, queue, gateway, jwt, pace, courier, dispatcher, fleet, \
        doubt, repair, people, quiet_hours, frequency_caps, templates, whatsapp, log, traces, errors"
    ));
    assert_eq!(file_errors("listen = \"x\"\n"), "listen (FILE:1): unknown; did you mean gateway.listen?");
    assert_eq!(
        errors(&from_overrides(&[("queue.grace", "1m")])),
        "queue.grace (command line): unknown; did you mean doubt.grace?",
    );
}

#[test]
fn unknown_variables_of_ours_are_named_with_the_nearest() {
    assert_eq!(
        errors(&from_environment(&[("KABAR_DATABSE_URL", "sqlite://x"), ("PATH", "/bin")])),
        "KABAR_DATABSE_URL: unknown variable of the environment; did you mean KABAR_DATABASE_URL?",
    );
}

#[test]
fn reserved_variables_and_those_of_kubernetes_are_let_through() {
    let sources = from_environment(&[
        ("KABAR_FAULT_BEFORE_SEND", "1"),
        ("KABAR_TEST_POSTGRES", "postgres://x"),
        ("KABAR_SERVICE_HOST", "10.0.0.1"),
        ("KABAR_SERVICE_PORT_HTTP", "8080"),
        ("KABAR_GATEWAY_PORT", "tcp://10.0.0.1:8080"),
        ("KABAR_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ]);
    Settings::load(&sources).unwrap();
    assert!(errors(&from_environment(&[("KABAR_PORT", "8080")])).contains("unknown variable"));
}

#[test]
fn two_names_for_one_setting_must_agree() {
    let both = |other| from_environment(&[("KABAR_DATABASE_URL", "sqlite://a"), ("KABAR_LEDGER_URL", other)]);
    Settings::load(&both("sqlite://a")).unwrap();
    assert_eq!(
        errors(&both("sqlite://b")),
        "KABAR_DATABASE_URL, KABAR_LEDGER_URL: both set ledger.url, to different values; set one of them",
    );
}

#[test]
fn contradictions_are_named_with_all_their_settings() {
    assert_eq!(
        errors(&from_environment(&[("KABAR_PACE_MARGIN", "10ms")])),
        "pace.late_tolerance = \"10ms\" (default), pace.margin = \"10ms\" (KABAR_PACE_MARGIN): \
         the tolerance must be below the margin, or a second could hold more than the rate",
    );
    assert!(
        errors(&from_overrides(&[("courier.retry_first", "20m")])).contains("courier.retry_most = \"15m\" (default)")
    );
    assert!(errors(&from_overrides(&[("courier.park_first", "6m")])).contains("courier.park_most"));
    assert!(errors(&from_overrides(&[("courier.connect_timeout", "31s")])).contains("courier.request_timeout"));
    let words = [("people.stop_words", "STOP, Mulai"), ("people.start_words", "MULAI!")];
    assert!(errors(&from_overrides(&words)).contains("\"MULAI!\" says both to stop and to start"));
}

#[test]
fn half_a_sender_and_plain_http_are_contradictions() {
    let shown = errors(&from_environment(&[("WHATSAPP_ACCESS_TOKEN", "hunter2")]));
    assert!(shown.contains("whatsapp.access_token = \"***\" (WHATSAPP_ACCESS_TOKEN): set both"), "{shown}");
    let plain = [("whatsapp.api_base", "http://sandbox:8081"), ("whatsapp.allow_plain_http", "true")];
    assert!(errors(&from_overrides(&plain[..1])).contains("plain http would show the access token"));
    Settings::load(&from_overrides(&plain)).unwrap();
    let both = from_overrides(&[plain[0], ("whatsapp.phone_number_id", "1")]);
    assert_eq!(errors(&both).lines().count(), 2);
}

#[test]
fn tokens_are_trusted_by_three_settings_or_none() {
    let three = [
        ("jwt.issuer", "https://login.example.com/"),
        ("jwt.audiences", "kabar, kabar-eu"),
        ("jwt.keys", "/etc/kabar/jwks.json"),
    ];
    let jwt = Settings::load(&from_overrides(&three)).unwrap().jwt.unwrap();
    assert_eq!((jwt.audiences.len(), jwt.scope_prefix.as_str()), (2, "kabar:"));
    assert!(Settings::load(&from_overrides(&[])).unwrap().jwt.is_none());
    for one in three {
        assert!(errors(&from_overrides(&[one])).contains("set all three"), "{one:?}");
    }
    assert!(errors(&from_overrides(&[three[0], three[1]])).contains("jwt.keys"));
    assert!(errors(&from_overrides(&[("jwt.keep", "5m")])).contains("jwt.refresh_every"));
    assert!(errors(&from_overrides(&[("jwt.issuer", "a b")])).contains("without spaces"));
}

#[test]
fn what_is_no_section_and_no_single_value_is_named() {
    assert_eq!(file_errors("pace = 1\n"), "pace = \"a single value\" (FILE:1): allowed is a section");
    assert!(file_errors("[log]\nformat = [\"text\"]\n").starts_with("log.format = \"a list\" (FILE:2)"));
    assert!(file_errors("[log.format]\nx = 1\n").starts_with("log.format = \"a section\" (FILE:1)"));
}

#[test]
fn files_that_cannot_be_read_or_understood_are_named() {
    let missing = errors(&from_file(Path::new("/nowhere/kabar.toml")));
    assert!(missing.starts_with("FILE: cannot read this configuration file: "), "{missing}");
    let shown = file_errors("[whatsapp]\naccess_token = hunter2\n");
    assert!(shown.starts_with("FILE:2: not valid TOML: ") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn all_problems_are_reported_at_once_one_per_line() {
    let file = file("[pace]\nmargin = \"5s\"\nmargn = 1\n[pase]\n");
    let sources = Sources { config_file: Some(file.path().to_owned()), ..from_environment(&[("KABAR_X", "1")]) };
    let overrides = vec![("courier.retry_first".to_owned(), "20m".to_owned())];
    let error = Settings::load(&Sources { overrides, ..sources }).unwrap_err();
    assert_eq!((error.problems.len(), error.to_string().lines().count()), (5, 5));
}

#[test]
fn no_secret_is_ever_shown() {
    let secret = "hunter2";
    let url = |scheme: &str| format!("{scheme}://kabar:{secret}@host/x");
    let good = from_overrides(&[
        ("ledger.url", &url("postgres")),
        ("queue.url", &url("amqp")),
        ("ledger.master_key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("whatsapp.phone_number_id", "1"),
        ("whatsapp.access_token", secret),
        ("whatsapp.app_secrets", secret),
        ("whatsapp.verify_token", secret),
    ]);
    let settings = Settings::load(&good).unwrap();
    let shown = format!("{settings:?} {:?}", settings.explain());
    assert!(!shown.contains(secret) && !shown.contains("AAEC"), "{shown}");

    let bad = format!("ä{secret}");
    let keys = ["ledger.master_key", "whatsapp.access_token", "whatsapp.app_secrets", "whatsapp.verify_token"];
    let mut overrides: Vec<_> = keys.map(|key| (key, bad.clone())).to_vec();
    overrides.extend(["ledger.url", "queue.url", "whatsapp.api_base"].map(|key| (key, url("ftp"))));
    let overrides: Vec<_> = overrides.iter().map(|(key, text)| (*key, text.as_str())).collect();
    let shown = errors(&from_overrides(&overrides));
    assert_eq!(shown.lines().count(), overrides.len());
    assert!(!shown.contains(secret), "{shown}");
}
