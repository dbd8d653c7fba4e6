//! Attempts, retries and what they are given, over a real worker and real guests, on both stores.

use std::time::Duration;

use jiff::Timestamp;
use relume::retry::RetryPolicy;
use relume::run::{EndedBecause, Status};
use relume::store::{AppChange, NewRun, NewSecret, Run, Timeouts};
use relume::vault::Vault;
use relume_tests::node::{Node, compiled, sandbox_in, vault};
use relume_tests::process::Process;
use relume_tests::server::Server;
use serde_json::{Value, json};
use tokio::time::Instant;

async fn nodes() -> [Node; 2] {
    [Node::sqlite().await, Node::postgres().await]
}

fn retry(max_retries: u32, seconds: u64, exponential: bool) -> RetryPolicy {
    RetryPolicy { max_retries, delay: Duration::from_secs(seconds), exponential }
}

/// A run of `app` under a policy of its own.
async fn start_with(node: &Node, app: &str, policy: RetryPolicy) -> Run {
    let new = NewRun { app: app.to_owned(), policy: Some(policy), ..NewRun::default() };
    node.store.start_run(new).await.expect("the run starts").run
}

/// The run, once its attempt number `attempt` failed and the next one is awaited.
async fn retrying_after(node: &Node, run: &Run, attempt: u32) -> Run {
    node.wait_until(run, |run| run.status == Status::Retrying && run.num_attempts == attempt + 1).await
}

#[tokio::test] // R3, R4, R6, R9, R10
async fn a_failing_run_waits_30_then_60_then_120_seconds_and_keeps_its_last_failure() {
    for node in nodes().await {
        let _worker = node.worker();
        let manifest = "[retry]\nmax_retries = 3\nretry_delay_seconds = 30\nuse_exponential_backoff = true\n";
        let app = node.deploy("exit_three", manifest).await;
        let run = node.start(&app, Value::Null, &[]).await;
        for (attempt, seconds) in [(1, 30), (2, 60), (3, 120)] {
            let waiting = retrying_after(&node, &run, attempt).await;
            assert_eq!((waiting.ended_at, waiting.exit_code, waiting.failure), (None, None, None));
            let attempts = node.store.list_attempts(run.run_id).await.expect("its attempts");
            assert_eq!(attempts.len(), attempt as usize);
            let last = attempts.last().expect("one ended");
            assert_eq!((last.status, last.exit_code), (Status::Crashed, Some(3)));
            let (due_at, ended_at) = (waiting.next_attempt_at.expect("a time"), last.ended_at.expect("a time"));
            assert_eq!(due_at.duration_since(ended_at).as_millis(), seconds * 1000);
            node.let_all_be_due().await;
        }
        let finished = node.finished(&run).await;
        assert_eq!((finished.verdict().as_str(), finished.run.num_attempts), ("crashed exit", 4));
        assert_eq!((finished.run.exit_code, finished.run.ended_because, finished.attempts.len()), (Some(3), None, 4));
        assert_eq!(finished.run.ended_at, finished.attempts[3].ended_at);
    }
}

#[tokio::test] // R5
async fn a_run_with_a_policy_of_its_own_leaves_the_apps() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("exit_three", "").await;
        let own = node.finished(&start_with(&node, &app, retry(1, 0, false)).await).await;
        assert_eq!((own.run.policy, own.attempts.len()), (retry(1, 0, false), 2));
        assert_eq!(node.store.find_app(&app).await.expect("it is there").policy, RetryPolicy::default());
        let next = node.start(&app, Value::Null, &[]).await;
        assert_eq!(node.finished(&next).await.attempts.len(), 1);
    }
}

#[tokio::test] // R7
async fn an_error_that_is_not_retryable_is_not_retried_and_the_run_says_why() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("not_retryable", "").await;
        let finished = node.finished(&start_with(&node, &app, retry(3, 0, false)).await).await;
        assert_eq!((finished.verdict().as_str(), finished.run.exit_code), ("crashed error", Some(1)));
        assert!(finished.failure().message.contains("no such card"), "{:?}", finished.run.failure);
        assert_eq!(finished.run.ended_because, Some(EndedBecause::NotRetryable));
        assert_eq!((finished.attempts.len(), finished.run.num_attempts), (1, 1));
        let last = node.finished(&start_with(&node, &app, retry(0, 0, false)).await).await;
        assert_eq!(last.run.ended_because, None, "no retry was left to skip");
    }
}

