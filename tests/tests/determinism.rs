//! A replay takes the way that the program took before: what it may know of time, chance and the network outside steps
//! follows from the run and its journal.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relume::journal::{Crash, Journal, JournalLimits, Tape, Terms};
use relume::log::Log;
use relume::manifest::{Limits, Settings};
use relume::run::Outcome;
use relume::sandbox::{Code, Execution, Interrupted, Task};
use relume::store::{Channel, JournalEntry, Run};
use relume_tests::guests;
use relume_tests::node::{Finished, Node, sandbox};
use relume_tests::shop::{ALLOWED, Shop};
use serde_json::{Value, json};
use uuid::Uuid;

/// How often the program that lets chance decide does so.
const ROUNDS: u32 = 10;

/// A run of a guest that is executed here, again and again.
struct Local {
    code: Code,
    run_id: Uuid,
    created_at: Timestamp,
}

impl Local {
    async fn new(guest: &str) -> Local {
        let component = std::fs::read(guests::path(guest)).expect("it was built");
        let inspection = sandbox().inspect(component.clone()).await.expect("the guest is an app");
        let code = sandbox().load(&inspection.digest, async || Ok(component)).await.expect("it was just compiled");
        Local { code, run_id: Uuid::now_v7(), created_at: Timestamp::now() }
    }

    fn terms(&self) -> Terms {
        Terms {
            attempt: 1,
            version: 1,
            limits: JournalLimits::from(&Limits::default()),
            origin_run_id: self.run_id,
            origin_at: self.created_at,
            now: Timestamp::now(),
            until_deadline: None,
            signals: 0,
        }
    }

    async fn execute(&self, journal: Journal) -> Execution {
        let task = Task {
            run_id: self.run_id,
            app: "deterministic".to_owned(),
            run: "deterministic#1".to_owned(),
            attempt: 1,
            args: vec![],
            input: json!(ROUNDS).to_string().into_bytes(),
            parameters: BTreeMap::from([("NAME".to_owned(), "Ada".to_owned())]),
            secrets: vec![],
            settings: Settings::default(),
            limits: Limits::default(),
            running_timeout: None,
            fuel_used: 0,
            journal,
            log: Log::to_nowhere(),
            effects: None,
        };
        sandbox().execute(&self.code, task).await
    }

    /// Goes on after `recorded`, up to `crash`: the journal then, and the output if there was time for it.
    async fn go_on(&self, recorded: &[JournalEntry], crash: Option<Crash>) -> (Vec<JournalEntry>, Option<Vec<u8>>) {
        let tape = Tape::for_test(crash);
        let execution = self.execute(Journal::on_tape(self.terms(), recorded.to_vec(), tape.clone())).await;
        let output = match execution.end {
            Ok(Outcome::Exited { output }) => output,
            Err(Interrupted::Crashed) => None,
            end => panic!("after {} entries: {end:?}", recorded.len()),
        };
        let mut entries: BTreeMap<_, _> = recorded.iter().cloned().map(|entry| (entry.seq, entry)).collect();
        entries.extend(tape.entries().into_iter().map(|entry| (entry.seq, entry)));
        (entries.into_values().collect(), output)
    }
}

#[tokio::test] // R40
async fn a_program_that_lets_chance_decide_never_diverges_wherever_it_is_killed() {
    let mut outputs = Vec::new();
    for _ in 0..20 {
        let run = Local::new("deterministic").await;
        let mut journal = Vec::new();
        let output = loop {
            let (unchanged, output) = run.go_on(&journal, Some(Crash::Before(1))).await;
            assert_eq!(unchanged, journal);
            if output.is_some() {
                break output;
            }
            (journal, _) = run.go_on(&journal, Some(Crash::After(1))).await;
        };
        assert!(!journal.is_empty());
        assert_eq!(run.go_on(&journal, None).await, (journal.clone(), output.clone()), "a whole replay");
        let checked = run.execute(Journal::check(run.terms(), journal)).await.end;
        assert!(matches!(checked, Err(Interrupted::Replayed) | Ok(Outcome::Exited { .. })), "{checked:?}");
        outputs.push(output);
    }
    outputs.sort();
    outputs.dedup();
    assert_eq!(outputs.len(), 20, "chance did decide");
}

