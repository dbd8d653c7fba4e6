//! Settings of apps, schedules and secrets, as the API tells them: where Tower has them too, as Tower does.

use relume_tests::node::Node;
use relume_tests::server::{Answer, Server, answer};
use reqwest::Method;
use serde_json::{Value, json};

async fn servers() -> [Server; 2] {
    [Server::sqlite(), Server::postgres()]
}

async fn send(server: &Server, method: Method, path: &str, body: Value) -> Answer {
    answer(server.request(method, path).json(&body)).await
}

async fn app(server: &Server, name: &str) -> Value {
    server.get(&format!("/v1/apps/{name}")).await.json()["app"].clone()
}

#[tokio::test] // R13, R45
async fn an_app_tells_the_schedule_whose_tick_comes_next() {
    for server in servers().await {
        server.deploy("hello", "").await;
        let before = app(&server, "hello").await;
        assert_eq!((&before["schedule"], &before["next_run_at"]), (&Value::Null, &Value::Null), "{before}");
        for (name, cron) in [("yearly", "0 0 1 1 *"), ("monthly", "0 0 1 * *")] {
            let body = json!({"app_name": "hello", "cron": cron, "name": name});
            assert_eq!(send(&server, Method::POST, "/v1/schedules", body).await.status, 201);
        }
        let check = async |name: &str| {
            let schedule = server.get(&format!("/v1/schedules/{name}")).await.json()["schedule"].clone();
            let app = app(&server, "hello").await;
            assert_eq!((&app["schedule"], &app["next_run_at"]), (&schedule["cron"], &schedule["next_run_at"]), "{app}");
            assert!(app["next_run_at"].is_string(), "{app}");
        };
        let ids = json!({"ids": ["monthly"]});
        // In December both come at the same time.
        assert!(app(&server, "hello").await["next_run_at"].is_string());
        assert_eq!(send(&server, Method::PATCH, "/v1/schedules/deactivate", ids).await.status, 200);
        check("yearly").await;
        let ids = json!({"ids": ["yearly"]});
        assert_eq!(send(&server, Method::PATCH, "/v1/schedules/deactivate", ids).await.status, 200);
        let after = app(&server, "hello").await;
        assert_eq!((&after["schedule"], &after["next_run_at"]), (&Value::Null, &Value::Null), "{after}");
    }
}

#[tokio::test] // R13
async fn a_schedule_that_is_not_there_is_not_deleted_and_an_unknown_app_has_none() {
    for server in servers().await {
        server.deploy("hello", "").await;
        let body = json!({"app_name": "hello", "cron": "@yearly", "name": "yearly"});
        assert_eq!(send(&server, Method::POST, "/v1/schedules", body).await.status, 201);
        let deleted = send(&server, Method::DELETE, "/v1/schedules", json!({"ids": ["yearly", "nothing"]})).await;
        deleted.problem(404, "not_found");
        assert_eq!(server.get("/v1/schedules/yearly").await.status, 200, "all or none");
        let listed = server.get("/v1/schedules?app=nowhere").await.json();
        assert_eq!((&listed["schedules"], &listed["pages"]["total"]), (&json!([]), &json!(0)));
    }
}

#[tokio::test] // R13
async fn there_is_one_environment() {
    for server in servers().await {
        server.deploy("hello", "").await;
        for path in ["/v1/apps", "/v1/apps/hello", "/v1/apps/hello/runs", "/v1/runs", "/v1/schedules", "/v1/secrets"] {
            assert_eq!(server.get(&format!("{path}?environment=default")).await.status, 200, "{path}");
            let other = server.get(&format!("{path}?environment=prod")).await.problem(422, "invalid_field");
            assert_eq!(other["field"], "environment", "{path}: {other}");
        }
        let other = answer(server.request(Method::DELETE, "/v1/secrets/KEY?environment=prod")).await;
        assert_eq!(other.problem(422, "invalid_field")["field"], "environment");
    }
}

#[tokio::test] // R13, V12
async fn a_secret_is_created_once_and_replaced_by_name() {
    for server in servers().await {
        let create = async |value: &str| {
            send(&server, Method::POST, "/v1/secrets", json!({"name": "KEY", "value": value})).await
        };
        let first = create("the first value").await;
        assert_eq!((first.status, &first.json()["secret"]["preview"]), (201, &json!("XXXXXXalue")), "{first:?}");
        create("another value").await.problem(409, "conflict");
        let replaced = send(&server, Method::PUT, "/v1/secrets/KEY", json!({"value": "the second one"})).await;
        assert_eq!((replaced.status, &replaced.json()["secret"]["preview"]), (200, &json!("XXXXXX one")));
        assert_eq!(answer(server.request(Method::DELETE, "/v1/secrets/KEY")).await.status, 200);
        answer(server.request(Method::DELETE, "/v1/secrets/KEY")).await.problem(404, "not_found");
    }
}

#[tokio::test] // R5, R13
async fn timeouts_of_an_app_are_set_and_zero_is_none() {
    for server in servers().await {
        server.deploy("hello", "").await;
        let timeouts = async || {
            let app = app(&server, "hello").await;
            (app["pending_timeout"].as_u64(), app["running_timeout"].as_u64())
        };
        assert_eq!(timeouts().await, (Some(0), Some(0)));
        let set = async |body: Value| {
            let changed = send(&server, Method::PUT, "/v1/apps/hello", body).await;
            assert_eq!(changed.status, 200, "{changed:?}");
        };
        set(json!({"pending_timeout": 60, "running_timeout": 30})).await;
        assert_eq!(timeouts().await, (Some(60), Some(30)));
        let run = server.start_run("hello", json!({})).await;
        assert_eq!((run["pending_until"].is_string(), &run["running_timeout"]), (true, &json!(30)), "{run}");
        set(json!({"pending_timeout": 0})).await;
        assert_eq!(timeouts().await, (Some(0), Some(30)), "what is absent stays");
        set(json!({"running_timeout": 0, "pending_timeout": null})).await;
        assert_eq!(timeouts().await, (Some(0), Some(0)));
        let run = server.start_run("hello", json!({})).await;
        assert_eq!((&run["pending_until"], &run["running_timeout"]), (&Value::Null, &json!(0)), "{run}");
    }
}

#[tokio::test] // R12
async fn a_run_that_is_over_is_not_cancelled() {
    for server in servers().await {
        let node = Node::at(server.database.clone()).await;
        let name = server.deploy("hello", "").await;
        server.start_run(&name, json!({"input": {"name": "Ada"}})).await;
        let _worker = node.worker();
        let stored = node.store.find_run(&name, 1).await.expect("it was started");
        node.wait_until(&stored, |run| !run.status.is_active()).await;
        answer(server.request(Method::POST, "/v1/apps/hello/runs/1")).await.problem(409, "conflict");
    }
}
