//! What people get wrong: refused with one line that says what and where, and nothing is written.

use std::fs;

use kabar_tests::{Finished, Home};
use serde_json::{Value, json};

/// A home with a sender, whose provider nobody will ask.
fn home() -> Home {
    Home::new().with("WHATSAPP_PHONE_NUMBER_ID", "106540352242922").with("WHATSAPP_ACCESS_TOKEN", "test-access-token")
}

/// Fails unless the command failed with one line, which holds all of `words`.
#[track_caller]
fn refused(finished: Finished, words: &[&str]) {
    let finished = finished.code(1);
    assert_eq!(finished.stderr.trim_end().lines().count(), 1, "more than one line: {finished:?}");
    assert!(finished.stderr.starts_with("error: ") && finished.stdout.is_empty(), "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "no {word:?} in {}: {}", finished.command, finished.stderr);
    }
}

/// Fails unless the ledger holds no job and no message.
async fn nothing_written(home: &Home) {
    let status = home.kabar(&["status", "--json"]).await.success().json();
    let messages = status["messages"].as_object().cloned().unwrap_or_default();
    assert!(!messages.is_empty() && messages.values().all(|count| *count == 0), "{status}");
    assert_eq!(status["dead"], 0, "{status}");
    for list in ["broadcast", "reminder", "schedule"] {
        let found = home.kabar(&[list, "list", "--json"]).await.success().json();
        assert_eq!(found.as_array().map(Vec::len), Some(0), "{list}: {found}");
    }
}

/// `kabar broadcast start` of this file, with more arguments.
async fn start(home: &Home, file: &str, more: &[&str]) -> Finished {
    let command = ["broadcast", "start", "--file", file, "--template", "news", "--language", "id"];
    home.kabar(&[&command[..], more].concat()).await
}

#[tokio::test]
async fn a_file_that_is_no_csv_in_utf8_is_refused_with_what_it_is() {
    let home = home();
    let utf16: Vec<u8> =
        "\u{feff}phone,name\n+6281234567890,Siti\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let files: [(&str, Vec<u8>, &[&str]); 7] = [
        ("utf16.csv", utf16, &["utf16.csv", "UTF-16", "save it as UTF-8"]),
        ("latin1.csv", b"phone,name\n+6281234567890,Andr\xe9\n".to_vec(), &["latin1.csv", "line 2", "UTF-8"]),
        ("garbage.csv", vec![0, 159, 146, 150, 255, 1, 2, 3], &["garbage.csv"]),
        ("book.csv", b"PK\x03\x04\x14\x00\x06\x00".to_vec(), &["book.csv", "spreadsheet"]),
        ("empty.csv", Vec::new(), &["empty.csv", "empty"]),
        ("header.csv", b"phone,name\n".to_vec(), &["header.csv", "no rows"]),
        ("nophone.csv", b"fone,name\n+6281234567890,Siti\n".to_vec(), &["nophone.csv", "\"phone\"", "fone"]),
    ];
    for (name, bytes, words) in files {
        fs::write(home.path().join(name), bytes).unwrap();
        refused(start(&home, name, &[]).await, words);
    }
    refused(start(&home, "missing.csv", &[]).await, &["missing.csv"]);
    nothing_written(&home).await;
}

/// Good in lines 2 and 7 alone.
const RAGGED: &str =
    "phone,name\n+6281234567890,Siti\n12,Too short\n,No number\n+628111,One,field,more\nabc,\n+6281234567891,Budi\n";

#[tokio::test]
async fn bad_rows_are_told_by_line_and_a_strict_file_is_refused_whole() {
    let home = home();
    home.write("ragged.csv", RAGGED);
    let strict = start(&home, "ragged.csv", &["--strict"]).await.code(1);
    let errors: Vec<&str> = strict.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{strict:?}");
    assert!(errors[0].contains("4 bad rows") && errors[0].contains("line 3"), "{strict:?}");
    for line in ["line 3:", "line 4:", "line 5:", "line 6:"] {
        assert!(strict.stderr.contains(line), "no {line:?}: {strict:?}");
    }
    nothing_written(&home).await;
    let dry = start(&home, "ragged.csv", &["--dry-run", "--json"]).await.success();
    let lines: Vec<_> = find(&dry.json(), "bad_rows").iter().filter_map(|row| row["line"].as_u64()).collect();
    assert_eq!(lines, [3, 4, 5, 6], "{dry:?}");
    nothing_written(&home).await;
}

