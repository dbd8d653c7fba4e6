//! V16: tokens that are stolen, guessed, revoked, expired, or used for what is not theirs.

use libtest_mimic::Trial;
use relume_tests::server::{Answer, Server, answer};
use relume_tests::sql;
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::{Cases, test};
use crate::world::World;

pub fn tests() -> Vec<Trial> {
    vec![
        test("v16_a_token_of_some_apps_reaches_no_other", restricted),
        test("v16_a_token_that_is_revoked_expired_or_wrong_is_refused_alike", refused),
        test("v16_no_token_is_logged_or_kept", secret),
        test("v16_what_makes_no_sense_of_a_token_is_refused", senseless),
    ]
}

async fn send(server: &Server, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let mut request = server.anonymous(method, path).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    answer(request).await
}

/// A token of these scopes and apps, as `relume tokens create` makes it.
fn token(server: &Server, name: &str, scopes: &[&str], apps: &[&str]) -> String {
    let mut args = vec!["tokens", "create", name];
    args.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    args.extend(apps.iter().flat_map(|app| ["--app", app]));
    let said = server.cli(&args);
    assert_eq!(said.exit_code, 0, "{said:?}");
    said.stdout.trim().to_owned()
}

async fn restricted(cases: &mut Cases) {
    for world in World::both() {
        let server = &world.server;
        let mine = server.deploy("hello", "").await;
        let other = server.deploy("steps", "").await;
        for app in [&mine, &other] {
            let run = world.run_with(app, json!(2)).await;
            assert_eq!(run["number"], 1, "{run}");
            let schedule = json!({"app_name": app, "cron": "@yearly", "name": format!("of-{app}")});
            assert_eq!(server.post("/v1/schedules", schedule.to_string()).await.status, 201);
        }
        let all = ["runs:read", "runs:write", "apps:write"];
        let token = token(server, "ci", &all, &[&mine, "not-there-yet"]);
        let ask = async |method: &str, path: &str, body: Option<Value>| {
            send(server, &token, method.parse().expect("a method"), path, body).await
        };
        let of_other = [
            ("GET", "", None),
            ("PATCH", "", Some(json!({"description": "x"}))),
            ("PUT", "", Some(json!({"description": "x"}))),
            ("DELETE", "", None),
            ("GET", "/versions", None),
            ("POST", "/versions", None),
            ("GET", "/versions/v1", None),
            ("GET", "/runs", None),
            ("POST", "/runs", Some(json!({}))),
            ("GET", "/runs/1", None),
            ("POST", "/runs/1", None),
            ("POST", "/runs/1/retry", Some(json!({}))),
            ("POST", "/runs/1/fork", Some(json!({"from_step": 1}))),
            ("GET", "/runs/1/events", None),
            ("POST", "/runs/1/events/x", Some(json!(1))),
            ("GET", "/runs/1/journal", None),
            ("GET", "/runs/1/explain", None),
            ("GET", "/runs/1/calls", None),
            ("GET", "/runs/1/logs", None),
            ("GET", "/runs/1/logs/stream", None),
        ];
        for (method, path, body) in of_other {
            for app in [other.as_str(), "nowhere", "%73teps"] {
                let answer = ask(method, &format!("/v1/apps/{app}{path}"), body.clone()).await;
                let problem = answer.problem(403, "forbidden");
                assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("--app")), "{problem}");
                cases.add("refused");
            }
        }
        let elsewhere = [
            ("POST", "/v1/apps", Some(json!({"name": "new"}))),
            ("GET", "/v1/secrets", None),
            ("GET", "/v1/secrets/key", None),
            ("POST", "/v1/secrets", Some(json!({"name": "X", "value": "12345678"}))),
            ("DELETE", "/v1/secrets/X", None),
            ("GET", "/v1/tokens", None),
            ("POST", "/v1/tokens", Some(json!({"name": "x"}))),
            ("DELETE", "/v1/tokens/x", None),
            ("POST", "/v1/schedules", Some(json!({"app_name": other, "cron": "@yearly"}))),
            ("GET", "/v1/schedules/of-steps", None),
            ("PUT", "/v1/schedules/of-steps", Some(json!({"cron": "@daily"}))),
            ("DELETE", "/v1/schedules", Some(json!({"ids": ["of-hello", "of-steps"]}))),
            ("PATCH", "/v1/schedules/deactivate", Some(json!({"ids": ["of-steps"]}))),
            ("PATCH", "/v1/schedules/activate", Some(json!({"ids": ["of-steps"]}))),
        ];
        for (method, path, body) in elsewhere {
            ask(method, path, body).await.problem(403, "forbidden");
            cases.add("refused");
        }
        assert_eq!(server.get("/v1/schedules/of-hello").await.status, 200, "all of them or none");

        // Lists show what is its own, and count no more.
        let names = |answer: &Answer, list: &str, name: &str| {
            let json = answer.json();
            assert_eq!(json["pages"]["total"], json!(1), "{json}");
            json[list].as_array().expect("a list").iter().map(|item| item.pointer(name).cloned()).collect::<Vec<_>>()
        };
        let hello = [Some(json!("hello"))];
        assert_eq!(names(&ask("GET", "/v1/apps", None).await, "apps", "/app/name"), hello);
        assert_eq!(names(&ask("GET", "/v1/runs", None).await, "runs", "/app_name"), hello);
        assert_eq!(names(&ask("GET", "/v1/runs?page=0", None).await, "runs", "/app_name"), hello);
        assert_eq!(names(&ask("GET", "/v1/schedules", None).await, "schedules", "/app_name"), hello);
        let others = ask("GET", "/v1/schedules?app=steps", None).await.json();
        assert_eq!((&others["schedules"], &others["pages"]["total"]), (&json!([]), &json!(0)));
        cases.add("shows its own");

        assert_eq!(ask("GET", "/v1/apps/hello/runs/1/logs", None).await.status, 200);
        assert_eq!(ask("POST", "/v1/apps/hello/runs", Some(json!({}))).await.status, 201);
        assert_eq!(ask("PUT", "/v1/schedules/of-hello", Some(json!({"cron": "@daily"}))).await.status, 200);
        assert_eq!(ask("GET", "/v1/environments", None).await.status, 200);
        let told = server.get("/v1/tokens").await.json();
        let told = told["tokens"].as_array().expect("tokens").iter().find(|token| token["name"] == "ci").expect("it");
        assert_eq!(told["apps"], json!(["hello", "not-there-yet"]));
        cases.add("allowed");
    }
}

