//! Runs that wait: for a time, for an event, for their children. With real programs, on both stores.

use std::time::Duration;

use relume::retry::RetryPolicy;
use relume::run::Status;
use relume::store::{AppChange, NewEvent, Run, RunFilter, WaitKind};
use relume_tests::node::{Finished, Node};
use relume_tests::sql;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const HOUR_MS: u64 = 3_600_000;

async fn nodes() -> [Node; 2] {
    [Node::sqlite().await, Node::postgres().await]
}

/// Waits until the run waits for something of this kind.
async fn waiting(node: &Node, run: &Run, kind: WaitKind) -> Run {
    node.wait_until(run, |run| run.waiting_on.as_ref().is_some_and(|on| on.kind == kind)).await
}

/// The run ended well in its first attempt, and waking it was no recovery.
fn check_undisturbed(finished: &Finished) {
    assert_eq!(finished.verdict(), "exited", "{:?}", finished.run.failure);
    assert_eq!((finished.run.num_attempts, finished.attempts.len(), finished.attempts[0].recoveries), (1, 1, 0));
}

/// How many runs a worker has at the moment.
async fn held(node: &Node) -> String {
    sql::lines(&node.url, "select cast(count(worker_id) as text) from runs").await.concat()
}

#[tokio::test] // R24, R26, R42
async fn fifty_sleepers_hold_none_of_four_slots_and_all_wake() {
    for node in nodes().await {
        let app = node.deploy("sleeper", "").await;
        let plain = node.deploy("plain", "").await;
        let _worker = node.worker();
        let mut sleepers = vec![];
        for _ in 0..50 {
            sleepers.push(node.start(&app, json!(HOUR_MS), &[]).await);
        }
        for sleeper in &sleepers {
            let parked = waiting(&node, sleeper, WaitKind::Sleep).await;
            assert_eq!((parked.status, parked.ended_at), (Status::Running, None));
        }
        assert_eq!(held(&node).await, "0");
        let other = node.start(&plain, Value::Null, &[]).await;
        assert_eq!(node.finished(&other).await.verdict(), "exited", "there is a slot for others");
        for sleeper in &sleepers {
            node.let_be_due(sleeper).await;
        }
        for sleeper in &sleepers {
            check_undisturbed(&node.finished(sleeper).await);
        }
    }
}

#[tokio::test] // R24, R42
async fn no_sleep_ends_early_be_it_in_place_or_parked() {
    for node in nodes().await {
        let app = node.deploy("sleeper", "").await;
        let until = node.deploy("sleep_until", "").await;
        let _worker = node.worker();
        let now = node.store.now().await.expect("a time");
        let until_ms = u64::try_from(now.as_millisecond()).expect("it is past 1970") + 2_500;
        let sleeps = [0, 1, 300, 2_500].map(|ms| (ms, node.start(&app, json!(ms), &[])));
        let waker = node.start(&until, json!(until_ms), &[]).await;
        let late = node.start(&until, json!(7), &[]).await;
        for (length_ms, run) in sleeps {
            let finished = node.finished(&run.await).await;
            check_undisturbed(&finished);
            let [began, ended]: [u64; 2] = serde_json::from_value(finished.output.expect("an output")).expect("two");
            assert!(ended >= began + length_ms, "{length_ms} ms: from {began} to {ended}");
            assert!(ended < began + length_ms + 10_000, "{length_ms} ms: from {began} to {ended}");
        }
        let woken = node.finished(&waker).await.output.expect("an output").as_u64().expect("a number");
        assert!(woken >= until_ms, "{woken} is before {until_ms}");
        check_undisturbed(&node.finished(&late).await);
    }
}

#[tokio::test] // R40, R42
async fn a_parked_run_survives_the_end_of_its_worker_and_another_one_wakes_it() {
    for node in nodes().await {
        let sleeper = node.deploy("sleeper", "").await;
        let waiter = node.deploy("event_waiter", "").await;
        let worker = node.worker();
        let asleep = node.start(&sleeper, json!(HOUR_MS), &[]).await;
        let told = node.start(&waiter, json!({"name": "go"}), &[]).await;
        waiting(&node, &asleep, WaitKind::Sleep).await;
        let parked = waiting(&node, &told, WaitKind::Event).await;
        assert_eq!(parked.waiting_on.map(|on| (on.name, on.until)), Some(("go".to_owned(), None)));
        worker.stop().await;
        send(&node, &told, "go", "1").await;
        node.let_be_due(&asleep).await;
        let _worker = node.worker();
        check_undisturbed(&node.finished(&asleep).await);
        let told = node.finished(&told).await;
        check_undisturbed(&told);
        assert_eq!(told.output, Some(json!(1)));
    }
}

