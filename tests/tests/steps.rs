//! Steps that fail: when they are tried again, and what ends that. With real programs, on both stores.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use relume::retry::RetryPolicy;
use relume::run::{EndedBecause, Status};
use relume::store::{Due, EntryState, JournalEntry, NewRun, Run, WaitKind};
use relume_tests::node::{Finished, Node};
use relume_tests::shop::{self, Shop};
use serde_json::{Value, json};

const THREE_RETRIES: &str = "[retry]\nmax_retries = 3\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
/// A wait that is longer parks the run.
const MAX_WAIT_IN_PLACE_MS: i64 = 2000;

async fn nodes() -> [Node; 2] {
    [Node::sqlite().await, Node::postgres().await]
}

/// The policy with which a failed run is tried again at once.
fn at_once(max_retries: u32) -> RetryPolicy {
    RetryPolicy { max_retries, delay: Duration::ZERO, exponential: false }
}

/// A new run of `app` that has to be final so long from now.
async fn start_before(node: &Node, app: &str, input: Value, seconds: i64, policy: RetryPolicy) -> Run {
    let deadline_at = Some(node.store.now().await.expect("a time") + SignedDuration::from_secs(seconds));
    let input = if input.is_null() { vec![] } else { input.to_string().into_bytes() };
    node.start_new(NewRun { app: app.to_owned(), input, deadline_at, policy: Some(policy), ..NewRun::default() }).await
}

/// What the entry says that its step waits for the next try, in milliseconds.
fn wait_ms(entry: &JournalEntry) -> i64 {
    let Some(Due::At(due_at)) = entry.due else { panic!("it waits for nothing: {entry:?}") };
    due_at.as_millisecond() - entry.recorded_at.as_millisecond()
}

/// The waits before tries 2 to `n + 1` of a run's only step. What would take long is made due at once.
async fn waits_ms(node: &Node, run: &Run, n: u32) -> Vec<i64> {
    let mut waits = vec![];
    for tries in 1..=n {
        let entry = node.last_entry(run, |entry| entry.tries == tries).await;
        assert_eq!(entry.state, EntryState::Again("out of order".to_owned()));
        waits.push(wait_ms(&entry));
        if wait_ms(&entry) <= MAX_WAIT_IN_PLACE_MS {
            continue;
        }
        let (parked, entry) = node.parked(run, |entry| entry.tries == tries).await;
        let on = parked.waiting_on.expect("it waits");
        assert_eq!((on.kind, on.name.as_str()), (WaitKind::StepRetry, "fail"));
        assert_eq!(on.until.map(Due::At), entry.due);
        assert_eq!((parked.status, parked.num_attempts), (Status::Running, 1));
        node.let_be_due(run).await;
    }
    waits
}

/// All that a run's only step, which failed for good, cost the run.
fn check_exhausted(finished: &Finished, tries: u32) {
    assert_eq!(finished.verdict(), "crashed step_exhausted", "{:?}", finished.run.failure);
    assert!(finished.failure().message.contains("out of order"), "{:?}", finished.failure());
    assert_eq!((finished.attempts.len(), finished.attempts[0].recoveries), (1, 0), "a try of a step is no attempt");
    let [entry] = finished.journal.as_slice() else { panic!("there is one step: {:?}", finished.journal) };
    assert_eq!((entry.state.as_str(), entry.tries, entry.tries_before), ("failed", tries, 0));
}

/// Each guest with each input waits for so long between the tries of its step, to the millisecond.
async fn check_waits(guest: &str, series: &[(Value, &[i64])]) {
    for node in nodes().await {
        let app = node.deploy(guest, "").await;
        let _worker = node.worker();
        join_all(series.iter().map(async |(input, expected)| {
            let run = node.start(&app, input.clone(), &[]).await;
            let waits = waits_ms(&node, &run, u32::try_from(expected.len()).expect("few")).await;
            assert_eq!(&waits, expected, "{input}");
            check_exhausted(&node.finished(&run).await, u32::try_from(expected.len() + 1).expect("few"));
        }))
        .await;
    }
}

#[tokio::test] // R21, R24, R26
async fn by_default_a_step_is_tried_ten_times_after_1_2_4_up_to_100_seconds() {
    let waits = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 100_000, 100_000];
    check_waits("exponential_step", &[(json!({}), &waits)]).await;
}

