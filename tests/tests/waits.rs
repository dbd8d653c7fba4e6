//! What is told of a run that waits, for what, until when, and with whom: steps that are tried again, sleeps, children,
//! deadlines.

use relume::store::{Run, WaitKind};
use relume_tests::node::Node;
use relume_tests::server::{Server, answer};
use reqwest::Method;
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

/// A server on each store, with what is needed to execute runs beside it.
async fn nodes() -> [(Server, Node); 2] {
    let (first, second) = (Server::sqlite(), Server::postgres());
    let nodes = (Node::at(first.database.clone()).await, Node::at(second.database.clone()).await);
    [(first, nodes.0), (second, nodes.1)]
}

/// A new run of `app`, once it is parked.
async fn parked(server: &Server, node: &Node, app: &str, body: Value, kind: WaitKind) -> Run {
    let started = server.start_run(app, body).await;
    let run = node.store.find_run(app, started["number"].as_i64().expect("a number")).await.expect("it was started");
    node.wait_until(&run, |run| run.waiting_on.as_ref().is_some_and(|on| on.kind == kind)).await
}

async fn told(server: &Server, app: &str, number: i64) -> Value {
    server.get(&format!("/v1/apps/{app}/runs/{number}")).await.json()["run"].clone()
}

async fn first_reason(server: &Server, app: &str, number: i64) -> Value {
    server.get(&format!("/v1/apps/{app}/runs/{number}/explain")).await.json()["reasons"][0].clone()
}

async fn first_entry(server: &Server, app: &str, number: i64) -> Value {
    server.get(&format!("/v1/apps/{app}/runs/{number}/journal?limit=1")).await.json()["steps"][0].clone()
}

#[tokio::test] // R24, R42
async fn a_sleeping_run_says_until_when() {
    for (server, node) in nodes().await {
        let app = server.deploy("sleeper", "").await;
        let _worker = node.worker();
        let run = parked(&server, &node, &app, json!({"input": HOUR_MS}), WaitKind::Sleep).await;
        let told = told(&server, &app, run.number).await;
        let waiting_on = &told["waiting_on"];
        assert_eq!((&waiting_on["kind"], &waiting_on["name"]), (&json!("sleep"), &json!("sleep")), "{told}");
        let entries = server.get("/v1/apps/sleeper/runs/1/journal").await.json()["steps"].clone();
        assert_eq!((&entries[0]["kind"], &entries[1]["kind"]), (&json!("now"), &json!("sleep")), "{entries}");
        assert_eq!(entries[1]["due_at"], waiting_on["until"], "{entries}");
        assert_eq!((&entries[1]["output"], entries[1].get("output_base64")), (&Value::Null, None), "{entries}");
        let why = first_reason(&server, &app, 1).await;
        assert_eq!((&why["code"], &why["until"]), (&json!("sleeping"), &waiting_on["until"]), "{why}");
        assert_eq!(
            (&told["attempts"][0]["status"], &told["attempts"][0]["ended_at"]),
            (&json!("running"), &Value::Null)
        );
        node.let_all_be_due().await;
    }
}

#[tokio::test] // R24, R26
async fn a_step_that_is_to_be_tried_again_says_when_and_why() {
    for (server, node) in nodes().await {
        let app = server.deploy("exponential_step", "").await;
        let _worker = node.worker();
        let input = json!({"input": {"initial_ms": HOUR_MS, "maximum_ms": HOUR_MS, "attempts": 2}});
        let run = parked(&server, &node, &app, input, WaitKind::StepRetry).await;
        let told = told(&server, &app, run.number).await;
        let waiting_on = &told["waiting_on"];
        assert_eq!((&waiting_on["kind"], &waiting_on["name"]), (&json!("step_retry"), &json!("fail")), "{told}");
        assert_eq!(told["num_attempts"], 1, "{told}");
        let entry = first_entry(&server, &app, 1).await;
        assert_eq!((&entry["kind"], &entry["status"]), (&json!("step"), &json!("again")), "{entry}");
        assert_eq!((&entry["tries"], &entry["tries_in_attempt"]), (&json!(1), &json!(1)), "{entry}");
        assert_eq!((&entry["error"], &entry["due_at"]), (&json!("out of order"), &waiting_on["until"]), "{entry}");
        assert_eq!((&entry["is_replayed"], &entry["app_version"]), (&json!(false), &json!("v1")), "{entry}");
        let why = first_reason(&server, &app, 1).await;
        assert_eq!((&why["code"], &why["until"]), (&json!("waiting_for_step_retry"), &waiting_on["until"]), "{why}");
    }
}

#[tokio::test] // R43
async fn a_parent_and_its_children_are_told_with_each_other() {
    for (server, node) in nodes().await {
        server.deploy("child", "").await;
        let app = server.deploy("parent", "").await;
        let _worker = node.worker();
        let input = json!({"input": {"app": "child", "mode": "wait", "fan": 2}});
        let run = parked(&server, &node, &app, input, WaitKind::Child).await;
        let parent = told(&server, &app, run.number).await;
        let waiting_on = json!({"kind": "child", "name": "child#1", "until": null});
        assert_eq!((&parent["waiting_on"], &parent["parent"]), (&waiting_on, &Value::Null), "{parent}");
        let child = told(&server, "child", 2).await;
        let expected = json!({"run_id": parent["run_id"], "app": "parent", "number": 1, "run": "parent#1"});
        assert_eq!(child["parent"], expected, "{child}");
        let why = first_reason(&server, &app, 1).await;
        assert_eq!(why["code"], "waiting_for_child", "{why}");
        assert!(why["message"].as_str().is_some_and(|text| text.contains("child#1")), "{why}");
        let entry = first_entry(&server, &app, 1).await;
        assert_eq!((&entry["kind"], &entry["output"]["run"]), (&json!("child"), &json!("child#1")), "{entry}");
        for number in 1..=2 {
            let sent = server.post(&format!("/v1/apps/child/runs/{number}/events/go"), format!("\"{number}\"")).await;
            assert_eq!(sent.status, 201, "{sent:?}");
        }
        assert_eq!(node.finished(&run).await.output, Some(json!(["1", "2"])));
    }
}

