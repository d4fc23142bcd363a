//! People and groups over HTTP: who is in, who comes and who leaves, and what an import came to.

use kabar_domain::scope::Scope;
use kabar_tests::guests::{self, phone};
use serde_json::{Value, json};

use super::{Api, assert_problem, bearer, on_both_ledgers};

on_both_ledgers!(people_come_and_leave, a_file_makes_a_group_what_it_says, a_person_is_written_down,);

const MEMBERS: &str = "/v1/groups/umroh/members";

async fn sent(api: &Api, key: &str, method: &str, path: &str, body: &Value) -> kabar_tests::http::Response {
    let authorization = bearer(key);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    api.call(method, path, &headers, body.to_string()).await
}

fn encoded(phone: &str) -> String {
    phone.replace('+', "%2B")
}

async fn people_come_and_leave(api: Api) {
    let key = api.key(&[Scope::Read, Scope::Operate]).await;
    let body = json!({"recipients": [
        {"to": phone(0), "name": "Siti", "timezone": "Asia/Makassar"},
        {"to": phone(1), "consent": {"source": "web form"}},
        {"to": phone(0), "fields": {"package": "Hemat"}}]});
    let told = sent(&api, &key, "POST", MEMBERS, &body).await.json();
    assert_eq!(told, json!({"imported": 2, "new": 2, "changed": 0, "unchanged": 0, "joined": 2, "left": 0}));
    let again = sent(&api, &key, "POST", MEMBERS, &body).await.json();
    assert_eq!((&again["unchanged"], &again["joined"]), (&json!(2), &json!(0)), "{again}");
    let first = api.get(&key, &format!("{MEMBERS}?limit=1")).await.json();
    let rest =
        api.get(&key, &format!("{MEMBERS}?after={}", first["next"].as_str().expect("there is more"))).await.json();
    assert_eq!(first["data"][0]["timezone"], "Asia/Makassar", "{first}");
    assert_eq!(rest["data"][0]["consent"]["source"], "web form", "{rest}");

    let leaving = format!("{MEMBERS}/{}", encoded(&phone(0)));
    for expected in [1, 0] {
        assert_eq!(sent(&api, &key, "DELETE", &leaving, &json!({})).await.json(), json!({"left": expected}));
    }
    assert_eq!(api.get(&key, MEMBERS).await.json()["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(api.get(&key, &format!("/v1/recipients/{}", encoded(&phone(0)))).await.status, 200, "they stay known");
    assert_problem(&api.get(&key, "/v1/groups/none/members").await, 404, "not-found");
    let long = format!("/v1/groups/{}/members", "x".repeat(201));
    assert_problem(&sent(&api, &key, "POST", &long, &body).await, 400, "invalid-parameter");
    let wrong = json!({"recipients": [{"to": phone(2)}, {"to": phone(3), "timezone": "WIB"}]});
    let problem = assert_problem(&sent(&api, &key, "POST", MEMBERS, &wrong).await, 422, "invalid");
    assert_eq!((&problem["field"], &problem["value"]), (&json!("recipients[1].timezone"), &json!("WIB")));
    assert_problem(&api.get(&key, &format!("/v1/recipients/{}", encoded(&phone(2)))).await, 404, "not-found");
    let entries = api.get(&api.key(&[Scope::Admin]).await, "/v1/audit").await.body;
    assert!(entries.contains("2 into group umroh") && entries.contains("1 from group umroh"), "{entries}");
}

async fn a_file_makes_a_group_what_it_says(api: Api) {
    const BOUNDARY: &str = "kabar-test-boundary";
    let key = api.key(&[Scope::Read, Scope::Operate]).await;
    let put = async |name: &str, file: &str| {
        let (authorization, kind) = (bearer(&key), format!("multipart/form-data; boundary={BOUNDARY}"));
        let headers = [("authorization", authorization.as_str()), ("content-type", kind.as_str())];
        let body = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{file}\r\n--{BOUNDARY}--\r\n"
        );
        api.call("PUT", MEMBERS, &headers, body).await
    };
    let told = put("file", &guests::csv(1_500)).await.json();
    assert_eq!((&told["file"]["recipients"], &told["people"]["joined"]), (&json!(1_500), &json!(1_500)), "{told}");
    let mut fewer = "phone,name,timezone\n".to_owned();
    for index in 1_400..1_600 {
        fewer.push_str(&format!("{},Tamu,Asia/Jakarta\n", phone(index)));
    }
    fewer.push_str(&format!("nobody,X,\n{},Y,WIB\n", phone(9)));
    let told = put("file", &fewer).await.json();
    let people = &told["people"];
    assert_eq!((&people["imported"], &people["joined"], &people["left"]), (&json!(200), &json!(100), &json!(1_400)));
    assert_eq!((&people["new"], &people["changed"]), (&json!(100), &json!(100)), "{told}");
    let lines: Vec<&Value> =
        told["file"]["bad_rows"].as_array().expect("a list").iter().map(|row| &row["line"]).collect();
    assert_eq!(lines, [&json!(202), &json!(203)], "{told}");
    let again = put("file", &fewer).await.json();
    assert_eq!((&again["people"]["unchanged"], &again["people"]["left"]), (&json!(200), &json!(0)), "{again}");
    let groups = api.get(&key, "/v1/groups").await.json();
    assert_eq!((&groups["data"][0]["name"], &groups["data"][0]["members"]), (&json!("umroh"), &json!(200)));
    assert_problem(&put("people", &fewer).await, 422, "invalid");
    assert_problem(&put("file", "name\nSiti\n").await, 422, "invalid");
    assert!(!api.process.log().contains(&guests::digits(1_400)), "a number is in the log");
}

async fn a_person_is_written_down(api: Api) {
    let key = api.key(&[Scope::Read, Scope::Operate]).await;
    let path = format!("/v1/recipients/{}", encoded(&phone(0)));
    let body = json!({"name": "Siti", "consent": {"source": "fair", "at": "2026-12-01T07:00:00+07:00"}});
    let made = sent(&api, &key, "PUT", &path, &body).await.json();
    assert_eq!(made["consent"], json!({"source": "fair", "at": "2026-12-01T00:00:00Z"}), "{made}");
    let moved = sent(&api, &key, "PUT", &path, &json!({"timezone": "Asia/Jayapura"})).await.json();
    assert_eq!(
        (&moved["name"], &moved["timezone"]),
        (&json!("Siti"), &json!("Asia/Jayapura")),
        "what is left out stays"
    );
    for (wrong, field) in [
        (json!({"timezone": "WIT"}), "timezone"),
        (json!({"consent": {"source": ""}}), "consent.source"),
        (json!({"to": "x"}), "to"),
    ] {
        let problem = assert_problem(&sent(&api, &key, "PUT", &path, &wrong).await, 422, "invalid");
        assert_eq!(problem["field"], field, "{problem}");
    }
    assert_problem(&sent(&api, &key, "PUT", "/v1/recipients/nobody", &body).await, 400, "invalid-parameter");
}
