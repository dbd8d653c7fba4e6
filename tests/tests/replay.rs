//! Finished steps are never executed again: the journal is cut everywhere, and each run goes on from there.

use relume::store::{JournalEntry, Run};
use relume_tests::node::Node;
use relume_tests::shop::{ALLOWED, Shop};
use serde_json::json;

const STEPS: [&str; 5] = ["reserve", "charge", "pack", "ship", "notify"];

async fn start(node: &Node, shop: &Shop) -> Run {
    let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
    node.start("order-pipeline", order, &[("SHOP_URL", &shop.url())]).await
}

fn calls(shop: &Shop) -> [usize; 5] {
    STEPS.map(|step| shop.calls(step))
}

async fn cut_everywhere(node: Node) {
    node.deploy("order-pipeline", ALLOWED).await;
    let shop = Shop::start();
    let run = start(&node, &shop).await;
    let worker = node.worker();
    let whole = node.finished(&run).await;
    worker.drain().await;
    assert_eq!(whole.verdict(), "exited", "{:?}", whole.run.failure);
    assert_eq!(calls(&shop), [1; 5]);
    let names: Vec<_> = whole.journal.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, STEPS);

    for k in 0..=STEPS.len() {
        let shop = Shop::start();
        let run = start(&node, &shop).await;
        node.begin_with(&run, &whole.journal[..k]).await;
        let worker = node.worker();
        let cut = node.finished(&run).await;
        worker.drain().await;
        assert_eq!(cut.output, whole.output, "from the first {k} entries");
        let executed = std::array::from_fn(|step| usize::from(step >= k));
        assert_eq!(calls(&shop), executed, "from the first {k} entries");
        let results = |journal: &[JournalEntry]| journal.iter().map(|e| (e.seq, e.state.clone())).collect::<Vec<_>>();
        assert_eq!(results(&cut.journal), results(&whole.journal), "from the first {k} entries");
        assert_eq!((cut.attempts.len(), cut.attempts[0].recoveries), (1, 1), "resuming is the same attempt");
    }
}

#[tokio::test] // R20, R30, R40
async fn a_run_resumes_from_any_cut_of_its_journal_on_postgres() {
    cut_everywhere(Node::postgres().await).await;
}

#[tokio::test] // R20, R30, R40
async fn a_run_resumes_from_any_cut_of_its_journal_on_sqlite() {
    cut_everywhere(Node::sqlite().await).await;
}

#[tokio::test] // R6, R9, R20
async fn a_retry_is_a_new_attempt_that_keeps_the_finished_steps() {
    let node = Node::sqlite().await;
    let retry = "[retry]\nmax_retries = 1\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
    node.deploy("order-pipeline", &format!("{ALLOWED}\n{retry}")).await;
    let shop = Shop::start();
    let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
    let parameters = [("SHOP_URL", &*shop.url()), ("CRASH_AT", "ship")];
    let run = node.start("order-pipeline", order, &parameters).await;
    let _worker = node.worker();
    let finished = node.finished(&run).await;
    let statuses: Vec<_> = finished.attempts.iter().map(|attempt| attempt.status.as_str()).collect();
    assert_eq!((statuses, finished.run.num_attempts), (vec!["crashed", "exited"], 2));
    assert_eq!(calls(&shop), [1, 1, 1, 2, 1]);
    let keys: Vec<_> = shop.requests("ship").into_iter().map(|request| request.idempotency_key).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1], "R44: both calls carry one key: {keys:?}");
}

#[tokio::test] // R25
async fn a_handled_failure_is_met_again_in_a_replay() {
    let node = Node::sqlite().await;
    let worker = node.worker();
    let first = node.run_guest("handled_failure", "", json!(null)).await;
    assert_eq!(first.output, Some(json!("by invoice")), "{:?}", first.run.failure);
    let recorded: Vec<_> = first.journal.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(recorded, ["card", "invoice"]);
    worker.drain().await;

    let run = node.start("handled-failure", json!(null), &[]).await;
    node.begin_with(&run, &first.journal[..1]).await;
    let _worker = node.worker();
    assert_eq!(node.finished(&run).await.output, first.output);
}

#[tokio::test] // R2, R20
async fn a_program_that_asks_for_another_step_has_diverged() {
    let node = Node::sqlite().await;
    let worker = node.worker();
    let app = node.deploy("diverge", "").await;
    let run = node.start(&app, json!(null), &[("STEP", "charge")]).await;
    let first = node.finished(&run).await;
    worker.drain().await;

    let run = node.start(&app, json!(null), &[("STEP", "ship")]).await;
    node.begin_with(&run, &first.journal).await;
    let _worker = node.worker();
    let finished = node.finished(&run).await;
    assert_eq!(finished.verdict(), "crashed divergence");
    let message = &finished.failure().message;
    assert!(message.contains("entry 1") && message.contains("`charge`") && message.contains("`ship`"), "{message}");
}

#[tokio::test] // R20
async fn replayed_steps_print_nothing_and_a_drained_worker_loses_nothing() {
    let node = Node::sqlite().await;
    node.deploy("order-pipeline", ALLOWED).await;
    let shop = Shop::start();
    shop.hold("pack");
    let run = start(&node, &shop).await;
    let first = node.worker();
    shop.wait_for_call("pack").await;
    first.start_draining();
    shop.release("pack");
    first.drain().await;
    let journal = node.store.load_journal(run.run_id).await.expect("its journal");
    assert_eq!(journal.len(), 3, "the step under way was finished and recorded, and no other begun");

    let _second = node.worker();
    let finished = node.finished(&run).await;
    assert_eq!(calls(&shop), [1; 5]);
    let said: Vec<_> = finished.lines().into_iter().map(|line| line.split(':').next().unwrap_or("")).collect();
    assert_eq!(said, STEPS, "each step's line is there once");
}
