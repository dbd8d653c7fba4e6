//! What a run is told: events by name, sent before it waits or while it does, each delivered once.

use relume::store::{EntryKind, WaitKind};
use relume_tests::node::Node;
use relume_tests::server::{Answer, Server, answer};
use reqwest::Method;
use serde_json::{Value, json};

/// A server on each store, with what is needed to execute runs beside it.
async fn nodes() -> [(Server, Node); 2] {
    let (first, second) = (Server::sqlite(), Server::postgres());
    let nodes = (Node::at(first.database.clone()).await, Node::at(second.database.clone()).await);
    [(first, nodes.0), (second, nodes.1)]
}

async fn send(server: &Server, path: &str, payload: Value) -> Answer {
    server.post(path, payload.to_string()).await
}

/// A run of `event_waiter` that waits for the event `name`, in no worker's memory.
async fn waiting(server: &Server, node: &Node, name: &str) -> relume::store::Run {
    let started = server.start_run("event-waiter", json!({"input": {"name": name}})).await;
    let run = node.store.find_run("event-waiter", started["number"].as_i64().expect("a number")).await.expect("a run");
    node.wait_until(&run, |run| run.waiting_on.as_ref().is_some_and(|on| on.kind == WaitKind::Event)).await
}

#[tokio::test] // R24, R42
async fn a_run_says_for_which_event_it_waits_and_goes_on_with_it() {
    for (server, node) in nodes().await {
        server.deploy("event_waiter", "").await;
        let _worker = node.worker();
        let run = waiting(&server, &node, "approve").await;
        let told = server.get("/v1/apps/event-waiter/runs/1").await.json()["run"].clone();
        let expected = json!({"kind": "event", "name": "approve", "until": null});
        assert_eq!((&told["status"], &told["waiting_on"]), (&json!("running"), &expected), "{told}");
        let why = server.get("/v1/apps/event-waiter/runs/1/explain").await.json();
        assert_eq!(why["reasons"][0]["code"], "waiting_for_event", "{why}");
        assert_eq!(why["queue"]["held"], 0, "no slot is taken: {why}");
        let entry = server.get("/v1/apps/event-waiter/runs/1/journal").await.json()["steps"][0].clone();
        assert_eq!((&entry["kind"], &entry["status"]), (&json!("event"), &json!("waiting")), "{entry}");

        let sent = send(&server, "/v1/apps/event-waiter/runs/1/events/approve", json!({"by": "Ada"})).await;
        assert_eq!(sent.status, 201, "{sent:?}");
        let sent = sent.json()["event"].clone();
        assert_eq!((&sent["name"], &sent["payload"]), (&json!("approve"), &json!({"by": "Ada"})), "{sent}");
        let finished = node.finished(&run).await;
        assert_eq!((finished.verdict().as_str(), finished.output), ("exited", Some(json!({"by": "Ada"}))));
        assert_eq!((finished.attempts.len(), finished.attempts[0].recoveries), (1, 0), "waking is no attempt");
        assert_eq!(finished.journal[0].kind, EntryKind::Event);
        let listed = server.get("/v1/apps/event-waiter/runs/1/events").await.json();
        let mut delivered = sent.clone();
        delivered["delivered_seq"] = json!(1);
        assert_eq!((&sent["delivered_seq"], &listed["events"]), (&Value::Null, &json!([delivered])), "{listed}");
        let told = server.get("/v1/apps/event-waiter/runs/1").await.json()["run"].clone();
        assert_eq!(told["waiting_on"], Value::Null, "{told}");
    }
}

