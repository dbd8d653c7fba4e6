//! Runs that wait: what they cost, how soon they go on when they are due, and how soon after the death of their worker.

use std::process::Command;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use relume::run::Status;
use relume::store::{Due, EntryKind, RunFilter};
use relume_tests::node::{LOOPBACK, Node};
use relume_tests::process::Process;
use relume_tests::shop::{self, Shop};
use relume_tests::sql;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::dev::{build, own_memory_bytes};
use crate::table::{Figure, median, timed};

/// Parked before the first look at the worker's memory: by then it has all it needs to work.
const WARM_UP: usize = 2_000;
const PARKED: usize = 10_000;
const WAKING: usize = 1_000;
/// Runs whose lateness is measured, one due every so often.
const TIMED: usize = 200;
const DUE_EVERY: Duration = Duration::from_millis(50);
/// Longer than what is waited for in place.
const SHORT_SLEEP_MS: u64 = 2_500;
const KILLS: usize = 20;
/// Starts under way at the same time.
const STARTS_AT_ONCE: usize = 8;
const HOUR_MS: u64 = 3_600_000;
/// How often something is looked for that takes seconds.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What is measured, with `relume worker` in a process of its own.
pub async fn figures(name: &str, node: Node) -> Vec<Figure> {
    build();
    let app = node.deploy("sleeper", "").await;
    let mut figures = vec![];
    let worker = worker(&node);
    figures.push(lateness(name, &node, &app).await);
    start(&node, &app, WARM_UP, HOUR_MS).await;
    parked(&node, WARM_UP).await;
    let before = own_memory_bytes(worker.id());
    start(&node, &app, PARKED, HOUR_MS).await;
    parked(&node, WARM_UP + PARKED).await;
    let grown = own_memory_bytes(worker.id()) as f64 - before as f64;
    let what = format!("{name}: memory of a worker, for 10,000 more parked runs");
    figures.push(Figure::alone(what, format!("{:.2} MB", grown / 1e6), "< 1 MB"));
    figures.push(waking(name, &node, &app).await);
    drop(worker);
    figures.push(after_a_kill(name, &node).await);
    figures
}

/// As it is shipped.
fn worker(node: &Node) -> Process {
    let data_dir = relume_tests::guests::workspace().join("target/tmp/bench-worker");
    let mut command = Command::new(build());
    command.args(["worker", "--database", &node.url, "--data-dir"]).arg(data_dir);
    command.args(LOOPBACK.iter().flat_map(|network| ["--allow-network", network]));
    command.env_remove("RELUME_TOKEN").env_remove("DATABASE_URL");
    let worker = Process::spawn(command);
    worker.wait_for_line("worker ready");
    worker
}

async fn start(node: &Node, app: &str, runs: usize, sleep_ms: u64) {
    let starts = stream::iter(0..runs).map(|_| node.start(app, json!(sleep_ms), &[]));
    starts.buffer_unordered(STARTS_AT_ONCE).for_each(async |_| {}).await;
}

/// Waits until so many runs are parked.
async fn parked(node: &Node, runs: usize) {
    let count = "select cast(count(*) as text) from runs where waiting_kind = 'sleep'";
    while sql::lines(&node.url, count).await != [runs.to_string()] {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until no more than `runs` are active.
async fn active(node: &Node, runs: usize) {
    let active = RunFilter { statuses: Status::ACTIVE.to_vec(), ..RunFilter::default() };
    while node.store.count_runs(&active).await.expect("the runs are counted") > runs as u64 {
        sleep(LOOK_EVERY).await;
    }
}

/// From the moment a sleep is over to the program's next reading of the clock, both by the database's clock.
async fn lateness(name: &str, node: &Node, app: &str) -> Figure {
    let mut runs = vec![];
    for _ in 0..TIMED {
        runs.push(node.start(app, json!(SHORT_SLEEP_MS), &[]).await);
        sleep(DUE_EVERY).await;
    }
    let mut late_ms = vec![];
    for run in runs {
        let journal = node.finished(&run).await.journal;
        let slept = journal.iter().find(|entry| entry.kind == EntryKind::Sleep).expect("it slept");
        let Some(Due::At(due_at)) = slept.due else { panic!("a sleep has an end: {slept:?}") };
        let awake_at = journal.last().expect("it read the clock").recorded_at;
        late_ms.push(awake_at.duration_since(due_at).as_millis());
    }
    late_ms.sort();
    assert!(late_ms[0] >= 0, "a run woke early: {late_ms:?}");
    let percentile = |part: usize| late_ms[TIMED * part / 100];
    let what = format!("{name}: lateness of a wake-up, idle, p99");
    let figure = format!("{} ms (p50 {} ms, earliest {} ms)", percentile(99), percentile(50), late_ms[0]);
    Figure::alone(what, figure, "< 1 s, never early")
}

/// From the moment at which they are due to the end of the last of them, beside all the parked ones. The baseline are as
/// many new runs of the same program, that do not wait.
async fn waking(name: &str, node: &Node, app: &str) -> Figure {
    let began = Instant::now();
    start(node, app, WAKING, 0).await;
    active(node, WARM_UP + PARKED).await;
    let new = began.elapsed();

    let chosen = format!("select run_id from runs where waiting_kind = 'sleep' order by run_id limit {WAKING}");
    let due = format!(
        "update journal set due_at = due_at - {HOUR_MS} where kind = 'sleep' and run_id in ({chosen});
        update runs set available_at = 1 where run_id in ({chosen})"
    );
    let ((), took) = timed(async {
        node.sql(&due).await;
        active(node, WARM_UP + PARKED - WAKING).await;
    })
    .await;
    let new = ("1,000 new runs", new);
    Figure::time(format!("{name}: 1,000 runs that are due at once wake and end"), took, new, "< 5 s")
}

/// From the death of a worker to the moment at which another one executes the step that was under way. The baseline is
/// from the start of a run to its first step.
async fn after_a_kill(name: &str, node: &Node) -> Figure {
    node.deploy("order-pipeline", shop::ALLOWED).await;
    let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
    let (mut reached, mut first) = (vec![], vec![]);
    let mut doomed = worker(node);
    for _ in 0..KILLS {
        let shop = Shop::start();
        shop.hold("reserve");
        shop.hold("ship");
        let began = Instant::now();
        let run = node.start("order-pipeline", order.clone(), &[("SHOP_URL", &shop.url())]).await;
        shop.wait_for_call("reserve").await;
        first.push(began.elapsed());
        shop.release("reserve");
        shop.wait_for_call("ship").await;
        let other = worker(node);
        let killed = Instant::now();
        doomed.kill();
        shop.wait_for_calls("ship", 2).await;
        reached.push(killed.elapsed());
        shop.release("ship");
        assert_eq!(node.finished(&run).await.verdict(), "exited");
        doomed = other;
    }
    let slowest = reached.iter().max().copied().unwrap_or_default();
    let what = format!("{name}: `kill -9` of a worker to the step's next try, slowest of {KILLS}");
    Figure::time(what, slowest, ("start to first step, p50", median(first)), "< 2 s")
}
