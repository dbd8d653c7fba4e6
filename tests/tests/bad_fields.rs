//! Each field of each request, out of range, of the wrong type, missing, unknown, empty or huge: refused by its name, and
//! nothing is changed.

use relume::manifest::{Limit, Spec};
use relume_tests::guests;
use relume_tests::server::{Answer, Server, answer};
use reqwest::Method;
use serde_json::{Value, json};

/// A server on each store, with the app `greet` of one version, a schedule and a secret.
async fn servers() -> [Server; 2] {
    let servers = [Server::sqlite(), Server::postgres()];
    for server in &servers {
        assert_eq!(server.post("/v1/apps", r#"{"name": "greet"}"#).await.status, 201);
        let component = std::fs::read(guests::path("plain")).expect("it was built");
        assert_eq!(server.upload("greet", component, "").await.status, 201);
        let schedule = r#"{"app_name": "greet", "cron": "0 0 1 1 *", "name": "yearly"}"#;
        assert_eq!(server.post("/v1/schedules", schedule).await.status, 201);
        assert_eq!(server.post("/v1/secrets", r#"{"name": "KEY", "value": "hunter2"}"#).await.status, 201);
    }
    servers
}

/// All that can be read of the server: nothing of it may change.
async fn everything(server: &Server) -> Vec<String> {
    let mut texts = Vec::new();
    for path in ["/v1/apps", "/v1/runs", "/v1/schedules", "/v1/secrets", "/v1/tokens", "/v1/apps/greet/versions"] {
        texts.push(server.get(path).await.text);
    }
    texts
}

async fn send(server: &Server, method: &Method, path: &str, body: &Value) -> Answer {
    answer(server.request(method.clone(), path).json(body)).await
}

/// What is refused: the field, its bad values, and what the problem calls it where that is longer.
type Row<'a> = (&'a str, Vec<Value>, &'a str);

async fn check(method: Method, path: &str, good: Value, rows: &[Row<'_>]) {
    for server in servers().await {
        let before = everything(&server).await;
        for (field, values, named) in rows {
            for value in values {
                let mut body = good.clone();
                body[*field] = value.clone();
                let answer = send(&server, &method, path, &body).await;
                assert_eq!(answer.status, 422, "{method} {path} {field}: {value} {answer:?}");
                let problem = answer.problem(422, "invalid_field");
                let at = problem["field"].as_str().unwrap_or_else(|| panic!("{field}: {value}: {problem}"));
                assert!(at.starts_with(named), "{field}: {value}: {problem}");
            }
        }
        assert_eq!(everything(&server).await, before, "{method} {path}");
    }
}

fn long(length: usize) -> Value {
    json!("x".repeat(length))
}

/// What no text field takes.
fn no_text() -> Vec<Value> {
    vec![json!(7), json!(true), json!([]), json!({})]
}

fn with(mut values: Vec<Value>, more: &[Value]) -> Vec<Value> {
    values.extend_from_slice(more);
    values
}

/// What no whole number from `min` to `max` is.
fn no_number(max: u64) -> Vec<Value> {
    let words = [json!("1"), json!(-1), json!(1.5), json!(true), json!([1]), json!(u64::MAX), json!(1e300)];
    with(words.to_vec(), &[json!(max + 1)])
}

/// Each limit, too low, too high, and of each wrong type; and what is no limit.
fn no_limits() -> Vec<Value> {
    let mut bad = vec![json!([]), json!("x"), json!(7), json!({"memory": 1}), json!({"": 1})];
    for limit in Limit::ALL {
        let Spec { name, min, max, .. } = limit.spec();
        let mut numbers =
            vec![json!(min - 1), json!("1"), json!(-1), json!(1.5), json!(true), json!([1]), json!(1e300)];
        numbers.extend(max.checked_add(1).map(|over| json!(over)));
        bad.extend(numbers.into_iter().map(|number| json!({name: number})));
    }
    bad
}

#[tokio::test] // R3, R5, R8
async fn the_fields_of_an_app_that_is_changed() {
    let policy = |retries: Value, delay: Value, backoff: Value| json!({"max_retries": retries, "retry_delay_seconds": delay, "use_exponential_backoff": backoff});
    let mut policies = vec![json!({}), json!({"max_retries": 1}), json!([]), json!("x"), json!(3)];
    policies.extend(no_number(10).into_iter().map(|bad| policy(bad, json!(1), json!(false))));
    policies.extend(no_number(3600).into_iter().map(|bad| policy(json!(1), bad, json!(false))));
    policies.push(policy(json!(1), json!(1), json!("yes")));
    policies.push(policy(json!(1), Value::Null, json!(true)));
    policies.push(json!({"max_retries": 1, "retry_delay_seconds": 1, "use_exponential_backoff": true, "jitter": 1}));
    let rows = [
        ("retry_policy", policies, "retry_policy"),
        ("description", with(no_text(), &[long(1001), json!("a\0b")]), "description"),
        ("limits", no_limits(), "limits"),
        ("status", with(no_text(), &[json!(""), json!("paused"), json!("Active")]), "status"),
        ("pending_timeout", no_number(2_592_000), "pending_timeout"),
        ("running_timeout", no_number(86_400), "running_timeout"),
        ("is_externally_accessible", vec![json!(true), json!("no")], "is_externally_accessible"),
        ("subdomain", with(no_text(), &[json!("shop")]), "subdomain"),
        ("name", vec![json!("other")], "name"),
        ("retries", vec![json!(3)], "retries"),
    ];
    check(Method::PATCH, "/v1/apps/greet", json!({"description": "new"}), &rows).await;
    check(Method::PUT, "/v1/apps/greet", json!({"description": "new"}), &rows).await;
}

#[tokio::test] // R44, R45
async fn the_fields_of_a_start() {
    let rows = [
        (
            "scheduled_at",
            with(no_text(), &[json!(""), json!("tomorrow"), json!("2026-13-01T00:00:00Z")]),
            "scheduled_at",
        ),
        (
            "deadline_at",
            with(no_text(), &[json!(""), json!("2h"), json!("2026-13-01T00:00:00Z"), json!("1999-01-01T00:00:00Z")]),
            "deadline_at",
        ),
        ("pending_timeout", with(no_number(2_592_000), &[json!(0)]), "pending_timeout"),
        ("running_timeout", with(no_number(86_400), &[json!(0)]), "running_timeout"),
        ("limits", no_limits(), "limits"),
        ("initiator", vec![json!("cli"), json!({}), json!({"type": 1}), json!({"type": "a", "b": 1})], "initiator"),
        (
            "initiator",
            vec![json!({"type": ""}), json!({"type": "Ä"}), json!({"type": "x".repeat(64)})],
            "initiator.type",
        ),
        ("parent_run_id", with(no_text(), &[json!("01a20079-228a-76c7-88fe-0217e326f528")]), "parent_run_id"),
        ("environment", with(no_text(), &[json!("prod"), json!("")]), "environment"),
        (
            "parameters",
            vec![json!({"": "x"}), json!({"A=B": "x"}), json!({"A": "\0"}), json!({"A": null})],
            "parameters",
        ),
        ("version", vec![json!("v0"), json!(0), json!(-1), json!("x"), json!([1])], "version"),
        ("retry_policy", vec![json!({"max_retries": 11}), json!(1)], "retry_policy"),
        ("idempotency_key", vec![json!("k")], "idempotency_key"),
    ];
    check(Method::POST, "/v1/apps/greet/runs", json!({}), &rows).await;
}

#[tokio::test] // R44
async fn an_idempotency_key_is_visible_and_short() {
    let server = &servers().await[0];
    let before = everything(server).await;
    for key in [String::new(), "x".repeat(256), "ä".into()] {
        let request =
            server.request(Method::POST, "/v1/apps/greet/runs").header("Idempotency-Key", &key).json(&json!({}));
        let problem = answer(request).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], "Idempotency-Key", "{key}: {problem}");
    }
    assert_eq!(everything(server).await, before);
}

#[tokio::test] // R45
async fn the_fields_of_a_schedule() {
    let words = |words: &[&str]| words.iter().map(|word| json!(word)).collect::<Vec<_>>();
    let crons = words(&["", "x", "* * * *", "61 * * * *", "0 0 30 2 *", "@sometimes", "* * * * * * *"]);
    let parameters = vec![
        json!({"A": "1"}),
        json!([{"name": "A"}]),
        json!([{"name": "", "value": "x"}]),
        json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        json!([{"name": "A", "value": "1", "colour": "red"}]),
    ];
    let rows = [
        ("cron", with(no_text(), &with(crons, &[long(10_000)])), "cron"),
        ("timezone", with(no_text(), &words(&["", "Mars/Base", "../../etc/passwd", "UTC\0"])), "timezone"),
        ("name", with(no_text(), &[json!(""), long(101), json!("a\nb")]), "name"),
        ("name", words(&["01a20079-228a-76c7-88fe-0217e326f528"]), "name"),
        ("overlap_policy", with(no_text(), &words(&["", "queue"])), "overlap_policy"),
        ("status", with(no_text(), &words(&["", "paused"])), "status"),
        ("parameters", parameters, "parameters"),
        ("environment", words(&["prod"]), "environment"),
        ("app_version", words(&["v1"]), "app_version"),
        ("every", words(&["5m"]), "every"),
    ];
    check(Method::PUT, "/v1/schedules/yearly", json!({}), &rows).await;
    let apps = with(no_text(), &words(&["", "../greet", "Greet"]));
    let mut rows = rows.to_vec();
    rows.push(("app_name", with(apps, &[Value::Null]), "app_name"));
    rows.push(("cron", vec![Value::Null], "cron"));
    check(Method::POST, "/v1/schedules", json!({"app_name": "greet", "cron": "@daily"}), &rows).await;
    let rows = [("ids", vec![json!([]), json!("yearly"), Value::Null, json!([1]), json!(vec!["x"; 101])], "ids")];
    check(Method::DELETE, "/v1/schedules", json!({}), &rows).await;
    check(Method::PATCH, "/v1/schedules/deactivate", json!({}), &rows).await;
}

#[tokio::test] // V12
async fn the_fields_of_a_secret() {
    let words = |words: &[&str]| words.iter().map(|word| json!(word)).collect::<Vec<_>>();
    let rows = [
        ("value", with(no_text(), &[long(32 * 1024 + 1), json!("a\0b"), Value::Null]), "value"),
        ("encrypted_value", vec![json!("x")], "value"),
        ("preview", with(no_text(), &[long(101)]), "preview"),
        ("environment", words(&["prod"]), "environment"),
        ("values", words(&["x"]), "values"),
    ];
    check(Method::PUT, "/v1/secrets/KEY", json!({"value": "new"}), &rows).await;
    let names = with(no_text(), &words(&["", "A-B", "1A", "A=B", "A\0", "Ä", "../KEY"]));
    let mut rows = rows.to_vec();
    rows.push(("name", with(names, &[Value::Null, long(129)]), "name"));
    check(Method::POST, "/v1/secrets", json!({"name": "OTHER", "value": "new"}), &rows).await;
    let rows = [("encrypted_value", with(no_text(), &[json!(""), json!("x"), json!("aGVsbG8=")]), "encrypted_value")];
    check(Method::POST, "/v1/secrets", json!({"name": "OTHER"}), &rows).await;
}

#[tokio::test] // V16
async fn the_fields_of_a_token() {
    let scopes = vec![json!([]), json!("admin"), json!(["root"]), json!(["runs:read", 1]), json!([""])];
    let rows = [
        ("name", with(no_text(), &[json!(""), Value::Null, long(101), json!("a\u{7}")]), "name"),
        ("scopes", scopes, "scopes"),
        ("expires_in_seconds", with(no_number(315_360_000), &[json!(0)]), "expires_in_seconds"),
    ];
    check(Method::POST, "/v1/tokens", json!({"name": "laptop"}), &rows).await;
}

#[tokio::test]
async fn a_parameter_of_a_list_is_refused_by_its_name() {
    let server = &servers().await[0];
    let check = async |path: &str, field: &str| {
        let problem = server.get(path).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{path}: {problem}");
    };
    for (field, value) in
        [("page", "-1"), ("page", "x"), ("page", "10000001"), ("page_size", "0"), ("page_size", "101")]
    {
        for list in ["/v1/apps", "/v1/runs", "/v1/schedules", "/v1/secrets", "/v1/environments"] {
            check(&format!("{list}?{field}={value}"), field).await;
        }
    }
    for (query, field) in [
        ("status=alive", "status"),
        ("status=running&status=x", "status"),
        ("start_at=now", "start_at"),
        ("end_at=", "end_at"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("limit=5&page=2", "page"),
        ("environment=prod", "environment"),
        ("sort=up", "sort"),
    ] {
        check(&format!("/v1/runs?{query}"), field).await;
        check(&format!("/v1/apps/greet/runs?{query}"), field).await;
    }
    check("/v1/apps?sort=up", "sort").await;
    check("/v1/apps?filter=best", "filter").await;
    check("/v1/apps?num_runs=21", "num_runs").await;
    check("/v1/apps/greet?runs=101", "runs").await;
    check("/v1/apps/greet/versions/v0", "version").await;
    check("/v1/secrets?all=maybe", "all").await;
    check("/v1/secrets/key?format=ssh", "format").await;
}

#[tokio::test] // V17
async fn a_change_of_what_was_changed_meanwhile_is_refused() {
    for server in servers().await {
        let tag = server.get("/v1/apps/greet").await.headers["etag"].to_str().expect("text").to_owned();
        let change = async |tag: &str, method: Method| {
            let body = json!({"description": "mine"});
            answer(server.request(method, "/v1/apps/greet").header("If-Match", tag).json(&body)).await
        };
        let changed = change(&tag, Method::PATCH).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_ne!(changed.headers["etag"], tag);
        let before = everything(&server).await;
        for method in [Method::PATCH, Method::PUT, Method::DELETE] {
            let problem = change(&tag, method.clone()).await.problem(412, "outdated");
            assert_eq!(problem["field"], "If-Match", "{problem}");
            let problem = change("7", method).await.problem(422, "invalid_field");
            assert_eq!(problem["field"], "If-Match", "{problem}");
        }
        assert_eq!(everything(&server).await, before);
        assert_eq!(change("*", Method::PATCH).await.status, 200);
    }
}

#[tokio::test] // V16
async fn a_token_does_what_its_scopes_say_and_no_more() {
    for server in servers().await {
        server.start_run("greet", json!({})).await;
        let token = async |scope: &str| {
            let made = server.post("/v1/tokens", json!({"name": scope, "scopes": [scope]}).to_string()).await;
            made.json()["token"]["token"].as_str().expect("the text").to_owned()
        };
        let requests = [
            ("runs:read", Method::GET, "/v1/runs"),
            ("runs:read", Method::GET, "/v1/apps/greet"),
            ("runs:write", Method::POST, "/v1/apps/greet/runs"),
            ("runs:write", Method::POST, "/v1/apps/greet/runs/1/events/go"),
            ("runs:read", Method::GET, "/v1/apps/greet/runs/1/events"),
            ("apps:write", Method::PATCH, "/v1/apps/greet"),
            ("apps:write", Method::GET, "/v1/secrets"),
            ("admin", Method::GET, "/v1/tokens"),
        ];
        for scope in ["runs:read", "runs:write", "apps:write", "admin"] {
            let token = token(scope).await;
            for (needed, method, path) in &requests {
                let request = server.anonymous(method.clone(), path).bearer_auth(&token).json(&json!({}));
                let answered = answer(request).await;
                if scope == *needed || scope == "admin" {
                    assert!((200..300).contains(&answered.status), "{scope} {path} {answered:?}");
                } else {
                    let problem = answered.problem(403, "forbidden");
                    assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains(needed)), "{problem}");
                }
            }
        }
    }
}
