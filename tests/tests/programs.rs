//! What a program gets and gives: input, output, parameters, steps, requests, lines.

use relume_tests::node::Node;
use relume_tests::shop::{ALLOWED, Shop};
use serde_json::{Value, json};

/// The guest, given `input`, returns `output`.
async fn returns(guest: &str, input: Value, output: Value) {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest(guest, "", input).await;
    assert_eq!(finished.output, Some(output), "{:?}", finished.run.failure);
}

#[tokio::test] // R52
async fn input_and_output_are_typed() {
    returns("echo", json!({"text": "hällo \u{0} 🦀"}), json!({"text": "hällo \u{0} 🦀"})).await;
}

#[tokio::test] // R52
async fn a_wrong_input_is_an_error_that_names_the_field() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("echo", "", json!({"txt": 1})).await;
    assert_eq!(finished.verdict(), "crashed error");
    assert!(finished.failure().message.contains("missing field `text`"), "{:?}", finished.failure());
}

#[tokio::test] // R51
async fn a_plain_program_reads_stdin_and_its_lines_are_the_log() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("echo_stdin", "", json!({"a": 1})).await;
    assert_eq!((finished.verdict().as_str(), finished.lines()), ("exited", vec!["{\"a\":1}"]));
}

#[tokio::test] // R10, R51
async fn the_standard_library_knows_only_two_exit_codes_on_this_target() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("exit_three_std", "", Value::Null).await;
    assert_eq!((finished.verdict().as_str(), finished.run.exit_code), ("crashed exit", Some(1)));
}

#[tokio::test] // R9, R52
async fn a_program_knows_its_run() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let app = node.deploy("context", "").await;
    let run = node.start(&app, json!(12345), &[("B", "2"), ("A", "1")]).await;
    let finished = node.finished(&run).await;
    assert_eq!(finished.output, Some(json!(["context", "context#1", 1, [["A", "1"], ["B", "2"]], 5])));
    assert!(finished.lines().iter().any(|line| line.contains("INFO") && line.contains("attempt 1")));
}

#[tokio::test] // R20
async fn each_use_of_a_name_is_a_step_of_its_own() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("repeated_steps", "", json!(3)).await;
    assert_eq!(finished.output, Some(json!([1, 4, 9])));
    let entries: Vec<_> = finished.journal.iter().map(|entry| (entry.name.as_str(), entry.occurrence)).collect();
    assert_eq!(entries, [("again", 1), ("again", 2), ("again", 3)]);
}

#[tokio::test] // R20, R30
async fn a_step_the_program_died_in_is_executed_again() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let retry = "[retry]\nmax_retries = 1\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
    let finished = node.run_guest("open_step", retry, Value::Null).await;
    assert_eq!(finished.output, Some(json!(2)), "{:?}", finished.run.failure);
    let failure = finished.attempts[0].failure.as_ref().expect("the first one failed");
    assert!(failure.message.starts_with("in the step `open`: wasm trap: "), "{failure:?}");
}

#[tokio::test] // R20, V1
async fn whatever_ends_a_program_in_a_step_is_told_with_its_name() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let app = node.deploy("loop_in_step", "[limits]\nrunning_time_seconds = 1\n").await;
    let run = node.start(&app, Value::Null, &[]).await;
    let failure = node.finished(&run).await.run.failure.expect("it failed");
    assert!(failure.message.starts_with("in the step `endless`: still running after 1 s"), "{failure:?}");
}

#[tokio::test] // R6, R25
async fn a_failed_step_is_executed_again_by_the_next_attempt() {
    let node = Node::sqlite().await;
    let retry = "[retry]\nmax_retries = 2\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
    let app = node.deploy("effects", &format!("{ALLOWED}{retry}")).await;
    let shop = Shop::start();
    shop.fail("step-2", 2);
    let run = node.start(&app, json!({"url": shop.url(), "steps": 3}), &[]).await;
    let _worker = node.worker();
    let finished = node.finished(&run).await;
    assert_eq!(finished.verdict(), "exited", "{:?}", finished.run.failure);
    let kinds: Vec<_> =
        finished.attempts.iter().map(|attempt| attempt.failure.as_ref().map(|failure| failure.kind.as_str())).collect();
    assert_eq!(kinds, [Some("step_exhausted"), Some("step_exhausted"), None]);
    assert_eq!(["step-1", "step-2", "step-3"].map(|step| shop.calls(step)), [1, 3, 1]);
}

#[tokio::test] // V7
async fn a_request_is_given_up_when_its_time_is_up() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let shop = Shop::start();
    shop.hold("slow");
    let app = node.deploy("request_timeout", ALLOWED).await;
    let run = node.start(&app, json!(format!("{}/slow", shop.url())), &[]).await;
    let finished = node.finished(&run).await;
    assert_eq!(finished.verdict(), "crashed step_exhausted", "{:?}", finished.run.failure);
}

#[tokio::test] // V9
async fn a_journal_over_its_limit_ends_the_attempt_and_keeps_what_it_has() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("big_journal", "[limits]\nfuel = 1_000_000_000_000\n", Value::Null).await;
    assert_eq!((finished.verdict().as_str(), finished.journal.len()), ("crashed error", 16));
    assert!(finished.failure().message.contains("67108864"), "{:?}", finished.failure());
}
