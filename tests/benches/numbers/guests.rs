//! One guest without a queue: how much does Relume add to wasmtime?

use std::time::Duration;

use relume::journal::{Journal, JournalLimits, Tape, Terms};
use relume::log::Log;
use relume::manifest::Limits;
use relume::run::Outcome;
use relume::sandbox::{Code, Task};
use relume::store::{EntryKind, EntryState, JournalEntry};
use relume_tests::guests;
use relume_tests::node::sandbox;
use uuid::Uuid;

use crate::bare::Bare;
use crate::table::{Figure, median, timed};

/// Rounds of both that are not counted.
const WARM_UP: usize = 50;
const STARTS: usize = 500;
const REPLAYS: usize = 200;
const STEPS: u32 = 1_000;

/// Instantiates and runs `hello` over and over, code in memory, in turns with plain wasmtime.
pub async fn warm_start() -> Figure {
    let bare = Bare::new();
    let (bare_code, code) = (bare.load(guests::path("hello")), load("hello").await);
    let input = br#"{"name": "Ada"}"#.to_vec();
    let greeting = br#"{"greeting":"Hello, Ada!"}"#.to_vec();
    let (mut ours, mut baseline) = (vec![], vec![]);
    for _ in 0..WARM_UP + STARTS {
        let (output, took) = timed(bare.run(&bare_code, input.clone(), vec![])).await;
        assert_eq!(output.as_ref(), Some(&greeting));
        baseline.push(took);
        let (output, took) = timed(execute(&code, input.clone(), vec![])).await;
        assert_eq!(output, Some(greeting.clone()));
        ours.push(took);
    }
    let (ours, baseline) = (median(ours.split_off(WARM_UP)), median(baseline.split_off(WARM_UP)));
    Figure::time("warm start and run of `hello`", ours, ("wasmtime", baseline), "<= 1.5 times")
}

/// From the loaded journal of 1,000 steps to the program's end, in which no step is live: an instantiation and an end
/// are in it. The baseline answers as many host calls of that shape from a list.
pub async fn replay() -> Figure {
    let bare = Bare::new();
    let (bare_code, code) = (bare.load(guests::path("steps")), load("steps").await);
    let input = STEPS.to_string().into_bytes();
    let sum = (u64::from(STEPS) * u64::from(STEPS + 1) / 2).to_string().into_bytes();
    let results: Vec<_> = (1..=STEPS).map(|i| i.to_string().into_bytes()).collect();
    let entries: Vec<_> = (1..=STEPS).map(entry).collect();
    let (mut ours, mut baseline) = (vec![], vec![]);
    for _ in 0..WARM_UP + REPLAYS {
        let (output, took) = timed(bare.run(&bare_code, input.clone(), results.clone())).await;
        assert_eq!(output.as_ref(), Some(&sum));
        baseline.push(took);
        let (output, took) = timed(execute(&code, input.clone(), entries.clone())).await;
        assert_eq!(output.as_ref(), Some(&sum));
        ours.push(took);
    }
    let rate = |mut all: Vec<Duration>| f64::from(STEPS) / median(all.split_off(WARM_UP)).as_secs_f64();
    Figure::rate("replay of 1,000 steps", rate(ours), ("wasmtime", rate(baseline)), ">= 200,000/s")
}

fn entry(seq: u32) -> JournalEntry {
    JournalEntry {
        seq,
        attempt: 1,
        version: 1,
        kind: EntryKind::Step,
        name: format!("step-{seq}"),
        occurrence: 1,
        request: vec![],
        state: EntryState::Finished(seq.to_string().into_bytes()),
        tries: 1,
        tries_before: 0,
        due: None,
        took: Duration::ZERO,
        usage: Default::default(),
        seeds: 0,
        recorded_at: Default::default(),
    }
}

async fn load(guest: &str) -> Code {
    let component = std::fs::read(guests::path(guest)).expect("it was built");
    let inspection = sandbox().inspect(component.clone()).await.expect("it is an app");
    sandbox().load(&inspection.digest, async || Ok(component)).await.expect("it compiles")
}

async fn execute(code: &Code, input: Vec<u8>, recorded: Vec<JournalEntry>) -> Option<Vec<u8>> {
    let run_id = Uuid::now_v7();
    let terms = Terms {
        attempt: 1,
        version: 1,
        limits: JournalLimits { step_attempts: 2 * STEPS, ..JournalLimits::from(&Limits::default()) },
        origin_run_id: run_id,
        origin_at: Default::default(),
        now: Default::default(),
        until_deadline: None,
        signals: 0,
    };
    let task = Task {
        run_id,
        app: "app".to_owned(),
        run: "app#1".to_owned(),
        attempt: 1,
        args: vec![],
        input,
        parameters: [].into(),
        secrets: vec![],
        running_timeout: None,
        settings: Default::default(),
        limits: Limits::default(),
        fuel_used: 0,
        // A check copies no entries; it ends a program that asks for something new.
        journal: match recorded.is_empty() {
            true => Journal::on_tape(terms, recorded, Tape::default()),
            false => Journal::check(terms, recorded),
        },
        log: Log::to_terminal(),
        effects: None,
    };
    match sandbox().execute(code, task).await.end.expect("it is not interrupted") {
        Outcome::Exited { output } => output,
        Outcome::Failed { failure, .. } | Outcome::NotRetryable { failure, .. } => panic!("{failure:?}"),
    }
}