/// How many entries the journals of `runs` have.
async fn recorded(node: &Node, runs: &[Run]) -> usize {
    let mut entries = 0;
    for run in runs {
        entries += node.store.load_journal(run.run_id).await.expect("its journal").len();
    }
    entries
}

/// Runs that let chance decide go from worker to worker, each of which has little time.
async fn handed_on(node: Node) {
    node.deploy("deterministic", "").await;
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(node.start("deterministic", json!(ROUNDS), &[("NAME", "Ada")]).await);
    }
    let mut active = runs.clone();
    while !active.is_empty() {
        let before = recorded(&node, &active).await;
        let worker = node.worker();
        node.wait_until(&active[0], |run| !run.status.is_active() || run.status.as_str() == "running").await;
        while recorded(&node, &active).await == before && active_of(&node, &active).await.len() == active.len() {
            tokio::task::yield_now().await;
        }
        worker.drain().await;
        active = active_of(&node, &active).await;
    }
    for run in &runs {
        let finished = node.finished(run).await;
        assert_eq!(finished.verdict(), "exited", "{:?}", finished.run.failure);
        assert_eq!(finished.attempts.len(), 1);
    }
}

async fn active_of(node: &Node, runs: &[Run]) -> Vec<Run> {
    let mut active = Vec::new();
    for run in runs {
        active.push(node.wait_until(run, |_| true).await);
    }
    active.retain(|run| run.status.is_active());
    active
}

#[tokio::test] // R40
async fn a_program_that_lets_chance_decide_is_handed_on_and_never_diverges_on_postgres() {
    handed_on(Node::postgres().await).await;
}

#[tokio::test] // R40
async fn a_program_that_lets_chance_decide_is_handed_on_and_never_diverges_on_sqlite() {
    handed_on(Node::sqlite().await).await;
}

async fn forked_everywhere(node: Node) {
    node.deploy("deterministic", "").await;
    let _worker = node.worker();
    let run = node.start("deterministic", json!(ROUNDS), &[("NAME", "Ada")]).await;
    let mut origin = node.finished(&run).await;
    let mut kept = 1;
    while kept < origin.journal.len() {
        let from_seq = u32::try_from(kept + 1).expect("it is small");
        let fork = node.store.fork_run(&run.app, origin.run.number, from_seq, None).await.expect("a fork");
        let fork = node.finished(&fork).await;
        assert_eq!(fork.verdict(), "exited", "from entry {from_seq}: {:?}", fork.run.failure);
        let taken_over = |of: &Finished| of.journal[..kept].iter().map(|e| e.state.clone()).collect::<Vec<_>>();
        assert_eq!(taken_over(&fork), taken_over(&origin));
        // The next is forked from this fork.
        (origin, kept) = (fork, kept + 1);
    }
}

#[tokio::test] // R31, R40
async fn a_fork_meets_the_time_and_the_chance_of_its_origin_on_postgres() {
    forked_everywhere(Node::postgres().await).await;
}

#[tokio::test] // R31, R40
async fn a_fork_meets_the_time_and_the_chance_of_its_origin_on_sqlite() {
    forked_everywhere(Node::sqlite().await).await;
}

async fn clocks_follow_the_journal(node: Node) {
    let _worker = node.worker();
    let finished = node.run_guest("clocks", "", Value::Null).await;
    let output = finished.output.clone().expect("it has one");
    let readings: Vec<(i64, i64)> = serde_json::from_value(output).expect("pairs of microseconds");
    let [before, still_before, inside, later_inside, after, after_sleep] = readings[..] else { panic!("{readings:?}") };
    let (created_at, recorded_at) = (finished.run.created_at, finished.journal[0].recorded_at);
    assert_eq!(before, (created_at.as_microsecond(), 0), "the clock begins when the run was asked for");
    assert_eq!(still_before, before);
    assert!(before <= inside && inside.0 < later_inside.0 && inside.1 < later_inside.1, "{readings:?}");
    assert!(later_inside <= after, "{readings:?}");
    assert_eq!(after.0, recorded_at.as_microsecond(), "the clock stands at the last entry");
    assert_eq!(after.1, after.0 - before.0);
    assert_eq!(after_sleep, after, "a sleep outside a step ends, and moves no clock");
}

#[tokio::test] // R40
async fn the_clock_stands_still_outside_steps_and_moves_inside_on_postgres() {
    clocks_follow_the_journal(Node::postgres().await).await;
}