async fn refused(cases: &mut Cases) {
    for world in World::both() {
        let server = &world.server;
        let (expired, revoked) =
            (token(server, "expired", &["runs:read"], &[]), token(server, "revoked", &["runs:read"], &[]));
        for token in [&expired, &revoked] {
            assert_eq!(send(server, token, Method::GET, "/v1/runs", None).await.status, 200);
        }
        sql::run(&server.database, "update tokens set expires_at = 1 where name = 'expired'").await;
        let id = revoked.split('_').nth(1).expect("its id");
        assert_eq!(server.cli(&["tokens", "revoke", id]).exit_code, 0);
        let good = &server.token;
        let (id, secret) = good.trim_start_matches("rl_").split_once('_').expect("its parts");
        let flipped: String = secret.chars().rev().collect();
        let wrong = [
            expired.clone(),
            revoked.clone(),
            format!("rl_{id}_{flipped}"),
            format!("rl_{}_{secret}", id.chars().rev().collect::<String>()),
            format!("rl_{id}_{}", "0".repeat(64)),
            format!("rl_{}_{secret}", "0".repeat(16)),
            format!("rl_{id}_"),
            "rl_".into(),
            format!("{good}0"),
            good.to_uppercase(),
            good.replace('_', "-"),
            format!("rl_%_{secret}"),
            format!("rl_' or 1=1 --_{secret}"),
        ];
        let first = send(server, &wrong[2], Method::GET, "/v1/runs", None).await;
        first.problem(401, "unauthorized");
        for token in &wrong {
            let answer = send(server, token, Method::GET, "/v1/runs", None).await;
            assert_eq!((answer.status, &answer.text), (401, &first.text), "{token}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            cases.add("refused");
        }
    }
}

async fn secret(cases: &mut Cases) {
    for world in World::both() {
        let server = &world.server;
        let made = server.post("/v1/tokens", json!({"name": "made", "scopes": ["runs:read"]}).to_string()).await.json();
        let made = made["token"]["token"].as_str().expect("its text").to_owned();
        let wrong = format!("rl_0123456789abcdef_{}", "ab".repeat(32));
        for token in [&made, &wrong, &server.token] {
            for header in ["authorization", "x-api-key"] {
                let value = if header == "authorization" { format!("Bearer {token}") } else { token.clone() };
                let request = server.anonymous(Method::GET, "/v1/runs").header(header, value);
                assert!(matches!(answer(request).await.status, 200 | 401));
            }
            let secret = token.rsplit('_').next().expect("its secret");
            let logged = server.process.said();
            let logged =
                logged.iter().filter(|line| !line.starts_with("token: ")).cloned().collect::<Vec<_>>().join("\n");
            assert!(logged.contains("DEBUG") && !logged.contains(secret), "{logged}");
            let kept = sql::lines(&server.database, "select name || ' ' || token_id || ' ' || scopes from tokens")
                .await
                .join("\n");
            assert!(!kept.contains(secret) && !server.get("/v1/tokens").await.text.contains(secret));
            cases.add("not found");
        }
    }
}

async fn senseless(cases: &mut Cases) {
    let server = Server::sqlite();
    let many: Vec<_> = (0..101).map(|n| format!("app-{n}")).collect();
    for (body, field) in [
        (json!({"name": "x", "apps": ["a"]}), "apps"),
        (json!({"name": "x", "scopes": ["admin"], "apps": ["a"]}), "apps"),
        (json!({"name": "x", "scopes": ["runs:read", "admin"], "apps": ["a"]}), "apps"),
        (json!({"name": "x", "scopes": ["runs:read"], "apps": []}), "apps"),
        (json!({"name": "x", "scopes": ["runs:read"], "apps": ["../x"]}), "apps"),
        (json!({"name": "x", "scopes": ["runs:read"], "apps": ["a,b"]}), "apps"),
        (json!({"name": "x", "scopes": ["runs:read"], "apps": many}), "apps"),
        (json!({"name": "x", "scopes": ["root"]}), "scopes"),
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "x", "expires_in_seconds": 0}), "expires_in_seconds"),
    ] {
        let problem = server.post("/v1/tokens", body.to_string()).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{problem}");
        cases.add("refused");
    }
}
