//! All of them at once: hostile guests of every kind on one worker, and a well-behaved run beside them that hardly
//! notices.

use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::Trial;
use relume::store::{NewRun, Run};
use relume_tests::node::Node;
use relume_tests::process::Process;
use relume_tests::shop::{self, Shop};
use serde_json::{Value, json};

use crate::loops::{loops, recursions};
use crate::report::{Cases, test_alone};

const MIB: usize = 1 << 20;
/// How much longer a run of ordinary steps may take beside hostile ones, each of which calls a service.
const MAX_RATIO: f64 = 1.2;
/// The same of a run of which nothing is left but its commits: it is woken some fifty times within as many milliseconds,
/// and each time it is the system that lets it wait. One endless loop outside Relume makes it 1.3 times on two
/// processors, and these 1.5 to 2 times; it was 30 times and more where loops took no turns and floods no rests.
const MAX_RATIO_OF_COMMITS: f64 = 4.0;
/// How long the service works on a call. Those that are elsewhere take longer.
const SERVICE_TAKES: Duration = Duration::from_millis(50);
/// So much memory may be held still when all have ended. Source: SECURITY.
const MAX_HELD: usize = 64 * MIB;
/// Rounds of hostile guests; in each the good run is measured alone and beside them, in turns.
const ROUNDS: usize = 2;
const PAIRS: usize = 7;
/// A loop that goes on for so long, unless it is cancelled.
const LIMITS: &str = "[limits]\nfuel = 1_000_000_000_000\nmemory_mib = 64\nrunning_time_seconds = 60\n";
/// Enough that all run at the same time, and one slot for the good one.
const SLOTS: &str = "64";

pub fn tests() -> Vec<Trial> {
    vec![test_alone("all_hostile_guests_leave_a_run_beside_them_alone", neighbours)]
}

/// The hostile apps: half of them compute without end, the others do what they do again and again.
async fn deploy(node: &Node) -> Vec<(String, Value)> {
    let mut apps = vec![];
    let components = loops().into_iter().chain(recursions());
    for (number, (_, component)) in components.enumerate() {
        let app = format!("hostile-{number}");
        node.deploy_component(&app, component, LIMITS).await;
        apps.push((app, Value::Null));
    }
    for (guest, inputs) in [
        ("flood", &["no_newline", "tiny_lines", "alternating", "then_trap"][..]),
        ("eat_memory", &[]),
        ("print_flood", &[]),
        ("big_output", &[]),
        ("big_journal", &[]),
        ("panic", &[]),
        ("loop_forever", &[]),
    ] {
        let app = node.deploy(guest, LIMITS).await;
        match inputs {
            [] => apps.push((app, Value::Null)),
            inputs => apps.extend(inputs.iter().map(|input| (app.clone(), json!(input)))),
        }
    }
    apps
}

/// How long a good run takes, from its start to its end as its row tells.
async fn good(node: &Node, new: NewRun) -> Duration {
    let run = node.start_new(new).await;
    let run = node.wait_until(&run, |run| !run.status.is_active()).await;
    assert_eq!(run.status.as_str(), "exited", "{:?}", run.failure);
    let (started, ended) = (run.started_at.expect("it started"), run.ended_at.expect("it ended"));
    ended.duration_since(started).unsigned_abs()
}

/// How long good runs took.
#[derive(Default)]
struct Times {
    /// Of orders: five steps that call a service.
    orders: Vec<Duration>,
    /// Of twenty steps that do nothing.
    commits: Vec<Duration>,
}

impl Times {
    async fn measure(&mut self, node: &Node, shop: &Shop) {
        for _ in 0..PAIRS {
            let order = json!({"id": 7, "item": "lamp", "cents": 900, "email": "ada@example.com"});
            let order =
                NewRun { app: "order-pipeline".to_owned(), input: order.to_string().into(), ..NewRun::default() };
            let parameters = BTreeMap::from([("SHOP_URL".to_owned(), shop.url())]);
            self.orders.push(good(node, NewRun { parameters, ..order }).await);
            let steps = NewRun { app: "steps".to_owned(), input: b"20".to_vec(), ..NewRun::default() };
            self.commits.push(good(node, steps).await);
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn neighbours(cases: &mut Cases) {
    let node = Node::postgres().await;
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().to_str().expect("the path is text");
    let args = ["worker", "--database", &node.url, "--data-dir", data_dir, "--slots", SLOTS];
    let args = [&args[..], &["--allow-network", "127.0.0.1/32"]].concat();
    let shop = Shop::start();
    shop.take(SERVICE_TAKES);
    let mut worker = Process::start(&args, &[]);
    let apps = deploy(&node).await;
    assert!(apps.len() >= 40, "{} hostile guests", apps.len());
    node.deploy("steps", "").await;
    node.deploy("order-pipeline", shop::ALLOWED).await;
    // Once each, so that all machine code is there and every part has been used.
    let first = start_all(&node, &apps).await;
    Times::default().measure(&node, &shop).await;
    end_all(&node, first, cases).await;
    let (before, id) = (worker.resident_bytes(), worker.id());

    let (mut alone, mut beside) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        alone.measure(&node, &shop).await;
        let hostile = start_all(&node, &apps).await;
        beside.measure(&node, &shop).await;
        end_all(&node, hostile, cases).await;
    }
    println!("ALL: {} hostile guests beside good runs", apps.len());
    let orders = compare("a run of 5 steps that call a service", alone.orders, beside.orders);
    let commits = compare("a run of 20 steps that do nothing", alone.commits, beside.commits);
    let after = settled(&worker, before).await;
    println!(
        "ALL: memory {} MiB before, {} MiB at most, {} MiB after",
        before / MIB,
        worker.peak_bytes() / MIB,
        after / MIB
    );
    assert!(worker.is_alive() && worker.id() == id, "the worker ended: {:#?}", worker.said());
    assert!(after <= before + MAX_HELD, "{} MiB before, {} MiB after", before / MIB, after / MIB);
    assert!(orders <= MAX_RATIO, "an order takes {orders:.2} times as long beside hostile guests");
    assert!(commits <= MAX_RATIO_OF_COMMITS, "20 commits take {commits:.2} times as long beside hostile guests");
}

/// How many times as long it takes.
fn compare(what: &str, alone: Vec<Duration>, beside: Vec<Duration>) -> f64 {
    let (alone, beside) = (median(alone), median(beside));
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!("ALL: {what}: {alone:?} alone, {beside:?} beside them, {ratio:.2} times");
    ratio
}

/// Starts them all, and waits until they run or have ended.
async fn start_all(node: &Node, apps: &[(String, Value)]) -> Vec<Run> {
    let mut runs = vec![];
    for (app, input) in apps {
        runs.push(node.start(app, input.clone(), &[]).await);
    }
    for run in &runs {
        node.wait_until(run, |run| run.started_at.is_some()).await;
    }
    runs
}

/// Cancels those that still run. None may have ended by a fault of ours.
async fn end_all(node: &Node, runs: Vec<Run>, cases: &mut Cases) {
    for run in &runs {
        // One that has ended meanwhile cannot be cancelled.
        let _ = node.store.cancel_run(&run.app, run.number).await;
    }
    for run in &runs {
        let ended = node.wait_until(run, |run| !run.status.is_active()).await;
        assert_ne!(ended.status.as_str(), "errored", "{ended:?}");
        cases.add(ended.status.as_str());
    }
}

/// The worker's memory once it has come down, or has had the time to.
async fn settled(worker: &Process, before: usize) -> usize {
    for _ in 0..100 {
        if worker.resident_bytes() <= before + MAX_HELD {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    worker.resident_bytes()
}