#[tokio::test] // R21
async fn each_field_of_the_growing_waits_can_be_set_alone() {
    let series: &[(Value, &[i64])] = &[
        (json!({"attempts": 2}), &[1_000]),
        (json!({"initial_ms": 5_000, "attempts": 4}), &[5_000, 10_000, 20_000]),
        (json!({"coefficient": 3.0, "attempts": 4}), &[1_000, 3_000, 9_000]),
        (json!({"maximum_ms": 3_000, "attempts": 5}), &[1_000, 2_000, 3_000, 3_000]),
        (json!({"attempts": 1}), &[]),
    ];
    check_waits("exponential_step", series).await;
}

#[tokio::test] // R22
async fn linear_waits_go_from_the_first_to_the_last_in_equal_parts() {
    let five = [300_000, 375_000, 450_000, 525_000, 600_000];
    let since_the_first = five.iter().scan(0, |at, wait| {
        *at += wait / 1000;
        Some(*at)
    });
    assert_eq!(since_the_first.collect::<Vec<_>>(), [300, 675, 1125, 1650, 2250]);
    let input = |retries, first_ms, last_ms| json!({"retries": retries, "first_ms": first_ms, "last_ms": last_ms});
    let one = input(1, 4_000, 9_000);
    check_waits("linear_step", &[(input(5, 300_000, 600_000), &five), (one, &[4_000])]).await;
}

#[tokio::test] // R22
async fn linear_waits_that_fall_are_refused() {
    for node in nodes().await {
        let _worker = node.worker();
        let input = json!({"retries": 3, "first_ms": 5_000, "last_ms": 1_000});
        let finished = node.run_guest("linear_step", "", input).await;
        assert_eq!((finished.verdict().as_str(), finished.journal.len()), ("crashed error", 0));
        assert!(finished.failure().message.contains("step `fail`"), "{:?}", finished.failure());
    }
}

#[tokio::test] // R22
async fn fixed_waits_are_all_the_same_and_may_be_none() {
    let input = |attempts, wait_ms| json!({"attempts": attempts, "wait_ms": wait_ms});
    check_waits("fixed_step", &[(input(3, 30_000), &[30_000, 30_000])]).await;
    for node in nodes().await {
        let _worker = node.worker();
        check_exhausted(&node.run_guest("fixed_step", "", input(50, 0)).await, 50);
    }
}

#[tokio::test] // R21, R24, R26
async fn a_step_is_executed_again_until_it_succeeds_and_that_costs_no_retry_of_the_run() {
    for node in nodes().await {
        let app = node.deploy("retrying_step", shop::ALLOWED).await;
        let _worker = node.worker();
        let shop = Shop::start();
        shop.fail("try", 3);
        let run = node.start(&app, json!({"url": shop.url()}), &[]).await;
        let (_, entry) = node.parked(&run, |entry| entry.tries == 3).await;
        assert_eq!(wait_ms(&entry), 4_000);
        node.let_be_due(&run).await;
        let finished = node.finished(&run).await;
        assert_eq!(finished.verdict(), "exited", "{:?}", finished.run.failure);
        assert!(finished.output.expect("what it returned").to_string().contains("try-4"));
        assert_eq!((shop.calls("try"), finished.journal[0].tries), (4, 4));
        assert_eq!(finished.log.iter().filter(|line| line.content == "trying").count(), 4);
        assert_eq!((finished.run.num_attempts, finished.attempts.len(), finished.attempts[0].recoveries), (1, 1, 0));
    }
}

#[tokio::test] // R23
async fn an_error_that_is_not_retryable_is_the_last_of_its_step() {
    for node in nodes().await {
        let _worker = node.worker();
        let finished = node.run_guest("not_retryable_step", "", Value::Null).await;
        assert_eq!(finished.verdict(), "crashed step_exhausted");
        assert_eq!((finished.lines()[0], finished.journal[0].tries), ("charging", 1));
        assert_eq!(finished.log.iter().filter(|line| line.content == "charging").count(), 1);
    }
}

#[tokio::test] // R23
async fn a_busy_service_says_when_the_step_is_tried_again_and_the_program_may_overrule_it() {
    for node in nodes().await {
        let app = node.deploy("retry_after_step", shop::ALLOWED).await;
        let _worker = node.worker();
        for (wait_ms_of_program, seconds, expected) in [(None, 7, 7_000), (Some(5_000), 7, 5_000), (None, 500, 500_000)]
        {
            let shop = Shop::start();
            shop.be_busy("try", seconds);
            let input = json!({"url": shop.url(), "wait_ms": wait_ms_of_program});
            let run = node.start(&app, input, &[]).await;
            let (_, entry) = node.parked(&run, |entry| entry.tries == 1).await;
            assert_eq!(wait_ms(&entry), expected);
            node.let_be_due(&run).await;
            let finished = node.finished(&run).await;
            assert_eq!((finished.verdict().as_str(), shop.calls("try")), ("exited", 2));
        }
    }
}