#[tokio::test] // R8
async fn a_disabled_apps_retry_is_skipped_and_enabling_it_revives_nothing() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("exit_three", "").await;
        let run = start_with(&node, &app, retry(3, 60, false)).await;
        retrying_after(&node, &run, 1).await;
        let disabled = |disabled| AppChange { disabled: Some(disabled), ..AppChange::default() };
        node.store.update_app(&app, None, disabled(true)).await.expect("the app is there");
        node.let_all_be_due().await;
        let skipped = node.finished(&run).await;
        assert_eq!((skipped.verdict().as_str(), skipped.run.num_attempts), ("crashed exit", 1));
        assert_eq!(skipped.run.ended_because, Some(EndedBecause::AppDisabled));
        node.store.update_app(&app, None, disabled(false)).await.expect("the app is there");
        let next = node.finished(&start_with(&node, &app, retry(0, 0, false)).await).await;
        assert_eq!(next.run.number, 2);
        assert_eq!(node.finished(&run).await.run, skipped.run, "a later run ran, and the skipped one did not");
    }
}

#[tokio::test] // R7, R8
async fn a_caller_reads_why_a_retry_was_skipped() {
    for server in [Server::sqlite(), Server::postgres()] {
        let node = Node::at(server.database.clone()).await;
        let _worker = node.worker();
        let policy = json!({"max_retries": 1, "retry_delay_seconds": 60, "use_exponential_backoff": false});
        let shown = async |run: &Value| {
            let path = run["$link"].as_str().expect("a path");
            server.get(path).await.json()["run"].clone()
        };
        let stored = async |run: &Value| {
            let app = run["app_name"].as_str().expect("an app");
            node.store.find_run(app, run["number"].as_i64().expect("a number")).await.expect("the run")
        };
        let app = server.deploy("not_retryable", "").await;
        let first = server.start_run(&app, json!({"retry_policy": policy})).await;
        node.finished(&stored(&first).await).await;
        let run = shown(&first).await;
        assert_eq!((&run["status"], &run["num_attempts"]), (&json!("crashed"), &json!(1)));
        assert_eq!(run["retry_skipped_reason"], "not_retryable");

        let app = server.deploy("exit_three", "").await;
        let second = server.start_run(&app, json!({"retry_policy": policy})).await;
        retrying_after(&node, &stored(&second).await, 1).await;
        assert_eq!(shown(&second).await["retry_skipped_reason"], Value::Null);
        let disabled = AppChange { disabled: Some(true), ..AppChange::default() };
        node.store.update_app(&app, None, disabled).await.expect("the app is there");
        node.let_all_be_due().await;
        node.finished(&stored(&second).await).await;
        assert_eq!(shown(&second).await["retry_skipped_reason"], "app_disabled");
        let refused = server.post(&format!("/v1/apps/{app}/runs"), "{}").await;
        assert_eq!(refused.status, 409, "{refused:?}");
    }
}

#[tokio::test] // R2
async fn an_attempt_ends_at_the_running_timeout_of_its_app() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("sleep_long", "").await;
        let change = AppChange { running_timeout: Some(Some(Duration::from_secs(1))), ..AppChange::default() };
        node.store.update_app(&app, None, change).await.expect("the app is there");
        let finished = node.finished(&node.start(&app, Value::Null, &[]).await).await;
        assert_eq!(finished.verdict(), "crashed timeout");
        let message = &finished.failure().message;
        assert!(message.contains("after 1 s") && message.contains("`running_timeout`"), "{message}");
    }
}

#[tokio::test] // R1, R9
async fn a_worker_shows_that_it_fetches_the_code_if_it_has_to() {
    for node in nodes().await {
        let app = node.deploy("plain", "").await;
        let cold = sandbox_in(&compiled());
        let worker = node.worker_with(cold);
        for is_first in [true, false] {
            let finished = node.finished(&node.start(&app, Value::Null, &[]).await).await;
            assert_eq!(finished.verdict(), "exited");
            let (run, attempt) = (&finished.run, &finished.attempts[0]);
            assert_eq!((run.starting_at.is_some(), attempt.starting_at.is_some()), (is_first, is_first));
            assert!(run.starting_at <= run.started_at && attempt.started_at.is_some());
        }
        worker.drain().await;
    }
}

#[tokio::test] // R1, R2
async fn code_that_is_gone_fails_the_attempt_before_it_runs() {
    for node in nodes().await {
        let app = node.deploy("plain", "").await;
        let folder = tempfile::tempdir().expect("a folder");
        node.sql("update artifacts set component = substr(component, 1, 100)").await;
        let _worker = node.worker_with(sandbox_in(folder.path()));
        let finished = node.finished(&start_with(&node, &app, retry(1, 0, false)).await).await;
        assert_eq!((finished.verdict().as_str(), finished.attempts.len()), ("errored artifact", 2));
        assert!(finished.attempts.iter().all(|attempt| attempt.starting_at.is_some() && attempt.started_at.is_none()));
    }
}

