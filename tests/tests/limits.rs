//! What is at the edge of what the OpenAPI document allows is answered alike on both stores, and never by a fault.

use relume_tests::server::{Answer, Server, answer};
use reqwest::Method;
use serde_json::{Value, json};

/// A server on each store, with the app `hello` and one run of it.
async fn servers() -> [Server; 2] {
    let servers = [Server::sqlite(), Server::postgres()];
    for server in &servers {
        let app = server.deploy("hello", "").await;
        server.start_run(&app, json!({})).await;
    }
    servers
}

async fn send(server: &Server, method: Method, path: &str, body: Value) -> Answer {
    answer(server.request(method, path).json(&body)).await
}

fn check(answer: &Answer, field: &str) {
    assert_eq!(answer.problem(422, "invalid_field")["field"], field, "{answer:?}");
}

#[tokio::test] // V10
async fn a_number_or_a_year_that_no_database_has_is_out_of_range() {
    for server in servers().await {
        let below = |path: &str| format!("/v1/apps/hello/runs/1{path}");
        for (path, field) in [
            ("/logs?attempt=2147483648", "attempt"),
            ("/logs/stream?attempt=4294967295", "attempt"),
            ("/journal?after=2147483648", "after"),
            ("/logs?start_at=-009999-01-02T00:00:00Z", "start_at"),
        ] {
            check(&server.get(&below(path)).await, field);
        }
        for path in ["/logs?attempt=2147483647", "/logs?after=9223372036854775807", "/journal?after=2147483647"] {
            assert_eq!(server.get(&below(path)).await.status, 200, "{path}");
        }
        for path in ["/v1/runs?start_at=0000-01-01T00:00:00Z", "/v1/runs?end_at=9999-12-30T00:00:00Z"] {
            assert_eq!(server.get(path).await.status, 200, "{path}");
        }
        check(&server.get("/v1/runs?start_at=%2B010000-01-01T00:00:00Z").await, "start_at");
        let start = async |body: Value| send(&server, Method::POST, "/v1/apps/hello/runs", body).await;
        check(&start(json!({"scheduled_at": "-000001-01-01T00:00:00Z"})).await, "scheduled_at");
        check(&start(json!({"deadline_at": "-000001-01-01T00:00:00Z"})).await, "deadline_at");
        assert_eq!(start(json!({"deadline_at": "9999-12-30T00:00:00Z"})).await.status, 201);
        let again = async |what: &str, body: Value| send(&server, Method::POST, &below(what), body).await;
        check(&again("/fork", json!({"from_step": 2_147_483_648_u32})).await, "from_step");
        again("/fork", json!({"from_step": 2_147_483_647})).await.problem(404, "not_found");
        again("/fork", json!({"from_step": 1, "version": u32::MAX})).await.problem(404, "not_found");
        start(json!({"version": 4_294_967_295_u32})).await.problem(404, "not_found");
        for version in ["+1", "v01", "v+1", "1 "] {
            check(&start(json!({"version": version})).await, "version");
        }
    }
}

#[tokio::test] // V12
async fn a_preview_holds_no_nul() {
    for server in servers().await {
        let body = |preview: &str| json!({"name": "KEY", "value": "x", "preview": preview});
        check(&send(&server, Method::POST, "/v1/secrets", body("a\0b")).await, "preview");
        assert_eq!(send(&server, Method::POST, "/v1/secrets", body("a\nb")).await.status, 201);
        let named = send(&server, Method::PUT, "/v1/secrets/KEY", json!({"value": "y", "preview": "\0"})).await;
        check(&named, "preview");
    }
}

#[tokio::test]
async fn lengths_are_counted_in_characters() {
    for server in servers().await {
        let text = |length: usize| "ä".repeat(length);
        let change =
            async |length| send(&server, Method::PATCH, "/v1/apps/hello", json!({"description": text(length)})).await;
        assert_eq!(change(1000).await.json()["app"]["short_description"], text(1000));
        check(&change(1001).await, "description");
        let token = async |length| send(&server, Method::POST, "/v1/tokens", json!({"name": text(length)})).await;
        assert_eq!(token(100).await.json()["token"]["name"], text(100));
        check(&token(101).await, "name");
        let schedule = json!({"app_name": "hello", "cron": "@yearly", "name": text(100)});
        assert_eq!(send(&server, Method::POST, "/v1/schedules", schedule).await.status, 201);
        let secret = json!({"name": "KEY", "value": "x", "preview": text(100)});
        assert_eq!(send(&server, Method::POST, "/v1/secrets", secret).await.status, 201);
    }
}

#[tokio::test] // R44
async fn an_idempotency_key_holds_no_spaces() {
    let server = &servers().await[0];
    let request = server.request(Method::POST, "/v1/apps/hello/runs").header("Idempotency-Key", "a b");
    check(&answer(request.json(&json!({}))).await, "Idempotency-Key");
}

#[tokio::test]
async fn a_name_that_is_a_word_of_a_path_is_refused() {
    let server = &servers().await[0];
    check(&send(server, Method::POST, "/v1/secrets", json!({"name": "key", "value": "x"})).await, "name");
    for name in ["activate", "deactivate"] {
        let body = json!({"app_name": "hello", "cron": "@yearly", "name": name});
        check(&send(server, Method::POST, "/v1/schedules", body).await, "name");
    }
}

#[tokio::test] // V16
async fn an_unknown_path_of_the_api_is_told_to_those_with_a_token() {
    let server = &servers().await[0];
    for (method, path, status) in [
        (Method::GET, "/v1/nope", 404),
        (Method::POST, "/v1/apps/hello/deploy", 404),
        (Method::DELETE, "/v1/apps", 405),
        (Method::POST, "/v1/secrets/export", 405),
    ] {
        let anonymous = answer(server.anonymous(method.clone(), path)).await;
        anonymous.problem(401, "unauthorized");
        let told = answer(server.request(method, path)).await;
        assert_eq!(told.status, status, "{told:?}");
        assert!(told.json()["hint"].is_string(), "{told:?}");
    }
}

#[tokio::test] // R13
async fn a_detail_reads_alone() {
    let server = &servers().await[0];
    let timeout = send(server, Method::PATCH, "/v1/apps/hello", json!({"pending_timeout": 2_592_001})).await;
    assert_eq!(
        timeout.problem(422, "invalid_field")["detail"],
        "pending_timeout: 2592001 is out of range: it is 0 to 2592000"
    );
    let file = server.upload("hello", b"hello".to_vec(), "").await.problem(422, "not_wasm");
    assert_eq!(file["detail"], "component: the file is not WebAssembly");
}
