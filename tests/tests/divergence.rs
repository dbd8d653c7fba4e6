//! What a person is told when a changed program meets the journal of the old one. The reports are the files in
//! `tests/divergence`; `UPDATE=1 cargo test --test divergence` writes them anew.

use std::path::PathBuf;

use relume::store::{JournalEntry, Run};
use relume_tests::guests::workspace;
use relume_tests::node::{Finished, Node};
use serde_json::Value;

/// What may be changed about a program, by the name of the report.
const VARIANTS: [&str; 8] =
    ["renamed", "inserted", "removed", "reordered", "argument", "slept_longer", "other_input", "ended_early"];

async fn nodes() -> [Node; 2] {
    [Node::sqlite().await, Node::postgres().await]
}

/// The journal of a run of the program as it was first, of which version 1 is deployed.
async fn first_journal(node: &Node) -> Vec<JournalEntry> {
    node.deploy("changed", "").await;
    let worker = node.worker();
    let first = node.finished(&start(node, "base").await).await;
    worker.drain().await;
    assert_eq!(first.verdict(), "exited", "{:?}", first.run.failure);
    let names: Vec<_> = first.journal.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["reserve", "charge", "sleep", "child", "ship"]);
    first.journal
}

async fn start(node: &Node, variant: &str) -> Run {
    node.start("changed", Value::Null, &[("VARIANT", variant)]).await
}

/// The program as `variant` goes on with a journal.
async fn replayed(node: &Node, variant: &str, journal: &[JournalEntry]) -> Finished {
    let run = start(node, variant).await;
    node.begin_with(&run, journal).await;
    let worker = node.worker();
    let finished = node.finished(&run).await;
    worker.drain().await;
    finished
}

/// The report, and of the stack the program's own functions: what a build may inline, and its hashes, are left out.
fn report(finished: &Finished) -> String {
    let failure = finished.failure();
    let stack = failure.backtrace.as_deref().unwrap_or_default();
    let functions = stack.lines().filter_map(|line| line.split_once(".wasm!").map(|(_, function)| function));
    let frames = functions.filter(|function| function.starts_with("changed::"));
    let mut report = format!("{}\n\n{}\n", finished.verdict(), failure.message);
    for frame in frames {
        report.push_str(&format!("  in {}\n", without_hash(frame)));
    }
    report
}

/// `changed::main` of `changed::main::h0123456789abcdef`.
fn without_hash(function: &str) -> &str {
    match function.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => function,
    }
}

/// Compares with the file of that name, or writes it.
fn check_report(name: &str, report: &str) {
    let path: PathBuf = workspace().join("tests/divergence").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, report).expect("the report is written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(report, expected, "the report `{name}` is another one: `UPDATE=1` writes {}", path.display());
}

#[tokio::test] // R2, R20
async fn each_change_of_a_program_has_a_report_that_names_the_first_difference_and_the_way_out() {
    for node in nodes().await {
        let journal = first_journal(&node).await;
        node.deploy_again("changed", "[env]\nVERSION = \"2\"\n").await;
        for variant in VARIANTS {
            let finished = replayed(&node, variant, &journal).await;
            check_report(variant, &report(&finished));
            let results =
                |journal: &[JournalEntry]| journal.iter().map(|e| (e.seq, e.state.clone())).collect::<Vec<_>>();
            assert_eq!(results(&finished.journal), results(&journal), "{variant}: a divergence writes nothing");
            assert_eq!((finished.run.version, finished.attempts.len()), (2, 1));
        }
        let same = replayed(&node, "base", &journal).await;
        assert_eq!(same.verdict(), "exited", "{:?}", same.run.failure);
    }
}

#[tokio::test] // R2, R20
async fn a_program_of_the_same_version_that_takes_another_way_is_told_what_to_look_for() {
    for node in nodes().await {
        let journal = first_journal(&node).await;
        check_report("same_version", &report(&replayed(&node, "renamed", &journal).await));
    }
}

#[tokio::test] // R2, R20
async fn the_stack_of_a_divergence_names_the_functions_of_the_program() {
    let node = Node::sqlite().await;
    let journal = first_journal(&node).await;
    let finished = replayed(&node, "renamed", &journal).await;
    let stack = finished.failure().backtrace.clone().expect("there is a stack");
    assert!(stack.contains("changed::main"), "{stack}");
}

#[tokio::test] // R2, R6, R20
async fn an_attempt_that_takes_another_way_than_the_one_before_diverges_and_is_retried_like_any_other() {
    let retries = "[retry]\nmax_retries = 2\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
    for node in nodes().await {
        let app = node.deploy("diverge", retries).await;
        let _worker = node.worker();
        // Its first step has the number of the attempt in its name.
        let finished = node.finished(&node.start(&app, Value::Null, &[("THEN", "fail")]).await).await;
        let kinds: Vec<_> = finished.attempts.iter().filter_map(|a| Some(a.failure.as_ref()?.kind.as_str())).collect();
        assert_eq!(kinds, ["error", "divergence", "divergence"]);
        let message = &finished.failure().message;
        assert!(message.contains("`attempt-1`") && message.contains("`attempt-3`"), "{message}");
        assert_eq!(finished.journal.len(), 1);
    }
}

#[tokio::test] // R6, R20
async fn a_retry_of_the_same_program_meets_its_own_journal_and_does_not_diverge() {
    let retries = "[retry]\nmax_retries = 1\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
    for node in nodes().await {
        let app = node.deploy("changed", retries).await;
        let _worker = node.worker();
        let finished = node.finished(&node.start(&app, Value::Null, &[("THEN", "fail")]).await).await;
        let kinds: Vec<_> = finished.attempts.iter().filter_map(|a| Some(a.failure.as_ref()?.kind.as_str())).collect();
        assert_eq!((kinds, finished.journal.len()), (vec!["error", "error"], 5));
    }
}
