//! What `relume doctor` finds and prints is so, and SECURITY.md says the same numbers.

use relume::manifest::{Limit, Spec};
use relume_tests::guests::workspace;
use relume_tests::postgres::Postgres;
use relume_tests::server::{Said, Server, cli};
use serde_json::Value;

const BEGIN: &str = "<!-- relume doctor --limits -->\n";
const END: &str = "<!-- end -->\n";

fn doctor(folder: &tempfile::TempDir, args: &[&str], env: &[(&str, &str)]) -> Said {
    cli(folder.path(), &[&["doctor"], args].concat(), env, "")
}

fn write(folder: &tempfile::TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).expect("the folder is ours");
}

#[test]
fn the_numbers_in_security_md_are_the_programs() {
    let path = workspace().join("SECURITY.md");
    let text = std::fs::read_to_string(&path).expect("there is a SECURITY.md");
    let (before, rest) = text.split_once(BEGIN).expect("a place for the numbers");
    let (written, after) = rest.split_once(END).expect("and its end");
    let table = relume::cli::numbers_table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("the file is ours");
    } else {
        assert_eq!(written, table, "`UPDATE=1 cargo test -p relume-tests --test doctor` writes it anew");
    }
    for limit in Limit::ALL {
        assert!(table.contains(&format!("(`limits.{}`)", limit.spec().name)), "{limit:?}");
    }
}

#[test]
fn every_number_of_the_design_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = doctor(&folder, &["--limits"], &[]);
    assert_eq!(said.exit_code, 0, "{said:?}");
    // Row, value, and what tells it from the others.
    for (row, value, of) in [
        ("V1", "900 s", "`limits.running_time_seconds`"),
        ("V1", "10 ms", "a program's turn"),
        ("V2", "256 MiB", "`limits.memory_mib`"),
        ("V3", "100,000", "`limits.table_elements`"),
        ("V3", "32", "`limits.instances`"),
        ("V3", "4,096", "`limits.handles`"),
        ("V4", "512 KiB", "a program's stack"),
        ("V5", "64 MiB", "an upload"),
        ("V5", "60 s", "processor time of compiling"),
        ("V5", "2 GiB", "memory of compiling"),
        ("V5", "2", "components compiled at once"),
        ("V6", "64", "imports of a component"),
        ("V6", "256 bytes", "the name of an import"),
        ("V7", "120 s", "`limits.call_seconds`"),
        ("V8", "16 KiB", "`limits.log_line_kib`"),
        ("V8", "10 MiB", "`limits.log_mib`"),
        ("V9", "4 MiB", "`limits.journal_entry_mib`"),
        ("V9", "64 MiB", "`limits.journal_mib`"),
        ("V11", "16", "`limits.connections`"),
        ("V11", "32 MiB", "`limits.body_mib`"),
    ] {
        let is_it = |line: &&str| {
            let mut columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
            columns.next() == Some(row) && columns.next() == Some(value) && line.contains(of)
        };
        assert!(said.stdout.lines().any(|line| is_it(&line)), "{row} {value} {of} is not in\n{}", said.stdout);
    }
}

/// The value and the source of a limit in `doctor --limits --json`.
fn told(said: &Said, name: &str) -> (u64, String) {
    let told: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let rows = told["limits"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["name"] == name).expect("it is there");
    (row["value"].as_u64().expect("a number"), row["source"].as_str().expect("a word").to_owned())
}

#[test]
fn each_limit_says_where_it_comes_from() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder, "relume.toml", "[limits]\nmemory_mib = 100\nlog_mib = 1\n");
    write(&folder, "policy.toml", "[limits]\nmemory_mib = 64\nhandles = 10\n");
    let said = doctor(&folder, &["--limits", "--json", "--manifest", "relume.toml", "--policy", "policy.toml"], &[]);
    assert_eq!(told(&said, "memory_mib"), (64, "operator's ceiling".into()));
    assert_eq!(told(&said, "handles"), (10, "operator's ceiling".into()));
    assert_eq!(told(&said, "log_mib"), (1, "relume.toml".into()));
    assert_eq!(told(&said, "body_mib"), (32, "default".into()));
    for limit in Limit::ALL {
        let Spec { name, default, .. } = limit.spec();
        let said = doctor(&folder, &["--limits", "--json"], &[]);
        assert_eq!(told(&said, name), (default, "default".into()));
    }
}

#[tokio::test]
async fn the_limits_of_an_app_are_the_servers() {
    let server = Server::sqlite();
    let app = server.deploy("plain", "[limits]\nmemory_mib = 100\n").await;
    assert_eq!(server.cli(&["apps", "set", &app, "--limit", "handles=77"]).exit_code, 0);
    let said = server.cli(&["doctor", "--limits", "--json", "--app", &app]);
    assert_eq!(told(&said, "memory_mib"), (100, "relume.toml".into()));
    assert_eq!(told(&said, "handles"), (77, "app".into()));
    assert_eq!(server.cli(&["apps", "set", &app, "--limit", "handles=default"]).exit_code, 0);
    let said = server.cli(&["doctor", "--limits", "--json", "--app", &app]);
    assert_eq!(told(&said, "handles"), (4096, "default".into()));
    assert_eq!(server.cli(&["doctor", "--limits", "--app", "none"]).exit_code, 6);
}

#[test]
fn what_is_not_as_it_should_be_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |said: &Said, what: &str, hint: &str| {
        assert_eq!(said.exit_code, 1, "{said:?}");
        let wrong: Vec<_> = said.stdout.lines().filter(|line| line.starts_with("failed")).collect();
        assert!(wrong.len() == 1 && wrong[0].contains(what), "{said:?}");
        assert!(said.stdout.contains(&format!("hint: {hint}")), "{said:?}");
    };
    let said = doctor(&folder, &[], &[]);
    assert_eq!((said.exit_code, said.stdout.matches("ok ").count()), (0, 7), "{said:?}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0, "it changes nothing");

    let closed = [("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/relume")];
    let said = doctor(&folder, &[], &closed);
    check(&said, "database", "check that it runs");
    assert!(!said.stdout.contains("hunter2"), "{said:?}");
    check(&doctor(&folder, &[], &[("RELUME_SECRETS_KEY", "abc")]), "secrets key", "export RELUME_SECRETS_KEY=");
    write(&folder, "policy.toml", "[limits]\nmemory_mib = 8192\n");
    check(&doctor(&folder, &["--policy", "policy.toml"], &[]), "limits.memory_mib: 8192", "mend the file");
    write(&folder, "file", "");
    let said = doctor(&folder, &["--data-dir", "file"], &[]);
    assert_eq!(said.stdout.matches("failed").count(), 2, "the folder and the cache in it: {said:?}");
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    write(&folder, "data/secrets.key", "abc");
    check(&doctor(&folder, &["--data-dir", "data"], &[]), "secrets key", "chmod 600");
}

#[test]
fn a_database_that_is_not_set_up_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = doctor(&folder, &["--json"], &[("DATABASE_URL", &Postgres::shared().database())]);
    let told: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    assert_eq!((said.exit_code, &told["ok"]), (0, &Value::Bool(true)), "{told}");
    let checks: Vec<_> = told["checks"].as_array().expect("a list").iter().map(|check| &check["check"]).collect();
    let all = ["data folder", "cache", "secrets key", "policy", "engine", "database", "clock"];
    assert_eq!(checks, all);
}