#[tokio::test] // R42
async fn an_event_sent_early_is_kept_and_each_is_delivered_once() {
    for (server, node) in nodes().await {
        let app = server.deploy("two_events", "").await;
        server.start_run(&app, json!({})).await;
        for (name, payload) in [("ship", json!(3)), ("approve", json!(1)), ("approve", json!(2)), ("approve", json!(4))]
        {
            let sent = send(&server, &format!("/v1/apps/two-events/runs/1/events/{name}"), payload).await;
            assert_eq!(sent.status, 201, "{sent:?}");
        }
        let _worker = node.worker();
        let run = node.store.find_run(&app, 1).await.expect("it was started");
        assert_eq!(node.finished(&run).await.output, Some(json!([1, 2, 3])));
        let listed = server.get("/v1/apps/two-events/runs/1/events").await.json();
        let entries: Vec<_> =
            listed["events"].as_array().expect("events").iter().map(|event| event["delivered_seq"].clone()).collect();
        assert_eq!(entries, [json!(3), json!(1), json!(2), Value::Null], "{listed}");
        let first = server.get("/v1/apps/two-events/runs/1/events?limit=1").await.json();
        assert_eq!(first["events"], json!([listed["events"][0]]));
        send(&server, "/v1/apps/two-events/runs/1/events/ship", json!(5)).await.problem(409, "conflict");
    }
}

#[tokio::test] // R42, R44
async fn an_event_with_a_key_is_sent_once_however_often_it_is_sent() {
    for (server, _) in nodes().await {
        let app = server.deploy("event_waiter", "").await;
        for _ in 1..=2 {
            server.start_run(&app, json!({"input": {"name": "approve"}})).await;
        }
        let send = async |run: u32, name: &str, key: &str, payload: &str| {
            let request = server.request(Method::POST, &format!("/v1/apps/{app}/runs/{run}/events/{name}"));
            answer(request.header("Idempotency-Key", key).body(payload.to_owned())).await
        };
        let first = send(1, "approve", "k", "1").await;
        assert_eq!((first.status, first.json()), (201, send(1, "approve", "k", " 1\n").await.json()), "{first:?}");
        let other = send(1, "approve", "k", "2").await.problem(422, "idempotency_key_reused");
        assert_eq!(other["field"], "Idempotency-Key", "{other}");
        send(1, "ship", "k", "1").await.problem(422, "idempotency_key_reused");
        let wrong = send(1, "approve", "a b", "1").await.problem(422, "invalid_field");
        assert_eq!(wrong["field"], "Idempotency-Key", "{wrong}");
        assert_eq!(send(2, "approve", "k", "2").await.status, 201, "the key is of the run");
        assert_eq!(send(1, "approve", "other", "2").await.status, 201);
        let count = |run: u32| format!("/v1/apps/{app}/runs/{run}/events");
        for (run, expected) in [(1, 2), (2, 1)] {
            let listed = server.get(&count(run)).await.json();
            assert_eq!(listed["events"].as_array().map(Vec::len), Some(expected), "{listed}");
        }
    }
}

#[tokio::test] // R42, V9
async fn a_payload_is_any_json_up_to_the_limit_of_an_entry() {
    for (server, _) in nodes().await {
        let app = server.deploy("event_waiter", "").await;
        server.start_run(&app, json!({"input": {"name": "approve"}})).await;
        let path = format!("/v1/apps/{app}/runs/1/events/approve");
        for payload in ["null", "true", "-1.50", "\"ja\"", "[1, {\"a\": []}]", "{}"] {
            let sent = server.post(&path, payload).await;
            assert_eq!(sent.status, 201, "{sent:?}");
            assert!(sent.text.contains(&format!("\"payload\":{payload},")), "as it was sent: {sent:?}");
        }
        let nothing = answer(server.request(Method::POST, &path)).await;
        assert_eq!((nothing.status, &nothing.json()["event"]["payload"]), (201, &Value::Null), "{nothing:?}");
        let surrogate = server.post(&path, "\"\\ud800\"").await.json()["event"].clone();
        assert_eq!((&surrogate["payload"], surrogate["payload_base64"].is_string()), (&Value::Null, true));
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert_eq!(server.post(&path, text(4 << 20)).await.status, 201, "the largest there may be");
        let count = async || server.get(&format!("/v1/apps/{app}/runs/1/events")).await.json()["events"].clone();
        let before = count().await;
        server.post(&path, text((4 << 20) + 1)).await.problem(413, "too_large");
        for payload in ["{", "approve", "1 2", " ", "[1,]"] {
            server.post(&path, payload).await.problem(400, "invalid_json");
        }
        server.post(&path, b"\"\xff\"".to_vec()).await.problem(400, "invalid_json");
        let form = server.request(Method::POST, &path).header("content-type", "text/plain").body("1");
        answer(form).await.problem(415, "unsupported_media_type");
        assert_eq!(count().await, before);
    }
}

