//! The files that people really have.

use super::*;

fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, anyhow::Result<PeopleFile>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let opened = PeopleFile::open(file.path(), Some("ID".parse().unwrap()));
    (file, opened)
}

fn rows(bytes: &[u8]) -> Vec<Row> {
    let (_kept, file) = file(bytes);
    file.unwrap().rows().unwrap().collect::<Result<_, _>>().unwrap()
}

/// Each row as `LINE:what`.
fn told(bytes: &[u8]) -> Vec<String> {
    let tell = |row| match row {
        Row::Recipient(row) => {
            let fields: Vec<_> = row.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let name = row.name.unwrap_or_default();
            format!("{}:{} {name} {}", row.line, row.phone, fields.join(" ")).trim_end().to_owned()
        }
        Row::Repeated { line, first, .. } => format!("{line}:repeated {first}"),
        Row::Bad(row) => format!("{}:bad {}", row.line, row.reason),
    };
    rows(bytes).into_iter().map(tell).collect()
}

fn refusal(bytes: &[u8]) -> String {
    let (_kept, file) = file(bytes);
    let error = match file {
        Ok(file) => file.rows().unwrap().find_map(Result::err).expect("the file is refused"),
        Err(error) => error,
    };
    crate::cli::one_line(&error)
}

const SITI: &str = "+6281234567890 Siti package=Hemat";

#[test]
fn spreadsheets_of_all_kinds_are_read() {
    for text in [
        "phone,name,package\n0812-3456-7890,Siti,Hemat\n",
        "\u{feff}Phone;Name;package\r\n0812-3456-7890;Siti;Hemat\r\n",
        "name\tpackage\tPHONE\nSiti\tHemat\t+62 812 3456 7890",
        "\"phone\",\"name\",\"package\"\r\r\"6281234567890\" ,\" Siti \",\"Hemat\"\r",
        "phone,name,package,,\n0812-3456-7890,Siti,Hemat,,\n,,,,\n",
        "\n\nphone,\"name\",package\n0812-3456-7890,Siti,Hemat",
    ] {
        let told = told(text.as_bytes());
        assert_eq!(told.len(), 1, "{text:?} {told:?}");
        assert_eq!(told[0].split_once(':').unwrap().1, SITI, "{text:?}");
    }
}

#[test]
fn lines_are_counted_as_an_editor_shows_them() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["phone,note", "x", "", "y,\"two", "lines\"", "z,1", "0812-3456-7890,ok"].join(end);
        let lines: Vec<_> = told(text.as_bytes()).iter().map(|row| row[..1].to_owned()).collect();
        assert_eq!(lines, ["2", "4", "6", "7"], "{end:?}");
    }
}

#[test]
fn bad_rows_are_told_with_reasons_and_the_rest_is_read() {
    let told =
        told(b"phone,name\n0812,Siti\nn/a,Budi\n,Ani\n0812-3456-7890\n0812-3456-7890,Siti,x\n0812-3456-7891,Eka\n");
    assert_eq!(
        told,
        [
            "2:bad phone \"0812\": too short for its country",
            "3:bad phone \"n/a\": not a phone number",
            "4:bad has no phone number",
            "5:bad has 1 field, the header has 2: put values that hold the separator in \"quotes\"",
            "6:bad has 3 fields, the header has 2: put values that hold the separator in \"quotes\"",
            "7:+6281234567891 Eka",
        ]
    );
}

#[test]
fn a_row_that_is_never_closed_is_told_by_its_own_line() {
    let fields = "bad has 1 field, the header has 2: put values that hold the separator in \"quotes\"";
    assert_eq!(told(b"phone,name\n\"x,y\n"), [format!("2:{fields}")]);
    assert_eq!(
        told(b"phone,name\n0812-3456-7890,Siti\n\"x,y"),
        ["2:+6281234567890 Siti".to_owned(), format!("3:{fields}")]
    );
}

#[test]
fn a_repeated_number_counts_once_whatever_its_notation() {
    let told = told(b"phone\n0812-3456-7890\n+62 812 3456 7890\n6281234567890\n");
    assert_eq!(told, ["2:+6281234567890", "3:repeated true", "4:repeated false"]);
}

#[test]
fn other_encodings_are_refused_with_what_to_do() {
    let latin = refusal(b"phone,name\n0812-3456-7890,Siti\n0812-3456-7891,Andr\xe9\n");
    assert!(latin.contains("line 3 is not UTF-8") && latin.contains("CSV UTF-8"), "{latin}");
    let utf16: Vec<u8> = "\u{feff}phone\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(refusal(&utf16).contains("UTF-16"));
    let bare: Vec<u8> = "phone\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert!(refusal(&bare).contains("not text"));
    assert!(refusal(b"PK\x03\x04\x14\x00").contains("spreadsheet"));
    assert!(refusal(b"phone,n\xe9\n1,2\n").contains("line 1 is not UTF-8"));
    let garbage: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert!(refusal(&garbage).contains("not text"));
}

#[test]
fn headers_that_cannot_be_used_are_refused_with_what_to_do() {
    assert!(refusal(b"").contains("empty"));
    assert!(refusal(b"\r\n \n").contains("empty"));
    assert!(refusal(b"nama,no_hp\nSiti,0812\n").contains("rename \"no_hp\" to \"phone\"?"));
    assert!(refusal(b"name,pone\nSiti,0812\n").contains("rename \"pone\" to \"phone\"?"));
    assert!(refusal(b"a,b\n1,2\n").contains("The columns are \"a\", \"b\""));
    assert!(refusal(b"Siti,0812-3456-7890\n").contains("first line must name the columns"));
    assert!(refusal(b"phone,x,x\n1,2,3\n").contains("two columns \"x\""));
    assert!(rows(b"phone,name\n").is_empty(), "a header alone is a file without rows");
}

