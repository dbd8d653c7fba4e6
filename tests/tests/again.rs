//! A run once more: another attempt of a failed one, and a new one that keeps the first entries of another's journal.

use relume_tests::guests;
use relume_tests::node::Node;
use relume_tests::server::{Answer, Server, answer};
use relume_tests::shop::{ALLOWED, Shop};
use reqwest::Method;
use serde_json::{Value, json};

/// A server on each store, with what is needed to execute runs beside it.
async fn nodes() -> [(Server, Node); 2] {
    let (first, second) = (Server::sqlite(), Server::postgres());
    let nodes = (Node::at(first.database.clone()).await, Node::at(second.database.clone()).await);
    [(first, nodes.0), (second, nodes.1)]
}

async fn post(server: &Server, number: i64, what: &str, body: Value) -> Answer {
    server.post(&format!("/v1/apps/effects/runs/{number}/{what}"), body.to_string()).await
}

/// The run when it is final.
async fn ended(server: &Server, node: &Node, app: &str, number: i64) -> Value {
    let run = node.store.find_run(app, number).await.expect("it was started");
    node.wait_until(&run, |run| !run.status.is_active()).await;
    server.get(&format!("/v1/apps/{app}/runs/{number}")).await.json()["run"].clone()
}

async fn steps(server: &Server, number: i64) -> Vec<Value> {
    let journal = server.get(&format!("/v1/apps/effects/runs/{number}/journal")).await.json();
    journal["steps"].as_array().expect("steps").clone()
}

/// Deploys `effects`, and once more as another version.
async fn deploy(server: &Server) {
    server.deploy("effects", ALLOWED).await;
    let component = std::fs::read(guests::path("effects")).expect("it was built");
    let manifest = format!("{ALLOWED}[env]\nCOLOUR = \"red\"\n");
    assert_eq!(server.upload("effects", component, manifest).await.json()["version"]["version"], "v2");
}

#[tokio::test] // R31
async fn a_failed_run_is_retried_and_keeps_its_finished_steps() {
    for (server, node) in nodes().await {
        let shop = Shop::start();
        deploy(&server).await;
        let _worker = node.worker();
        // Its steps are tried once.
        shop.fail("step-2", 2);
        let input = json!({"version": "v1", "input": {"url": shop.url(), "steps": 3}});
        server.start_run("effects", input).await;
        let run = ended(&server, &node, "effects", 1).await;
        assert_eq!((&run["status"], &run["failure"]["kind"]), (&json!("crashed"), &json!("step_exhausted")), "{run}");

        for attempt in 2..=3 {
            let retried = post(&server, 1, "retry", json!({})).await;
            assert_eq!(retried.status, 200, "{retried:?}");
            let retried = retried.json()["run"].clone();
            assert_eq!(retried["num_attempts"], attempt, "{retried}");
            assert_eq!((&retried["ended_at"], &retried["failure"]), (&Value::Null, &Value::Null), "{retried}");
            let run = ended(&server, &node, "effects", 1).await;
            assert_eq!(run["attempts"].as_array().map(Vec::len), Some(attempt), "{run}");
        }
        let run = ended(&server, &node, "effects", 1).await;
        assert_eq!((&run["status"], &run["app_version"]), (&json!("exited"), &json!("v1")), "{run}");
        let calls = ["step-1", "step-2", "step-3"].map(|step| shop.calls(step));
        assert_eq!(calls, [1, 3, 1], "what is recorded is not executed again");
        let steps = steps(&server, 1).await;
        let told = |step: &Value| (step["is_replayed"].clone(), step["attempt_seq"].clone(), step["tries"].clone());
        assert_eq!(told(&steps[0]), (json!(true), json!(1), json!(1)), "{steps:?}");
        assert_eq!(told(&steps[1]), (json!(false), json!(3), json!(3)), "{steps:?}");
        assert_eq!(steps[1]["tries_in_attempt"], 1, "a new attempt begins with all its tries: {steps:?}");
        assert_eq!(told(&steps[2]), (json!(false), json!(3), json!(1)), "{steps:?}");
    }
}