#[tokio::test] // R42
async fn a_name_is_any_text_without_control_characters_and_has_256_bytes_at_most() {
    for (server, node) in nodes().await {
        server.deploy("event_waiter", "").await;
        let _worker = node.worker();
        let longest = "ä".repeat(128);
        let names = [("a%2Fb%20c", "a/b c"), ("%C3%A4%23", "ä#"), ("x", "x"), (&"%C3%A4".repeat(128), &longest)];
        for (written, name) in names {
            let run = waiting(&server, &node, name).await;
            let path = format!("/v1/apps/event-waiter/runs/{}/events/{written}", run.number);
            assert_eq!(send(&server, &path, json!(7)).await.json()["event"]["name"], name);
            assert_eq!(node.finished(&run).await.output, Some(json!(7)));
        }
        server.start_run("event-waiter", json!({"input": {"name": "never"}})).await;
        for name in ["%00", "a%0Ab", "%7F", "%C2%85", &"x".repeat(257), &"%C3%A4".repeat(129)] {
            let sent = send(&server, &format!("/v1/apps/event-waiter/runs/5/events/{name}"), json!(1)).await;
            assert_eq!(sent.problem(422, "invalid_field")["field"], "name", "{name}");
        }
        let sent = send(&server, "/v1/apps/event-waiter/runs/5/events/%ff", json!(1)).await;
        sent.problem(422, "invalid_field");
    }
}

#[tokio::test] // R42
async fn what_cannot_be_told_is_refused() {
    for (server, _) in nodes().await {
        let app = server.deploy("event_waiter", "").await;
        for path in ["/v1/apps/nope/runs/1/events", "/v1/apps/event-waiter/runs/1/events"] {
            server.get(path).await.problem(404, "not_found");
            send(&server, &format!("{path}/approve"), json!(1)).await.problem(404, "not_found");
        }
        server.start_run(&app, json!({"input": {"name": "approve"}})).await;
        let path = "/v1/apps/event-waiter/runs/1/events";
        for query in ["limit=0", "limit=101", "after=1"] {
            server.get(&format!("{path}?{query}")).await.problem(422, "invalid_field");
        }
        send(&server, &format!("{path}/approve?x=1"), json!(1)).await.problem(422, "invalid_field");
        send(&server, &format!("{path}/"), json!(1)).await.problem(404, "unknown_path");
        send(&server, path, json!(1)).await.problem(405, "wrong_method");
        assert_eq!(answer(server.request(Method::POST, "/v1/apps/event-waiter/runs/1")).await.status, 200);
        let late = send(&server, &format!("{path}/approve"), json!(1)).await.problem(409, "conflict");
        assert!(late["detail"].as_str().is_some_and(|detail| detail.contains("already cancelled")), "{late}");
        assert_eq!(server.get(path).await.json()["events"], json!([]));
    }
}

#[tokio::test] // R24, R42
async fn a_wait_with_a_timeout_says_until_when() {
    for (server, node) in nodes().await {
        let app = server.deploy("event_waiter", "").await;
        let _worker = node.worker();
        let started = server.start_run(&app, json!({"input": {"name": "approve", "timeout_ms": 3_600_000}})).await;
        let run = node.store.find_run(&app, 1).await.expect("it was started");
        node.wait_until(&run, |run| run.waiting_on.is_some()).await;
        let told = server.get(started["$link"].as_str().expect("a path")).await.json()["run"].clone();
        let entry = server.get("/v1/apps/event-waiter/runs/1/journal").await.json()["steps"][0].clone();
        assert!(entry["due_at"].is_string(), "{entry}");
        assert_eq!((&told["waiting_on"]["until"], &entry["output"]), (&entry["due_at"], &Value::Null), "{told}");
        let why = server.get("/v1/apps/event-waiter/runs/1/explain").await.json();
        assert_eq!(why["reasons"][0]["until"], entry["due_at"], "{why}");
    }
}
