//! Each way a guest can end has its verdict, and no guest harms another or makes Relume fail.

use relume_tests::node::Node;
use serde_json::{Value, json};

/// Small limits, so that hostile guests meet them soon.
const TIGHT: &str = "[limits]\nfuel = 500_000_000\nmemory_mib = 32\nrunning_time_seconds = 2\n";

/// The guest ends so; `words` are in the failure's message.
async fn check(guest: &str, verdict: &str, exit_code: Option<i32>, words: &str) {
    check_within(TIGHT, guest, verdict, exit_code, words).await;
}

/// The same, with other limits.
async fn check_within(limits: &str, guest: &str, verdict: &str, exit_code: Option<i32>, words: &str) {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest(guest, limits, Value::Null).await;
    assert_eq!(finished.verdict(), verdict, "{:?}", finished.run.failure);
    assert_eq!(finished.run.exit_code, exit_code);
    let message = finished.run.failure.map_or(String::new(), |failure| failure.message);
    assert!(message.contains(words), "`{message}` does not say `{words}`");
}

#[tokio::test] // R2, R51
async fn a_plain_program_that_ends_well_is_exited() {
    check("plain", "exited", Some(0), "").await;
}

#[tokio::test] // R2, V1
async fn an_endless_loop_uses_up_its_fuel() {
    // With so much time that a busy machine changes nothing.
    check_within("[limits]\nfuel = 500_000_000\n", "loop_forever", "crashed fuel", None, "limits.fuel").await;
}

#[tokio::test] // R2, V2
async fn eating_memory_ends_at_the_limit() {
    check("eat_memory", "crashed memory", None, "32 MiB").await;
}

#[tokio::test] // R2, V4
async fn endless_recursion_overflows_the_guests_stack_only() {
    check("recurse", "crashed stack", None, "stack").await;
}

#[tokio::test] // R2
async fn an_unreachable_instruction_is_a_trap() {
    check("trap", "crashed trap", None, "unreachable").await;
}

#[tokio::test] // R2
async fn a_panic_is_a_trap_whose_message_has_the_programs_words() {
    check("panic", "crashed trap", None, "panicked").await;
}

#[tokio::test] // R2
async fn a_read_out_of_bounds_is_a_trap() {
    check("out_of_bounds", "crashed trap", None, "out of bounds").await;
}

#[tokio::test] // R2
async fn a_division_by_zero_is_a_trap() {
    check("divide", "crashed trap", None, "divide by zero").await;
}

#[tokio::test] // R10
async fn an_exit_code_is_kept() {
    check("exit_three", "crashed exit", Some(3), "3").await;
}

#[tokio::test] // R10, R52
async fn an_error_from_main_is_the_message_with_its_causes() {
    check("return_error", "crashed error", Some(1), "cannot open the shop: the key is lost").await;
}

#[tokio::test] // R2, V7
async fn a_guest_asleep_in_a_host_call_is_ended_by_its_running_time() {
    check("sleep_long", "crashed timeout", None, "limits.running_time_seconds").await;
}

#[tokio::test] // R25
async fn a_failed_step_that_nobody_handles_ends_the_attempt() {
    check("failing_step", "crashed step_exhausted", Some(1), "card declined").await;
}

#[tokio::test] // R20
async fn steps_do_not_nest() {
    check("nested_step", "crashed error", None, "steps do not nest").await;
}

#[tokio::test] // V9
async fn a_large_result_or_output_is_refused() {
    check("big_output", "crashed error", None, "4194304").await;
    check("big_step", "crashed error", None, "4194304").await;
}

#[tokio::test] // V11
async fn a_host_that_is_not_listed_is_refused_and_the_log_says_how_to_allow_it() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("forbidden_host", "", json!("http://example.com/")).await;
    let said = finished.log.iter().any(|line| line.content.contains("allowed_hosts"));
    assert!(said, "{:?}", finished.log);
    assert_eq!(finished.verdict(), "exited", "the guest handled the refusal: {:?}", finished.run.failure);
}

#[tokio::test] // V12
async fn a_program_sees_its_own_environment_and_nothing_else() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let app = node.deploy("env_dump", "[env]\nGREETING = \"hello\"\nWHO = \"nobody\"\n").await;
    let run = node.start(&app, Value::Null, &[("WHO", "Ada")]).await;
    let finished = node.finished(&run).await;
    let mut lines = finished.lines();
    lines.sort_unstable();
    let expected = [
        "arg env-dump",
        "dns Some(PermissionDenied)",
        "env GREETING=hello",
        "env WHO=Ada",
        "file Some(NotFound)",
        "root Some(NotFound)",
        "tcp Some(PermissionDenied)",
        "udp Some(PermissionDenied)",
    ];
    let same_kind = |line: &&str| line.split(' ').next().is_some_and(|word| word == "env" || word == "arg");
    let visible: Vec<_> = lines.iter().copied().filter(|line| same_kind(line)).collect();
    assert_eq!(visible, ["arg env-dump", "env GREETING=hello", "env WHO=Ada"]);
    assert!(
        lines.iter().all(|line| same_kind(line) || line.contains("Some(")),
        "something opened: {lines:?} {expected:?}"
    );
}

#[tokio::test] // V8, V10, R11
async fn odd_output_is_kept_readable() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("print_odd", "", Value::Null).await;
    let mut lines = finished.lines();
    lines.sort_unstable();
    let expected = ["", "escape: \u{1b}[2J", "no newline", "not utf-8: \u{fffd}", "nul: \u{fffd}", "on stderr"];
    assert_eq!(lines, expected);
    let numbers: Vec<_> = finished.log.iter().map(|line| line.line_num).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[tokio::test] // V8
async fn a_flood_is_cut_and_marked() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("print_flood", "", Value::Null).await;
    assert_eq!(finished.verdict(), "exited");
    let longest = finished.log.iter().map(|line| line.content.len()).max();
    assert!(longest.is_some_and(|bytes| bytes <= 16 * 1024 + 20), "{longest:?}");
    let total: usize = finished.log.iter().map(|line| line.content.len()).sum();
    assert!(total <= 10 * 1024 * 1024, "{total}");
}

#[tokio::test] // V1, V2, V4
async fn hostile_guests_do_not_disturb_a_run_beside_them() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let mut hostile = vec![];
    for guest in ["loop_forever", "eat_memory", "recurse"] {
        let app = node.deploy(guest, TIGHT).await;
        hostile.push(node.start(&app, Value::Null, &[]).await);
    }
    let good = node.run_guest("steps", TIGHT, json!(20)).await;
    assert_eq!((good.verdict().as_str(), good.output), ("exited", Some(json!(210))));
    for run in hostile {
        let finished = node.finished(&run).await;
        assert!(finished.verdict().starts_with("crashed"), "{}", finished.verdict());
    }
}

#[tokio::test] // R2
async fn a_store_that_fails_during_a_host_call_is_our_fault() {
    let node = Node::postgres().await;
    let database = relume_tests::postgres::Postgres::shared();
    let refuse = "create function refuse() returns trigger language plpgsql as \
        $$ begin raise exception 'the journal is broken'; end $$; \
        create trigger refuse before insert on journal for each row execute function refuse()";
    database.sql(&node.url, refuse);
    let _worker = node.worker();
    let finished = node.run_guest("steps", "", json!(3)).await;
    assert_eq!(finished.verdict(), "errored host", "{:?}", finished.run.failure);
    assert!(finished.failure().message.contains("the journal is broken"), "{:?}", finished.run.failure);
}
