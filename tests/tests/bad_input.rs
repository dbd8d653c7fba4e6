//! Whatever comes in, the answer says what is wrong, and nothing of it is kept.

use relume_tests::guests;
use relume_tests::postgres::Postgres;
use relume_tests::server::{Answer, Server, answer, data_dir};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;

/// A server on each store, with the app `greet`, which has no version.
async fn servers() -> [Server; 2] {
    let servers = [Server::sqlite(), Server::postgres()];
    for server in &servers {
        assert_eq!(server.post("/v1/apps", r#"{"name": "greet"}"#).await.status, 201);
    }
    servers
}

/// The database holds the app `greet` and the first token, and that is all.
async fn check_untouched(server: &Server) {
    let count = async |path: &str, list: &str| server.get(path).await.json()[list].as_array().map(Vec::len);
    assert_eq!(count("/v1/apps", "apps").await, Some(1));
    assert_eq!(count("/v1/apps/greet/versions", "versions").await, Some(0));
    assert_eq!(count("/v1/runs", "runs").await, Some(0));
    assert_eq!(count("/v1/tokens", "tokens").await, Some(1));
    if server.database.starts_with("postgres") {
        for table in ["versions", "artifacts", "runs", "run_io"] {
            let rows = Postgres::shared().sql(&server.database, &format!("select count(*) from {table}"));
            assert_eq!(rows, "0", "{table}");
        }
    }
}

/// The problem is about `field`, and its detail contains `words`.
fn check(answer: &Answer, status: u16, code: &str, field: Option<&str>, words: &str) {
    let problem = answer.problem(status, code);
    assert_eq!(problem["field"].as_str(), field, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "no `{words}`: {problem}");
}

/// A component of these sections, each an id and its contents.
fn component(sections: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for (id, contents) in sections {
        bytes.push(*id);
        bytes.extend(leb(contents.len()));
        bytes.extend_from_slice(contents);
    }
    bytes
}

/// One type, an instance without members; and an import of it by each name.
fn importing(names: &[String]) -> Vec<u8> {
    let mut imports = leb(names.len());
    for name in names {
        imports.push(0);
        imports.extend(leb(name.len()));
        imports.extend_from_slice(name.as_bytes());
        imports.extend_from_slice(&[5, 0]);
    }
    component(&[(7, &[1, 0x42, 0]), (10, &imports)])
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![];
    while number >= 128 {
        bytes.push((number % 128) as u8 | 128);
        number /= 128;
    }
    bytes.push(number as u8);
    bytes
}

fn hello() -> Vec<u8> {
    std::fs::read(guests::path("hello")).expect("it was built")
}

#[tokio::test] // R50, V5, V6
async fn a_file_that_is_no_app_is_refused_and_not_kept() {
    let whole = hello();
    let two = ["acme:metal/forge@1.0.0".to_owned(), "wasi:cli/stdin@0.2.3".to_owned(), "env".to_owned()];
    let many: Vec<_> = (0..65).map(|i| format!("wasi:cli/x{i}")).collect();
    let bad_code = component(&[(1, b"\0asm\x01\0\0\0\x0a\x04\x01\x02\0\xff")]);
    for server in servers().await {
        let check = async |file: Vec<u8>, code: &str, words: &str| {
            let answer = server.upload("greet", file, "").await;
            check(&answer, 422, code, Some("component"), words);
            assert!(answer.json()["hint"].is_string(), "{answer:?}");
        };
        check(vec![], "component_empty", "empty").await;
        check(b"hello, world\n".to_vec(), "not_wasm", "not WebAssembly").await;
        check(b"\x7fELF\x02\x01\x01".to_vec(), "not_wasm", "not WebAssembly").await;
        check(b"\0asm\x01\0\0\0".to_vec(), "not_a_component", "a core module, not a component").await;
        for length in [4, 6, 12, 1000, whole.len() / 2, whole.len() - 1] {
            check(whole[..length].to_vec(), "component_malformed", "cut short").await;
        }
        check(importing(&two), "unknown_imports", "does not offer: acme:metal/forge@1.0.0, env").await;
        check(importing(&many), "too_many_imports", "65 imports; the most is 64").await;
        check(importing(&[format!("wasi:cli/{}", "x".repeat(256))]), "name_too_long", "the most is 256").await;
        check(component(&[]), "no_entry", "wasi:cli/run").await;
        check(bad_code.clone(), "component_malformed", "").await;
        check_untouched(&server).await;
    }
}

#[tokio::test] // V5
async fn a_component_over_64_mib_is_refused_by_its_size() {
    for server in servers().await {
        let answer = server.upload("greet", vec![b'x'; 65 << 20], "").await;
        check(&answer, 413, "too_large", Some("component"), "64 MiB");
        check_untouched(&server).await;
    }
}

#[tokio::test] // V22
async fn an_upload_that_is_refused_at_its_head_still_gets_its_answer() {
    let server = &servers().await[0];
    let form = || Form::new().part("component", Part::bytes(vec![0; 16 << 20]));
    let send = |app: &str, token: &str| {
        let request = server.anonymous(Method::POST, &format!("/v1/apps/{app}/versions")).bearer_auth(token);
        answer(request.multipart(form()))
    };
    for _ in 0..3 {
        check(&send("nope", &server.token).await, 404, "not_found", None, "`nope`");
        check(&send("Greet", &server.token).await, 422, "invalid_field", Some("app"), "is no name");
        check(&send("greet", "rl_wrong").await, 401, "unauthorized", None, "token");
    }
    check_untouched(server).await;
}

#[tokio::test] // V15
async fn precompiled_code_is_never_taken() {
    let server = Server::sqlite();
    let app = server.deploy("hello", "").await;
    let cache = std::fs::read_dir(data_dir().join("cache")).expect("the server's cache");
    let mut files = cache.map(|entry| entry.expect("an entry").path());
    let compiled = files.find(|path| path.extension().is_some_and(|e| e == "cwasm")).expect("what it compiled");
    // The cache puts its MAC of 32 bytes in front.
    let code = std::fs::read(compiled).expect("a file")[32..].to_vec();
    assert!(code.starts_with(b"\x7fELF"), "machine code");
    let answer = server.upload(&app, code, "").await;
    check(&answer, 422, "component_precompiled", Some("component"), "never accepted");
    assert_eq!(server.get("/v1/apps/hello/versions").await.json()["versions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test] // V9
async fn an_upload_of_other_parts_is_refused_by_their_names() {
    let server = &servers().await[0];
    let upload =
        async |form: Form| answer(server.request(Method::POST, "/v1/apps/greet/versions").multipart(form)).await;
    let part = || Part::bytes(hello());
    check(&upload(Form::new().text("name", "greet")).await, 422, "invalid_field", Some("name"), "no part of an upload");
    check(&upload(Form::new()).await, 400, "invalid_multipart", None, "");
    let only_manifest = Form::new().text("manifest", "");
    check(&upload(only_manifest).await, 422, "invalid_field", Some("component"), "missing");
    let twice = Form::new().part("component", part()).part("component", part());
    check(&upload(twice).await, 422, "invalid_field", Some("component"), "twice");
    let json = server.post("/v1/apps/greet/versions", "{}").await;
    check(&json, 415, "unsupported_media_type", None, "");
    let elsewhere = server.upload("nope", hello(), "").await;
    check(&elsewhere, 404, "not_found", None, "`nope`");
    check_untouched(server).await;
}

#[tokio::test] // R3, V12
async fn a_wrong_manifest_is_refused_with_its_line_or_key() {
    let server = &servers().await[0];
    let check = async |manifest: &[u8], field: &str, words: &str| {
        check(&server.upload("greet", hello(), manifest).await, 422, "invalid_field", Some(field), words);
    };
    check(b"name = \"greet\"\ncomponent = ", "manifest", "line 2").await;
    check(b"name = \"greet\"\nmemory = 1\n", "manifest", "line 2").await;
    check(b"name = \"greet\"\nmemory = 1\n", "manifest", "`memory`").await;
    check(b"[limits]\nfuel = \"much\"\n", "manifest", "line 2").await;
    check(b"[limits]\nfuel = 99999999999999999999\n", "manifest", "line 2").await;
    check(b"[limits]\nmemory_mib = 4097\n", "limits.memory_mib", "1 to 4096").await;
    check(b"[limits]\nrunning_time_seconds = 0\n", "limits.running_time_seconds", "1 to 86400").await;
    check(b"[retry]\nmax_retries = 3\n", "manifest", "retry_delay_seconds").await;
    let retry = b"[retry]\nmax_retries = 11\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
    check(retry, "retry.max_retries", "0 to 10").await;
    check(b"name = \"order\"\n", "name", "is of the app `order`").await;
    check(b"name = \"../greet\"\n", "name", "is no name").await;
    check(b"allowed_hosts = \"*\"\n", "manifest", "line 1").await;
    check(b"[env]\n\"A=B\" = \"x\"\n", "env.A=B", "`=`").await;
    check(b"[env]\nA = \"\\u0000\"\n", "env.A", "NUL").await;
    check(b"\xff", "manifest", "UTF-8").await;
    check("x = ".bytes().chain([b'['; 20_000]).collect::<Vec<_>>().as_slice(), "manifest", "line 1").await;
    check_untouched(server).await;
}

#[tokio::test] // V13
async fn a_name_that_could_be_a_path_is_refused() {
    for server in servers().await {
        for name in
            ["..", "../greet", "a/b", "/etc", "Greet", "greet_2", "-a", "a-", "", " ", "é", "a\0", &"a".repeat(64)]
        {
            let answer = server.post("/v1/apps", json!({"name": name}).to_string()).await;
            check(&answer, 422, "invalid_field", Some("name"), "is no name");
        }
        for name in ["..%2fgreet", "..%5cgreet", "a%2fb", "Greet", "%00", "%C3%A9", "greet%20"] {
            let of_run = ["", "/logs", "/logs/stream", "/journal", "/calls"].map(|path| format!("/runs/1{path}"));
            for path in ["", "/versions", "/runs"].into_iter().chain(of_run.iter().map(String::as_str)) {
                let answer = server.get(&format!("/v1/apps/{name}{path}")).await;
                check(&answer, 422, "invalid_field", Some("app"), "is no name");
            }
            for path in ["/runs/1/retry", "/runs/1/fork", "/runs/1/events/go"] {
                let answer = server.post(&format!("/v1/apps/{name}{path}"), "{}").await;
                check(&answer, 422, "invalid_field", Some("app"), "is no name");
            }
            let answer = server.post(&format!("/v1/apps/{name}/runs"), "{}").await;
            check(&answer, 422, "invalid_field", Some("app"), "is no name");
            let answer = server.upload(name, hello(), "").await;
            check(&answer, 422, "invalid_field", Some("app"), "is no name");
        }
        for path in ["/v1/apps/%ff", "/v1/apps/%ff/runs", "/v1/apps/greet/runs/%ff"] {
            server.get(path).await.problem(422, "invalid_field");
        }
        let revoke = async |id| answer(server.request(Method::DELETE, &format!("/v1/tokens/{id}"))).await;
        check(&revoke("%ff").await, 422, "invalid_field", Some("id"), "UTF-8");
        for id in ["nope", "%00", "..%2fapps", "%C3%A9"] {
            check(&revoke(id).await, 404, "not_found", None, "does not exist");
        }
        check_untouched(&server).await;
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_with_its_place() {
    let server = &servers().await[0];
    for path in ["/v1/apps", "/v1/apps/greet/runs", "/v1/tokens"] {
        let check = async |body: &[u8], words: &str| {
            check(&server.post(path, body.to_vec()).await, 400, "invalid_json", None, words);
        };
        check(b"", "line 1 column 0").await;
        check(b"{\n  : }", "line 2 column 3").await;
        check(b"name=greet", "line 1 column 2").await;
        check(b"{} {}", "line 1 column 4").await;
        check(b"{\"\xff\": 1}", "line 1").await;
        check(b"\xef\xbb\xbf{}", "line 1 column 1").await;
    }
    // Not valid as text; a name is read, while an input is only passed on.
    check(&server.post("/v1/apps", r#"{"name": "\ud800"}"#).await, 400, "invalid_json", None, "line 1");
    let plain = server.request(Method::POST, "/v1/apps").header("content-type", "text/plain").body("{}");
    check(&answer(plain).await, 415, "unsupported_media_type", None, "text/plain");
    check_untouched(server).await;
}

#[tokio::test] // R3
async fn a_field_at_fault_is_named() {
    for server in servers().await {
        let check = async |path: &str, body: &str, field: &str, words: &str| {
            check(&server.post(path, body.to_owned()).await, 422, "invalid_field", Some(field), words);
        };
        check("/v1/apps", "{}", "name", "missing").await;
        check("/v1/apps", r#"{"name": null}"#, "name", "missing").await;
        check("/v1/apps", r#"{"name": 7}"#, "name", "expected a string").await;
        check("/v1/apps", r#"{"name": "x", "nmae": "y"}"#, "nmae", "unknown field").await;
        check("/v1/tokens", "{}", "name", "missing").await;
        check("/v1/tokens", r#"{"name": "a\nb"}"#, "name", "control characters").await;
        check("/v1/tokens", &json!({"name": "x".repeat(101)}).to_string(), "name", "100 characters").await;

        let runs = "/v1/apps/greet/runs";
        check(runs, r#"{"inptu": 1}"#, "inptu", "unknown field").await;
        for version in ["true", "-1", "1.5", "[1]", "99999999999999999999", "\"x\"", "\"v0\"", "0"] {
            check(runs, &format!(r#"{{"version": {version}}}"#), "version", "version").await;
        }
        check(runs, r#"{"parameters": ["A=B"]}"#, "parameters", "expected a map").await;
        check(runs, r#"{"parameters": {"A": 1}}"#, "parameters.A", "expected a string").await;
        check(runs, r#"{"parameters": {"A=B": ""}}"#, "parameters.A=B", "neither `=` nor NUL").await;
        check(runs, r#"{"parameters": {"A": "\u0000"}}"#, "parameters.A", "NUL").await;
        check(runs, r#"{"environment": "prod"}"#, "environment", "`prod`").await;
        check_untouched(&server).await;
    }
}

#[tokio::test] // R3
async fn a_retry_policy_out_of_range_or_partial_changes_nothing() {
    for server in servers().await {
        server.upload("greet", hello(), "").await;
        let before = server.get("/v1/apps/greet").await.text;
        let check = async |policy: &str, field: &str, words: &str| {
            let answer = server.post("/v1/apps/greet/runs", format!(r#"{{"retry_policy": {policy}}}"#)).await;
            check(&answer, 422, "invalid_field", Some(field), words);
        };
        let policy = |retries: &str, delay: &str, backoff: &str| {
            format!(
                r#"{{"max_retries": {retries}, "retry_delay_seconds": {delay}, "use_exponential_backoff": {backoff}}}"#
            )
        };
        check(&policy("11", "0", "false"), "retry_policy.max_retries", "0 to 10").await;
        check(&policy("-1", "0", "false"), "retry_policy.max_retries", "-1").await;
        check(&policy("1.5", "0", "false"), "retry_policy.max_retries", "1.5").await;
        check(&policy("4294967296", "0", "false"), "retry_policy.max_retries", "4294967296").await;
        check(&policy("1", "3601", "false"), "retry_policy.retry_delay_seconds", "0 to 3600").await;
        check(&policy("1", "0", "1"), "retry_policy.use_exponential_backoff", "boolean").await;
        check(r#"{}"#, "retry_policy.max_retries", "missing").await;
        check(r#"{"max_retries": 3}"#, "retry_policy.retry_delay_seconds", "missing").await;
        check(r#"{"max_retries": 3, "retries": 1}"#, "retry_policy.retries", "unknown field").await;
        check("3", "retry_policy", "max_retries").await;
        assert_eq!(server.get("/v1/apps/greet").await.text, before);
        assert_eq!(server.start_run("greet", json!({})).await["number"], 1);
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    for server in servers().await {
        for path in ["", "/versions", "/runs", "/runs/1", "/runs/1/logs", "/runs/1/logs/stream", "/runs/1/journal"] {
            let answer = server.get(&format!("/v1/apps/nope{path}")).await;
            check(&answer, 404, "not_found", None, "`nope");
        }
        check(&server.post("/v1/apps/nope/runs", "{}").await, 404, "not_found", None, "`nope`");
        check(&server.post("/v1/apps/nope/runs/1", "{}").await, 404, "not_found", None, "`nope#1`");
        check(&server.get("/v1/apps/greet/runs/1").await, 404, "not_found", None, "`greet#1`");
        let huge = server.get("/v1/apps/greet/runs/9223372036854775807").await;
        check(&huge, 404, "not_found", None, "`greet#9223372036854775807`");
        check(&server.post("/v1/apps/greet/runs", r#"{"version": "v9"}"#).await, 404, "not_found", None, "v9");
        check(&server.post("/v1/apps/greet/runs", "{}").await, 409, "no_version", None, "no version yet");
        check(&server.post("/v1/apps", r#"{"name": "greet"}"#).await, 409, "conflict", None, "exists already");
        for number in ["0", "-1", "x", "1.0", "9223372036854775808", "%00", "1%2F2"] {
            for path in ["", "/logs", "/journal", "/calls", "/events", "/logs/stream"] {
                let answer = server.get(&format!("/v1/apps/greet/runs/{number}{path}")).await;
                check(&answer, 422, "invalid_field", Some("number"), "is not the number of a run");
            }
            for path in ["", "/retry", "/fork", "/events/go"] {
                let answer = server.post(&format!("/v1/apps/greet/runs/{number}{path}"), "{}").await;
                check(&answer, 422, "invalid_field", Some("number"), "is not the number of a run");
            }
        }
        check_untouched(&server).await;
    }
}

#[tokio::test]
async fn a_wrong_query_is_refused_by_parameter() {
    let server = &servers().await[0];
    for (path, field) in [
        ("/v1/runs?status=done", "status"),
        ("/v1/runs?limit=0", "limit"),
        ("/v1/runs?limit=101", "limit"),
        ("/v1/runs?limit=ten", "limit"),
        ("/v1/runs?limit=1&limit=2", "limit"),
        ("/v1/runs?cursor=x", "cursor"),
        ("/v1/runs?stauts=running", "stauts"),
        ("/v1/apps?page=-1", "page"),
        ("/v1/apps/greet?runs=101", "runs"),
        ("/v1/apps/greet/runs?status=%ff", "status"),
        ("/v1/apps/greet/runs/1/logs?after=-1", "after"),
        ("/v1/apps/greet/runs/1/logs?attempt=0", "attempt"),
        ("/v1/apps/greet/runs/1/journal?limit=1001", "limit"),
        ("/v1/apps/greet/runs/1/calls?limit=1001", "limit"),
        ("/v1/apps/greet/runs/1/calls?after=-1", "after"),
    ] {
        check(&server.get(path).await, 422, "invalid_field", Some(field), "`");
    }
}

#[tokio::test]
async fn a_path_or_method_that_there_is_not_is_a_problem_too() {
    let server = &servers().await[0];
    for path in ["/v1", "/v1/nope", "/v1/apps/greet/nope", "/v2/apps", "/index.php", "/v1/apps/", "/%ff"] {
        check(&server.get(path).await, 404, "unknown_path", None, "nothing at this path");
    }
    for (method, path) in [
        (Method::DELETE, "/v1/apps"),
        (Method::PUT, "/v1/apps/greet/runs"),
        (Method::DELETE, "/v1/apps/greet/runs/1"),
        (Method::GET, "/v1/tokens/x"),
        (Method::POST, "/healthz"),
    ] {
        let answer = answer(server.request(method, path)).await;
        check(&answer, 405, "wrong_method", None, "method");
        assert!(answer.headers.contains_key("allow"), "{answer:?}");
    }
}

#[tokio::test] // V16
async fn without_a_valid_token_nothing_is_told_and_no_token_is_echoed() {
    for server in servers().await {
        let revoked = server.post("/v1/tokens", r#"{"name": "short"}"#).await.json()["token"].clone();
        let revoke = server.request(Method::DELETE, &format!("/v1/tokens/{}", revoked["id"].as_str().expect("an id")));
        assert_eq!(answer(revoke).await.status, 204);
        let revoked = revoked["token"].as_str().expect("its text").to_owned();
        let unknown = format!("rl_{}_{}", "0".repeat(16), "a".repeat(64));
        let (id, secret) = server.token.rsplit_once('_').expect("a token");
        let other_secret = format!("{id}_{}", secret.chars().rev().collect::<String>());
        let longer = format!("{}0", server.token);
        for token in [&revoked, &unknown, &other_secret, &longer, &secret.to_owned(), &"x y".to_owned(), &String::new()]
        {
            for (header, value) in [("authorization", format!("Bearer {token}")), ("x-api-key", token.clone())] {
                let answer = answer(server.anonymous(Method::GET, "/v1/apps").header(header, value)).await;
                check(&answer, 401, "unauthorized", None, "token");
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
                assert!(token.len() < 10 || !answer.text.contains(token.as_str()), "the token is echoed: {answer:?}");
            }
        }
        let basic =
            server.anonymous(Method::GET, "/v1/apps").header("authorization", format!("Basic {}", server.token));
        answer(basic).await.problem(401, "unauthorized");
        for (method, path) in [
            (Method::GET, "/v1/apps"),
            (Method::POST, "/v1/apps"),
            (Method::GET, "/v1/runs"),
            (Method::POST, "/v1/apps/greet/runs"),
            (Method::POST, "/v1/apps/greet/runs/1/retry"),
            (Method::POST, "/v1/apps/greet/runs/1/events/go"),
            (Method::POST, "/v1/apps/greet/versions"),
            (Method::GET, "/v1/apps/greet/runs/1/logs/stream"),
            (Method::POST, "/v1/tokens"),
        ] {
            answer(server.anonymous(method, path)).await.problem(401, "unauthorized");
        }
        let by_key = server.anonymous(Method::GET, "/v1/apps").header("x-api-key", &server.token);
        assert_eq!(answer(by_key).await.status, 200);
        check_untouched(&server).await;
        assert!(server.process.said().iter().filter(|line| line.contains(secret)).count() <= 1, "shown once, at first");
    }
}

#[tokio::test] // V9, V22
async fn a_body_or_input_that_is_too_large_is_refused_by_its_size() {
    for server in servers().await {
        server.upload("greet", hello(), "").await;
        let start = async |body: String| server.post("/v1/apps/greet/runs", body).await;
        let input = |bytes: usize| format!(r#"{{"input": "{}"}}"#, "x".repeat(bytes - 2));
        check(&start(input((4 << 20) + 1)).await, 413, "too_large", Some("input"), "4 MiB");
        check(&start(input(5 << 20)).await, 413, "too_large", None, "4 MiB");
        check(&start(format!("{{}}{}", " ".repeat(5 << 20))).await, 413, "too_large", None, "4 MiB");
        assert_eq!(server.get("/v1/runs").await.json()["runs"], json!([]));
        assert_eq!(start(input(4 << 20)).await.status, 201, "the largest input there may be");
    }
}

#[tokio::test] // V10
async fn odd_but_valid_json_is_an_input_like_any_other() {
    for server in servers().await {
        server.upload("greet", hello(), "").await;
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let digits = "9".repeat(1000);
        for input in [r#""\u0000""#, r#""\ud800""#, "1e999999", "-0.0", &digits, &deep, "null", r#"{"a":1,"a":2}"#] {
            let started = server.post("/v1/apps/greet/runs", format!(r#"{{"input": {input}}}"#)).await;
            assert_eq!(started.status, 201, "{started:?}");
            let number = &started.json()["run"]["number"];
            let shown = server.get(&format!("/v1/apps/greet/runs/{number}")).await;
            assert_eq!(shown.status, 200, "{shown:?}");
            // Whoever reads JSON reads this answer, whatever the input was.
            assert_eq!(&shown.json()["run"]["number"], number);
        }
        let shown = server.get("/v1/apps/greet/runs/1").await.json();
        assert_eq!(shown["run"]["input"], json!("\0"));
        let parameters = json!({"parameters": {"GREETING": "\u{202e}\u{1b}[2J 🙂", "é": ""}});
        assert_eq!(server.start_run("greet", parameters).await["parameters"][0]["value"], "\u{202e}\u{1b}[2J 🙂");
        // Deep where it means nothing.
        let deep = server.post("/v1/apps/greet/runs", format!(r#"{{"x": {deep}}}"#)).await;
        assert!(matches!(deep.status, 400 | 422), "{deep:?}");
        let unclosed = server.post("/v1/apps/greet/runs", format!(r#"{{"input": {}"#, "[".repeat(100_000))).await;
        check(&unclosed, 400, "invalid_json", None, "line 1");
    }
}
