//! V1: loops without end, wherever a guest's code runs: fuel, time and a cancel end each of them.

use std::time::Duration;

use libtest_mimic::Trial;
use relume::run::Status;
use relume_tests::alone::Alone;
use relume_tests::node::Node;
use relume_tests::process::Process;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::loops::loops;
use crate::report::{Cases, test};

/// So that a loop has begun when it is ended.
const AWHILE: Duration = Duration::from_millis(25);
/// More fuel than there is time to burn.
const ENDLESS: &str = "[limits]\nfuel = 1_000_000_000_000\nmemory_mib = 32\n";

pub fn tests() -> Vec<Trial> {
    vec![
        test("v01_fuel_ends_every_loop", fuel),
        test("v01_time_ends_every_loop", time),
        test("v01_a_cancelled_loop_ends_within_100_ms", cancel),
        test("v01_a_loop_in_a_step_ends_like_any_other", in_a_step),
        test("v01_a_cancel_reaches_the_guest_by_a_hint", hinted),
    ]
}

async fn fuel(cases: &mut Cases) {
    for (name, component) in loops() {
        let program = Alone::new(component, "[limits]\nfuel = 200_000\nmemory_mib = 32\n").await;
        // More time than a busy machine needs: it is the fuel that ends it.
        let verdict = program.time(Duration::from_secs(120)).verdict().await;
        assert_eq!(verdict, "crashed fuel", "{name}");
        cases.add(&verdict);
    }
}

async fn time(cases: &mut Cases) {
    for (name, component) in loops() {
        let program = Alone::new(component, ENDLESS).await;
        let began = Instant::now();
        let verdict = program.time(Duration::from_millis(50)).verdict().await;
        assert_eq!(verdict, "crashed timeout", "{name}");
        assert!(began.elapsed() < Duration::from_secs(5), "{name} went on for {:?}", began.elapsed());
        cases.add(&verdict);
    }
}

/// From the moment at which the worker knows, which is when it drops the guest, to the end of the guest.
async fn cancel(cases: &mut Cases) {
    let mut took = vec![];
    for (name, component) in loops() {
        let program = Alone::new(component, ENDLESS).await;
        for _ in 0..4 {
            let cancelled = tokio_util::sync::CancellationToken::new();
            let (program, seen) = (program.clone(), cancelled.clone());
            let guest = tokio::spawn(async move {
                tokio::select! {
                    execution = program.execute() => panic!("it ended by itself: {:?}", execution.end),
                    () = seen.cancelled() => {}
                }
            });
            tokio::time::sleep(AWHILE).await;
            let began = Instant::now();
            cancelled.cancel();
            guest.await.unwrap_or_else(|error| panic!("{name}: {error}"));
            took.push(began.elapsed());
        }
        cases.add("cancelled");
    }
    took.sort_unstable();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("V1: {} cancels, p50 {median:?}, p99 {p99:?}, longest {:?}", took.len(), took[took.len() - 1]);
    assert!(p99 <= Duration::from_millis(100), "{took:?}");
}

async fn in_a_step(cases: &mut Cases) {
    let component = || std::fs::read(relume_tests::guests::path("loop_in_step")).expect("it was built");
    let by_fuel = Alone::new(component(), "[limits]\nfuel = 5_000_000\n").await;
    assert_eq!(by_fuel.verdict().await, "crashed fuel");
    cases.add("crashed fuel");
    let by_time = Alone::new(component(), ENDLESS).await.time(Duration::from_millis(100));
    assert_eq!(by_time.verdict().await, "crashed timeout");
    cases.add("crashed timeout");
}

/// The whole path: from the commit of the cancel to the worker's word that the guest is stopped.
async fn hinted(cases: &mut Cases) {
    let node = Node::postgres().await;
    let worker = Process::worker(&node.url, 15, &[]);
    let app = node.deploy("loop_forever", ENDLESS).await;
    let mut took = vec![];
    for _ in 0..10 {
        let run = node.start(&app, Value::Null, &[]).await;
        node.wait_until(&run, |run| run.status == Status::Running).await;
        node.store.cancel_run(&app, run.number).await.expect("it is active");
        let began = Instant::now();
        worker.wait_for_line("its guest is stopped");
        took.push(began.elapsed());
        cases.add("cancelled");
    }
    took.sort_unstable();
    println!("V1: from the commit of a cancel to the guest's end: p50 {:?}, longest {:?}", took[5], took[9]);
    // Without the hint it is half of 500 ms, on average.
    assert!(took[5] < Duration::from_millis(200), "{took:?}");
    let good = node.run_guest("steps", "", json!(2)).await;
    assert_eq!(good.verdict(), "exited");
}
