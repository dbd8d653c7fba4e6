//! What a person at a terminal reads, word by word: data on stdout, the rest on stderr, and an exit code.

use std::path::Path;

use relume_tests::guests::{self, workspace};
use relume_tests::node::Node;
use relume_tests::postgres::Postgres;
use relume_tests::process::Process;
use relume_tests::server::{Said, Server, cli};
use relume_tests::shop::{self, Shop};
use serde_json::{Value, json};

fn component(guest: &str) -> &'static str {
    guests::path(guest).to_str().expect("the path is text")
}

/// A server and a worker beside it.
fn server() -> (Server, Process) {
    let server = Server::sqlite();
    let worker = Process::worker(&server.database, 15, &[]);
    (server, worker)
}

/// The text with one space between words, and what differs from day to day replaced.
fn plain(text: &str) -> String {
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let word = |word: &str| match word {
        time if time.len() == 24 && time.ends_with('Z') && time.contains('T') => "TIME".to_owned(),
        digest if is_hex(digest) || digest.strip_prefix("sha256:").is_some_and(is_hex) => "DIGEST".to_owned(),
        other => other.to_owned(),
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The text with `N` for how long something took, and for what it used.
fn without_amounts(text: &str) -> String {
    let is_unit = |word: &str| matches!(word, "k" | "M" | "KiB" | "MiB");
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let mut kept = vec![];
        for (i, word) in words.iter().enumerate() {
            let next = words.get(i + 1).copied().unwrap_or_default();
            if word.parse::<f64>().is_ok() && (is_unit(next) || next == "ms") {
                kept.push("N");
            } else if !(is_unit(word) && kept.last() == Some(&"N")) {
                kept.push(word);
            }
        }
        kept.join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The command did well: it printed this, and nothing on stderr.
fn check(said: &Said, stdout: &str) {
    assert_eq!((said.exit_code, plain(&said.stdout).as_str(), said.stderr.as_str()), (0, stdout, ""));
}

#[test] // R54
fn an_app_is_deployed_run_and_looked_at() {
    let (server, _worker) = server();
    check(&server.cli(&["apps", "list"]), "APP STATUS VERSION NEXT RUN CREATED");
    check(&server.cli(&["deploy", component("steps")]), "steps v1 DIGEST");
    check(&server.cli(&["deploy", component("steps")]), "steps v1 DIGEST");
    let said = server.cli(&["run", "steps", "--input", "2", "--follow"]);
    assert_eq!((said.exit_code, said.stdout.as_str()), (0, "3\n"), "{said:?}");
    assert_eq!(said.stderr, "steps#1 started\nsteps#1 | executing step-1\nsteps#1 | executing step-2\n");
    check(&server.cli(&["run", "steps", "-i", "1", "-p", "GREETING=a=b"]), "steps#2");
    check(&server.cli(&["runs", "logs", "steps#2", "--follow"]), "executing step-1");
    check(&server.cli(&["runs", "logs", "steps", "1"]), "executing step-1\nexecuting step-2");

    let list = "RUN STATUS VERSION ATTEMPT CREATED\nsteps#2 exited v1 1/1 TIME\nsteps#1 exited v1 1/1 TIME";
    check(&server.cli(&["runs", "list"]), list);
    check(&server.cli(&["runs", "list", "steps", "--status", "crashed"]), "RUN STATUS VERSION ATTEMPT CREATED");
    let said = server.cli(&["runs", "list", "-n", "1"]);
    assert!(said.stderr.starts_with("more: --cursor ") && plain(&said.stdout).lines().count() == 2, "{said:?}");
    let show = "run steps#2\nstatus exited\nversion v1\nstarted by relume_cli\ncreated TIME\nstarted TIME\nended TIME\nexit code 0\n\
        parameter GREETING=a=b\ninput 1\noutput 1\n\n\
        ATTEMPT STATUS STARTED ENDED EXIT RECOVERIES FAILURE\n1 exited TIME TIME 0 0 -\n\n\
        ATTEMPT TOOK FUEL MEMORY RECEIVED SENT\n1 N ms N N 0 B 0 B";
    let said = server.cli(&["runs", "show", "steps#2"]);
    assert_eq!(without_amounts(&plain(&said.stdout)), show, "{said:?}");
    let steps = without_amounts(&plain(&server.cli(&["runs", "steps", "steps#1"]).stdout));
    let expected = "SEQ KIND NAME STATUS ATTEMPT TRIES TOOK FUEL MEMORY RECEIVED SENT RESULT\n\
        1 step step-1 finished 1 1 N ms N N 0 B 0 B 1\n2 step step-2 finished 1 1 N ms N N 0 B 0 B 2";
    assert_eq!(steps, expected);
    let size = std::fs::metadata(component("steps")).expect("it was built").len();
    let app = format!(
        "app steps\nstatus active\nversion v1\nretries none\n\
         capability imports relume:durable: steps, waits, and runs of other apps\n\nVERSION BYTES CREATED SHA256\nv1 {size} TIME DIGEST\n\n\
        RUN STATUS VERSION CREATED\nsteps#2 exited v1 TIME\nsteps#1 exited v1 TIME"
    );
    check(&server.cli(&["apps", "show", "steps"]), &app);
    check(&server.cli(&["apps", "list"]), "APP STATUS VERSION NEXT RUN CREATED\nsteps active v1 - TIME");
}

#[test] // R2, R7, R10
fn the_exit_code_is_the_runs_verdict() {
    let server = Server::postgres();
    let _worker = Process::worker(&server.database, 15, &[]);
    let run = |guest: &str, args: &[&str]| {
        let deployed = server.cli(&["deploy", component(guest)]);
        assert_eq!(deployed.exit_code, 0, "{deployed:?}");
        let app = guest.replace('_', "-");
        server.cli(&[&["run", app.as_str(), "--follow"], args].concat())
    };
    assert_eq!(run("plain", &[]).exit_code, 0);
    let crashed = run("return_error", &[]);
    let expected = "return-error#1 started\nreturn-error#1 | Error: cannot open the shop: the key is lost\nerror: return-error#1 crashed (error)\n\
        cause: cannot open the shop: the key is lost\nhint: see its attempts with `relume runs show return-error#1`\n";
    assert_eq!((crashed.exit_code, crashed.stderr.as_str()), (3, expected), "{crashed:?}");
    assert_eq!(run("exit_three", &[]).exit_code, 3);
    let once = run("not_retryable", &["--retries", "3"]);
    assert_eq!((once.exit_code, once.stderr.matches("Error: ").count()), (3, 1), "{once:?}");

    let refuse = "create function refuse() returns trigger language plpgsql as \
        $$ begin raise exception 'the journal is broken'; end $$; \
        create trigger refuse before insert on journal for each row execute function refuse()";
    Postgres::shared().sql(&server.database, refuse);
    let errored = run("steps", &["--input", "1"]);
    assert_eq!(errored.exit_code, 4, "{errored:?}");
    assert!(errored.stderr.contains("error: steps#1 errored (host)"), "{errored:?}");
}

#[tokio::test] // R12
async fn a_followed_run_that_is_cancelled_ends_with_five() {
    let (server, _worker) = server();
    let shop = Shop::start();
    shop.hold("step-1");
    let app = server.deploy("effects", shop::ALLOWED).await;
    let input = json!({"url": shop.url(), "steps": 1}).to_string();
    let cancel = std::thread::scope(|scope| {
        let (folder, env) = (server.folder.path(), [("RELUME_URL", &*server.url), ("RELUME_TOKEN", &*server.token)]);
        let args = ["run", &app, "--input", &input, "--follow"];
        let follower = scope.spawn(move || cli(folder, &args, &env, ""));
        while shop.calls("step-1") == 0 {
            assert!(!follower.is_finished(), "it is still running");
            std::thread::yield_now();
        }
        let cancel = server.cli(&["runs", "cancel", "effects#1"]);
        let followed = follower.join().expect("no panic");
        assert_eq!((followed.exit_code, followed.stdout.as_str()), (5, ""), "{followed:?}");
        assert_eq!(followed.stderr, "effects#1 started\nerror: effects#1 was cancelled\n");
        cancel
    });
    check(&cancel, "effects#1 cancelled");
    let again = server.cli(&["runs", "cancel", "effects#1"]);
    assert_eq!(again.exit_code, 1, "{again:?}");
    assert!(again.stderr.starts_with("error: effects#1 cannot be cancelled\ncause: "), "{again:?}");
}

#[test] // R51, R52
fn a_component_is_executed_without_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let exec = |args: &[&str], stdin: &str| cli(folder.path(), &[&["exec"], args].concat(), &[], stdin);
    let hello = exec(&[component("hello"), "--input", r#"{"name": "Ada"}"#], "");
    check(&hello, r#"{"greeting":"Hello, Ada!"}"#);
    let plain_cli = exec(&[component("plain-cli"), "-i", "-", "-p", "GREETING=Moin", "--", "Ada"], "two words");
    check(&plain_cli, "Moin, Ada!\n2 words, 9 bytes");
    let no_words = exec(&[component("plain-cli")], "");
    assert_eq!(no_words.exit_code, 3, "{no_words:?}");
    assert!(no_words.stderr.contains("there are no words\nerror: "), "{no_words:?}");
    let trap = exec(&[component("trap")], "");
    assert_eq!(trap.exit_code, 3, "{trap:?}");
    assert!(trap.stderr.contains("crashed (trap)\ncause: ") && trap.stderr.contains("fail_here"), "{trap:?}");
    let json = exec(&[component("hello"), "--input", r#"{"name": "Ada"}"#, "--json"], "");
    let told: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&told["status"], &told["output"]["greeting"]), (&json!("exited"), &json!("Hello, Ada!")), "{told}");
    assert!(!folder.path().join(".relume").exists(), "nothing is left");
}

#[tokio::test] // R54
async fn with_json_a_command_prints_what_the_api_answers() {
    let server = Server::sqlite();
    let node = Node::at(server.database.clone()).await;
    let worker = node.worker();
    let app = server.deploy("steps", "").await;
    let run = node.start(&app, json!(2), &[]).await;
    node.finished(&run).await;
    worker.drain().await;
    for (args, path) in [
        (["apps", "list"].as_slice(), "/v1/apps?page=0"),
        (&["apps", "show", "steps"], "/v1/apps/steps"),
        (&["runs", "list"], "/v1/runs?limit=20"),
        (&["runs", "list", "steps"], "/v1/apps/steps/runs?limit=20"),
        (&["runs", "show", "steps#1"], "/v1/apps/steps/runs/1"),
        (&["runs", "logs", "steps#1"], "/v1/apps/steps/runs/1/logs"),
        (&["runs", "steps", "steps#1"], "/v1/apps/steps/runs/1/journal"),
        (&["runs", "explain", "steps#1"], "/v1/apps/steps/runs/1/explain"),
        (&["events", "list", "steps#1"], "/v1/apps/steps/runs/1/events"),
        (&["schedules", "list"], "/v1/schedules?page=0"),
        (&["secrets", "list"], "/v1/secrets?page=0"),
        (&["tokens", "list"], "/v1/tokens"),
    ] {
        let said = server.cli(&[args, &["--json"]].concat());
        assert_eq!((said.exit_code, said.stderr.as_str()), (0, ""), "{said:?}");
        let told: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {said:?}"));
        assert_eq!(told, server.get(path).await.json(), "{args:?}");
    }
    let json = |args: &[&str]| -> Value {
        let said = server.cli(&[args, &["--json"]].concat());
        serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {said:?}"))
    };
    assert_eq!(json(&["deploy", component("steps")])["version"]["version"], "v1");
    assert_eq!(json(&["run", "steps", "--input", "1"])["run"]["status"], "pending");
    assert_eq!(json(&["runs", "cancel", "steps#2"])["run"]["status"], "cancelled");
    assert_eq!(json(&["runs", "fork", "steps#1", "--from-step", "2"])["run"]["forked_from"]["run"], "steps#1");
    assert_eq!(json(&["events", "send", "steps#3", "go", "--payload", "[1]"])["event"]["payload"], json!([1]));
    assert!(json(&["tokens", "create", "laptop"])["token"]["token"].is_string());
    let followed = server.cli(&["runs", "logs", "steps#1", "--follow", "--json"]);
    let lines =
        followed.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["content"].clone());
    assert_eq!(lines.collect::<Vec<_>>(), ["executing step-1", "executing step-2"], "a line of JSON for each");
}

#[test] // V16
fn a_token_is_created_used_and_revoked() {
    let server = Server::sqlite();
    let created = server.cli(&["tokens", "create", "laptop"]);
    let text = created.stdout.trim();
    assert!(text.starts_with("rl_") && created.stderr.is_empty(), "{created:?}");
    let id = text.split('_').nth(1).expect("an id");
    let list = plain(&server.cli(&["tokens", "list"]).stdout);
    assert!(
        list.contains(&format!("{id} laptop admin all - TIME"))
            && list.starts_with("ID NAME SCOPES APPS EXPIRES CREATED\n"),
        "{list}"
    );
    let with_it =
        || cli(server.folder.path(), &["apps", "list"], &[("RELUME_URL", &server.url), ("RELUME_TOKEN", text)], "");
    check(&with_it(), "APP STATUS VERSION NEXT RUN CREATED");
    let revoked = server.cli(&["tokens", "revoke", id]);
    assert_eq!((revoked.exit_code, revoked.stderr), (0, format!("{id} is revoked\n")));
    let refused = with_it();
    assert_eq!(refused.exit_code, 7, "{refused:?}");
    assert!(!refused.stderr.contains(text), "{refused:?}");
}

#[test]
fn the_manifest_beside_a_component_counts_and_its_mistakes_are_pointed_at() {
    let server = Server::sqlite();
    let folder = server.folder.path().join("app");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(component("plain-cli"), folder.join("plain.wasm")).expect("copied");
    let write = |text: &str| std::fs::write(folder.join("relume.toml"), text).expect("written");
    let exec = || server.cli_with(&["exec", "app/plain.wasm", "--input", "-"], "words");

    write("name = \"words\"\ncomponent = \"plain.wasm\"\n[env]\nGREETING = \"Moin\"\n");
    check(&exec(), "Moin, you!\n1 words, 5 bytes");
    check(&server.cli(&["deploy", "app/plain.wasm"]), "words v1 DIGEST");
    check(&server.cli(&["deploy", "--manifest", "app/relume.toml"]), "words v1 DIGEST");

    for (text, words) in [
        ("name = \"words\"\nmemory = 1\n", "line 2, column 1"),
        ("name = \"words\"\nmemory = 1\n", "unknown field `memory`"),
        ("[limits]\nmemory_mib = 0\n", "limits.memory_mib: 0 is out of range: it is 1 to 4096"),
        ("[retry]\nmax_retries = 1\n", "missing field `retry_delay_seconds`"),
        ("name = \"Words\"\n", "name: `Words` is no name"),
    ] {
        write(text);
        for said in [exec(), server.cli(&["deploy", "app/plain.wasm"])] {
            assert_eq!((said.exit_code, said.stdout.as_str()), (2, ""), "{said:?}");
            assert!(said.stderr.starts_with("error: the manifest `app/relume.toml` is not valid\ncause: "), "{said:?}");
            assert!(said.stderr.contains(words) && said.stderr.contains("\nhint: `relume schema`"), "{said:?}");
        }
    }
}

#[test] // V19
fn what_a_guest_prints_is_kept_as_it_is_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = cli(folder.path(), &["exec", component("print_odd")], &[], "");
    assert!(said.stdout.contains("escape: \u{1b}[2J\n"), "{said:?}");
    assert_eq!(said.stderr, "on stderr\n");
}

/// To update the file: `cargo run -p relume -- schema > runtime/relume.schema.json`.
#[test]
fn the_schema_of_the_manifest_is_the_committed_one() {
    let said = cli(Path::new("/"), &["schema"], &[], "");
    let file = workspace().join("runtime/relume.schema.json");
    let committed = std::fs::read_to_string(&file).expect("the file is there");
    assert!(
        said.stdout == committed,
        "relume.toml has changed: look at the difference, then `cargo run -p relume -- schema > runtime/relume.schema.json`"
    );
    for example in guests::examples() {
        let text = std::fs::read_to_string(workspace().join("examples").join(&example).join("relume.toml"))
            .expect("it has one");
        relume::manifest::Manifest::parse(&text).unwrap_or_else(|e| panic!("{example}: {e}"));
    }
}