#[tokio::test] // R31
async fn a_run_is_retried_on_another_version() {
    for (server, node) in nodes().await {
        let shop = Shop::start();
        deploy(&server).await;
        let _worker = node.worker();
        shop.fail("step-2", 1);
        server.start_run("effects", json!({"version": "v1", "input": {"url": shop.url(), "steps": 2}})).await;
        assert_eq!(ended(&server, &node, "effects", 1).await["status"], "crashed");
        for version in ["v3", "v4000000000"] {
            post(&server, 1, "retry", json!({"version": version})).await.problem(404, "not_found");
        }
        let retried = post(&server, 1, "retry", json!({"version": "v2"})).await;
        assert_eq!((retried.status, &retried.json()["run"]["app_version"]), (200, &json!("v2")), "{retried:?}");
        let run = ended(&server, &node, "effects", 1).await;
        assert_eq!((&run["status"], &run["app_version"]), (&json!("exited"), &json!("v2")), "{run}");
        let versions: Vec<_> = steps(&server, 1).await.iter().map(|step| step["app_version"].clone()).collect();
        assert_eq!(versions, ["v1", "v2"]);
    }
}

#[tokio::test] // R8, R31
async fn what_did_not_fail_is_not_retried_nor_is_a_disabled_app() {
    for (server, node) in nodes().await {
        let shop = Shop::start();
        deploy(&server).await;
        let input = json!({"input": {"url": shop.url(), "steps": 1}});
        let refused = async |number: i64, code: &str| {
            let before = server.get(&format!("/v1/apps/effects/runs/{number}")).await.text;
            let problem = post(&server, number, "retry", json!({})).await.problem(409, code);
            assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("relume ")), "{problem}");
            assert_eq!(server.get(&format!("/v1/apps/effects/runs/{number}")).await.text, before);
        };
        server.start_run("effects", input.clone()).await;
        refused(1, "conflict").await;
        assert_eq!(answer(server.request(Method::POST, "/v1/apps/effects/runs/1")).await.status, 200);
        refused(1, "conflict").await;
        let _worker = node.worker();
        server.start_run("effects", input.clone()).await;
        assert_eq!(ended(&server, &node, "effects", 2).await["status"], "exited");
        refused(2, "conflict").await;
        shop.fail("step-1", 1);
        server.start_run("effects", input).await;
        assert_eq!(ended(&server, &node, "effects", 3).await["status"], "crashed");
        let set = async |status: &str| {
            let request = server.request(Method::PATCH, "/v1/apps/effects").json(&json!({"status": status}));
            assert_eq!(answer(request).await.status, 200);
        };
        set("disabled").await;
        refused(3, "app_disabled").await;
        post(&server, 2, "fork", json!({"from_step": 1})).await.problem(409, "app_disabled");
        set("active").await;
        assert_eq!(post(&server, 3, "retry", json!({})).await.status, 200);
        post(&server, 9, "retry", json!({})).await.problem(404, "not_found");
    }
}

#[tokio::test] // R31
async fn a_fork_keeps_the_entries_before_a_step_and_executes_the_rest() {
    for (server, node) in nodes().await {
        let shop = Shop::start();
        deploy(&server).await;
        let _worker = node.worker();
        let input = json!({"url": shop.url(), "steps": 3});
        let parameters = json!({"COLOUR": "blue"});
        server.start_run("effects", json!({"version": "v1", "input": input, "parameters": parameters})).await;
        let first = ended(&server, &node, "effects", 1).await;
        let forked = post(&server, 1, "fork", json!({"from_step": 2, "version": "v2"})).await;
        assert_eq!(forked.status, 201, "{forked:?}");
        let forked = forked.json()["run"].clone();
        let from =
            json!({"run_id": first["run_id"], "app": "effects", "number": 1, "run": "effects#1", "from_step": 2});
        assert_eq!((&forked["number"], &forked["forked_from"]), (&json!(2), &from), "{forked}");
        let second = ended(&server, &node, "effects", 2).await;
        assert_eq!((&second["status"], &second["app_version"]), (&json!("exited"), &json!("v2")), "{second}");
        assert_eq!((&second["input"], &second["parameters"]), (&first["input"], &first["parameters"]));
        assert_eq!(second["output"][0], first["output"][0], "the first step's result is the same");
        assert_eq!(["step-1", "step-2", "step-3"].map(|step| shop.calls(step)), [1, 2, 2]);
        let replayed: Vec<_> = steps(&server, 2).await.iter().map(|step| step["is_replayed"].clone()).collect();
        assert_eq!(replayed, [true, false, false]);
        assert_eq!(ended(&server, &node, "effects", 1).await, {
            let mut first = first.clone();
            first["$link"] = json!("/v1/apps/effects/runs/1");
            first
        });
        // All of it, and nothing of it.
        for (number, from_step, calls) in [(3, 4, [1, 2, 2]), (4, 1, [2, 3, 3])] {
            let forked = post(&server, 1, "fork", json!({"from_step": from_step})).await;
            assert_eq!((forked.status, &forked.json()["run"]["app_version"]), (201, &json!("v1")), "{forked:?}");
            assert_eq!(ended(&server, &node, "effects", number).await["status"], "exited");
            assert_eq!(["step-1", "step-2", "step-3"].map(|step| shop.calls(step)), calls);
        }
    }
}