#[tokio::test] // R40, R42
async fn a_worker_that_is_lost_while_a_run_sleeps_in_place_shortens_nothing() {
    for node in nodes().await {
        let app = node.deploy("sleeper", "").await;
        let worker = node.worker();
        let run = node.start(&app, json!(1_900), &[]).await;
        node.last_entry(&run, |entry| entry.name == "sleep").await;
        node.lose(worker).await;
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        let [began, ended]: [u64; 2] = serde_json::from_value(finished.output.expect("an output")).expect("two");
        assert!(ended >= began + 1_900, "from {began} to {ended}");
        assert_eq!((finished.attempts.len(), finished.attempts[0].recoveries), (1, 1));
    }
}

async fn send(node: &Node, run: &Run, name: &str, json: &str) {
    let event = NewEvent { name: name.to_owned(), payload: json.into(), key: None };
    node.store.send_event(&run.app, run.number, event).await.expect("the run is active");
}

#[tokio::test] // R42
async fn events_that_were_sent_early_are_kept_in_order_and_each_is_delivered_once() {
    for node in nodes().await {
        let app = node.deploy("two_events", "").await;
        let run = node.start(&app, Value::Null, &[]).await;
        for (name, json) in [("ship", "\"now\""), ("approve", "1"), ("approve", "2"), ("approve", "3")] {
            send(&node, &run, name, json).await;
        }
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        check_undisturbed(&finished);
        assert_eq!(finished.output, Some(json!([1, 2, "now"])));
        let events = node.store.list_events(run.run_id, None, 10).await.expect("what it was told");
        let delivered: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.delivered_seq)).collect();
        let expected = [("ship", Some(3)), ("approve", Some(1)), ("approve", Some(2)), ("approve", None)];
        assert_eq!(delivered, expected);
    }
}

#[tokio::test] // R24, R42
async fn an_event_wakes_the_run_that_waits_for_it_and_another_one_does_not() {
    for node in nodes().await {
        let app = node.deploy("two_events", "").await;
        let _worker = node.worker();
        let run = node.start(&app, Value::Null, &[]).await;
        waiting(&node, &run, WaitKind::Event).await;
        send(&node, &run, "ship", "\"early\"").await;
        send(&node, &run, "approve", "{\"by\": \"Ada\"}").await;
        node.parked(&run, |entry| entry.seq == 2).await;
        send(&node, &run, "approve", "null").await;
        let finished = node.finished(&run).await;
        check_undisturbed(&finished);
        assert_eq!(finished.output, Some(json!([{"by": "Ada"}, null, "early"])));
    }
}

#[tokio::test] // R24, R42
async fn an_event_that_does_not_come_in_time_is_told_to_the_program() {
    for node in nodes().await {
        let app = node.deploy("event_waiter", "").await;
        let _worker = node.worker();
        let soon = node.start(&app, json!({"name": "go", "timeout_ms": 100}), &[]).await;
        let late = node.start(&app, json!({"name": "go", "timeout_ms": HOUR_MS}), &[]).await;
        let told = node.start(&app, json!({"name": "go", "timeout_ms": HOUR_MS}), &[]).await;
        assert_eq!(node.finished(&soon).await.output, Some(json!("timed out")));
        let parked = waiting(&node, &late, WaitKind::Event).await;
        assert!(parked.waiting_on.is_some_and(|on| on.until.is_some()));
        node.let_be_due(&late).await;
        let late = node.finished(&late).await;
        check_undisturbed(&late);
        assert_eq!((late.output, late.journal[0].state.as_str()), (Some(json!("timed out")), "failed"));
        waiting(&node, &told, WaitKind::Event).await;
        send(&node, &told, "go", "[1, 2]").await;
        assert_eq!(node.finished(&told).await.output, Some(json!([1, 2])));
    }
}

/// Deploys the guests `parent` and `child`, the latter with `retries`, and returns a run of the former.
async fn family(node: &Node, retries: u32, delay_seconds: u32, mode: &str, fan: u32) -> Run {
    let retry = format!(
        "[retry]\nmax_retries = {retries}\nretry_delay_seconds = {delay_seconds}\nuse_exponential_backoff = false\n"
    );
    node.deploy("child", &retry).await;
    let app = node.deploy("parent", "").await;
    node.start(&app, json!({"app": "child", "mode": mode, "fan": fan}), &[]).await
}