#[tokio::test] // R25
async fn a_fallback_and_what_it_stands_for_never_both_run() {
    for node in nodes().await {
        let worker = node.worker();
        let whole = node.run_guest("handled_failure", "", Value::Null).await;
        let states: Vec<_> = whole.journal.iter().map(|e| (e.name.as_str(), e.state.as_str())).collect();
        assert_eq!(states, [("card", "failed"), ("invoice", "finished")]);
        worker.drain().await;
        for k in 0..=2 {
            let run = node.start("handled-failure", Value::Null, &[]).await;
            node.begin_with(&run, &whole.journal[..k]).await;
            let worker = node.worker();
            let cut = node.finished(&run).await;
            worker.drain().await;
            assert_eq!(cut.output, Some(json!("by invoice")), "from the first {k} entries");
            assert_eq!(cut.journal[0].state, whole.journal[0].state, "from the first {k} entries");
        }
    }
}

#[tokio::test] // R7, R27
async fn at_its_step_limit_a_run_ends_and_is_not_retried() {
    let limits = format!("[limits]\nstep_attempts = 7\n{THREE_RETRIES}");
    for node in nodes().await {
        let _worker = node.worker();
        let finished = node.run_guest("step_limit", &limits, Value::Null).await;
        assert_eq!(finished.verdict(), "crashed step_limit", "{:?}", finished.run.failure);
        assert_eq!((finished.attempts.len(), finished.journal[0].tries), (1, 7));
        assert_eq!(finished.run.ended_because, Some(EndedBecause::StepLimit));
        assert!(finished.failure().message.contains("7 step attempts"), "{:?}", finished.failure());
    }
}

#[tokio::test] // R27
async fn the_step_limit_counts_over_all_attempts() {
    let limits = format!("[limits]\nstep_attempts = 7\n{THREE_RETRIES}");
    for node in nodes().await {
        let _worker = node.worker();
        let finished = node.run_guest("fixed_step", &limits, json!({"attempts": 3, "wait_ms": 0})).await;
        let kinds: Vec<_> = finished.attempts.iter().filter_map(|a| Some(a.failure.as_ref()?.kind.as_str())).collect();
        assert_eq!(kinds, ["step_exhausted", "step_exhausted", "step_limit"]);
        assert_eq!((finished.journal[0].tries, finished.journal[0].tries_before), (1, 6));
    }
}

#[tokio::test] // R27
async fn by_default_a_run_has_a_thousand_step_attempts() {
    for node in nodes().await {
        let _worker = node.worker();
        let finished = node.run_guest("step_limit", "", Value::Null).await;
        assert_eq!((finished.verdict().as_str(), finished.journal[0].tries), ("crashed step_limit", 1000));
    }
}

/// The run ended at its deadline, not before, and nothing follows.
fn check_past_deadline(finished: &Finished) {
    assert_eq!((finished.verdict().as_str(), finished.attempts.len()), ("crashed deadline", 1));
    assert!(finished.run.ended_at >= finished.run.deadline_at, "{:?}", finished.run);
    assert_eq!(finished.run.ended_because, Some(EndedBecause::Deadline));
}

#[tokio::test] // R7, R28
async fn at_its_deadline_a_run_is_stopped_if_it_computes_blocks_or_is_parked() {
    for node in nodes().await {
        let _worker = node.worker();
        let mut runs = vec![];
        for guest in ["loop_forever", "sleep_long"] {
            let app = node.deploy(guest, "").await;
            runs.push(start_before(&node, &app, Value::Null, 3, at_once(3)).await);
        }
        let app = node.deploy("sleeper", "").await;
        let sleeper = start_before(&node, &app, json!(3_600_000), 600, at_once(3)).await;
        node.parked(&sleeper, |entry| entry.name == "sleep").await;
        // The ten minutes have passed.
        node.sql("update runs set deadline_at = created_at + 1, available_at = 1 where app = 'sleeper'").await;
        runs.push(sleeper);
        for run in runs {
            check_past_deadline(&node.finished(&run).await);
        }
    }
}

