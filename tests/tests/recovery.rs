//! What becomes of an attempt whose worker is lost, drained, or cannot run its code. With real programs, on both stores.

use relume::manifest::Settings;
use relume::run::Status;
use relume::store::{Run, Upload};
use relume_tests::guests;
use relume_tests::node::{Finished, Node, Worker, sandbox, sandbox_in};
use relume_tests::shop::{ALLOWED, Shop};
use serde_json::{Value, json};
use tempfile::TempDir;

const ONE_RETRY: &str = "[retry]\nmax_retries = 1\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";

async fn nodes() -> [Node; 2] {
    [Node::sqlite().await, Node::postgres().await]
}

/// How the attempts ended: `errored worker_lost`, `exited`.
fn ends(finished: &Finished) -> Vec<String> {
    let kind = |kind: Option<&str>| kind.map_or(String::new(), |kind| format!(" {kind}"));
    let ends = finished.attempts.iter().map(|attempt| {
        format!("{}{}", attempt.status.as_str(), kind(attempt.failure.as_ref().map(|failure| failure.kind.as_str())))
    });
    ends.collect()
}

/// A new run whose steps ask the shop, one request each.
async fn effects(node: &Node, manifest: &str, shop: &Shop, steps: u32) -> Run {
    let app = node.deploy("effects", &format!("{ALLOWED}{manifest}")).await;
    node.start(&app, json!({"url": shop.url(), "steps": steps}), &[]).await
}

/// A worker that executes a step whose request the shop holds, for the `n`th time.
async fn a_worker_held_at(step: &str, n: usize, shop: &Shop, node: &Node) -> Worker {
    let worker = node.worker();
    shop.wait_for_calls(step, n).await;
    worker
}

#[tokio::test] // R40, R41
async fn a_plain_program_is_not_begun_again_when_its_worker_is_lost_or_stopped() {
    for node in nodes().await {
        let app = node.deploy("sleep_long", "").await;
        for is_lost in [false, true] {
            let worker = node.worker();
            let run = node.start(&app, Value::Null, &[]).await;
            node.wait_until(&run, |run| run.status == Status::Running).await;
            match is_lost {
                true => node.lose(worker).await,
                false => worker.stop().await,
            }
            let worker = node.worker();
            let finished = node.finished(&run).await;
            worker.drain().await;
            assert_eq!(ends(&finished), ["errored worker_lost"]);
            assert!(finished.failure().message.contains("on_worker_loss"), "{:?}", finished.failure());
        }
    }
}

#[tokio::test] // R6, R41
async fn the_retry_policy_decides_what_follows_a_lost_worker() {
    for node in nodes().await {
        let app = node.deploy("sleep_long", ONE_RETRY).await;
        let worker = node.worker();
        let run = node.start(&app, Value::Null, &[]).await;
        node.wait_until(&run, |run| run.status == Status::Running).await;
        node.lose(worker).await;
        let _worker = node.worker();
        node.wait_until(&run, |run| run.status == Status::Running && run.num_attempts == 2).await;
        node.store.cancel_run(&app, run.number).await.expect("it is active");
        assert_eq!(ends(&node.finished(&run).await), ["errored worker_lost", "cancelled"]);
    }
}

#[tokio::test] // R40, R41
async fn a_plain_program_that_says_so_is_begun_again_in_the_same_attempt() {
    for node in nodes().await {
        let app = node.deploy("sleep_long", "on_worker_loss = \"resume\"\n").await;
        let worker = node.worker();
        let run = node.start(&app, Value::Null, &[]).await;
        node.wait_until(&run, |run| run.status == Status::Running).await;
        node.lose(worker).await;
        let _worker = node.worker();
        node.wait_until_recovered(&run, 1).await;
        node.store.cancel_run(&app, run.number).await.expect("it is active");
        assert_eq!(ends(&node.finished(&run).await), ["cancelled"]);
    }
}

#[tokio::test] // R20, R41
async fn a_durable_program_that_says_so_is_not_resumed_and_its_retry_keeps_what_it_has() {
    for node in nodes().await {
        let shop = Shop::start();
        shop.hold("step-2");
        let run = effects(&node, &format!("on_worker_loss = \"fail\"\n{ONE_RETRY}"), &shop, 3).await;
        let worker = a_worker_held_at("step-2", 1, &shop, &node).await;
        node.lose(worker).await;
        shop.release("step-2");
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        assert_eq!(ends(&finished), ["errored worker_lost", "exited"]);
        assert_eq!(["step-1", "step-2", "step-3"].map(|step| shop.calls(step)), [1, 2, 1]);
    }
}