#[tokio::test] // R45
async fn a_run_starts_at_its_time_and_not_before() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("plain", "").await;
        let at: Timestamp = "2100-01-01T00:00:00Z".parse().expect("a moment");
        let new = NewRun { app: app.clone(), scheduled_at: Some(at), ..NewRun::default() };
        let later = node.store.start_run(new).await.expect("it starts").run;
        node.finished(&node.start(&app, Value::Null, &[]).await).await;
        let waiting = node.store.find_run(&app, later.number).await.expect("it is there");
        assert_eq!(waiting.status, Status::Scheduled, "a later run ran, and this one did not");
        node.let_all_be_due().await;
        assert_eq!(node.finished(&later).await.verdict(), "exited");
    }
}

#[tokio::test] // R9
async fn a_run_that_found_no_worker_in_time_never_runs() {
    for node in nodes().await {
        let app = node.deploy("plain", "").await;
        let timeouts = Timeouts { pending: Some(Duration::from_secs(60)), running: None };
        let new = NewRun { app: app.clone(), timeouts, ..NewRun::default() };
        let run = node.store.start_run(new).await.expect("it starts").run;
        node.sql("update runs set pending_until = 1").await;
        let closing = tokio_util::sync::CancellationToken::new();
        let watching = tokio::spawn(relume::scheduler::watch(node.store.clone(), closing.clone()));
        let given_up = node.finished(&run).await;
        assert_eq!(given_up.run.status, Status::Cancelled);
        assert_eq!(given_up.run.ended_because, Some(EndedBecause::PendingTimeout));
        closing.cancel();
        watching.await.expect("the watch ends");
        let _worker = node.worker();
        node.finished(&node.start(&app, Value::Null, &[]).await).await;
        assert_eq!(node.finished(&run).await.attempts, []);
    }
}

/// Keeps a secret as a server with this vault would.
async fn keep(node: &Node, vault: &Vault, name: &str, secret: &str) {
    let sealed = vault.seal(name, secret.as_bytes()).expect("it is sealed");
    let secret = NewSecret { name: name.to_owned(), sealed, preview: "...".to_owned() };
    node.store.create_secret(secret).await.expect("the name is free");
}

#[tokio::test] // V12, R13
async fn a_secret_reaches_the_program_that_names_it_and_no_other() {
    for node in nodes().await {
        let _worker = node.worker();
        for (name, secret) in [("API_KEY", "hunter2"), ("OTHER", "not for you")] {
            keep(&node, &vault(), name, secret).await;
        }
        let app = node.deploy("env_dump", "secrets = [\"API_KEY\"]\n[env]\nAPI_KEY = \"env\"\n").await;
        let finished = node.finished(&node.start(&app, Value::Null, &[("API_KEY", "parameter")]).await).await;
        let said = finished.lines().join("\n");
        assert!(said.contains("env API_KEY=hunter2"), "it comes before what else has its name: {said}");
        assert!(!said.contains("OTHER") && !said.contains("not for you"), "{said}");
    }
}

#[tokio::test] // R2, R13
async fn a_secret_that_is_not_set_is_the_apps_fault_and_one_that_cannot_be_opened_is_ours() {
    for node in nodes().await {
        let _worker = node.worker();
        let app = node.deploy("env_dump", "secrets = [\"API_KEY\"]\n").await;
        let missing = node.finished(&node.start(&app, Value::Null, &[]).await).await;
        assert_eq!(missing.verdict(), "crashed error");
        let message = &missing.failure().message;
        assert!(message.contains("`API_KEY`") && message.contains("relume secrets set API_KEY"), "{message}");
        assert!(missing.lines().is_empty(), "the program did not run");

        let other = Vault::with_key(&"5".repeat(64)).expect("a key");
        keep(&node, &other, "API_KEY", "hunter2").await;
        let locked = node.finished(&node.start(&app, Value::Null, &[]).await).await;
        assert_eq!(locked.verdict(), "errored host");
        let message = &locked.failure().message;
        assert!(message.contains("`API_KEY`") && message.contains("RELUME_SECRETS_KEY"), "{message}");
        assert!(!message.contains("hunter2") && locked.lines().is_empty(), "{message}");
    }
}

#[tokio::test] // R12
async fn a_guest_that_computes_or_sleeps_is_stopped_within_a_second_of_the_cancel() {
    for node in nodes().await {
        let worker = Process::worker(&node.url, 15, &[]);
        for guest in ["loop_forever", "sleep_long"] {
            let app = node.deploy(guest, "[limits]\nfuel = 1_000_000_000_000\n").await;
            let run = start_with(&node, &app, retry(3, 0, false)).await;
            node.wait_until(&run, |run| run.status == Status::Running).await;
            let asked = Instant::now();
            node.store.cancel_run(&app, run.number).await.expect("it is active");
            worker.wait_for_line("its guest is stopped");
            let took = asked.elapsed();
            assert!(took < Duration::from_secs(1), "{guest}: {took:?}");
            let finished = node.finished(&run).await;
            assert_eq!((finished.run.status, finished.attempts.len()), (Status::Cancelled, 1));
            assert_eq!((finished.attempts[0].status, finished.run.failure), (Status::Cancelled, None));
        }
    }
}