#[tokio::test] // R40
async fn the_clock_stands_still_outside_steps_and_moves_inside_on_sqlite() {
    clocks_follow_the_journal(Node::sqlite().await).await;
}

/// What the log says beside what the program prints.
fn setup_lines(finished: &Finished) -> Vec<&str> {
    let lines = finished.log.iter().filter(|line| line.channel == Channel::Setup);
    lines.map(|line| line.content.as_str()).collect()
}

#[tokio::test] // R40
async fn a_request_outside_a_step_is_refused_with_a_word_on_what_to_do() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let shop = Shop::start();
    let finished = node.run_guest("loose_io", ALLOWED, json!(format!("{}/look", shop.url()))).await;
    assert_eq!((finished.verdict().as_str(), finished.run.used_loose_io), ("exited", false));
    assert_eq!(shop.calls("look"), 0);
    let said = setup_lines(&finished);
    let refused = said.iter().filter(|line| line.starts_with("refused: a request to http://127.0.0.1:")).count();
    assert_eq!(refused, 1, "{said:?}");
    assert!(
        said.iter().any(|line| line.contains("wrap it in a step") && line.contains("`loose_io = true`")),
        "{said:?}"
    );
}

#[tokio::test] // V11
async fn there_is_no_way_out_beside_http_inside_a_step_or_outside() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let finished = node.run_guest("sockets", ALLOWED, Value::Null).await;
    assert_eq!(finished.output, Some(json!([[], []])), "{:?}", finished.run.failure);
}

async fn loose_io_is_flagged(node: Node) {
    let shop = Shop::start();
    node.deploy("loose_io", &format!("{ALLOWED}\nloose_io = true")).await;
    let run = node.start("loose-io", json!(format!("{}/look", shop.url())), &[]).await;
    // The first worker has to go as the program waits for its answer outside a step.
    shop.hold("look");
    let worker = node.worker();
    shop.wait_for_call("look").await;
    worker.start_draining();
    shop.release("look");
    worker.drain().await;
    assert_eq!(recorded(&node, std::slice::from_ref(&run)).await, 0, "no step begins in a worker that is drained");

    let _worker = node.worker();
    let finished = node.finished(&run).await;
    assert_eq!((finished.verdict().as_str(), finished.run.used_loose_io), ("exited", true));
    assert_eq!(finished.output, Some(json!("200 OK")));
    assert_eq!(shop.calls("look"), 2, "what is no step is not recorded");
    let said = setup_lines(&finished);
    assert!(said.iter().any(|line| line.starts_with("flagged: a request to http://127.0.0.1:")), "{said:?}");
}

#[tokio::test] // R40
async fn loose_io_lets_requests_out_anywhere_and_flags_the_run_on_postgres() {
    loose_io_is_flagged(Node::postgres().await).await;
}

#[tokio::test] // R40
async fn loose_io_lets_requests_out_anywhere_and_flags_the_run_on_sqlite() {
    loose_io_is_flagged(Node::sqlite().await).await;
}

#[tokio::test]
async fn each_step_has_its_share_of_what_the_attempt_used() {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let shop = Shop::start();
    let finished = node.run_guest("effects", ALLOWED, json!({"url": shop.url(), "steps": 2})).await;
    assert_eq!(finished.output, Some(json!([r#"{"id":"step-1-1"}"#, r#"{"id":"step-2-1"}"#])));
    let answer = r#"{"id":"step-1-1"}"#.len() as u64;
    for entry in &finished.journal {
        assert_eq!((entry.usage.bytes_in, entry.usage.bytes_out), (answer, 0), "{}", entry.name);
        assert!(entry.usage.fuel > 0 && entry.usage.peak_memory_bytes > 0, "{entry:?}");
    }
    let attempt = &finished.attempts[0];
    let in_steps: u64 = finished.journal.iter().map(|entry| entry.usage.fuel).sum();
    assert!(attempt.fuel_used.is_some_and(|fuel| fuel > in_steps), "{attempt:?}");
    assert_eq!(attempt.bytes_in, Some(2 * answer));
    assert!(finished.journal.iter().all(|entry| Some(entry.usage.peak_memory_bytes) <= attempt.peak_memory_bytes));
}
