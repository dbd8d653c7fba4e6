//! All features at once, while workers die at random: real processes on a real PostgreSQL, killed as by power loss.

use std::collections::BTreeSet;
use std::time::Duration;

use relume::store::{EntryKind, EntryState, JournalEntry, NewEvent, Run, RunFilter, WaitKind};
use relume_tests::dice::Dice;
use relume_tests::node::{Finished, Node};
use relume_tests::process::Process;
use relume_tests::shop::{self, Shop};
use relume_tests::sql;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const RUNS: u64 = 200;
const WORKERS: usize = 3;
const KILL_EVERY: Duration = Duration::from_millis(500);
const KILL_FOR: Duration = Duration::from_secs(60);
/// All have been started after 50 s, so that the last ones meet their end under fire, too.
const STARTS_PER_KILL: u64 = 2;
/// From a start to the kill after it.
const MOST_BETWEEN: Duration = Duration::from_millis(60);

/// Runs of the guest `mixed`, and the shop that their steps ask.
struct Fleet {
    shop: Shop,
    node: Node,
    /// By number, from 1.
    runs: Vec<Run>,
    /// Those that are told nothing before they wait for it.
    not_told: Vec<Run>,
}

impl Fleet {
    async fn start(&mut self) {
        let id = self.runs.len() as u64 + 1;
        let run = self.node.start("mixed", json!({"url": self.shop.url(), "id": id}), &[]).await;
        match id % 2 {
            0 => self.tell(&run).await,
            _ => self.not_told.push(run.clone()),
        }
        self.runs.push(run);
    }

    /// Half of the runs are told before they ask, the other half once they are parked until they are told.
    async fn tell_those_that_wait(&mut self) {
        for run in std::mem::take(&mut self.not_told) {
            let now = self.node.store.find_run(&run.app, run.number).await.expect("it was started");
            assert!(now.status.is_active(), "it ended before it was told: {now:?}");
            match now.waiting_on {
                Some(on) if on.kind == WaitKind::Event => self.tell(&run).await,
                _ => self.not_told.push(run),
            }
        }
    }

    async fn tell(&self, run: &Run) {
        // The children have numbers of the same app: what a run is told is not what it was given.
        let go = json!(run.number + 1_000_000).to_string().into_bytes();
        let event = NewEvent { name: "go".to_owned(), payload: go, key: None };
        self.node.store.send_event(&run.app, run.number, event).await.expect("it is active");
    }

    /// Every step of the run was asked of the shop under one key, and never again once its answer was recorded: the
    /// recorded one is the last. Returns how often the shop was asked.
    fn check_steps(&self, finished: &Finished, id: u64, expected: &[&str], keys: &mut BTreeSet<String>) -> usize {
        let steps: Vec<&JournalEntry> = finished.journal.iter().filter(|e| e.kind == EntryKind::Step).collect();
        let names: Vec<_> = steps.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, expected, "{:?}", finished.journal);
        let mut asked = 0;
        for step in steps {
            let path = format!("{}-{id}", step.name);
            let requests = self.shop.requests(&path);
            let last_answer = json!(format!("{path}-{}", requests.len())).to_string().into_bytes();
            assert_eq!(step.state, EntryState::Finished(last_answer), "{path}: {requests:?}");
            let key = requests[0].idempotency_key.clone().expect("a step's calls have a key");
            assert!(requests.iter().all(|request| request.idempotency_key.as_ref() == Some(&key)), "{requests:?}");
            assert!(keys.insert(key), "{path} has a key of its own: {requests:?}");
            asked += requests.len();
        }
        asked
    }
}

/// The processes of workers that hold a run which was lost twice without progress. A run that is lost four times is given
/// up, and a machine with more to do than these tests may take seconds to make progress.
async fn workers_of_fruitless_runs(url: &str) -> Vec<u32> {
    let query = "select split_part(w.name, '/', 2) from workers w join runs r using (worker_id) where r.losses >= 2";
    sql::lines(url, query).await.iter().map(|id| id.parse().expect("the number of a process")).collect()
}