#[tokio::test] // R31
async fn what_cannot_be_forked_is_refused() {
    for (server, node) in nodes().await {
        let shop = Shop::start();
        deploy(&server).await;
        shop.hold("step-2");
        let _worker = node.worker();
        server.start_run("effects", json!({"input": {"url": shop.url(), "steps": 2}})).await;
        shop.wait_for_call("step-2").await;
        let refused =
            async |body: Value, status: u16, code: &str| post(&server, 1, "fork", body).await.problem(status, code);
        for body in [json!({}), json!({"from_step": null}), json!({"from_step": 0}), json!({"from_step": -1})] {
            assert_eq!(refused(body, 422, "invalid_field").await["field"], "from_step");
        }
        for body in [json!({"from_step": 2_147_483_648_u32}), json!({"from_step": "2"}), json!({"from_step": 1.5})] {
            assert_eq!(refused(body, 422, "invalid_field").await["field"], "from_step");
        }
        assert_eq!(refused(json!({"from_step": 1, "step": 2}), 422, "invalid_field").await["field"], "step");
        assert_eq!(refused(json!({"from_step": 1, "version": "x"}), 422, "invalid_field").await["field"], "version");
        // Step 2 is under way: there is no entry of it.
        for from_step in [3, 4, 2_147_483_647] {
            refused(json!({"from_step": from_step}), 404, "not_found").await;
        }
        refused(json!({"from_step": 1, "version": "v3"}), 404, "not_found").await;
        post(&server, 2, "fork", json!({"from_step": 1})).await.problem(404, "not_found");
        let listed = server.get("/v1/apps/effects/runs").await.json();
        assert_eq!(listed["runs"].as_array().map(Vec::len), Some(1), "{listed}");
        let forked = post(&server, 1, "fork", json!({"from_step": 2})).await;
        assert_eq!((forked.status, &forked.json()["run"]["number"]), (201, &json!(2)), "from a run that is under way");
        shop.release("step-2");
        assert_eq!(ended(&server, &node, "effects", 2).await["status"], "exited");
    }
}

#[tokio::test] // R31, R42
async fn a_run_that_waits_is_not_forked_behind_what_it_waits_for() {
    for (server, node) in nodes().await {
        let app = server.deploy("event_waiter", "").await;
        let _worker = node.worker();
        server.start_run(&app, json!({"input": {"name": "approve"}})).await;
        let run = node.store.find_run(&app, 1).await.expect("it was started");
        node.wait_until(&run, |run| run.waiting_on.is_some()).await;
        let fork = async |from_step: u32| {
            server.post("/v1/apps/event-waiter/runs/1/fork", json!({"from_step": from_step}).to_string()).await
        };
        let problem = fork(2).await.problem(409, "conflict");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("`approve`")), "{problem}");
        assert_eq!(fork(1).await.status, 201);
    }
}

#[tokio::test] // R31, R43
async fn a_child_that_could_not_be_started_is_no_step_that_is_executed_again() {
    for (server, node) in nodes().await {
        let app = server.deploy("changed", "").await;
        let _worker = node.worker();
        let parameters = json!({"VARIANT": "ended_early", "THEN": "fail"});
        server.start_run(&app, json!({"parameters": parameters})).await;
        let run = ended(&server, &node, &app, 1).await;
        assert_eq!(run["failure"]["message"], "failed, as asked", "{run}");
        let last = async || {
            let journal = server.get("/v1/apps/changed/runs/1/journal").await.json();
            journal["steps"].as_array().and_then(|steps| steps.last()).expect("an entry").clone()
        };
        let before = last().await;
        assert_eq!((&before["kind"], &before["status"]), (&json!("child"), &json!("failed")), "{before}");
        assert_eq!(server.post("/v1/apps/changed/runs/1/retry", "{}").await.status, 200);
        let run = ended(&server, &node, &app, 1).await;
        assert_eq!(
            (&run["failure"]["message"], &run["num_attempts"]),
            (&json!("failed, as asked"), &json!(2)),
            "{run}"
        );
    }
}
