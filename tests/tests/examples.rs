//! The examples do what they say, also when their workers are killed at random moments.

use std::collections::BTreeMap;
use std::time::Duration;

use relume::store::{Due, EntryKind, EntryState, NewEvent, Run, RunFilter, WaitKind};
use relume_tests::dice::Dice;
use relume_tests::model::{Model, Trouble};
use relume_tests::node::{Finished, Node};
use relume_tests::process::Process;
use relume_tests::shop::{self, Shop};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Runs of an example on each store.
const ROUNDS: u32 = 3;
/// Workers of a run that are killed. The next one lives: no run is to be given up because it met no other.
const KILLS: u32 = 5;
/// A worker that has come further than the one before lives shorter than this.
const LIFETIME: Duration = Duration::from_millis(300);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

async fn nodes() -> [Node; 2] {
    [Node::sqlite().await, Node::postgres().await]
}

/// Lets workers execute the run until `is_there` says that it is there. Each is killed at a random moment after it has
/// recorded something.
async fn go_on_under_fire(node: &Node, run: &Run, dice: &mut Dice, is_there: impl Fn(&Run) -> bool) -> Run {
    for _ in 0..KILLS {
        let recorded = node.store.load_journal(run.run_id).await.expect("its journal");
        let mut worker = Process::worker(&node.url, 15, &[]);
        let now = loop {
            let now = node.store.find_run(&run.app, run.number).await.expect("it was started");
            if is_there(&now) || node.store.load_journal(run.run_id).await.expect("its journal") != recorded {
                break now;
            }
            assert!(now.status.is_active(), "{now:?}");
            sleep(LOOK_EVERY).await;
        };
        if is_there(&now) {
            return now;
        }
        if let Ok(run) = timeout(dice.moment(LIFETIME), node.wait_until(run, &is_there)).await {
            return run;
        }
        worker.kill();
    }
    let _worker = Process::worker(&node.url, 15, &[]);
    node.wait_until(run, |run| is_there(run) || !run.status.is_active()).await
}

async fn finish_under_fire(node: &Node, run: &Run, dice: &mut Dice) -> Finished {
    go_on_under_fire(node, run, dice, |run| !run.status.is_active()).await;
    let finished = node.finished(run).await;
    assert_eq!(finished.verdict(), "exited", "{:?}", finished.run);
    assert_eq!(finished.attempts.len(), 1, "a lost worker is no attempt: {:?}", finished.attempts);
    finished
}

fn is_asking(run: &Run) -> bool {
    run.waiting_on.as_ref().is_some_and(|on| on.kind == WaitKind::Event)
}

async fn start_approval(node: &Node, shop: &Shop) -> Run {
    let (ask, refund) = (format!("{}/ask", shop.url()), format!("{}/refund", shop.url()));
    let input = json!({"order": 7, "cents": 1250});
    node.start("approval", input, &[("ASK_URL", &ask), ("REFUND_URL", &refund)]).await
}

/// The step asked at least once, and always for the same.
fn check_calls(shop: &Shop, step: &str, body: &Value) {
    let requests = shop.requests(step);
    let first = requests.first().unwrap_or_else(|| panic!("the shop was never asked to {step}"));
    assert!(first.idempotency_key.is_some(), "{first:?}");
    assert!(requests.iter().all(|request| request == first && &request.body == body), "{requests:?}");
}

#[tokio::test] // R20, R30, R40, R42, R44
async fn an_approval_ends_well_however_often_its_workers_are_killed() {
    let mut dice = Dice::cast();
    for node in nodes().await {
        node.deploy("approval", shop::ALLOWED).await;
        for round in 1..=ROUNDS {
            let shop = Shop::start();
            let run = start_approval(&node, &shop).await;
            let send = async || {
                let payload = json!({"by": "Ada"}).to_string().into_bytes();
                let event = NewEvent { name: "approve".to_owned(), payload, key: None };
                node.store.send_event(&run.app, run.number, event).await.expect("it is active")
            };
            // Who is quick decides before the program asks for it.
            if round == 1 {
                send().await;
            } else {
                let asking = go_on_under_fire(&node, &run, &mut dice, is_asking).await;
                assert!(is_asking(&asking), "{asking:?}");
                send().await;
            }
            let finished = finish_under_fire(&node, &run, &mut dice).await;
            assert_eq!(finished.output, Some(json!({"outcome": "refunded", "approved_by": "Ada"})));
            let text = "May order 7 get 1250 cents back?";
            check_calls(&shop, "ask", &json!({"text": text, "run": format!("approval#{}", run.number)}));
            check_calls(&shop, "refund", &json!({"order": 7, "cents": 1250}));
        }
    }
}

