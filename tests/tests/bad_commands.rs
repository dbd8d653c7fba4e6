//! A command that cannot be done says what, why and what next, and nothing is left of it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use relume_tests::guests;
use relume_tests::server::{Said, Server, cli};
use serde_json::json;

/// The command failed with `exit_code`, and says what, why and what next; `words` are among it.
fn check_failure(said: &Said, exit_code: i32, words: &str) {
    assert_eq!(said.exit_code, exit_code, "{said:?}");
    assert_eq!(said.stdout, "", "{said:?}");
    let mut lines = said.stderr.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with("error: ")), "{said:?}");
    assert!(said.stderr.contains("\ncause: "), "{said:?}");
    assert!(said.stderr.contains("\nhint: "), "{said:?}");
    assert!(said.stderr.contains(words), "no `{words}`: {said:?}");
}

#[tokio::test] // R54
async fn a_command_that_cannot_be_done_says_what_why_and_what_next() {
    let server = Server::sqlite();
    assert_eq!(server.post("/v1/apps", r#"{"name": "greet"}"#).await.status, 201);
    let folder = server.folder.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("a file");
    write("core.wasm", b"\0asm\x01\0\0\0");
    write("empty.wasm", b"");
    write("text.wasm", b"hello");
    write("cut.wasm", &std::fs::read(guests::path("hello")).expect("it was built")[..1000]);
    write("large.wasm", &vec![b'x'; 30 << 20]);
    write("huge.wasm", &[]);
    std::fs::File::options().write(true).open(folder.join("huge.wasm")).and_then(|f| f.set_len(65 << 20)).expect("big");
    let check = |args: &[&str], exit_code: i32, words: &str| check_failure(&server.cli(args), exit_code, words);

    check(&["deploy", "nope.wasm"], 2, "nope.wasm");
    check(&["deploy"], 2, "no component");
    check(&["deploy", "huge.wasm", "--name", "greet"], 2, "64 MiB");
    check(&["deploy", "text.wasm", "--name", "../x"], 2, "`../x` is no name");
    for file in ["core.wasm", "empty.wasm", "text.wasm", "cut.wasm"] {
        check(&["deploy", file, "--name", "greet"], 2, "`greet` cannot be deployed");
        check(&["exec", file], 2, file);
        check(&["deploy", file, "--name", "new"], 2, "`new` cannot be deployed");
    }
    check(&["exec", "nope.wasm"], 2, "nope.wasm");
    check(&["run", "greet", "--input", "{name: Ada}"], 2, "line 1 column 2");
    check(&["run", "greet", "--input", "@nope.json"], 2, "nope.json");
    check(&["run", "greet"], 1, "no version yet");
    check(&["run", "greet", "--version", "v9"], 6, "v9");
    check(&["run", "nope"], 6, "`nope`");
    check(&["run", "../x"], 2, "`../x` is no name");
    check(&["runs", "show", "nope#1"], 6, "`nope#1`");
    check(&["runs", "show", "nope"], 2, "a run has a number");
    check(&["runs", "cancel", "greet#1"], 6, "`greet#1`");
    for command in ["retry", "steps", "explain"] {
        check(&["runs", command, "greet#1"], 6, "`greet#1`");
        check(&["runs", command, "greet"], 2, "a run has a number");
    }
    check(&["runs", "fork", "greet#1", "--from-step", "1"], 6, "`greet#1`");
    check(&["run", "greet", "--deadline", "99999999999d"], 2, "--deadline 2h");
    check(&["events", "send", "greet#1", "go"], 6, "`greet#1`");
    check(&["events", "send", "greet", "go"], 2, "a run has a number");
    check(&["events", "send", "greet#1", "go", "--payload", "{by: Ada}"], 2, "line 1 column 2");
    check(&["events", "send", "greet#1", "go", "--payload", "@nope.json"], 2, "nope.json");
    check(&["events", "list", "greet#1"], 6, "`greet#1`");
    check(&["runs", "list", "--status", "done"], 2, "exited");
    check(&["runs", "list", "--cursor", "x"], 2, "cursor");
    check(&["apps", "show", "nope"], 6, "`nope`");
    check(&["tokens", "revoke", "nope"], 6, "`nope`");
    check(&["tokens", "revoke", "../apps"], 2, "id of a token");
    check(&["--server", "localhost", "apps", "list"], 2, "localhost");
    check(&["--token", "rl_wrong", "apps", "list"], 7, "token");
    // The whole of a large upload is on its way when it is refused.
    check(&["--token", "rl_wrong", "deploy", "large.wasm", "--name", "greet"], 7, "token");
    check(&["deploy", "large.wasm", "--name", "greet"], 2, "not WebAssembly");
    check(&["--server", "http://127.0.0.1:1", "apps", "list"], 10, "127.0.0.1:1");
    let apps = server.get("/v1/apps").await.json()["apps"].clone();
    assert_eq!((apps[0]["app"]["version"].clone(), &apps[1]), (json!(null), &json!(null)), "{apps}");
    assert_eq!(server.get("/v1/runs").await.json()["runs"], json!([]));

    let with_deadline = ["run", "greet", "--deadline", "soon"];
    for args in [["frobnicate"].as_slice(), &["run"], &["runs"], &["run", "greet", "--parameter", "A"], &with_deadline]
    {
        let said = server.cli(args);
        assert_eq!(said.exit_code, 2, "{said:?}");
        assert!(!said.stderr.is_empty(), "{said:?}");
    }
    for args in [
        ["events", "send", "greet#1"].as_slice(),
        &["events", "send", "greet#1", ".."],
        &["events", "send", "greet#1", ""],
        &["events", "send", "greet#1", "go", "--idempotency-key", "a b"],
        &["runs", "fork", "greet#1"],
        &["runs", "fork", "greet#1", "--from-step", "-1"],
        &["runs", "fork", "greet#1", "--from-step", "0"],
        &["runs", "retry", "greet#1", "--version", "latest"],
    ] {
        let said = server.cli(args);
        assert_eq!(said.exit_code, 2, "{said:?}");
        assert!(!said.stderr.is_empty(), "{said:?}");
    }
}

#[test] // V12
fn a_server_or_worker_without_its_database_says_so_and_shows_no_password() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "").expect("a file");
    let check = |command: &str, database: &str, exit_code: i32, words: &str| {
        let mut args = vec![command, "--data-dir", "data"];
        if command == "serve" {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        let said = cli(folder.path(), &args, &[("DATABASE_URL", database)], "");
        check_failure(&said, exit_code, words);
        assert!(!said.stderr.contains("s3cret"), "{said:?}");
    };
    for command in ["serve", "worker"] {
        check(command, "postgres://ada:s3cret@127.0.0.1:1/relume", 10, "127.0.0.1:1/relume");
        check(command, "postgres://ada:s3cret@nowhere.invalid/relume?password=s3cret", 10, "nowhere.invalid");
        check(command, "postgres://ada:s3cret@127.0.0.1:port/relume", 10, "invalid port");
        check(command, "mysql://ada:s3cret@127.0.0.1/relume", 2, "postgres://");
        check(command, "s3cret", 2, "postgres://");
        check(command, "sqlite:file/relume.db", 10, "file/relume.db");
    }
    std::fs::write(folder.path().join("text.db"), "this is no database").expect("a file");
    check("worker", "sqlite:text.db", 1, "text.db");
    let args = ["serve", "--database", "sqlite:x.db", "--data-dir", "file/x", "--listen", "127.0.0.1:0"];
    check_failure(&cli(folder.path(), &args, &[], ""), 1, "file/x");
}

#[test]
fn a_port_that_is_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    for args in
        [["dev", "--listen", &address].as_slice(), &["serve", "--database", "sqlite:x.db", "--listen", &address]]
    {
        check_failure(&cli(folder.path(), args, &[], ""), 1, &address);
    }
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "nothing was made");
}

