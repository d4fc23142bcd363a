use std::time::Duration;

use serde_json::json;

use super::*;

fn shipped() -> Policy {
    policy(&BTreeMap::new()).unwrap()
}

fn decided(error: &Value, status: Option<u16>) -> Outcome {
    decide(&GraphError::read(error).unwrap(), status, &shipped())
}

/// Every code of the reference's table, and the ends of its ranges.
#[rustfmt::skip]
const DOCUMENTED: &[i64] = &[
    0, 1, 2, 3, 4, 10, 33, 100, 104, 190, 200, 299, 368, 613, 80007, 130403, 130429, 130472, 130497,
    131000, 131005, 131008, 131009, 131014, 131016, 131020, 131021, 131026, 131030, 131031, 131037, 131041, 131042,
    131044, 131045, 131047, 131048, 131049, 131050, 131051, 131052, 131053, 131055, 131056, 131057, 131058, 131059,
    131062, 131063, 131064, 131200, 131299,
    132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068, 132069,
    133000, 133004, 133005, 133006, 133008, 133009, 133010, 133015, 133016,
    134011, 134100, 134101, 134102, 135000, 137000, 138000, 138999, 139000, 139200, 139999, 147000, 147999,
    2388000, 2388019, 2388039, 2388099, 2388200, 2388293, 2388299, 2494100,
];

#[test]
fn every_documented_code_has_a_rule() {
    let policy = shipped();
    for code in DOCUMENTED {
        assert!(policy.knows(*code), "{code}");
    }
    assert!(!policy.knows(131_060), "no table says what it means, so the default rule holds");
}

#[test]
fn every_rule_says_what_it_means_and_final_ones_what_to_do() {
    for (low, high, rule) in shipped().rows() {
        assert!(!rule.meaning.is_empty() && !rule.meaning.ends_with('.'), "{low}");
        let unused = low != high || low == 613;
        assert!(!rule.advice.is_empty() || unused || rule.decision == Decision::Throttled, "{low} needs advice");
        if rule.decision == Decision::Halt {
            assert!(rule.alert && rule.scope == Scope::Sender, "{low}");
        }
    }
}

#[test]
fn the_classes_are_those_of_the_reference() {
    use Decision::{Blocked, Failed, Halt, OptedOut, Retry, TemplateDisabled, TemplatePaused, Throttled};
    let policy = shipped();
    let classes: [(Decision, Scope, &[i64]); 15] = [
        (
            Halt,
            Scope::Sender,
            &[0, 3, 10, 33, 104, 190, 200, 250, 299, 368, 131_005, 131_031, 131_037, 131_042, 131_045, 133_010],
        ),
        (Throttled, Scope::App, &[4]),
        (Throttled, Scope::Account, &[80_007, 131_064]),
        (Throttled, Scope::Sender, &[130_429, 131_048, 131_057, 2_494_100]),
        (Throttled, Scope::Pair, &[131_056]),
        (Retry, Scope::Message, &[1, 2, 131_000, 131_016, 131_053, 133_004, 134_101]),
        (Blocked, Scope::Recipient, &[131_047, 130_403]),
        (OptedOut, Scope::Recipient, &[131_050]),
        (Failed, Scope::Recipient, &[131_026, 137_000]),
        (
            Failed,
            Scope::Message,
            &[100, 131_008, 131_009, 131_021, 131_049, 130_472, 132_000, 132_005, 132_012, 135_000],
        ),
        (TemplatePaused, Scope::Template, &[132_015, 132_069, 131_063]),
        (TemplateDisabled, Scope::Template, &[132_016]),
        (Failed, Scope::Template, &[132_001, 132_007, 132_018]),
        (Failed, Scope::Message, &[130_497, 139_200, 134_011]),
        (Failed, Scope::Message, &[613, 131_250, 138_500]),
    ];
    for (decision, scope, codes) in classes {
        for code in codes {
            let rule = policy.rule(*code).unwrap();
            assert_eq!((rule.decision, rule.scope), (decision, scope), "{code}");
        }
    }
    assert_eq!(policy.rule(131_057).unwrap().delay_seconds, Some(90));
    assert_eq!(policy.rule(131_048).unwrap().delay_seconds, Some(4 * 60 * 60));
    assert_eq!(policy.rule(131_056).unwrap().delay_seconds, Some(4));
    assert_eq!(policy.rule(1).unwrap().max_tries, Some(3));
    assert_eq!(policy.rule(131_053).unwrap().max_tries, Some(2));
    assert!(policy.rule(131_048).unwrap().alert && policy.rule(131_064).unwrap().alert);
}

#[test]
fn details_are_shown_without_numbers_and_messages_are_not_shown() {
    let outcome = decided(
        &json!({"code": 131_030, "message": "(#131030) +6281234567890", "error_data": {"details": "6281234567890 is not listed"}}),
        Some(400),
    );
    assert!(outcome.meaning.ends_with("((number) is not listed)"), "{}", outcome.meaning);
    let text = decided(&json!({"code": 131_009, "error_data": "a plain text"}), Some(400));
    assert!(text.meaning.ends_with("(a plain text)"));
}

#[test]
fn a_missing_number_halts_though_its_code_says_bad_parameter() {
    let message = "Unsupported post request. Object with ID '106540352242922' does not exist";
    let outcome = decided(&json!({"code": 100, "error_subcode": 33, "message": message}), Some(400));
    assert_eq!((outcome.decision, outcome.code), (Decision::Halt, Some(100)));
    let outcome = decided(&json!({"code": 100, "message": "(#100) Invalid parameter"}), Some(400));
    assert_eq!(outcome.decision, Decision::Failed);
}

#[test]
fn unknown_codes_follow_the_default_rule_with_an_alert() {
    let cases = [
        (json!({"code": 999_001}), Some(400), Decision::Failed),
        (json!({"code": 999_001, "is_transient": true}), Some(400), Decision::Retry),
        (json!({"code": 999_001}), Some(500), Decision::Retry),
        (json!({"code": 999_001}), Some(429), Decision::Retry),
        (json!({"code": 999_001}), Some(401), Decision::Halt),
        (json!({"code": "999001"}), None, Decision::Failed),
    ];
    for (error, status, decision) in cases {
        let outcome = decided(&error, status);
        assert_eq!((outcome.decision, outcome.alert, outcome.code), (decision, true, Some(999_001)), "{error}");
    }
}

#[test]
fn an_error_without_a_code_decides_nothing() {
    for error in [json!({}), json!({"code": null}), json!({"code": "x"}), json!("error"), json!({"code": 1.5})] {
        assert!(GraphError::read(&error).is_none(), "{error}");
    }
}

#[test]
fn an_override_replaces_the_row() {
    let rule = ErrorRule {
        decision: Decision::Failed,
        scope: Scope::Message,
        delay_seconds: Some(1),
        max_tries: None,
        alert: false,
        meaning: "the service window is closed".into(),
        advice: String::new(),
    };
    let policy = policy(&BTreeMap::from([(131_047, rule)])).unwrap();
    let error = json!({"code": 131_047});
    let outcome = decide(&GraphError::read(&error).unwrap(), None, &policy);
    assert_eq!((outcome.decision, outcome.delay), (Decision::Failed, Some(Duration::from_secs(1))));
}
