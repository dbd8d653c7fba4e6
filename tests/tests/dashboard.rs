//! The dashboard: with a real browser, on both stores, everything that can be clicked; and its files and login as HTTP.

use relume_tests::browser;
use relume_tests::process::Process;
use relume_tests::server::{Server, answer};
use reqwest::Method;
use serde_json::json;

/// A server, and a worker that executes what the browser starts.
fn with_worker(server: Server) -> (Server, Process) {
    let worker = Process::worker(&server.database, 15, &[]);
    (server, worker)
}

#[test] // R31, R32
fn everything_can_be_clicked_on_sqlite() {
    let (server, _worker) = with_worker(Server::sqlite());
    browser::execute("actions.mjs", &server);
}

#[test] // R31, R32
fn everything_can_be_clicked_on_postgres() {
    let (server, _worker) = with_worker(Server::postgres());
    browser::execute("actions.mjs", &server);
}

#[test] // R32
fn every_page_is_accessible() {
    let (server, _worker) = with_worker(Server::sqlite());
    browser::execute("accessible.mjs", &server);
}

#[test] // V18
fn no_text_is_taken_for_a_script() {
    let (server, _worker) = with_worker(Server::sqlite());
    browser::execute("hostile.mjs", &server);
}

#[test] // R32
fn what_is_large_stays_quick() {
    for server in [Server::sqlite(), Server::postgres()] {
        let (server, _worker) = with_worker(server);
        browser::execute("large.mjs", &server);
    }
}

/// Logs in, as a browser at `origin` does. Returns what the cookie is set to.
async fn log_in(server: &Server, origin: &str) -> String {
    let login = server.anonymous(Method::POST, "/ui/session").header("origin", origin);
    let answer = answer(login.json(&json!({"token": server.token}))).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    answer.headers["set-cookie"].to_str().expect("text").to_owned()
}

#[tokio::test] // V16
async fn a_login_is_a_cookie_that_only_the_dashboard_can_use() {
    let server = Server::sqlite();
    let cookie = log_in(&server, &server.url).await;
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    let (_, port) = server.url.rsplit_once(':').expect("a port");
    assert_eq!(pair, format!("relume_token_{port}={}", server.token));
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
        assert!(attributes.contains(attribute), "{cookie}");
    }
    assert!(!attributes.contains("Secure"), "{cookie}");
    assert_eq!(server.get("/ui/").await.status, 200);

    let with_cookie = |method, path: &str| server.anonymous(method, path).header("cookie", pair);
    assert_eq!(answer(with_cookie(Method::GET, "/v1/apps")).await.status, 200);
    let create = || with_cookie(Method::POST, "/v1/apps").json(&json!({"name": "forged"}));
    answer(create()).await.problem(403, "other_site");
    answer(create().header("origin", "https://evil.example")).await.problem(403, "other_site");
    answer(create().header("sec-fetch-site", "cross-site").header("origin", &server.url))
        .await
        .problem(403, "other_site");
    assert_eq!(answer(create().header("origin", &server.url)).await.status, 201);
    assert_eq!(answer(with_cookie(Method::GET, "/v1/apps/forged")).await.status, 200);

    let out = answer(with_cookie(Method::DELETE, "/ui/session").header("origin", &server.url)).await;
    assert!(
        out.headers["set-cookie"].to_str().expect("text").starts_with(&format!("relume_token_{port}=; ")),
        "{out:?}"
    );
}

#[tokio::test] // V16
async fn a_login_behind_tls_is_for_tls_alone_and_a_wrong_token_is_none() {
    let server = Server::sqlite();
    let host = server.url.strip_prefix("http://").expect("a host");
    let login = server.anonymous(Method::POST, "/ui/session").header("origin", format!("https://{host}"));
    let answered = answer(login.json(&json!({"token": server.token}))).await;
    assert!(answered.headers["set-cookie"].to_str().expect("text").contains("; Secure"), "{answered:?}");
    for body in [json!({"token": "rl_no"}), json!({"token": format!("{}0", server.token)})] {
        let refused =
            answer(server.anonymous(Method::POST, "/ui/session").header("origin", &server.url).json(&body)).await;
        refused.problem(401, "unauthorized");
        assert!(!refused.headers.contains_key("set-cookie"));
    }
    let without =
        answer(server.anonymous(Method::POST, "/ui/session").header("origin", &server.url).json(&json!({}))).await;
    assert_eq!(without.problem(422, "invalid_field")["field"], "token");
    let elsewhere = server.anonymous(Method::POST, "/ui/session").header("origin", "https://evil.example");
    answer(elsewhere.json(&json!({"token": server.token}))).await.problem(403, "other_site");
}