#[tokio::test] // R28
async fn no_retry_of_a_run_begins_at_its_deadline_or_later() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("exit_three", "").await;
        let policy = RetryPolicy { delay: Duration::from_secs(60), ..at_once(3) };
        let finished = node.finished(&start_before(&node, &app, Value::Null, 50, policy).await).await;
        assert_eq!((finished.verdict().as_str(), finished.attempts.len()), ("crashed exit", 1));
        assert_eq!(finished.run.ended_because, Some(EndedBecause::Deadline));
        let waiting = start_before(&node, &app, Value::Null, 500, policy).await;
        node.wait_until(&waiting, |run| run.status == Status::Retrying).await;
    }
}

#[tokio::test] // R28
async fn no_retry_of_a_step_begins_at_the_deadline_or_later() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("exponential_step", "").await;
        let input = json!({"initial_ms": 60_000, "maximum_ms": 60_000});
        let run = start_before(&node, &app, input.clone(), 50, at_once(0)).await;
        check_exhausted(&node.finished(&run).await, 1);
        let run = start_before(&node, &app, input, 500, at_once(0)).await;
        node.parked(&run, |entry| entry.tries == 1).await;
    }
}

#[tokio::test] // R41
async fn a_step_that_is_begun_at_most_once_is_not_begun_again_after_a_loss_and_the_program_decides() {
    for node in nodes().await {
        let app = node.deploy("at_most_once", shop::ALLOWED).await;
        for is_killed in [false, true] {
            let shop = Shop::start();
            shop.hold("pay");
            let run = node.start(&app, json!({"url": shop.url()}), &[]).await;
            let worker = node.worker();
            shop.wait_for_call("pay").await;
            assert_eq!(node.last_entry(&run, |_| true).await.state, EntryState::Begun, "the intent is recorded first");
            match is_killed {
                true => node.lose(worker).await,
                false => worker.stop().await,
            }
            shop.release("pay");
            let worker = node.worker();
            let finished = node.finished(&run).await;
            worker.drain().await;
            assert_eq!(finished.output, Some(json!("unknown")), "{:?}", finished.run.failure);
            assert_eq!((shop.calls("pay"), &finished.journal[0].state), (1, &EntryState::Indeterminate));
            assert_eq!((finished.attempts.len(), finished.attempts[0].recoveries), (1, 1));
        }
    }
}

#[tokio::test] // R41
async fn a_step_that_is_begun_at_most_once_and_ends_is_a_step_like_others() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("at_most_once", shop::ALLOWED).await;
        let shop = Shop::start();
        let paid = node.finished(&node.start(&app, json!({"url": shop.url()}), &[]).await).await;
        assert_eq!((paid.output, shop.calls("pay")), (Some(json!("paid")), 1));
        shop.fail("pay", 1);
        let failed = node.finished(&node.start(&app, json!({"url": shop.url()}), &[]).await).await;
        assert_eq!((failed.verdict().as_str(), shop.calls("pay")), ("crashed step_exhausted", 2));
    }
}

#[tokio::test] // R26, R44
async fn the_key_of_a_step_is_the_same_over_its_tries_and_over_recoveries() {
    for node in nodes().await {
        let app = node.deploy("idempotency_key", shop::ALLOWED).await;
        let shop = Shop::start();
        shop.hold("key");
        let run = node.start(&app, json!(shop.url()), &[]).await;
        let worker = node.worker();
        shop.wait_for_call("key").await;
        worker.stop().await;
        shop.fail("key", 1);
        shop.release("key");
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        let keys: Vec<_> = shop.requests("key").into_iter().filter_map(|request| request.idempotency_key).collect();
        assert_eq!(keys.len(), 3, "one was interrupted, one failed, one did well");
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        let run_id = run.run_id.to_string();
        assert_eq!(finished.output, Some(json!([run_id, keys[0], run_id])), "{:?}", finished.run.failure);
        assert_eq!((finished.attempts.len(), finished.attempts[0].recoveries), (1, 1));
    }
}

#[tokio::test] // R21, R40
async fn a_worker_that_is_lost_while_a_step_waits_for_its_next_try_shortens_nothing() {
    for node in nodes().await {
        let app = node.deploy("exponential_step", "").await;
        let worker = node.worker();
        let run = node.start(&app, json!({"attempts": 2, "initial_ms": 2_000}), &[]).await;
        let waiting = node.last_entry(&run, |entry| entry.tries == 1).await;
        node.lose(worker).await;
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        let Some(Due::At(due_at)) = waiting.due else { panic!("it waits: {waiting:?}") };
        let tried_at: Timestamp = finished.journal[0].recorded_at;
        assert!(tried_at >= due_at, "{tried_at} is before {due_at}");
        assert_eq!((finished.journal[0].tries, finished.attempts.len()), (2, 1));
    }
}
