//! The OpenAPI document is the committed one, is complete, and tells the truth: schemathesis asks a server whatever the
//! document allows, and much that it does not, and compares each answer with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use relume::run::Status;
use relume_tests::guests::workspace;
use relume_tests::node::Node;
use relume_tests::python;
use relume_tests::server::{Server, answer};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

/// What schemathesis may take; it needs a minute on two idle cores.
const PATIENCE: Duration = Duration::from_secs(600);
const MIN_CASES: usize = 2000;
/// What is not answered to its end, and so not asked by schemathesis.
const ENDLESS: [&str; 2] = ["/v1/runs/stream", "/v1/workers/stream"];

/// Each operation with its method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &'_ Value)| {
        let item = item.as_object().expect("operations").clone();
        item.into_iter().map(|(method, _)| (method, path.clone())).collect::<Vec<_>>()
    };
    let named = paths.iter().flat_map(of_path);
    named.map(|(method, path)| (method.to_uppercase(), path.clone(), &paths[&path][&method])).collect()
}

#[test]
fn the_document_is_the_committed_one() {
    let path = workspace().join("runtime/openapi.json");
    let document = format!("{:#}\n", relume::api::openapi_document());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &document).expect("the file is ours");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(document.lines()).position(|(old, new)| old != new);
    assert!(
        committed == document,
        "the API's document is not runtime/openapi.json, see line {}: look at the change with \
         `UPDATE=1 cargo test -p relume-tests --test openapi` and `git diff`, and commit it if you meant it",
        differs.unwrap_or(committed.lines().count().min(document.lines().count())) + 1
    );
}

#[test]
fn every_operation_says_what_it_does_and_how_it_refuses() {
    let document = relume::api::openapi_document();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{at} has no operationId"));
        assert!(ids.insert(id), "{at} has the operationId `{id}`, which another one has too");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at} has no summary");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{at} has no tag, or many");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.contains_key("401") && responses.contains_key("403"), "{at} needs a token");
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{at} {status}: {response}");
            if status.starts_with(['4', '5']) {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{at} {status}: {response}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is elsewhere"));
                    assert!(document.pointer(pointer).is_some(), "{reference} is not there");
                }
                fields.values().for_each(|value| check(document, value));
            }
            Value::Array(items) => items.iter().for_each(|item| check(document, item)),
            _ => {}
        }
    }
    let document = relume::api::openapi_document();
    check(&document, &document);
}

#[test]
fn what_is_answered_is_absent_or_null_but_never_both() {
    let document = relume::api::openapi_document();
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        // What is sent may be either: unknown fields are refused there.
        if schema["additionalProperties"] == false {
            continue;
        }
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_nullable = property.to_string().contains("\"null\"");
            assert!(
                !is_nullable || required.contains(&json!(field)),
                "{name}.{field} may be null and may be absent: add `#[schema(required = true)]`, or `nullable = false` \
                 where it has `skip_serializing_if`"
            );
        }
    }
}

#[tokio::test] // V16
async fn every_path_of_the_document_needs_a_token() {
    let server = Server::sqlite();
    let told = answer(server.anonymous(Method::GET, "/v1/openapi.json")).await;
    assert_eq!((told.status, told.json()), (200, relume::api::openapi_document()));
    for (method, path, _) in operations(&relume::api::openapi_document()) {
        let method = method.parse().expect("a method");
        answer(server.anonymous(method, &path.replace(['{', '}'], ""))).await.problem(401, "unauthorized");
    }
}

#[tokio::test] // R13
async fn schemathesis_finds_no_lie_in_the_document() {
    let server = Server::sqlite();
    let node = Node::at(server.database.clone()).await;
    let _worker = node.worker();
    let app = server.deploy("hello", "").await;
    for number in 1..=3 {
        let run = server.start_run(&app, json!({"input": {"name": "Ada"}})).await;
        assert_eq!(run["number"], number);
        let stored = node.store.find_run(&app, number).await.expect("it was started");
        node.wait_until(&stored, |run| !run.status.is_active()).await;
    }
    for number in 4..=5 {
        let run = server.start_run(&app, json!({"scheduled_at": "2100-01-01T00:00:00Z"})).await;
        assert_eq!(run["number"], number);
    }
    let failed = server.start_run(&app, json!({"input": "no name"})).await;
    assert_eq!(failed["number"], 6);
    let stored = node.store.find_run(&app, 6).await.expect("it was started");
    assert_eq!(node.wait_until(&stored, |run| !run.status.is_active()).await.status, Status::Crashed);
    let mut made = vec![
        ("/v1/apps", json!({"name": "changed"})),
        ("/v1/apps", json!({"name": "doomed"})),
        ("/v1/secrets", json!({"name": "TOKEN", "value": "a secret text"})),
        ("/v1/secrets", json!({"name": "DOOMED", "value": "another one"})),
    ];
    for name in ["yearly", "changed", "doomed-1", "doomed-2"] {
        made.push(("/v1/schedules", json!({"app_name": app, "cron": "@yearly", "name": name})));
    }
    for (path, body) in made {
        let answer = server.post(path, body.to_string()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let doomed = server.post("/v1/tokens", r#"{"name": "doomed"}"#).await.json();

    let report = server.folder.path().join("report.ndjson");
    let mut command = Command::new(python::program("schemathesis"));
    command.arg("--config-file").arg(workspace().join("tests/schemathesis.toml"));
    command.args(["run", &format!("{}/v1/openapi.json", server.url), "--no-color"]);
    command.args(["--report", "ndjson", "--report-ndjson-path"]).arg(&report);
    command.env("RELUME_TOKEN", &server.token).env("DOOMED_TOKEN_ID", doomed["token"]["id"].as_str().expect("an id"));
    // Where it leaves what it keeps.
    command.current_dir(server.folder.path()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends in time").expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    let answers = answers(&std::fs::read_to_string(&report).expect("a report"));
    let cases: usize = answers.values().map(|statuses| statuses.values().sum::<usize>()).sum();
    assert!(cases >= MIN_CASES, "only {cases} cases: {said}");
    for (method, path, _) in operations(&relume::api::openapi_document()) {
        if ENDLESS.contains(&path.as_str()) {
            continue;
        }
        let statuses = &answers[&format!("{method} {path}")];
        // Chance does not make a component.
        let answered = path.ends_with("/versions") && method == "POST" || statuses.keys().any(|status| *status < 300);
        assert!(answered, "every case of {method} {path} was refused: {statuses:?}");
    }
}

/// How often each operation answered with each status.
fn answers(report: &str) -> BTreeMap<String, BTreeMap<u64, usize>> {
    let mut answers: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for line in report.lines() {
        let event: Value = serde_json::from_str(line).expect("a line is JSON");
        let recorder = &event["ScenarioFinished"]["recorder"];
        for (case, interaction) in recorder["interactions"].as_object().into_iter().flatten() {
            let case = &recorder["cases"][case]["value"];
            let word = |field: &str| case[field].as_str().unwrap_or_else(|| panic!("no {field}: {case}"));
            let operation = format!("{} {}", word("method"), word("path"));
            let status = interaction["response"]["status_code"].as_u64();
            let status = status.unwrap_or_else(|| panic!("{operation} was not answered: {interaction}"));
            *answers.entry(operation).or_default().entry(status).or_default() += 1;
        }
    }
    answers
}