/// The run ended well in its first attempt. Returns how often that went on elsewhere.
fn recoveries(finished: &Finished) -> u32 {
    assert_eq!(finished.verdict(), "exited", "{:?}", finished.run);
    assert_eq!(finished.attempts.len(), 1, "a lost worker is no attempt: {:?}", finished.attempts);
    finished.attempts[0].recoveries
}

#[tokio::test] // R20, R24, R30, R40, R42, R43, R44
async fn two_hundred_runs_of_everything_end_well_while_workers_are_killed() {
    let mut dice = Dice::cast();
    let node = Node::postgres().await;
    node.deploy("mixed", shop::ALLOWED).await;
    let worker = || Process::worker(&node.url, 15, &[]);
    let mut workers: Vec<Process> = std::iter::repeat_with(worker).take(WORKERS).collect();
    let mut fleet =
        Fleet { shop: Shop::start(), node: Node::at(node.url.clone()).await, runs: vec![], not_told: vec![] };
    // Compiling takes longer than these workers live: a run that had to wait for it would be given up.
    let compiled = node.start("mixed", json!({"url": fleet.shop.url(), "id": 0, "leaf": true}), &[]).await;
    assert_eq!(node.finished(&compiled).await.verdict(), "exited");

    let began = Instant::now();
    let mut kills = 0_u32;
    let mut kill = interval(KILL_EVERY);
    kill.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while began.elapsed() < KILL_FOR {
        kill.tick().await;
        for _ in 0..STARTS_PER_KILL {
            if (fleet.runs.len() as u64) < RUNS {
                fleet.start().await;
            }
        }
        fleet.tell_those_that_wait().await;
        // What has just been started or woken is over within milliseconds: somewhere in them the kill comes.
        sleep(dice.moment(MOST_BETWEEN)).await;
        let spared = workers_of_fruitless_runs(&node.url).await;
        let mut doomed: Vec<_> = workers.iter_mut().filter(|worker| !spared.contains(&worker.id())).collect();
        if !doomed.is_empty() {
            let doomed = dice.pick(&mut doomed);
            doomed.kill();
            **doomed = worker();
            kills += 1;
        }
    }
    while fleet.runs.len() < RUNS as usize {
        fleet.start().await;
    }
    for run in fleet.not_told.clone() {
        let is_asking = |run: &Run| run.waiting_on.as_ref().is_some_and(|on| on.kind == WaitKind::Event);
        let run = fleet.node.wait_until(&run, |run| is_asking(run) || !run.status.is_active()).await;
        assert!(run.status.is_active(), "it ended before it was told: {run:?}");
        fleet.tell(&run).await;
    }

    let ceased_fire = Instant::now();
    let (mut recovered, mut asked, mut keys) = (0, 0, BTreeSet::new());
    for (id, run) in (1..).zip(&fleet.runs) {
        let finished = fleet.node.finished(run).await;
        recovered += recoveries(&finished);
        assert_eq!(finished.output, Some(json!([id, run.number + 1_000_000, id])));
        asked += fleet.check_steps(&finished, id, &["reserve", "charge", "pack", "ship"], &mut keys);
    }
    println!("{kills} kills; the last run ended {:?} after them", ceased_fire.elapsed());

    let all = RunFilter { limit: 10 * RUNS as u32, ..RunFilter::default() };
    let mut children = fleet.node.store.list_runs(&all).await.expect("the runs");
    children.retain(|run| run.parent.is_some());
    let parents: BTreeSet<_> = children.iter().filter_map(|child| Some(child.parent.as_ref()?.number)).collect();
    assert_eq!((children.len(), parents.len()), (RUNS as usize, RUNS as usize), "each has started one child");
    for child in &children {
        let finished = fleet.node.finished(child).await;
        recovered += recoveries(&finished);
        let id = finished.output.as_ref().and_then(|output| output[0].as_u64()).expect("its id");
        asked += fleet.check_steps(&finished, id, &["leaf"], &mut keys);
    }
    println!("{recovered} recoveries; {} steps asked the shop {asked} times", keys.len());
    assert!(u64::from(recovered) >= RUNS / 10, "the kills have met runs: {recovered}");
    assert_eq!(keys.len(), 5 * RUNS as usize);
}
