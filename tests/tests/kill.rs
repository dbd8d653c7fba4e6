//! Whatever dies, the run goes on after its last recorded step: real processes, a real PostgreSQL, real signals.

use std::collections::BTreeMap;

use relume::store::{JournalEntry, Run};
use relume_tests::node::{Finished, Node};
use relume_tests::postgres::Postgres;
use relume_tests::process::Process;
use relume_tests::shop::{self, Shop};
use rustix::process::Signal;
use serde_json::json;

const STEPS: [&str; 5] = ["reserve", "charge", "pack", "ship", "notify"];

/// An app on a database of its own, and a run that waits for a worker.
async fn an_order(shop: &Shop, node: &Node) -> Run {
    node.deploy("order-pipeline", shop::ALLOWED).await;
    let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
    node.start("order-pipeline", order, &[("SHOP_URL", &shop.url())]).await
}

/// A worker whose run has come to `step`, and waits there for the shop's answer.
async fn a_worker_held_at(step: &str, shop: &Shop, node: &Node) -> Process {
    shop.hold(step);
    let worker = Process::worker(&node.url, 15, &[]);
    shop.wait_for_call(step).await;
    worker
}

/// How often the shop was asked for each step that the journal holds.
fn calls_of(journal: &[JournalEntry], shop: &Shop) -> BTreeMap<String, usize> {
    journal.iter().map(|entry| (entry.name.clone(), shop.calls(&entry.name))).collect()
}

/// The run ended well, in its first attempt, with each step in its journal once.
fn check_whole(finished: &Finished) {
    assert_eq!(finished.verdict(), "exited", "{:?}", finished.run.failure);
    let names: Vec<_> = finished.journal.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, STEPS);
    assert_eq!(finished.attempts.len(), 1, "being interrupted is not an attempt: {:?}", finished.attempts);
    assert!(finished.output.is_some());
}

/// Kills a worker when it comes by `point` and lets another one go on.
async fn killed_at(point: &str) {
    let shop = Shop::start();
    let node = Node::postgres().await;
    let run = an_order(&shop, &node).await;
    // A lease of 3 s is renewed every second, so that `before_renew` is reached while a step waits.
    if point == "before_renew" {
        shop.hold("pack");
    }
    let mut doomed = Process::worker(&node.url, 3, &[("RELUME_KILL_AT", point)]);
    doomed.wait_until_killed();
    shop.release("pack");
    let recorded = node.store.load_journal(run.run_id).await.expect("its journal");
    let calls_before = calls_of(&recorded, &shop);

    let _worker = Process::worker(&node.url, 15, &[]);
    let finished = node.finished(&run).await;
    check_whole(&finished);
    assert_eq!(calls_of(&recorded, &shop), calls_before, "{point}: a recorded step was executed again");
    let all: usize = STEPS.iter().map(|step| shop.calls(step)).sum();
    assert!(all <= STEPS.len() + 1, "{point}: at most the step under way is executed twice, and these were: {all}");
}

macro_rules! killed_at {
    ($($name:ident: $point:literal;)*) => {
        $(
            #[tokio::test] // R20, R30, R40
            async fn $name() {
                killed_at($point).await;
            }
        )*
    };
}

killed_at! {
    killed_after_the_claim: "after_claim";
    killed_after_the_journal_is_loaded: "after_load";
    killed_before_the_first_steps_effect: "before_effect:1";
    killed_before_a_steps_effect: "before_effect:4";
    killed_after_a_steps_effect: "after_effect:4";
    killed_before_the_first_commit: "before_commit:1";
    killed_before_a_commit: "before_commit:4";
    killed_after_a_commit: "after_commit:4";
    killed_after_the_last_commit: "after_commit:5";
    killed_before_the_log_is_stored: "before_log_flush";
    killed_before_a_renewal: "before_renew";
    killed_before_the_end_is_written: "before_settle";
}

#[tokio::test] // R40
async fn killed_after_the_end_was_written_nothing_is_executed_again() {
    let shop = Shop::start();
    let node = Node::postgres().await;
    let run = an_order(&shop, &node).await;
    let mut doomed = Process::worker(&node.url, 15, &[("RELUME_KILL_AT", "after_settle")]);
    doomed.wait_until_killed();
    let finished = node.finished(&run).await;
    check_whole(&finished);
    assert_eq!(finished.attempts[0].recoveries, 0);
    assert_eq!(STEPS.map(|step| shop.calls(step)), [1; 5]);
}

