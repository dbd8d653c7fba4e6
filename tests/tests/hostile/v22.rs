//! V22: callers that ask too often, too slowly, too much, or stay.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::Trial;
use relume_tests::node::Node;
use relume_tests::server::{Server, answer};
use relume_tests::sql;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::report::{Cases, test};
use crate::world::World;

pub fn tests() -> Vec<Trial> {
    vec![
        test("v22_a_token_that_asks_too_often_is_told_when_to_come_back", often),
        test("v22_who_guesses_tokens_is_stopped_and_who_has_one_is_not", guesses),
        test("v22_one_address_does_not_take_all_connections", connections),
        test("v22_slow_heads_and_bodies_are_cut_and_disturb_no_one", slow),
        test("v22_heads_and_bodies_that_are_too_large_are_refused", large),
        test("v22_two_thousand_followers_keep_memory_bounded", followers),
        test("v22_no_list_is_larger_than_memory_should_be", lists),
        test("v22_metrics_are_told_at_the_admin_address_alone", metrics),
    ]
}

/// A policy in a file that stays until the test is over.
fn policy(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, format!("[api]\n{text}\n")).expect("it is written");
    (folder, path)
}

fn server_with(text: &str) -> Server {
    let (_folder, path) = policy(text);
    Server::sqlite_with(&["--policy", path.to_str().expect("text")], &[])
}

fn address(server: &Server) -> &str {
    server.url.trim_start_matches("http://")
}

async fn often(cases: &mut Cases) {
    let server = server_with("requests_per_second = 1\nrequest_burst = 20");
    let other = server.cli(&["tokens", "create", "other", "--scope", "runs:read"]).stdout.trim().to_owned();
    let mut limited = 0;
    for _ in 0..60 {
        let answer = server.get("/v1/apps").await;
        if answer.status == 429 {
            limited += 1;
            let problem = answer.problem(429, "too_many_requests");
            assert!(problem["detail"].as_str().is_some_and(|text| text.contains("this token")), "{problem}");
            let seconds: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("a number");
            assert!((1..=20).contains(&seconds), "{seconds}");
            cases.add("429");
        }
    }
    assert!(limited >= 20, "{limited} of 60 were over 20 and what came in meanwhile");
    assert_eq!(answer(server.anonymous(Method::GET, "/v1/runs").bearer_auth(other)).await.status, 200);
    // What is open to everybody has a rate too.
    let mut statuses = BTreeSet::new();
    for _ in 0..60 {
        statuses.insert(answer(server.anonymous(Method::GET, "/readyz")).await.status);
    }
    assert_eq!(statuses, BTreeSet::from([200, 429]));
    cases.add("429");
}

async fn guesses(cases: &mut Cases) {
    let server = server_with("refused_per_second = 1");
    let guess = |n: u32| format!("rl_{n:016x}_{}", "0".repeat(64));
    let mut statuses = Vec::new();
    for n in 0..60 {
        let request = server.anonymous(Method::GET, "/v1/apps");
        let request = if n % 2 == 0 { request } else { request.bearer_auth(guess(n)) };
        let refused = answer(request).await;
        if refused.status == 429 {
            refused.problem(429, "too_many_requests");
            cases.add("429");
        }
        statuses.push(refused.status);
        assert_eq!(server.get("/v1/apps").await.status, 200, "who has a token is not disturbed");
    }
    assert!(statuses[..10].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() >= 20, "{statuses:?}");
}

async fn connections(cases: &mut Cases) {
    let server = server_with("connections_per_address = 20");
    // It has a connection of its own, as a rule.
    assert_eq!(server.get("/v1/apps").await.status, 200);
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let mut connection = TcpStream::connect(address(&server)).expect("the port is there");
        connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        // Who was not let in may not even get this far.
        let _ = connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut answer = [0; 12];
        match connection.read_exact(&mut answer) {
            Ok(()) => open.push(connection),
            Err(_) => {
                refused += 1;
                cases.add("not let in");
            }
        }
    }
    assert!((18..=20).contains(&open.len()) && refused >= 20, "{} open, {refused} refused", open.len());
    drop(open);
    loop {
        // As soon as the server has noticed.
        let mut connection = TcpStream::connect(address(&server)).expect("the port is there");
        let _ = connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        if connection.read_exact(&mut [0; 12]).is_ok() {
            break;
        }
    }
}