#[test]
fn values_and_rows_have_an_end() {
    let long = format!("phone,name\n0812-3456-7890,{}\n0812-3456-7891,Eka\n", "x".repeat(1_000_000));
    assert_eq!(
        told(long.as_bytes()),
        ["2:bad name has 1000000 characters; at most 4096 are allowed", "3:+6281234567891 Eka"]
    );
    let endless = format!("phone,name\n0812-3456-7890,\"{}", "x\n".repeat(MAX_ROW_BYTES));
    assert!(refusal(endless.as_bytes()).contains("quotation mark"));
    let number = format!("phone\n{}\n", "1".repeat(1_000_000));
    assert_eq!(told(number.as_bytes())[0].len(), "2:bad phone \"…\": not a phone number".len() + 30);
}

#[test]
fn the_same_recipients_have_the_same_hash_and_a_file_is_judged() {
    let survey = |bytes: &[u8]| {
        let (kept, file) = file(bytes);
        let file = file.unwrap();
        (Survey::of(&file, 20, |_| ()).unwrap(), file, kept)
    };
    let (one, file, _kept) = survey(b"phone;name\n0812-3456-7890;Siti\nx;y\n0812-3456-7890;Siti\n+1 555-0100;Joe\n");
    let (two, ..) = survey(b"name,phone\r\nSiti,+6281234567890\r\nJoe,+15550100\r\n");
    assert_eq!(one.hash, two.hash);
    assert_ne!(one.hash, survey(b"phone\n0812-3456-7890\n").0.hash);
    assert_eq!((one.recipients, one.bad, one.repeated_rows, one.unassigned), (2, 1, 1, 1));
    one.judge(&file, false).unwrap();
    assert!(one.judge(&file, true).unwrap_err().to_string().contains("line 3: phone \"x\""));
    let (none, file, _kept) = survey(b"phone\n");
    assert!(none.judge(&file, false).unwrap_err().to_string().contains("no rows"));
}

/// A line as programs write them.
const SITI_JSON: &str = "{\"to\": \"0812-3456-7890\", \"name\": \" Siti \", \"params\": {\"package\": \"Hemat\"}}";

#[test]
fn a_json_object_a_line_is_read_as_jobs_list_people() {
    for text in [
        format!("{SITI_JSON}\n"),
        format!("\u{feff}\r\n  {SITI_JSON}\r\n\r\n"),
        SITI_JSON.replace("\"params\": {", "\"params\": {\"none\": \"\", "),
    ] {
        let told = told(text.as_bytes());
        assert_eq!(told.len(), 1, "{text:?} {told:?}");
        assert_eq!(told[0].split_once(':').unwrap().1, SITI, "{text:?}");
    }
    let several = told(
        b"{\"to\": \"0812-3456-7891\", \"params\": {\"age\": 7}}\n\n{\"to\": \"+6281234567891\"}\n{\"to\": \"0812\"}",
    );
    assert_eq!(several, ["1:+6281234567891  age=7", "3:repeated true", "4:bad to: too short for its country"]);
}

#[test]
fn lines_that_are_no_person_are_told_with_reasons_and_the_rest_is_read() {
    for (line, reason) in [
        ("{\"to\": \"0812-3456-7890\"", "not JSON: EOF"),
        ("{\"name\": \"Siti\"}", "missing field `to`"),
        ("{\"to\": \"0812-3456-7890\", \"to\": \"0812-3456-7891\"}", "\"to\" is there twice"),
        ("{\"to\": 628123456789}", "to: invalid type"),
        ("{\"to\": \"0812-3456-7890\", \"phone\": \"x\"}", "unknown field `phone`"),
        (
            "{\"to\": \"0812-3456-7890\", \"params\": {\"due\": {\"date\": \"2026-12-12\"}}}",
            "params.due: must be a text",
        ),
        ("{\"to\": \"0812-3456-7890\", \"name\": \"a\\u0000b\"}", "NUL"),
        ("phone,name", "not JSON"),
        ("[]", "must be a JSON object"),
        ("\"\"", "must be a JSON object"),
    ] {
        let text = format!("{SITI_JSON}\n{line}\n{}\n", SITI_JSON.replace("7890", "7891"));
        let told = told(text.as_bytes());
        assert!(told[1].starts_with("2:bad ") && told[1].contains(reason), "{line}: {told:?}");
        assert!(told[2].starts_with("3:+6281234567891"), "{line}: {told:?}");
    }
    let long = format!("{SITI_JSON}\n{{\"to\": \"{}\"}}", "0".repeat(MAX_ROW_BYTES));
    assert!(refusal(long.as_bytes()).contains("line 2 is longer than 4 MB"));
    assert!(refusal(format!("[{SITI_JSON}]").as_bytes()).contains("NDJSON"));
}

#[test]
fn the_same_people_have_the_same_hash_in_either_form() {
    let hash = |bytes: &[u8]| {
        let (_kept, file) = file(bytes);
        Survey::of(&file.unwrap(), 20, |_| ()).unwrap().hash
    };
    assert_eq!(hash(SITI_JSON.as_bytes()), hash(b"phone,package,name\n+6281234567890,Hemat,Siti\n"));
}