#[tokio::test] // R40
async fn a_stopped_worker_that_goes_on_after_its_lease_writes_nothing() {
    let shop = Shop::start();
    let node = Node::postgres().await;
    let run = an_order(&shop, &node).await;
    let mut zombie = Process::worker(&node.url, 2, &[("RELUME_STOP_AT", "before_commit:3")]);
    zombie.wait_until_stopped();
    assert_eq!(shop.calls("pack"), 1, "the effect took place, and its result is not recorded");

    let _worker = Process::worker(&node.url, 15, &[]);
    let finished = node.finished(&run).await;
    check_whole(&finished);

    zombie.signal(Signal::CONT);
    zombie.wait_for_line("a step's result was refused");
    zombie.signal(Signal::TERM);
    assert!(zombie.wait().success(), "{:#?}", zombie.said());
    let refused = zombie.said().iter().filter(|line| line.contains("refused")).count();
    assert!(refused > 0);
    let after = node.finished(&run).await;
    assert_eq!(after.journal, finished.journal);
    assert_eq!(after.attempts, finished.attempts);
    assert_eq!(STEPS.map(|step| shop.calls(step)), [1, 1, 2, 1, 1]);
}

#[tokio::test] // R40
async fn a_run_survives_the_death_of_postgres() {
    let shop = Shop::start();
    let mut postgres = Postgres::start();
    let node = Node::at(postgres.database()).await;
    let run = an_order(&shop, &node).await;
    let worker = a_worker_held_at("ship", &shop, &node).await;
    postgres.kill();
    shop.release("ship");
    worker.wait_for_line("the database cannot be reached");
    postgres.restart();
    let finished = node.finished(&run).await;
    check_whole(&finished);
    assert_eq!(["reserve", "charge", "pack"].map(|step| shop.calls(step)), [1; 3]);
}

#[tokio::test] // R40
async fn a_run_survives_the_loss_of_every_connection() {
    let shop = Shop::start();
    let node = Node::postgres().await;
    let run = an_order(&shop, &node).await;
    let _worker = a_worker_held_at("ship", &shop, &node).await;
    let database = node.url.rsplit('/').next().expect("a name").to_owned();
    let terminate =
        format!("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{database}'");
    Postgres::shared().sql("postgres", &terminate);
    shop.release("ship");
    let finished = node.finished(&run).await;
    check_whole(&finished);
    assert_eq!(["reserve", "charge", "pack"].map(|step| shop.calls(step)), [1; 3]);
}

#[tokio::test] // R40
async fn a_drained_worker_hands_its_run_on_after_the_step_under_way() {
    let shop = Shop::start();
    let node = Node::postgres().await;
    let run = an_order(&shop, &node).await;
    let mut first = a_worker_held_at("pack", &shop, &node).await;
    first.signal(Signal::TERM);
    first.wait_for_line("draining");
    shop.release("pack");
    assert!(first.wait().success(), "{:#?}", first.said());

    let _second = Process::worker(&node.url, 15, &[]);
    check_whole(&node.finished(&run).await);
    assert_eq!(STEPS.map(|step| shop.calls(step)), [1; 5]);
}

#[tokio::test] // R40
async fn a_second_signal_stops_a_worker_at_once() {
    let shop = Shop::start();
    let node = Node::postgres().await;
    let run = an_order(&shop, &node).await;
    let mut first = a_worker_held_at("pack", &shop, &node).await;
    first.signal(Signal::TERM);
    first.wait_for_line("draining");
    first.signal(Signal::TERM);
    first.wait();
    shop.release("pack");

    let _second = Process::worker(&node.url, 15, &[]);
    check_whole(&node.finished(&run).await);
    assert_eq!(["reserve", "charge"].map(|step| shop.calls(step)), [1; 2], "recorded steps stay recorded");
}

#[tokio::test] // R40
async fn on_sqlite_too_a_killed_worker_is_noticed_and_its_run_goes_on() {
    let shop = Shop::start();
    let node = Node::sqlite().await;
    let run = an_order(&shop, &node).await;
    let mut doomed = Process::worker(&node.url, 15, &[("RELUME_KILL_AT", "after_effect:4")]);
    doomed.wait_until_killed();
    let _worker = Process::worker(&node.url, 15, &[]);
    let finished = node.finished(&run).await;
    check_whole(&finished);
    assert_eq!(STEPS.map(|step| shop.calls(step)), [1, 1, 1, 2, 1]);
}

#[tokio::test] // R12
async fn a_cancelled_guest_stops_within_a_second() {
    let node = Node::postgres().await;
    let app = node.deploy("sleep_long", "").await;
    let run = node.start(&app, json!(null), &[]).await;
    let worker = Process::worker(&node.url, 15, &[]);
    node.wait_until(&run, |run| run.status.as_str() == "running").await;
    let asked = tokio::time::Instant::now();
    let cancelled = node.store.cancel_run(&app, run.number).await.expect("it is active");
    assert_eq!(cancelled.status.as_str(), "cancelled");
    worker.wait_for_line("its guest is stopped");
    assert!(asked.elapsed() < std::time::Duration::from_secs(1), "{:?}", asked.elapsed());
}