#[tokio::test] // R30, R40
async fn by_default_a_durable_program_goes_on_after_its_last_recorded_step() {
    for node in nodes().await {
        let shop = Shop::start();
        shop.hold("step-2");
        let run = effects(&node, "", &shop, 3).await;
        let worker = a_worker_held_at("step-2", 1, &shop, &node).await;
        node.lose(worker).await;
        shop.release("step-2");
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        assert_eq!((ends(&finished), finished.attempts[0].recoveries), (vec!["exited".to_owned()], 1));
        assert_eq!(["step-1", "step-2", "step-3"].map(|step| shop.calls(step)), [1, 2, 1]);
        assert!(finished.log.iter().any(|line| line.content.contains("resumed after 1 recorded step")));
    }
}

/// The run's worker is lost `times` in a row, each time while it executes `step`, which was executed `before` times.
async fn lose_at(step: &str, before: usize, times: usize, shop: &Shop, node: &Node) {
    for n in 1..=times {
        let worker = a_worker_held_at(step, before + n, shop, node).await;
        node.lose(worker).await;
    }
}

#[tokio::test] // R40
async fn an_attempt_survives_three_losses_without_a_new_entry_and_not_the_fourth() {
    for node in nodes().await {
        let shop = Shop::start();
        shop.hold("step-1");
        let run = effects(&node, "", &shop, 1).await;
        lose_at("step-1", 0, 4, &shop, &node).await;
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        assert_eq!((ends(&finished), shop.calls("step-1")), (vec!["errored worker_lost".to_owned()], 4));
        assert!(finished.failure().message.contains("4 times in a row"), "{:?}", finished.failure());
    }
}

#[tokio::test] // R6, R40
async fn an_attempt_that_was_lost_too_often_is_retried_by_the_runs_policy() {
    for node in nodes().await {
        let shop = Shop::start();
        shop.hold("step-1");
        let run = effects(&node, ONE_RETRY, &shop, 1).await;
        lose_at("step-1", 0, 4, &shop, &node).await;
        // The second attempt counts its losses anew.
        lose_at("step-1", 4, 3, &shop, &node).await;
        shop.release("step-1");
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        assert_eq!(
            (ends(&finished), shop.calls("step-1")),
            (["errored worker_lost", "exited"].map(str::to_owned).into(), 8)
        );
        assert_eq!(finished.attempts[1].recoveries, 3);
    }
}

#[tokio::test] // R40
async fn a_new_journal_entry_forgets_the_losses_before_it() {
    for node in nodes().await {
        let shop = Shop::start();
        shop.hold("step-1");
        let run = effects(&node, "", &shop, 2).await;
        lose_at("step-1", 0, 3, &shop, &node).await;
        shop.hold("step-2");
        shop.release("step-1");
        lose_at("step-2", 0, 3, &shop, &node).await;
        shop.release("step-2");
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        assert_eq!((ends(&finished), finished.attempts[0].recoveries), (vec!["exited".to_owned()], 6));
        assert_eq!(["step-1", "step-2"].map(|step| shop.calls(step)), [4, 4]);
    }
}

#[tokio::test] // R40
async fn a_worker_that_was_stopped_is_no_loss_however_often() {
    for node in nodes().await {
        let shop = Shop::start();
        shop.hold("step-1");
        let run = effects(&node, "", &shop, 1).await;
        for n in 1..=5 {
            a_worker_held_at("step-1", n, &shop, &node).await.stop().await;
        }
        shop.release("step-1");
        let _worker = node.worker();
        let finished = node.finished(&run).await;
        assert_eq!((ends(&finished), finished.attempts[0].recoveries), (vec!["exited".to_owned()], 5));
    }
}

/// An app whose second version needs an interface that nobody offers, as what was made for a later build may.
struct Ahead {
    app: String,
    /// Under which code that can be run, code that cannot, and the code of the second version are kept.
    right: String,
    wrong: String,
    used: String,
}

