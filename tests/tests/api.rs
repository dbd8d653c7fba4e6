//! What a client of the HTTP API sees when all goes well, and when servers die.

use std::time::Duration;

use relume_tests::guests;
use relume_tests::node::Node;
use relume_tests::postgres::Postgres;
use relume_tests::process::Process;
use relume_tests::server::{Server, answer};
use relume_tests::shop::{self, Shop};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A server on each store, with what is needed to execute runs beside it.
async fn nodes() -> [(Server, Node); 2] {
    let (first, second) = (Server::sqlite(), Server::postgres());
    let nodes = (Node::at(first.database.clone()).await, Node::at(second.database.clone()).await);
    [(first, nodes.0), (second, nodes.1)]
}

/// The run when it is final.
async fn final_run(server: &Server, node: &Node, run: &Value) -> Value {
    let (app, number) = (run["app_name"].as_str().expect("an app"), run["number"].as_i64().expect("a number"));
    let stored = node.store.find_run(app, number).await.expect("the run");
    node.wait_until(&stored, |run| !run.status.is_active()).await;
    server.get(run["$link"].as_str().expect("a path")).await.json()["run"].clone()
}

fn path(run: &Value, below: &str) -> String {
    format!("{}{below}", run["$link"].as_str().expect("a path"))
}

fn length(list: &Value) -> usize {
    list.as_array().unwrap_or_else(|| panic!("no list: {list}")).len()
}

#[tokio::test] // R50
async fn the_same_upload_twice_is_one_version_and_a_change_is_another() {
    for (server, _) in nodes().await {
        let app = server.deploy("hello", "").await;
        let component = || std::fs::read(guests::path("hello")).expect("it was built");
        let version = async |manifest: &str| server.upload(&app, component(), manifest).await.json()["version"].clone();
        assert_eq!(version("").await["version"], "v1");
        let other = version("[limits]\nmemory_mib = 64\n").await;
        assert_eq!((&other["version"], &other["settings"]["limits"]["memory_mib"]), (&json!("v2"), &json!(64)));
        assert_eq!((&other["durable"], &other["size_bytes"]), (&json!(true), &json!(component().len())));
        assert!(
            other["imports"]
                .as_array()
                .is_some_and(|all| all.iter().any(|name| name == "relume:durable/journal@0.2.0")),
            "{other}"
        );
        let listed = server.get("/v1/apps/hello/versions").await.json();
        assert_eq!(length(&listed["versions"]), 2, "{listed}");
        assert_eq!(server.get("/v1/apps/hello").await.json()["app"]["version"], "v2");
        let first = server.start_run(&app, json!({"version": "v1", "input": {"name": "Ada"}})).await;
        assert_eq!(first["app_version"], "v1");
        assert_eq!(server.start_run(&app, json!({})).await["app_version"], "v2");
    }
}

#[tokio::test] // R9, R10, R11, R20
async fn a_run_is_shown_with_its_attempts_output_log_and_steps() {
    for (server, node) in nodes().await {
        let app = server.deploy("steps", "").await;
        let started = server.start_run(&app, json!({"input": 3, "parameters": {"B": "2", "A": "1"}})).await;
        assert_eq!((&started["status"], &started["number"]), (&json!("pending"), &json!(1)));
        let _worker = node.worker();
        let run = final_run(&server, &node, &started).await;
        assert_eq!((&run["status"], &run["status_group"]), (&json!("exited"), &json!("successful")), "{run}");
        assert_eq!((&run["exit_code"], &run["output"], &run["input"]), (&json!(0), &json!(6), &json!(3)));
        assert_eq!(run["parameters"], json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));
        let attempt = &run["attempts"][0];
        assert_eq!(
            (&attempt["seq"], &attempt["status"], &attempt["exit_code"]),
            (&json!(1), &json!("exited"), &json!(0))
        );
        assert!(
            attempt["fuel_used"].as_u64() > Some(0) && attempt["peak_memory_bytes"].as_u64() > Some(0),
            "{attempt}"
        );

        let log = server.get(&path(&run, "/logs")).await.json();
        let lines: Vec<_> =
            log["log_lines"].as_array().expect("lines").iter().map(|line| line["content"].clone()).collect();
        assert_eq!(lines, ["executing step-1", "executing step-2", "executing step-3"]);
        let line = &log["log_lines"][0];
        assert_eq!(
            (&line["attempt_seq"], &line["channel"], &line["run_id"]),
            (&json!(1), &json!("program"), &run["run_id"])
        );
        let rest = server.get(&path(&run, &format!("/logs?after={}", line["line_num"]))).await.json();
        assert_eq!(length(&rest["log_lines"]), 2);

        let steps = server.get(&path(&run, "/journal?limit=2")).await.json();
        let names: Vec<_> = steps["steps"].as_array().expect("steps").iter().map(|step| step["name"].clone()).collect();
        assert_eq!((names, &steps["next_after"]), (vec![json!("step-1"), json!("step-2")], &json!(2)));
        let last = server.get(&path(&run, "/journal?after=2")).await.json();
        assert_eq!((&last["steps"][0]["output"], &last["next_after"]), (&json!(3), &Value::Null));
    }
}