#[test]
fn a_wrong_token_at_the_wrong_server_is_not_sent_on() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(".relume")).expect("a folder");
    std::fs::write(folder.path().join(".relume/token"), "rl_local").expect("a file");
    let said = cli(folder.path(), &["--server", "http://127.0.0.1:1", "apps", "list", "--json"], &[], "");
    check_failure(&said, 10, "127.0.0.1:1");
    assert!(!said.stderr.contains("rl_local"), "{said:?}");
}

#[test] // R5
fn a_change_that_came_first_is_not_overwritten() {
    let app = json!({"app": {
        "name": "greet", "owner": "", "short_description": "", "version": null, "status": "active",
        "health_status": "healthy", "is_externally_accessible": false, "schedule": null, "next_run_at": null,
        "pending_timeout": 0, "running_timeout": 0, "created_at": "",
        "retry_policy": {"max_retries": 2, "retry_delay_seconds": 7, "use_exponential_backoff": false},
    }, "runs": []});
    let problem = json!({
        "type": "about:blank", "title": "Precondition Failed", "status": 412, "code": "outdated", "field": "If-Match",
        "detail": "app `greet` was changed", "hint": "read it again, and decide anew",
    });
    // A server on which somebody else is always faster.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let server = std::thread::spawn(move || {
        let answers = [("200 OK", app, "ETag: \"4\"\r\n"), ("412 Precondition Failed", problem, "")];
        answers.map(|(status, body, header)| {
            let (mut connection, _) = listener.accept().expect("a caller");
            let lines = BufReader::new(connection.try_clone().expect("a descriptor")).lines().map_while(Result::ok);
            let asked: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let body = body.to_string();
            let head =
                format!("HTTP/1.1 {status}\r\n{header}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            connection.write_all(format!("{head}{body}").as_bytes()).expect("the caller is there");
            asked.join("\n").to_lowercase()
        })
    });
    let folder = tempfile::tempdir().expect("a folder");
    let said = cli(folder.path(), &["--server", &url, "apps", "set", "greet", "--delay", "9"], &[], "");
    check_failure(&said, 1, "cause: If-Match: app `greet` was changed");
    let [read, changed] = server.join().expect("no panic");
    assert!(read.starts_with("get /v1/apps/greet"), "{read}");
    assert!(changed.starts_with("patch /v1/apps/greet") && changed.contains("if-match: \"4\""), "{changed}");
}