#[tokio::test] // R12, R43
async fn who_cancels_a_parent_cancels_its_children_and_theirs() {
    for (server, node) in nodes().await {
        server.deploy("child", "").await;
        let app = server.deploy("parent", "").await;
        let _worker = node.worker();
        let input = json!({"input": {"app": "child", "mode": "wait", "fan": 2}});
        let run = parked(&server, &node, &app, input, WaitKind::Child).await;
        let cancelled = answer(server.request(Method::POST, "/v1/apps/parent/runs/1")).await;
        assert_eq!(cancelled.status, 200, "{cancelled:?}");
        assert_eq!(cancelled.json()["run"]["status"], "cancelled");
        for number in 1..=2 {
            let child = node.store.find_run("child", number).await.expect("it was started");
            let child = node.wait_until(&child, |run| !run.status.is_active()).await;
            assert_eq!(child.status.as_str(), "cancelled");
        }
        assert_eq!(node.finished(&run).await.verdict(), "cancelled");
    }
}

#[tokio::test] // R28
async fn a_deadline_is_told_and_ends_what_waits_beyond_it() {
    for (server, node) in nodes().await {
        let app = server.deploy("sleeper", "").await;
        let _worker = node.worker();
        let now = node.store.now().await.expect("a time");
        let in_seconds = |seconds: i64| format!("{:.3}", now + jiff::SignedDuration::from_secs(seconds));
        let body = json!({"input": HOUR_MS, "deadline_at": in_seconds(3600)});
        let run = parked(&server, &node, &app, body, WaitKind::Sleep).await;
        let later = told(&server, &app, run.number).await;
        assert_eq!(later["deadline_at"], in_seconds(3600), "{later}");
        let why = server.get("/v1/apps/sleeper/runs/1/explain").await.json()["reasons"].clone();
        assert_eq!((&why[1]["code"], &why[1]["until"]), (&json!("deadline"), &later["deadline_at"]), "{why}");

        let policy = json!({"max_retries": 3, "retry_delay_seconds": 0, "use_exponential_backoff": false});
        let body = json!({"input": HOUR_MS, "deadline_at": in_seconds(5), "retry_policy": policy});
        let run = server.start_run(&app, body).await;
        let stored = node.store.find_run(&app, 2).await.expect("it was started");
        let finished = node.finished(&stored).await;
        assert_eq!((finished.verdict().as_str(), finished.attempts.len()), ("crashed deadline", 1));
        assert!(finished.run.ended_at >= finished.run.deadline_at, "{:?}", finished.run);
        let ended = told(&server, &app, 2).await;
        assert_eq!((&ended["failure"]["kind"], &ended["deadline_at"]), (&json!("deadline"), &run["deadline_at"]));
        assert_eq!(ended["retry_skipped_reason"], "deadline", "{ended}");
        let why = server.get("/v1/apps/sleeper/runs/2/explain").await.json()["reasons"].clone();
        assert_eq!(why[1]["code"], "deadline", "{why}");
    }
}

#[tokio::test] // R28, R44
async fn a_deadline_is_in_the_future_and_after_the_start() {
    for (server, node) in nodes().await {
        let app = server.deploy("sleeper", "").await;
        let path = format!("/v1/apps/{app}/runs");
        let refused = async |body: Value| {
            let problem = server.post(&path, body.to_string()).await.problem(422, "invalid_field");
            assert_eq!(problem["field"], "deadline_at", "{problem}");
        };
        let now = node.store.now().await.expect("a time").to_string();
        for wrong in
            [json!("soon"), json!(""), json!(7), json!("2026-13-01T00:00:00Z"), json!("1999-01-01"), json!(now)]
        {
            refused(json!({"deadline_at": wrong})).await;
        }
        let start = "2999-01-02T00:00:00Z";
        for wrong in ["2999-01-01T00:00:00Z", start] {
            refused(json!({"scheduled_at": start, "deadline_at": wrong})).await;
        }
        assert_eq!(server.get(&path).await.json()["runs"], json!([]));
        let run =
            server.start_run(&app, json!({"scheduled_at": start, "deadline_at": "2999-01-02T00:00:01+00:00"})).await;
        assert_eq!(run["deadline_at"], "2999-01-02T00:00:01.000Z", "{run}");
        let start = async |deadline_at: &str| {
            let request = server.request(Method::POST, &path).header("Idempotency-Key", "k");
            answer(request.json(&json!({"input": 1, "deadline_at": deadline_at}))).await
        };
        let (first, again) = (start("2999-01-01T00:00:00Z").await, start("2999-01-01T00:00:07Z").await);
        assert_eq!((first.status, again.status), (201, 201), "{again:?}");
        assert!(again.headers.contains_key("idempotency-replayed"), "a deadline is counted from each start: {again:?}");
        assert_eq!(again.json()["run"], first.json()["run"]);
    }
}