#[tokio::test] // R2, R6, R9, R11
async fn a_failed_run_tells_each_attempt_and_its_log() {
    for (server, node) in nodes().await {
        let app = server.deploy("context", "").await;
        let policy = json!({"max_retries": 1, "retry_delay_seconds": 0, "use_exponential_backoff": false});
        let _worker = node.worker();
        let ok = server.start_run(&app, json!({"retry_policy": policy})).await;
        assert_eq!(ok["retry_policy"], policy);
        assert_eq!(server.get("/v1/apps/context").await.json()["app"]["retry_policy"]["max_retries"], 0);
        final_run(&server, &node, &ok).await;

        let app = server.deploy("return_error", "").await;
        let failed = server.start_run(&app, json!({"retry_policy": policy})).await;
        let run = final_run(&server, &node, &failed).await;
        assert_eq!(
            (&run["status"], &run["status_group"], &run["num_attempts"]),
            (&json!("crashed"), &json!("failed"), &json!(2))
        );
        let failure = &run["failure"];
        assert_eq!((&failure["class"], &failure["kind"]), (&json!("crashed"), &json!("error")), "{failure}");
        assert_eq!(failure["message"], "cannot open the shop: the key is lost");
        assert_eq!((length(&run["attempts"]), &run["attempts"][0]["failure"]), (2, failure));
        let all = server.get(&path(&run, "/logs")).await.json();
        let second = server.get(&path(&run, "/logs?attempt=2")).await.json();
        let of_second = |line: &&Value| line["attempt_seq"] == 2;
        let expected: Vec<_> = all["log_lines"].as_array().expect("lines").iter().filter(of_second).cloned().collect();
        assert_eq!(second["log_lines"], json!(expected));
    }
}

#[tokio::test] // R9, R13
async fn lists_are_filtered_by_status_and_go_on_page_by_page() {
    for (server, node) in nodes().await {
        let app = server.deploy("plain", "").await;
        for _ in 0..5 {
            server.start_run(&app, json!({})).await;
        }
        let other = server.deploy("hello", "").await;
        server.start_run(&other, json!({})).await;
        let mut seen = vec![];
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("/v1/apps/plain/runs?limit=2{cursor}")).await.json();
            let runs = page["runs"].as_array().expect("runs");
            assert!(runs.len() <= 2 && runs.iter().all(|run| run.get("attempts").is_none()), "{page}");
            seen.extend(runs.iter().map(|run| run["number"].as_i64().expect("a number")));
            match page["pages"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, [5, 4, 3, 2, 1], "newest first, each once");
        assert_eq!(length(&server.get("/v1/runs").await.json()["runs"]), 6);
        assert_eq!(answer(server.request(Method::POST, "/v1/apps/plain/runs/3")).await.status, 200);
        let cancelled = server.get("/v1/runs?status=cancelled").await.json();
        assert_eq!((length(&cancelled["runs"]), &cancelled["runs"][0]["number"]), (1, &json!(3)));
        let links = server.get("/v1/apps/plain/runs/1").await.json()["$links"].clone();
        assert_eq!((&links["prev"], &links["next_number"]), (&Value::Null, &json!(2)));
        drop(node);
    }
}

#[tokio::test] // R12
async fn a_waiting_or_running_run_is_cancelled_once() {
    for (server, node) in nodes().await {
        let shop = Shop::start();
        shop.hold("step-1");
        let app = server.deploy("effects", shop::ALLOWED).await;
        let input = json!({"input": {"url": shop.url(), "steps": 2}});
        let cancel = async |run: &Value| answer(server.request(Method::POST, &path(run, ""))).await;
        let check = async |run: &Value| {
            let cancelled = cancel(run).await;
            assert_eq!(cancelled.status, 200, "{cancelled:?}");
            let cancelled = cancelled.json()["run"].clone();
            assert_eq!(cancelled["status"], "cancelled");
            assert!(cancelled["cancelled_at"].is_string(), "{cancelled}");
            cancel(run).await.problem(409, "conflict");
        };
        let waiting = server.start_run(&app, input.clone()).await;
        check(&waiting).await;
        let _worker = node.worker();
        let running = server.start_run(&app, input).await;
        shop.wait_for_call("step-1").await;
        assert_eq!(server.get(&path(&running, "")).await.json()["run"]["status"], "running");
        check(&running).await;
        shop.release("step-1");
        assert_eq!(server.get(&path(&running, "")).await.json()["run"]["status"], "cancelled");
    }
}