#[tokio::test] // R42
async fn an_approval_that_nobody_gives_times_out_after_seven_days() {
    for node in nodes().await {
        node.deploy("approval", shop::ALLOWED).await;
        let (shop, _worker) = (Shop::start(), node.worker());
        let run = start_approval(&node, &shop).await;
        node.wait_until(&run, is_asking).await;
        let journal = node.store.load_journal(run.run_id).await.expect("its journal");
        let asked = journal.iter().find(|entry| entry.kind == EntryKind::Event).expect("it waits for an event");
        assert_eq!((&asked.state, asked.due), (&EntryState::Waiting, Some(Due::At(asked.recorded_at + WEEK))));

        let week_ms = WEEK.as_millis();
        node.sql(&format!("update journal set due_at = due_at - {week_ms} where state = 'waiting'")).await;
        node.let_all_be_due().await;
        let finished = node.finished(&run).await;
        assert_eq!(finished.output, Some(json!({"outcome": "timed_out"})), "{:?}", finished.run);
        assert_eq!((shop.calls("ask"), shop.calls("refund")), (1, 0));
    }
}

#[tokio::test] // R20, R30, R40, R43
async fn a_fan_out_counts_right_however_often_its_workers_are_killed() {
    let mut dice = Dice::cast();
    for node in nodes().await {
        node.deploy("fan-out", "").await;
        for round in 1..=ROUNDS {
            let run = node.start("fan-out", json!({"parts": 50}), &[]).await;
            let finished = finish_under_fire(&node, &run, &mut dice).await;
            assert_eq!(finished.output, Some(json!(5133)));
            let all = RunFilter { limit: 1_000, ..RunFilter::default() };
            let runs = node.store.list_runs(&all).await.expect("the runs").len();
            assert_eq!(runs, 51 * round as usize, "no part is counted twice");
        }
    }
}

async fn start_agent(node: &Node, model: &Model) -> Run {
    let question = json!({"question": "How warm is it in Oslo and Rome together?"});
    node.start("llm-agent", question, &[("MODEL_URL", &model.url()), ("MODEL", "stand-in")]).await
}

/// It has used both tools, and what it told the model for a step is always the same.
fn check_agent(finished: &Finished, model: &Model) {
    let answer = json!({"answer": "Together 36 degrees.", "model_calls": 3, "tool_calls": 3});
    assert_eq!(finished.output, Some(answer));
    let names: Vec<_> = finished.journal.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["model", "weather", "weather", "model", "add", "model"]);
    let mut told = BTreeMap::new();
    for question in model.questions() {
        let key = question.idempotency_key.clone().expect("a step's calls have a key");
        let before = told.entry(key).or_insert_with(|| question.body.clone());
        assert_eq!(*before, question.body);
        assert_eq!(question.body["model"], "stand-in");
    }
    assert_eq!(told.len(), 3, "a key for each step: {told:?}");
}

#[tokio::test] // R20, R30, R40
async fn an_agent_has_its_answer_however_often_its_workers_are_killed() {
    let mut dice = Dice::cast();
    for node in nodes().await {
        node.deploy("llm-agent", shop::ALLOWED).await;
        for _ in 0..ROUNDS {
            let slow = Trouble::Slow(dice.moment(LIFETIME * 2));
            let model = Model::start([Trouble::Broken, slow, Trouble::Busy, slow]).await;
            let run = start_agent(&node, &model).await;
            check_agent(&finish_under_fire(&node, &run, &mut dice).await, &model);
        }
    }
}

#[tokio::test] // R21, R23, R24
async fn an_agent_asks_a_broken_model_again_and_a_busy_one_when_it_says() {
    for node in nodes().await {
        node.deploy("llm-agent", shop::ALLOWED).await;
        let _worker = node.worker();
        let troubles = [Trouble::Broken, Trouble::Broken, Trouble::Busy, Trouble::Slow(LIFETIME)];
        let model = Model::start(troubles).await;
        let run = start_agent(&node, &model).await;
        check_agent(&node.finished(&run).await, &model);

        let questions = model.questions();
        let met: Vec<_> = questions.iter().filter_map(|question| question.trouble).collect();
        assert_eq!((questions.len(), met), (6, troubles.to_vec()));
        let waits: Vec<Duration> = questions.windows(2).map(|two| two[1].asked_at - two[0].asked_at).collect();
        let in_turn = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(1), LIFETIME];
        for (waited, at_least) in waits.iter().zip(in_turn) {
            assert!(*waited >= at_least, "{waits:?}");
        }
        // The third wait of the step's own policy would be 4 s.
        assert!(waits[2] < Duration::from_secs(4), "{waits:?}");
    }
}