/// The list under this name, wherever it is.
fn find(value: &Value, name: &str) -> Vec<Value> {
    match value {
        Value::Object(fields) => match fields.get(name).and_then(Value::as_array) {
            Some(found) => found.clone(),
            None => fields.values().flat_map(|inner| find(inner, name)).collect(),
        },
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_value_of_a_million_characters_is_refused_with_what_is_allowed() {
    let home = home();
    let long = "x".repeat(1_000_000);
    home.write("long.csv", &format!("phone,name\n+6281234567890,{long}\n"));
    let finished = start(&home, "long.csv", &["--param", "{name}"]).await.code(1);
    assert!(finished.stderr.contains("1000000 characters") && finished.stderr.contains("4096"), "{finished:?}");
    assert!(finished.stderr.len() < 2_000, "the value itself is not told: {} bytes", finished.stderr.len());
    for content in [json!({"text": {"body": long}}), template(&[&long])] {
        let job = json!({"type": "send", "id": "long", "to": "+6281234567890", "content": content});
        home.write("long.json", &job.to_string());
        let finished = home.kabar(&["schedule", "add", "--cron", "0 9 * * *", "--job", "long.json"]).await;
        assert!(finished.stderr.len() < 2_000, "the value itself is not told");
        refused(finished, &["long.json", "content"]);
    }
    nothing_written(&home).await;
}

fn template(params: &[&str]) -> Value {
    json!({"template": {"name": "news", "language": "id", "params": params}})
}

#[tokio::test]
async fn what_is_no_number_is_refused_with_the_option_that_holds_it() {
    let home = home();
    for text in ["", "hello", "+", "12", "081234567890", "+999123456789", "+62", "+6281234567890123456789"] {
        let finished = home.kabar(&["send", &format!("--to={text}"), "--text", "Halo"]).await;
        refused(finished, &["--to", &format!("{text:?}")]);
    }
    nothing_written(&home).await;
}

#[tokio::test]
async fn a_job_that_cannot_be_understood_is_refused_with_its_file_and_field() {
    let home = home();
    let send = json!({"type": "send", "to": "+6281234567890", "content": {"text": {"body": "x"}}});
    let with = |name: &str, value: Value| {
        let mut job = send.clone();
        job[name] = value;
        job.to_string()
    };
    let jobs: [(String, &str); 9] = [
        ("{".to_owned(), "JSON"),
        ("[]".to_owned(), "job.json"),
        ("null".to_owned(), "job.json"),
        (json!({"type": "sent"}).to_string(), "sent"),
        (with("to", json!("hello")), "to"),
        (with("colour", json!("red")), "colour"),
        (with("priority", json!("soon")), "priority"),
        (with("send_at", json!("tomorrow")), "send_at"),
        (with("content", json!({"text": {"body": "x"}, "image": {"link": "https://x.example"}})), "content"),
    ];
    for (text, word) in jobs {
        home.write("job.json", &text);
        let finished = home.kabar(&["schedule", "add", "--cron", "0 9 * * *", "--job", "job.json"]).await;
        refused(finished, &["job.json", word]);
    }
    home.write("job.json", &send.to_string());
    for cron in ["every day", "0 25 * * *", "0 0 31 2 *"] {
        refused(home.kabar(&["schedule", "add", "--cron", cron, "--job", "job.json"]).await, &[cron]);
    }
    nothing_written(&home).await;
}

#[tokio::test]
async fn an_unknown_sender_group_or_template_is_refused_with_what_is_known() {
    let home = home().with("KABAR_STRICT_TEMPLATES", "true");
    let to = "--to=+6281234567890";
    refused(home.kabar(&["send", to, "--text", "x", "--sender", "nobody"]).await, &["nobody", "default"]);
    let of_template = |name: &'static str| ["send", to, "--template", name, "--language", "id"];
    refused(home.kabar(&of_template("news")).await, &["\"news\"", "kabar template add"]);
    let body = "Halo {{1}}, sampai jumpa {{2}}";
    let object = json!({"name": "news", "language": "id", "category": "UTILITY", "status": "APPROVED",
        "components": [{"type": "BODY", "text": body}]});
    home.write("news.json", &object.to_string());
    assert!(home.kabar(&["template", "add", "news.json"]).await.success().stdout.contains("news"));
    refused(home.kabar(&of_template("mews")).await, &["\"mews\"", "news"]);
    for params in
        [&["--param", "Siti"][..], &["--param", "a", "--param", "b", "--param", "c"], &["--param", "nama=Siti"]]
    {
        refused(home.kabar(&[&of_template("news")[..], params].concat()).await, &["news"]);
    }
    let group = ["broadcast", "start", "--group", "none", "--template", "news", "--language", "id"];
    let params = ["--param", "a", "--param", "b"];
    refused(home.kabar(&[&group[..], &params].concat()).await, &["none"]);
    home.write("guests.csv", "phone,name\n+6281234567890,Siti\n");
    let unknown_column = start(&home, "guests.csv", &["--param", "{name}", "--param", "{package}"]).await;
    refused(unknown_column, &["package", "phone"]);
    nothing_written(&home).await;
}

#[tokio::test]
async fn another_body_under_the_same_id_is_refused() {
    let home = home();
    let send = |text: &'static str| ["send", "--to=+6281234567890", "--id=invoice-1", "--text", text];
    assert_eq!(home.kabar(&send("One")).await.success().stdout.trim(), "invoice-1");
    assert_eq!(home.kabar(&send("One")).await.success().stdout.trim(), "invoice-1", "the same again is the same");
    refused(home.kabar(&send("Two")).await, &["invoice-1"]);
}

#[tokio::test]
async fn an_unknown_setting_is_refused_with_the_nearest_name() {
    let settings: [(&str, &str, &[&str]); 5] = [
        ("KABAR_PACE_MARGN", "15ms", &["KABAR_PACE_MARGN", "KABAR_PACE_MARGIN"]),
        ("KABAR_PACE_MARGIN", "fast", &["pace.margin", "fast", "KABAR_PACE_MARGIN"]),
        ("KABAR_QUEUE_URL", "nonsense", &["nonsense", "database:"]),
        ("KABAR_MASTER_KEY", "c2hvcnQ=", &["32 bytes"]),
        ("KABAR_COURIER_CONNECT_TIMEOUT", "50s", &["courier.connect_timeout", "courier.request_timeout"]),
    ];
    for (name, value, words) in settings {
        refused(home().with(name, value).kabar(&["status"]).await, words);
    }
    let home = home();
    home.write("kabar.toml", "[pace]\nmargn = \"15ms\"\n");
    refused(home.kabar(&["status"]).await, &["pace.margn", "pace.margin", "kabar.toml"]);
    home.write("kabar.toml", "[pace\n");
    refused(home.kabar(&["status"]).await, &["kabar.toml"]);
    assert!(!home.path().join("kabar.db").exists(), "no ledger is made before the settings are valid");
}

#[tokio::test]
async fn wrong_usage_is_status_2_and_what_is_not_there_is_status_1() {
    let home = home();
    let wrong: [&[&str]; 7] = [
        &["nonsense"],
        &["send"],
        &["send", "--to=+6281234567890"],
        &["send", "--to=+6281234567890", "--text", "x", "--on-doubt", "maybe"],
        &["send", "--to=+6281234567890", "--text", "x", "--at", "yesterday"],
        &["broadcast", "start", "--template", "news", "--language", "id"],
        &["message", "resolve", "1"],
    ];
    for arguments in wrong {
        let finished = home.kabar(arguments).await.code(2);
        assert!(finished.stdout.is_empty() && finished.stderr.contains("--help"), "{finished:?}");
    }
    let absent: [&[&str]; 6] = [
        &["broadcast", "show", "none"],
        &["broadcast", "cancel", "none"],
        &["reminder", "paid", "none"],
        &["message", "show", "none"],
        &["sender", "show", "none"],
        &["group", "show", "none"],
    ];
    for arguments in absent {
        refused(home.kabar(arguments).await, &["none"]);
    }
    nothing_written(&home).await;
}