#[tokio::test] // V11
async fn what_a_run_asked_of_other_hosts_is_listed_without_queries_and_keys() {
    for (server, node) in nodes().await {
        let shop = Shop::start();
        let _worker = node.worker();
        let app = server.deploy("fetch", shop::ALLOWED).await;
        let shop_at = shop.url().replace("http://", "");
        let ask = |authority: &str| json!({"authority": authority, "path": "/charge?key=secret", "method": "POST"});
        let asks = json!({"asks": [ask(&shop_at), ask("elsewhere.example"), ask(&format!("me:secret@{shop_at}"))]});
        let run = server.start_run(&app, json!({"input": asks})).await;
        node.wait_until(&node.store.find_run(&app, 1).await.expect("it is there"), |run| !run.status.is_active()).await;
        let first = server.get(&path(&run, "/calls?limit=2")).await.json();
        let second = server.get(&path(&run, "/calls?after=2")).await.json();
        assert_eq!((&first["next_after"], &second["next_after"]), (&json!(2), &Value::Null));
        let [sent, refused, odd] = [&first["calls"][0], &first["calls"][1], &second["calls"][0]];
        let told =
            [&sent["status"], &sent["url"], &sent["method"], &sent["error"], &sent["step_seq"], &sent["attempt_seq"]];
        let url = format!("{}/charge", shop.url());
        assert_eq!(told, [&json!(200), &json!(url), &json!("POST"), &Value::Null, &json!(1), &json!(1)], "{sent}");
        assert!(sent["bytes_in"].as_u64() > Some(0), "{sent}");
        assert_eq!((&refused["status"], &refused["url"]), (&Value::Null, &json!("http://elsewhere.example/charge")));
        let why = refused["error"].as_str().expect("it says why");
        assert!(why.contains("add \"http://elsewhere.example\" to `allowed_hosts`"), "{why}");
        assert!(odd["error"].as_str().is_some_and(|why| why.contains("names a user")), "{odd}");
        let typed = server.cli(&["runs", "calls", "fetch#1"]).stdout;
        assert!(typed.lines().count() == 4 && typed.contains("/charge") && !typed.contains("secret"), "{typed}");
        let log = server.get(&path(&run, "/logs")).await.text;
        assert!(log.contains("elsewhere.example") && !log.contains("secret"), "{log}");
    }
}

