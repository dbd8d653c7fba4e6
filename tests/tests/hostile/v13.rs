//! V13: names that are paths, or would be something else than a name further on.

use libtest_mimic::Trial;
use relume::manifest::{Manifest, check_app_name, check_secret_name};
use relume_tests::raw;
use relume_tests::server::{Server, answer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::{Cases, test};

/// What is no app, however it is spelled.
const NAMES: [&str; 40] = [
    "..",
    ".",
    "../x",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "a\0b",
    "%2e%2e",
    "a%2fb",
    "~",
    "con.",
    "-rf",
    "a b",
    "a-",
    "-",
    "",
    "A",
    "Greet",
    "a_b",
    "a.b",
    "a:b",
    "a#1",
    "a?b",
    "a;b",
    "a'b",
    "a\"b",
    "a`b`",
    "$(a)",
    "a\nb",
    "a\r\nx: y",
    "a\u{202e}b",
    "\u{430}pp",
    "a\u{301}",
    "ａｐｐ",
    "app\u{200b}",
    "..%00",
    "....//",
    "c:\\a",
    "file:///a",
    "a--b\u{7f}",
];

/// How a path can be spelled so that something on the way takes it for another.
const TARGETS: [&str; 24] = [
    "/v1/apps/../../etc/passwd",
    "/v1/apps/..",
    "/v1/apps/./hello/../..",
    "/v1/apps//",
    "/v1/apps/%2e%2e",
    "/v1/apps/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/v1/apps/%252e%252e%252f",
    "/v1/apps/..%5c..%5c",
    "/v1/apps/%c0%ae%c0%ae",
    "/v1/apps/%ff%fe",
    "/v1/apps/hello%00",
    "/v1/apps/hello%2e",
    "/v1/apps/hello%20",
    "/v1/apps/HELLO",
    "/v1/apps/%D0%B0pp",
    "/v1/apps/hello/versions/..%2f..",
    "/v1/apps/hello/versions/v0",
    "/v1/apps/hello/versions/sha256:0000",
    "/v1/apps/hello/runs/..%2f1",
    "/v1/apps/hello/runs/0x1",
    "/v1/apps/hello/runs/1%2fjournal",
    "/v1/schedules/..%2f..%2fapps",
    "http://other.example/v1/apps/..",
    "/v1/secrets/..%2fkey",
];

pub fn tests() -> Vec<Trial> {
    vec![
        test("v13_a_name_that_is_a_path_is_refused", names),
        test("v13_every_generated_name_is_plain_or_refused", generated),
        test("v13_the_api_takes_no_name_that_is_a_path", over_the_api),
        test("v13_no_spelling_of_a_path_leads_elsewhere", spellings),
    ]
}

async fn names(cases: &mut Cases) {
    for name in NAMES {
        assert!(check_app_name("name", name).is_err(), "{name:?}");
        let manifest = format!("name = {}", Value::from(name));
        assert!(Manifest::parse(&manifest).is_err(), "{manifest}");
        cases.add("refused");
    }
}

/// Every name of up to three characters of those that matter somewhere: what passes is what SECURITY's pattern says.
async fn generated(cases: &mut Cases) {
    let alphabet: Vec<char> = "a09-._/\\%~ \0A:\u{e9}\u{2215}".chars().collect();
    let is_plain = |name: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = name.as_bytes();
        bytes.first().copied().is_some_and(inner)
            && bytes.last().copied().is_some_and(inner)
            && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
    };
    let (mut plain, mut refused) = (0, 0);
    for one in &alphabet {
        for two in alphabet.iter().map(Some).chain([None]) {
            for three in alphabet.iter().map(Some).chain([None]) {
                let name: String = [Some(one), two, three].into_iter().flatten().collect();
                assert_eq!(check_app_name("name", &name).is_ok(), is_plain(&name), "{name:?}");
                if is_plain(&name) {
                    plain += 1
                } else {
                    refused += 1
                }
                if check_secret_name("secrets", &name).is_ok() {
                    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name:?}");
                }
            }
        }
    }
    assert!(plain > 50 && refused > 1000, "{plain} plain, {refused} refused");
    for name in ["a".repeat(63), "0".repeat(63)] {
        assert!(check_app_name("name", &name).is_ok() && check_app_name("name", &format!("{name}a")).is_err());
    }
    cases.add("only the pattern");
}

async fn over_the_api(cases: &mut Cases) {
    let server = Server::sqlite();
    let app = server.deploy("hello", "").await;
    let refused = async |method: Method, path: &str, body: Value| {
        let answer = answer(server.request(method, path).json(&body)).await;
        assert_eq!(answer.status, 422, "{path} {body}: {answer:?}");
        assert!(answer.json()["field"].is_string(), "{answer:?}");
    };
    for name in NAMES {
        refused(Method::POST, "/v1/apps", json!({"name": name})).await;
        refused(Method::POST, "/v1/schedules", json!({"app_name": name, "cron": "@yearly"})).await;
        refused(Method::POST, "/v1/secrets", json!({"name": format!("{name}/x"), "value": "x"})).await;
        cases.add("422");
    }
    for name in ["a\0b", "a\nb", "\u{1b}[2J", ""] {
        refused(Method::POST, "/v1/tokens", json!({"name": name})).await;
        refused(Method::POST, "/v1/schedules", json!({"app_name": app, "cron": "@yearly", "name": name})).await;
        cases.add("422");
    }
    // A version is a number, and code has no name but its digest, which the server makes.
    for version in ["../1", "sha256:00", "v1/../v2", "1e0", "0", "-1"] {
        refused(Method::POST, "/v1/apps/hello/runs", json!({"version": version})).await;
        cases.add("422");
    }
    let files = ["../../relume.db", "/etc/passwd", "..\\x.wasm", "a\0.wasm", &"a".repeat(5000)];
    for file in files {
        let part = reqwest::multipart::Part::bytes(b"no component".to_vec()).file_name(file.to_owned());
        let form = reqwest::multipart::Form::new().part("component", part);
        let answer = answer(server.request(Method::POST, "/v1/apps/hello/versions").multipart(form)).await;
        assert!((400..500).contains(&answer.status), "{file}: {answer:?}");
        cases.add("4xx");
    }
}

async fn spellings(cases: &mut Cases) {
    let server = Server::sqlite();
    server.deploy("hello", "").await;
    for target in TARGETS {
        let token = &server.token;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: relume\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let answer = raw::send(&server.url, request.as_bytes()).await;
        let status = answer.status.unwrap_or_else(|| panic!("{target}: {answer:?}"));
        assert!((400..500).contains(&status), "{target}: {answer:?}");
        assert!(!answer.text.contains("root:"), "{target}: {answer:?}");
        cases.add("4xx");
    }
    assert_eq!(server.get("/v1/apps/hello").await.status, 200);
}