/// The runs of `child`, the first first.
async fn children(node: &Node) -> Vec<Run> {
    let filter = RunFilter { app: Some("child".to_owned()), limit: 100, ..RunFilter::default() };
    let mut runs = node.store.list_runs(&filter).await.expect("its runs");
    runs.reverse();
    runs
}

#[tokio::test] // R43
async fn a_parent_gets_the_results_of_twenty_children_in_order() {
    for node in nodes().await {
        let parent = family(&node, 0, 0, "ok", 20).await;
        let _worker = node.worker();
        let finished = node.finished(&parent).await;
        check_undisturbed(&finished);
        let expected: Vec<_> = (0..20).map(|i| format!("child {i} is done")).collect();
        assert_eq!(finished.output, Some(json!(expected)));
        let children = children(&node).await;
        assert_eq!(children.len(), 20);
        assert!(children.iter().all(|child| child.parent.as_ref().is_some_and(|p| p.run_id == parent.run_id)));
    }
}

#[tokio::test] // R43
async fn a_parent_gets_the_error_of_a_child_that_failed_for_good() {
    for node in nodes().await {
        let parent = family(&node, 1, 0, "fail", 1).await;
        let _worker = node.worker();
        let finished = node.finished(&parent).await;
        check_undisturbed(&finished);
        assert_eq!(finished.output, Some(json!(["child#1 ended `crashed`: child 0 fails, as asked"])));
        assert_eq!(children(&node).await[0].num_attempts, 2, "not before its retries were used up");
    }
}

#[tokio::test] // R43
async fn a_child_that_is_not_there_is_an_error_of_its_start() {
    for node in nodes().await {
        let _worker = node.worker();
        let finished = node.run_guest("parent", "", json!({"app": "nobody", "mode": "ok", "fan": 1})).await;
        check_undisturbed(&finished);
        let [message]: [String; 1] = serde_json::from_value(finished.output.expect("an output")).expect("one");
        assert!(message.starts_with("no run of `nobody` was started"), "{message}");
    }
}

#[tokio::test] // R26, R43
async fn a_parent_waits_over_its_childs_retries() {
    for node in nodes().await {
        let parent = family(&node, 1, 3600, "crash_once", 1).await;
        let _worker = node.worker();
        let parked = waiting(&node, &parent, WaitKind::Child).await;
        assert_eq!(parked.waiting_on.map(|on| (on.name, on.until)), Some(("child#1".to_owned(), None)));
        let child = children(&node).await.remove(0);
        node.wait_until(&child, |child| child.status == Status::Retrying).await;
        let still = node.store.find_run(&parent.app, parent.number).await.expect("it is there");
        assert!(still.waiting_on.is_some(), "{still:?}");
        node.let_be_due(&child).await;
        let finished = node.finished(&parent).await;
        check_undisturbed(&finished);
        assert_eq!(finished.output, Some(json!(["child 0 is done"])));
        assert_eq!(node.finished(&child).await.attempts.len(), 2);
    }
}

#[tokio::test] // R43
async fn a_child_that_somebody_retries_after_its_end_has_told_its_parent_once() {
    for node in nodes().await {
        let parent = family(&node, 0, 0, "crash_once", 1).await;
        let _worker = node.worker();
        let finished = node.finished(&parent).await;
        let told = finished.output.expect("an output").to_string();
        assert!(told.contains("child#1 ended `crashed`"), "{told}");
        let child = node.store.retry_run("child", 1, None).await.expect("it failed");
        assert_eq!(node.finished(&child).await.verdict(), "exited");
        assert_eq!(node.finished(&parent).await.run, finished.run);
    }
}

