//! How soon does a run go on: after its wait, and after the death of its worker? The bounds are far above what the
//! benchmark shows, for a machine that has other things to do.

use std::time::Duration;

use relume::run::Status;
use relume::store::{Due, EntryKind, RunFilter};
use relume_tests::node::Node;
use relume_tests::process::Process;
use relume_tests::shop::{self, Shop};
use relume_tests::sql;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

const HOUR_MS: u64 = 3_600_000;
/// How often something is looked for that takes seconds.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[tokio::test] // R30, R40
async fn the_step_of_a_killed_worker_is_reached_again_within_seconds() {
    for node in [Node::sqlite().await, Node::postgres().await] {
        let shop = Shop::start();
        node.deploy("order-pipeline", shop::ALLOWED).await;
        let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
        let run = node.start("order-pipeline", order, &[("SHOP_URL", &shop.url())]).await;
        shop.hold("ship");
        let mut doomed = Process::worker(&node.url, 15, &[]);
        shop.wait_for_call("ship").await;
        let other = Process::worker(&node.url, 15, &[]);
        other.wait_for_line("worker ready");

        let killed = Instant::now();
        doomed.kill();
        shop.wait_for_calls("ship", 2).await;
        let took = killed.elapsed();
        shop.release("ship");
        assert_eq!(node.finished(&run).await.verdict(), "exited");
        assert!(took < Duration::from_secs(6), "{took:?}");
    }
}

#[tokio::test] // R24, R42
async fn a_thousand_runs_that_are_due_at_once_all_wake() {
    for node in [Node::sqlite().await, Node::postgres().await] {
        let app = node.deploy("sleeper", "").await;
        for _ in 0..1_000 {
            node.start(&app, json!(HOUR_MS), &[]).await;
        }
        let worker = node.worker();
        let asleep = "select cast(count(*) as text) from runs where waiting_kind = 'sleep' and worker_id is null";
        let all_sleep = async {
            while sql::lines(&node.url, asleep).await != ["1000"] {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(Duration::from_secs(120), all_sleep).await.expect("all come to their sleep");
        worker.drain().await;

        node.sql(&format!("update journal set due_at = due_at - {HOUR_MS} where kind = 'sleep'")).await;
        node.let_all_be_due().await;
        let _worker = node.worker();
        let exited = RunFilter { statuses: vec![Status::Exited], ..RunFilter::default() };
        let all_wake = async {
            while node.store.count_runs(&exited).await.expect("the runs are counted") < 1_000 {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(Duration::from_secs(60), all_wake).await.expect("all wake in time");
    }
}

#[tokio::test] // R24, R42
async fn no_run_wakes_early_and_none_late() {
    for node in [Node::sqlite().await, Node::postgres().await] {
        let app = node.deploy("sleeper", "").await;
        let _worker = node.worker();
        let mut runs = vec![];
        for extra_ms in 0..50 {
            runs.push(node.start(&app, json!(2_001 + 7 * extra_ms), &[]).await);
        }
        let mut late_ms = vec![];
        for run in &runs {
            let finished = node.finished(run).await;
            let slept = finished.journal.iter().find(|entry| entry.kind == EntryKind::Sleep).expect("it slept");
            let Some(Due::At(due_at)) = slept.due else { panic!("{slept:?}") };
            let awake = finished.journal.last().expect("it read the clock").recorded_at;
            late_ms.push(awake.duration_since(due_at).as_millis());
        }
        late_ms.sort();
        assert!(late_ms[0] >= 0, "{late_ms:?}");
        assert!(late_ms[49] < 5_000, "{late_ms:?}");
    }
}