#[tokio::test] // V18
async fn the_page_may_load_nothing_but_its_own_files() {
    let server = Server::sqlite();
    let page = answer(server.anonymous(Method::GET, "/ui/apps/any/runs/7")).await;
    assert_eq!(
        (page.status, &page.headers["content-type"]),
        (200, &"text/html; charset=utf-8".parse().expect("a value"))
    );
    let policy = page.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    for link in ["\"/ui/main.js\"", "\"/ui/app.css\"", "\"/ui/icon.svg\""] {
        assert!(page.text.contains(link), "{}", page.text);
        let file = answer(server.anonymous(Method::GET, link.trim_matches('"'))).await;
        assert!(file.status == 200 && !file.text.contains("<!doctype"), "{file:?}");
        let again =
            server.anonymous(Method::GET, link.trim_matches('"')).header("if-none-match", &file.headers["etag"]);
        let again = answer(again).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""));
    }
    assert_eq!(answer(server.anonymous(Method::GET, "/")).await.status, 200, "it leads to the page");
}

/// The first event of this name on a stream.
async fn event(server: &Server, path: &str, name: &str) -> serde_json::Value {
    let mut stream = server.request(Method::GET, path).send().await.expect("an answer");
    assert_eq!(stream.status(), 200, "{path}");
    let mut text = String::new();
    while let Some(piece) = stream.chunk().await.expect("it goes on") {
        text.push_str(&String::from_utf8_lossy(&piece));
        let told = text.split("\n\n").find_map(|event| event.strip_prefix(&format!("event: {name}\ndata: ")));
        if let Some(data) = told.filter(|_| text.ends_with("\n\n")) {
            return serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
        }
    }
    panic!("no event `{name}` came: {text}")
}

#[tokio::test] // R32
async fn streams_tell_what_the_lists_tell() {
    for server in [Server::sqlite(), Server::postgres()] {
        let (server, _worker) = with_worker(server);
        server.deploy("steps", "").await;
        server.deploy("failing_step", "").await;
        let run = server.start_run("steps", json!({"input": 3})).await;
        let path = format!("/v1/apps/steps/runs/{}/stream", run["number"]);
        event(&server, &path, "end").await;
        let state = event(&server, &path, "state").await;
        assert_eq!((&state["run"]["status"], &state["reasons"][0]["code"]), (&json!("exited"), &json!("exited")));
        let steps = event(&server, &path, "steps").await;
        assert_eq!((&steps["after"], steps["steps"].as_array().map(Vec::len)), (&json!(0), Some(3)));
        let steps = event(&server, &format!("{path}?after=2"), "steps").await;
        assert_eq!((&steps["after"], &steps["steps"][0]["name"]), (&json!(2), &json!("step-3")));

        let failed = server.start_run("failing-step", json!({})).await;
        event(&server, &format!("/v1/apps/failing-step/runs/{}/stream", failed["number"]), "end").await;
        let all = event(&server, "/v1/runs/stream?limit=1", "state").await;
        assert_eq!(all["counts"], json!({"crashed": 1, "exited": 1}));
        assert_eq!(
            (all["runs"].as_array().map(Vec::len), &all["runs"][0]["app_name"]),
            (Some(1), &json!("failing-step"))
        );
        let found = event(&server, "/v1/runs/stream?query=CARD%20decl", "state").await;
        assert_eq!(found["runs"][0]["app_name"], "failing-step");
        let found = event(&server, "/v1/runs/stream?app=steps&query=card", "state").await;
        assert_eq!((found["runs"].as_array().map(Vec::len), &found["counts"]), (Some(0), &json!({})));

        let workers = event(&server, "/v1/workers/stream", "state").await;
        assert_eq!(workers["workers"].as_array().map(Vec::len), Some(1));
        assert_eq!(workers["queue"]["slots"], workers["workers"][0]["slots"]);
        let stats = server.get("/v1/runs/stats?app=steps&span=1h").await.json();
        assert_eq!(stats["buckets"][47]["counts"], json!({"exited": 1}));
        server.get("/v1/runs/stats?span=1y").await.problem(422, "invalid_field");
        server.get("/v1/runs/stats?app=nobody").await.problem(404, "not_found");
        server.get("/v1/apps/steps/runs/99/stream").await.problem(404, "not_found");
    }
}

#[tokio::test] // R6
async fn an_app_goes_back_to_an_older_version() {
    for server in [Server::sqlite(), Server::postgres()] {
        let app = server.deploy("plain", "").await;
        let component = std::fs::read(relume_tests::guests::path("steps")).expect("it was built");
        assert_eq!(server.upload(&app, component, "").await.status, 201);
        assert_eq!(server.start_run(&app, json!({})).await["app_version"], "v2");
        let back = server.cli(&["apps", "set", &app, "--version", "v1"]);
        assert_eq!(back.exit_code, 0, "{}", back.stderr);
        assert_eq!(server.start_run(&app, json!({})).await["app_version"], "v1");
        let to_none = answer(server.request(Method::PATCH, "/v1/apps/plain").json(&json!({"version": "v3"}))).await;
        to_none.problem(404, "not_found");
        let wrong = answer(server.request(Method::PATCH, "/v1/apps/plain").json(&json!({"version": "latest"}))).await;
        assert_eq!(wrong.problem(422, "invalid_field")["field"], "version");
    }
}