#[tokio::test] // R12, R43
async fn who_cancels_a_waiting_parent_cancels_its_children_and_theirs() {
    for node in nodes().await {
        let parent = family(&node, 3, 0, "nest", 2).await;
        let worker = node.worker();
        let closing = CancellationToken::new();
        let watching = tokio::spawn(relume::scheduler::watch(node.store.clone(), closing.clone()));
        waiting(&node, &parent, WaitKind::Child).await;
        // The one that a parent starts may be older than the next of the parent's own.
        let of = async |app: &str| {
            let mut all = children(&node).await;
            all.retain(|child| child.parent.as_ref().is_some_and(|parent| parent.app == app));
            all
        };
        for child in of("parent").await {
            waiting(&node, &child, WaitKind::Child).await;
        }
        for grandchild in of("child").await {
            waiting(&node, &grandchild, WaitKind::Event).await;
        }
        let all = children(&node).await;
        assert_eq!(all.len(), 4, "two children, and a child of each");
        node.store.cancel_run(&parent.app, parent.number).await.expect("it is active");
        for child in &all {
            let child = node.wait_until(child, |child| !child.status.is_active()).await;
            assert_eq!(child.status, Status::Cancelled, "{child:?}");
        }
        assert_eq!(node.finished(&parent).await.run.status, Status::Cancelled);
        closing.cancel();
        watching.await.expect("it ends");
        worker.drain().await;
    }
}

#[tokio::test] // R40, R43
async fn a_child_is_started_once_however_often_its_parent_is_interrupted() {
    for node in nodes().await {
        let parent = family(&node, 0, 0, "wait", 3).await;
        for kept in [0, 1, 3] {
            let worker = node.worker();
            waiting(&node, &parent, WaitKind::Child).await;
            worker.stop().await;
            // As if the parent had died before the other starts were recorded.
            let is_parent = "run_id in (select run_id from runs where app = 'parent')";
            node.sql(&format!("delete from journal where seq > {kept} and {is_parent}")).await;
            node.let_be_due(&parent).await;
            node.sql("update runs set waiting_kind = null, waiting_name = null where app = 'parent'").await;
        }
        let _worker = node.worker();
        waiting(&node, &parent, WaitKind::Child).await;
        for (child, json) in children(&node).await.iter().zip(["\"a\"", "\"b\"", "\"c\""]) {
            send(&node, child, "go", json).await;
        }
        let finished = node.finished(&parent).await;
        assert_eq!((finished.output, children(&node).await.len()), (Some(json!(["a", "b", "c"])), 3));
    }
}

/// A run that has ended is no longer its worker's, which sees so when it compares. On SQLite, where a write that nobody
/// waits for any more is rolled back.
#[tokio::test] // R43
async fn a_parent_is_woken_although_its_child_is_not_the_workers_any_more() {
    let node = Node::sqlite().await;
    let parent = family(&node, 0, 0, "wait", 1).await;
    let _worker = node.worker();
    waiting(&node, &parent, WaitKind::Child).await;
    // Longer than the worker waits from one comparison to the next.
    node.sql(
        "create trigger waking_takes_long before update of signals on runs when old.app = 'parent' begin
            select count(*) from (
                with recursive numbers(n) as (values (1) union all select n + 1 from numbers where n < 5000000)
                select n from numbers);
        end",
    )
    .await;
    send(&node, &children(&node).await[0], "go", "\"a\"").await;
    assert_eq!(node.finished(&parent).await.output, Some(json!(["a"])));
}

#[tokio::test] // R8, R43
async fn a_disabled_app_starts_no_children_and_the_parent_is_told() {
    for node in nodes().await {
        let parent = family(&node, 0, 0, "ok", 1).await;
        let disabled = AppChange { disabled: Some(true), ..AppChange::default() };
        node.store.update_app("child", None, disabled).await.expect("it is there");
        let _worker = node.worker();
        let finished = node.finished(&parent).await;
        let told = finished.output.expect("an output").to_string();
        assert!(told.contains("no run of `child` was started") && told.contains("disabled"), "{told}");
        assert_eq!(children(&node).await, []);
    }
}

#[tokio::test] // R26, R42
async fn waiting_uses_up_no_retry_of_the_run() {
    let policy = RetryPolicy { max_retries: 1, delay: Duration::ZERO, exponential: false };
    for node in nodes().await {
        let app = node.deploy("sleeper", "").await;
        let change = AppChange { policy: Some(policy), ..AppChange::default() };
        node.store.update_app(&app, None, change).await.expect("it is there");
        let worker = node.worker();
        let run = node.start(&app, json!(HOUR_MS), &[]).await;
        waiting(&node, &run, WaitKind::Sleep).await;
        worker.stop().await;
        let _worker = node.worker();
        node.let_be_due(&run).await;
        let finished = node.finished(&run).await;
        check_undisturbed(&finished);
        assert_eq!(finished.run.policy, policy);
    }
}