impl Ahead {
    async fn deploy(node: &Node, guest: &str, from: &str, to: &str) -> Ahead {
        let app = node.deploy(guest, "").await;
        let right = std::fs::read(guests::path(guest)).expect("it was built");
        let wrong = replaced(&right, from.as_bytes(), to.as_bytes());
        let right = sandbox().inspect(right).await.expect("the guest is an app").digest;
        let ahead = Ahead { app, right, wrong: "1".repeat(64), used: "2".repeat(64) };
        for digest in [&ahead.wrong, &ahead.used] {
            let settings = Settings::default();
            let upload = Upload { digest: digest.clone(), component: wrong.clone(), settings, ..Upload::default() };
            node.store.add_version(&ahead.app, upload).await.expect("a new version");
        }
        ahead
    }

    /// From now on the last version can be run, or cannot.
    async fn put(&self, node: &Node, is_right: bool) {
        let (used, other) = (&self.used, if is_right { &self.right } else { &self.wrong });
        let code = format!("select component from artifacts where digest = '{other}'");
        node.sql(&format!("update artifacts set component = ({code}) where digest = '{used}'")).await;
    }
}

/// The bytes with every `from` replaced by `to`, which is as long.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = bytes.to_vec();
    let places = bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from);
    let places: Vec<_> = places.map(|(place, _)| place).collect();
    assert!(!places.is_empty() && from.len() == to.len());
    for place in places {
        replaced[place..place + to.len()].copy_from_slice(to);
    }
    replaced
}

/// A worker that has nothing compiled.
async fn cold_worker(node: &Node) -> (Worker, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (node.worker_with(sandbox_in(folder.path())), folder)
}

const HANDED_BACK: &str = "handed back by a worker that cannot run this version";

#[tokio::test] // R29
async fn a_worker_that_cannot_run_a_version_hands_the_run_back_and_another_one_takes_it_at_once() {
    for node in nodes().await {
        let ahead = Ahead::deploy(&node, "context", "relume:durable/context@0.", "relume:durable/context@9.").await;
        let (_old, _folder) = cold_worker(&node).await;
        let run = node.start(&ahead.app, json!(7), &[]).await;
        node.wait_for_setup_line(&run, HANDED_BACK).await;
        ahead.put(&node, true).await;
        let other = node.start(&ahead.app, json!(8), &[]).await;
        let (_new, _folder) = cold_worker(&node).await;
        for run in [run, other] {
            let finished = node.finished(&run).await;
            assert_eq!((ends(&finished), finished.run.num_attempts), (vec!["exited".to_owned()], 1));
            assert_eq!(finished.attempts[0].recoveries, 0);
        }
    }
}

#[tokio::test] // R29
async fn the_worker_that_could_not_run_a_version_tries_again_by_itself_after_five_seconds() {
    for node in nodes().await {
        let ahead = Ahead::deploy(&node, "context", "relume:durable/context@0.", "relume:durable/context@9.").await;
        let (_worker, _folder) = cold_worker(&node).await;
        let run = node.start(&ahead.app, json!(7), &[]).await;
        node.wait_for_setup_line(&run, "relume:durable/context@9.").await;
        ahead.put(&node, true).await;
        let finished = node.finished(&run).await;
        assert_eq!((ends(&finished), finished.attempts[0].recoveries), (vec!["exited".to_owned()], 0));
        let said = finished.log.iter().filter(|line| line.content.contains(HANDED_BACK)).count();
        assert_eq!(said, 1, "it left the run alone meanwhile");
        let waited = finished.run.ended_at.expect("it ended").duration_since(finished.run.created_at);
        assert!(waited.as_secs() >= 5, "{waited}");
    }
}

#[tokio::test] // R29, R41
async fn a_plain_program_whose_worker_was_lost_is_not_begun_again_because_it_was_handed_back_in_between() {
    for node in nodes().await {
        let ahead = Ahead::deploy(&node, "sleep_long", "wasi:cli/exit@", "wasi:cli/exiz@").await;
        ahead.put(&node, true).await;
        let (first, _folder) = cold_worker(&node).await;
        let run = node.start(&ahead.app, Value::Null, &[]).await;
        node.wait_until(&run, |run| run.status == Status::Running).await;
        node.lose(first).await;
        ahead.put(&node, false).await;
        let (old, _folder) = cold_worker(&node).await;
        node.wait_for_setup_line(&run, HANDED_BACK).await;
        old.drain().await;
        ahead.put(&node, true).await;
        let (_new, _folder) = cold_worker(&node).await;
        let finished = node.finished(&run).await;
        assert_eq!((ends(&finished), finished.attempts[0].recoveries), (vec!["errored worker_lost".to_owned()], 1));
    }
}