async fn slow(cases: &mut Cases) {
    let server = Server::sqlite();
    let begun = Instant::now();
    let head = format!(
        "POST /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        server.token
    );
    let mut sockets = tokio::task::JoinSet::new();
    for n in 0..200_u32 {
        let (address, head) = (address(&server).to_owned(), head.clone());
        sockets.spawn(async move {
            let mut connection = tokio::net::TcpStream::connect(address).await.expect("the port is there");
            if n % 2 == 1 {
                connection
                    .write_all(format!("{head}Content-Length: 1000\r\n\r\n").as_bytes())
                    .await
                    .expect("it is read");
            }
            let (mut reader, mut writer) = connection.into_split();
            let drip = async {
                for byte in head.as_bytes().iter().cycle() {
                    if writer.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                std::future::pending::<()>().await
            };
            let mut said = Vec::new();
            tokio::select! {
                _ = reader.read_to_end(&mut said) => {}
                () = drip => {}
            }
            (n, String::from_utf8_lossy(&said).into_owned())
        });
    }
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(server.get("/v1/apps").await.status, 200);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while let Some(ended) = timeout(Duration::from_secs(90), sockets.join_next()).await.expect("each is cut") {
        let (n, said) = ended.expect("no panic");
        assert!(n % 2 == 0 || said.starts_with("HTTP/1.1 408"), "{n}: {said}");
        cases.add(if n % 2 == 0 { "cut" } else { "408" });
    }
    assert!(begun.elapsed() > Duration::from_secs(25), "they had their time: {:?}", begun.elapsed());
}

async fn large(cases: &mut Cases) {
    let server = Server::sqlite();
    server.deploy("hello", "").await;
    let status = async |head: String| {
        let mut connection = tokio::net::TcpStream::connect(address(&server)).await.expect("the port is there");
        let _ = connection.write_all(head.as_bytes()).await;
        let mut said = [0; 12];
        let read =
            timeout(Duration::from_secs(60), connection.read_exact(&mut said)).await.expect("an answer or an end");
        read.map_or(0, |_| String::from_utf8_lossy(&said[9..]).parse().unwrap_or(0))
    };
    let end = "Connection: close\r\n\r\n";
    for (what, head) in [
        ("101 headers", format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}{end}", "X: y\r\n".repeat(101))),
        ("a header of 1 MiB", format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n{end}", "y".repeat(1 << 20))),
        ("a path of 1 MiB", format!("GET /{} HTTP/1.1\r\nHost: x\r\n{end}", "y".repeat(1 << 20))),
        ("a header without an end", format!("GET /healthz HTTP/1.1\r\n{}", "y".repeat(1 << 20))),
        ("no HTTP", format!("{}\r\n\r\n", "\0\u{1}\u{2}".repeat(100))),
        (
            "two lengths",
            format!("POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n{end}xx"),
        ),
        ("a length that is no number", format!("POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n{end}")),
        (
            "a length and chunks",
            format!(
                "POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n{end}0\r\n\r\n"
            ),
        ),
    ] {
        let status = status(head).await;
        assert!(status == 0 || (400..500).contains(&status), "{what}: {status}");
        cases.add("refused");
    }
    let body = format!("\"{}\"", "x".repeat(5 << 20));
    for (method, path) in [
        (Method::POST, "/v1/apps"),
        (Method::PATCH, "/v1/apps/hello"),
        (Method::PUT, "/v1/apps/hello"),
        (Method::POST, "/v1/apps/hello/runs"),
        (Method::POST, "/v1/apps/hello/runs/1/retry"),
        (Method::POST, "/v1/apps/hello/runs/1/fork"),
        (Method::POST, "/v1/apps/hello/runs/1/events/x"),
        (Method::POST, "/v1/schedules"),
        (Method::PUT, "/v1/schedules/x"),
        (Method::DELETE, "/v1/schedules"),
        (Method::PATCH, "/v1/schedules/activate"),
        (Method::PATCH, "/v1/schedules/deactivate"),
        (Method::POST, "/v1/secrets"),
        (Method::PUT, "/v1/secrets/X"),
        (Method::POST, "/v1/tokens"),
    ] {
        let request =
            server.request(method.clone(), path).header("content-type", "application/json").body(body.clone());
        answer(request).await.problem(413, "too_large");
        cases.add("413");
    }
    let many = json!({"parameters": {"P": "x".repeat(65 << 10)}}).to_string();
    assert_eq!(server.post("/v1/apps/hello/runs", many).await.problem(422, "invalid_field")["field"], "parameters");
    cases.add("422");
}

/// How much memory a process has.
fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

async fn followers(cases: &mut Cases) {
    const CONNECTIONS: u64 = 2_000;
    let server = Server::sqlite();
    let app = server.deploy("hello", "").await;
    // There is no worker: the run, and whoever follows it, waits.
    let run = server.start_run(&app, json!({})).await;
    let before = resident_bytes(server.process.id());
    let request = format!(
        "GET /v1/apps/{app}/runs/{}/logs/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        run["number"], server.token
    );
    let (mut open, mut statuses) = (Vec::new(), [0, 0]);
    for _ in 0..CONNECTIONS {
        let mut connection = tokio::net::TcpStream::connect(address(&server)).await.expect("the port is there");
        connection.write_all(request.as_bytes()).await.expect("it is read");
        let mut said = [0; 12];
        timeout(Duration::from_secs(60), connection.read_exact(&mut said)).await.expect("in time").expect("an answer");
        match &said {
            b"HTTP/1.1 200" => statuses[0] += 1,
            b"HTTP/1.1 429" => statuses[1] += 1,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
        open.push(connection);
    }
    assert_eq!(statuses, [1_000, 1_000], "as many follow as may");
    let each = resident_bytes(server.process.id()).saturating_sub(before) / CONNECTIONS;
    println!("v22: {CONNECTIONS} connections, 1,000 of them followers, take {} KiB each", each >> 10);
    assert!(each < 64 << 10, "{each} bytes a connection: 10,000 would take {} MiB", (each * 10_000) >> 20);
    assert_eq!(server.get("/v1/apps").await.status, 200, "and others are served");
    cases.add("bounded");
    drop(open);
    // The places are free again.
    loop {
        let response =
            server.request(Method::GET, &format!("/v1/apps/{app}/runs/1/logs/stream")).send().await.expect("an answer");
        if response.status() == 200 {
            break;
        }
    }
}

/// All pages of a list: their sizes, and how many entries there were. The next begins after `next_after`.
async fn pages(server: &Server, path: &str, list: &str, cases: &mut Cases) -> usize {
    let (mut after, mut count, mut number) = (String::new(), 0, 0);
    loop {
        let page = server.get(&format!("{path}?limit=100{after}")).await;
        assert_eq!(page.status, 200);
        // JSON within JSON has more escapes.
        assert!(page.text.len() < 26 << 20, "a page of {path} has {} MiB", page.text.len() >> 20);
        let json = page.json();
        count += json[list].as_array().expect("a list").len();
        number += 1;
        match &json["next_after"] {
            Value::Null => break,
            next => after = format!("&after={}", next.to_string().trim_matches('"')),
        }
    }
    assert!(number > 1, "{path} had one page");
    cases.add("bounded");
    count
}

async fn lists(cases: &mut Cases) {
    for world in World::both() {
        let server = &world.server;
        let app = server.deploy("hello", "").await;
        let node = Node::at(server.database.clone()).await;
        let later = server.start_run(&app, json!({"scheduled_at": "2199-01-01T00:00:00Z"})).await;
        let path = format!("/v1/apps/{app}/runs/{}", later["number"]);
        let payload = format!("\"{}\"", "x".repeat((4 << 20) - 2));
        for _ in 0..7 {
            assert_eq!(server.post(&format!("{path}/events/big"), payload.clone()).await.status, 201);
        }
        assert_eq!(pages(server, &format!("{path}/events"), "events", cases).await, 7);

        let run_id = later["run_id"].as_str().expect("an id");
        let (id, blob) = match server.database.starts_with("sqlite") {
            true => (format!("x'{}'", run_id.replace('-', "")), "zeroblob(4000000)"),
            false => (format!("'{run_id}'"), "decode(repeat('00', 4000000), 'hex')"),
        };
        for seq in 1..=7 {
            sql::run(&server.database, &format!(
                "insert into journal (run_id, seq, attempt, version, kind, name, occurrence, request, state, payload, tries, \
                 tries_before, seeds, took_us, fuel, peak_memory_bytes, bytes_in, bytes_out, recorded_at) \
                 values ({id}, {seq}, 1, 1, 'step', 's{seq}', 1, {empty}, 'finished', {blob}, 1, 0, 0, 0, 0, 0, 0, 0, 1)",
                empty = if server.database.starts_with("sqlite") { "x''" } else { "''" },
            )).await;
        }
        assert_eq!(pages(server, &format!("{path}/journal"), "steps", cases).await, 7);
        for line in 1..=1_000 {
            let text =
                if server.database.starts_with("sqlite") { "printf('%.16000c', 'x')" } else { "repeat('x', 16000)" };
            sql::run(&server.database, &format!(
                "insert into logs (run_id, line_num, attempt, channel, content, reported_at) values ({id}, {line}, 1, 'program', {text}, 1)"
            )).await;
            if line % 200 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let whole = server.get(&format!("{path}/logs?limit=1000")).await;
        assert!(whole.text.len() < 10 << 20 && whole.json()["next_after"].is_i64(), "{} bytes", whole.text.len());
        let all = server.get(&format!("{path}/logs")).await.json();
        assert_eq!(all["log_lines"].as_array().map(Vec::len), Some(1_000), "what is streamed is whole");
        cases.add("bounded");

        let value = "x".repeat(60_000);
        for _ in 0..260 {
            server.start_run(&app, json!({"scheduled_at": "2199-01-01T00:00:00Z", "parameters": {"P": value}})).await;
        }
        let runs = server.get("/v1/runs?page=0").await;
        assert!(runs.text.len() < 17 << 20, "{} MiB", runs.text.len() >> 20);
        assert!(runs.json()["pages"]["next_cursor"].is_string(), "there is more");
        let apps = server.get("/v1/apps").await;
        assert!(apps.text.len() < 4 << 20, "{} MiB", apps.text.len() >> 20);
        cases.add("bounded");
        drop(node);
    }
}

async fn metrics(cases: &mut Cases) {
    let world = World::sqlite(&["--admin-listen", "127.0.0.1:0"]);
    let server = &world.server;
    let said = server.process.said();
    let admin = said.iter().find_map(|line| line.strip_prefix("admin address ")).expect("it says where");
    let get = async |path: &str| {
        let response = reqwest::get(format!("{admin}{path}")).await.expect("it answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    };
    let app = server.deploy("echo_stdin", "").await;
    world.run_with(&app, json!({})).await;
    let odd = Method::from_bytes(b"BREW").expect("a method");
    answer(server.request(odd, "/v1/apps")).await;
    server.get("/v1/apps/some-name-that-a-caller-chose/runs").await;
    server.get("/nothing/chosen-by-a-caller").await;
    let (status, text) = get("/metrics").await;
    assert_eq!(status, 200);
    for expected in [
        "# TYPE relume_api_requests_total counter",
        "# HELP relume_api_request_seconds ",
        "relume_api_requests_total{method=\"POST\",route=\"/v1/apps/{app}/runs\",status=\"201\"} 1",
        "relume_uploads_total{outcome=\"accepted\"} 1",
        "method=\"other\"",
        "relume_api_connections ",
    ] {
        assert!(text.contains(expected), "no `{expected}` in {text}");
    }
    for chosen in ["some-name", "chosen-by", "BREW", "echo-stdin", &server.token] {
        assert!(!text.contains(chosen), "`{chosen}` in {text}");
    }
    assert_eq!((get("/healthz").await.0, get("/readyz").await.0, get("/v1/apps").await.0), (200, 200, 404));
    let main = server.get("/metrics").await;
    main.problem(404, "unknown_path");
    assert_eq!(server.get("/healthz").await.status, 200);
    cases.add("told");

    // A worker has one, too.
    let args = ["worker", "--database", &server.database, "--admin-listen", "127.0.0.1:0", "--data-dir"];
    let folder = tempfile::tempdir().expect("a folder");
    let args = [&args[..], &[folder.path().to_str().expect("text")]].concat();
    let worker = relume_tests::process::Process::start(&args, &[crate::world::KEY]);
    let line = worker.wait_for_line("admin address ");
    let metrics = format!("{}/metrics", line.trim_start_matches("admin address "));
    drop(world.worker);
    let run = server.start_run(&app, json!({"input": "x"})).await;
    server.get(&format!("/v1/apps/{app}/runs/{}/logs/stream", run["number"])).await;
    let expected = [
        "relume_runs_claimed_total 1",
        "relume_attempts_ended_total{verdict=\"exited\",kind=\"none\"} 1",
        "relume_slots 16",
        "relume_log_lines_total ",
        "relume_claim_seconds_count ",
    ];
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = reqwest::get(&metrics).await.expect("it answers").text().await.expect("text");
        // The end is counted when it is written, a moment before or after it is seen.
        match expected.iter().find(|words| !text.contains(**words)) {
            None => break,
            Some(missing) => assert!(Instant::now() < deadline, "no `{missing}` in {text}"),
        }
    }
    cases.add("told");
}