#[tokio::test] // V16
async fn a_revoked_token_stops_working_at_once() {
    for (server, _) in nodes().await {
        let created = server.post("/v1/tokens", r#"{"name": "laptop"}"#).await;
        assert_eq!(created.status, 201);
        let token = created.json()["token"].clone();
        let (id, text) = (token["id"].as_str().expect("an id"), token["token"].as_str().expect("its text"));
        let listed = server.get("/v1/tokens").await;
        assert!(listed.json()["tokens"].as_array().is_some_and(|all| all.iter().any(|t| t["id"] == id)), "{listed:?}");
        assert!(!listed.text.contains(text.rsplit('_').next().expect("a secret")), "shown once");
        let ask = async || answer(server.anonymous(Method::GET, "/v1/apps").bearer_auth(text)).await.status;
        assert_eq!(ask().await, 200);
        let revoke = async || answer(server.request(Method::DELETE, &format!("/v1/tokens/{id}"))).await;
        let followed =
            server.anonymous(Method::GET, "/v1/runs/stream").bearer_auth(text).send().await.expect("a stream");
        assert_eq!(followed.status(), 200);
        assert_eq!(revoke().await.status, 204);
        assert_eq!(ask().await, 401);
        followed.bytes().await.expect("the stream ends");
        revoke().await.problem(404, "not_found");
    }
}

/// A connection that follows a log.
struct Follower {
    response: reqwest::Response,
    text: String,
}

impl Follower {
    async fn open(server: &Server, run: &Value, last_event_id: Option<&str>) -> Follower {
        let mut request = server.request(Method::GET, &path(run, "/logs/stream"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Follower { response, text: String::new() }
    }

    /// The next event: its name, its id, its data. `None` when the server has closed the stream.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim().to_owned());
                let told = (field("event:"), field("id:").unwrap_or_default(), field("data:"));
                self.text = rest.to_owned();
                // Comments keep the connection alive.
                let (Some(name), id, Some(data)) = told else { continue };
                return Some((name, id, serde_json::from_str(&data).expect("JSON")));
            }
            let chunk = self.response.chunk().await.expect("the stream")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The rest: the contents of all lines, and what was said at the end.
    async fn rest(&mut self) -> (Vec<String>, Value) {
        let mut lines = vec![];
        while let Some((name, _, data)) = self.next().await {
            match name.as_str() {
                "log" => lines.push(data["content"].as_str().expect("text").to_owned()),
                _ => return (lines, data),
            }
        }
        panic!("the stream ended without a word after {lines:?}");
    }
}

#[tokio::test] // R11
async fn a_log_is_followed_live_and_gone_on_with_after_a_break() {
    for (server, node) in nodes().await {
        let shop = Shop::start();
        shop.hold("pack");
        let app = server.deploy("order-pipeline", shop::ALLOWED).await;
        let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
        let run = server.start_run(&app, json!({"input": order, "parameters": {"SHOP_URL": shop.url()}})).await;
        let mut follower = Follower::open(&server, &run, None).await;
        let _worker = node.worker();
        shop.wait_for_call("pack").await;
        // These arrive while the guest waits for the shop.
        let mut last_id = String::new();
        for expected in ["reserve", "charge", "pack"] {
            let (name, id, line) = follower.next().await.expect("a line");
            assert_eq!(
                (name.as_str(), line["content"].as_str()),
                ("log", Some(format!("{expected}: order 7, lamp").as_str()))
            );
            assert_eq!(id, line["line_num"].to_string());
            if expected == "charge" {
                last_id = id;
            }
        }
        let mut resumed = Follower::open(&server, &run, Some(&last_id)).await;
        let mut late = Follower::open(&server, &run, Some("not a number")).await;
        shop.release("pack");
        let rest = |words: &[&str]| words.iter().map(|word| format!("{word}: order 7, lamp")).collect::<Vec<_>>();
        for (follower, words) in [
            (&mut follower, ["ship", "notify"].as_slice()),
            (&mut resumed, &["pack", "ship", "notify"]),
            (&mut late, &["reserve", "charge", "pack", "ship", "notify"]),
        ] {
            let (lines, end) = follower.rest().await;
            assert_eq!((lines, &end["end_of_stream"]), (rest(words), &json!(true)), "{end}");
            assert!(follower.next().await.is_none(), "the server closes it");
        }
    }
}

#[tokio::test] // R40, R53
async fn readiness_follows_the_database_and_health_does_not() {
    let mut postgres = Postgres::start();
    let server = Server::on(postgres.database());
    let ask = async |path: &str| answer(server.anonymous(Method::GET, path)).await;
    assert_eq!((ask("/healthz").await.status, ask("/readyz").await.status), (200, 200));
    // A connection of the database may outlive it for a moment, and the first one after it may come too early.
    let ready = async |status: u16| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = ask("/readyz").await;
            if answer.status == status {
                return answer;
            }
            assert!(Instant::now() < deadline, "never {status}, but {answer:?}");
        }
    };
    postgres.kill();
    let down = ready(503).await;
    down.problem(503, "unavailable");
    assert!(down.headers.contains_key("retry-after"));
    assert_eq!(ask("/healthz").await.status, 200);
    let (list, create) = tokio::join!(server.get("/v1/apps"), server.post("/v1/apps", r#"{"name": "greet"}"#));
    list.problem(503, "unavailable");
    create.problem(503, "unavailable");
    postgres.restart();
    ready(200).await;
    assert_eq!(server.get("/v1/apps").await.json()["apps"], json!([]));
}

#[tokio::test] // R40
async fn a_run_outlives_the_server_that_took_it() {
    let shop = Shop::start();
    shop.hold("ship");
    let mut first = Server::postgres();
    let node = Node::at(first.database.clone()).await;
    let app = first.deploy("order-pipeline", shop::ALLOWED).await;
    let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
    let run = first.start_run(&app, json!({"input": order, "parameters": {"SHOP_URL": shop.url()}})).await;
    let _worker = Process::worker(&first.database, 15, &[]);
    shop.wait_for_call("ship").await;
    first.process.kill();
    let second = first.another();
    assert_eq!(second.get(&path(&run, "")).await.json()["run"]["status"], "running");
    shop.release("ship");
    let run = final_run(&second, &node, &run).await;
    assert_eq!((&run["status"], &run["output"]["order"]), (&json!("exited"), &json!(7)), "{run}");
    assert_eq!((length(&run["attempts"]), &run["attempts"][0]["recoveries"]), (1, &json!(0)));
    let said = second.process.said();
    assert!(!said.iter().any(|line| line.contains("token: ")), "a second server makes no token: {said:?}");
}
