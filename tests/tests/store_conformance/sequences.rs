//! Whatever callers, workers and operators do, and in whatever order, the rules of runs hold after each step. A
//! failure prints the shortest sequence that breaks them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use relume::retry::RetryPolicy;
use relume::run::{self, EDGES, Failure, FailureKind, Outcome, Status};
use relume::store::*;
use uuid::Uuid;

use crate::bed::*;

/// What may happen. Numbers choose among what is there at that time.
#[derive(Debug, Clone)]
enum Step {
    Start(RetryPolicy),
    StartWithKey(u8),
    /// One of two workers claims; without the code at hand if `cold`.
    Claim {
        worker: usize,
        cold: bool,
    },
    /// A claim begins to run, if its code had to be fetched.
    Begin(usize),
    Settle(usize, Outcome),
    Cancel(usize),
    SetDisabled(bool),
    LetAllBeDue,
    /// The sessions of all workers expire, and somebody looks.
    TakeAway,
    GiveBack(usize),
    HandBack(usize),
    /// A claim whose code is ready waits: for an event, or for an hour.
    Park(usize, bool),
    SendEvent(usize),
    /// Somebody asks for another attempt of a run.
    Retry(usize),
    /// A claim starts the child that belongs to an entry of its journal.
    StartChild(usize, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let policy = (0..=3_u32, proptest::sample::select(vec![0, 0, 1, 100_u64]), any::<bool>()).prop_map(
        |(max_retries, seconds, exponential)| RetryPolicy {
            max_retries,
            delay: Duration::from_secs(seconds),
            exponential,
        },
    );
    let kinds = [FailureKind::Trap, FailureKind::Host, FailureKind::StepExhausted];
    let outcome = prop_oneof![
        1 => Just(Outcome::Exited { output: None }),
        6 => proptest::sample::select(kinds.to_vec()).prop_map(|kind| Outcome::failed(kind, "for the test")),
        1 => Just(Outcome::NotRetryable { failure: Failure::new(FailureKind::Error, "for ever"), exit_code: Some(1) }),
    ];
    prop_oneof![
        3 => policy.prop_map(Step::Start),
        1 => (0..2_u8).prop_map(Step::StartWithKey),
        6 => (0..2_usize, any::<bool>()).prop_map(|(worker, cold)| Step::Claim { worker, cold }),
        2 => (0..4_usize).prop_map(Step::Begin),
        6 => (0..4_usize, outcome).prop_map(|(which, outcome)| Step::Settle(which, outcome)),
        2 => (0..4_usize).prop_map(Step::Cancel),
        2 => any::<bool>().prop_map(Step::SetDisabled),
        4 => Just(Step::LetAllBeDue),
        1 => Just(Step::TakeAway),
        2 => (0..4_usize).prop_map(Step::GiveBack),
        1 => (0..4_usize).prop_map(Step::HandBack),
        3 => (0..4_usize, any::<bool>()).prop_map(|(which, for_event)| Step::Park(which, for_event)),
        2 => (0..4_usize).prop_map(Step::SendEvent),
        2 => (0..4_usize).prop_map(Step::Retry),
        2 => (0..4_usize, 1..=2_u32).prop_map(|(which, seq)| Step::StartChild(which, seq)),
    ]
}

/// The store under test, and what is to be remembered to judge it.
struct Scene<'a> {
    bed: &'a Bed,
    app: String,
    workers: Vec<WorkerSession>,
    /// Every claim so far, the latest first, also those whose run was taken away; and whether its code is ready.
    claims: Vec<(Assignment, bool)>,
    disabled: bool,
    /// Each run and its attempts, as they were after the last step.
    seen: BTreeMap<Uuid, (Run, Vec<Attempt>)>,
    /// Those whose wait was cut short.
    moved: BTreeSet<Uuid>,
    keys: BTreeMap<u8, Uuid>,
    /// How often somebody asked for another attempt, and got it.
    retried: BTreeMap<Uuid, u32>,
    /// Those whose attempt was interrupted, and is to go on.
    interrupted: BTreeSet<Uuid>,
    /// How often an attempt went on after an interruption.
    recoveries: BTreeMap<(Uuid, u32), u32>,
    children: BTreeMap<(Uuid, u32), Uuid>,
}

impl Scene<'_> {
    async fn open(bed: &Bed) -> Scene<'_> {
        let app = format!("app-{}", Uuid::now_v7());
        bed.store.create_app(&app, "").await.expect("the name is free");
        bed.store.add_version(&app, upload(1)).await.expect("the app is there");
        let workers = vec![bed.worker().await, bed.worker().await];
        let (claims, seen, moved, keys, retried, interrupted) = Default::default();
        let (recoveries, children) = Default::default();
        Scene {
            bed,
            app,
            workers,
            claims,
            disabled: false,
            seen,
            moved,
            keys,
            retried,
            interrupted,
            recoveries,
            children,
        }
    }

    async fn start(&mut self, new: NewRun) -> Result<(), TestCaseError> {
        let key = new.key.as_ref().map(|key| key.request_hash[0]);
        let known = key.and_then(|key| self.keys.get(&key).copied());
        match self.bed.store.start_run(new).await {
            Ok(started) => {
                prop_assert!(started.is_repeated == known.is_some());
                prop_assert!(known.is_none_or(|known| known == started.run.run_id));
                prop_assert!(started.is_repeated || !self.disabled);
                self.keys.extend(key.map(|key| (key, started.run.run_id)));
            }
            Err(error) => prop_assert!(self.disabled && known.is_none(), "{error}"),
        }
        Ok(())
    }

    /// One of the claims, where it is in the list, and whether its code is ready.
    fn claim(&self, which: usize) -> Option<(usize, Assignment, bool)> {
        let which = which % self.claims.len().max(1);
        self.claims.get(which).cloned().map(|(claim, is_ready)| (which, claim, is_ready))
    }

    /// One of the runs.
    fn run(&self, which: usize) -> Option<Run> {
        self.seen.values().nth(which % self.seen.len().max(1)).map(|(run, _)| run.clone())
    }

    /// The runs that the workers have.
    async fn held(&self) -> Vec<Lease> {
        let mut held = vec![];
        for worker in &self.workers {
            held.extend(self.bed.store.list_held(worker).await.expect("the database answers"));
        }
        held
    }

    /// Whether the claim is still the worker's, as far as the rows tell.
    async fn is_held(&self, claim: &Assignment) -> bool {
        self.held().await.contains(&claim.lease)
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let store = &self.bed.store;
        match step {
            Step::Start(policy) => self.start(NewRun { policy: Some(*policy), ..new_run(&self.app) }).await?,
            Step::StartWithKey(key) => {
                let start_key = StartKey { key: format!("key-{key}"), request_hash: vec![*key] };
                self.start(NewRun { key: Some(start_key), ..new_run(&self.app) }).await?;
            }
            Step::Claim { worker, cold } => {
                let loaded = if *cold { vec![] } else { loaded() };
                for claim in
                    store.claim_runs(&self.workers[*worker], 2, &loaded, &[]).await.expect("the session is valid")
                {
                    prop_assert!(claim.is_starting == *cold);
                    let was_interrupted = self.interrupted.remove(&claim.lease.run_id);
                    let recoveries = self.recoveries.entry((claim.lease.run_id, claim.attempt)).or_default();
                    *recoveries += u32::from(was_interrupted);
                    prop_assert_eq!((claim.is_recovery, claim.recoveries), (was_interrupted, *recoveries));
                    self.claims.insert(0, (claim, !cold));
                }
            }
            Step::Begin(which) => {
                let Some((which, claim, is_ready)) = self.claim(*which) else { return Ok(()) };
                let is_due = !is_ready && self.is_held(&claim).await;
                prop_assert!(store.begin_running(claim.lease).await.is_ok() == is_due);
                self.claims[which].1 |= is_due;
            }
            Step::Settle(which, outcome) => {
                let Some((_, claim, is_ready)) = self.claim(*which) else { return Ok(()) };
                let artifact = Outcome::failed(FailureKind::Artifact, "it is not there");
                let outcome = if is_ready { outcome } else { &artifact };
                let is_held = self.is_held(&claim).await;
                prop_assert!(store.settle_run(claim.lease, settlement(&claim, outcome)).await.is_ok() == is_held);
            }
            Step::Cancel(which) => {
                let Some(run) = self.run(*which) else { return Ok(()) };
                let answer = store.cancel_run(&self.app, run.number).await;
                prop_assert!(answer.is_ok() == run.status.is_active(), "{answer:?}");
                self.interrupted.remove(&run.run_id);
            }
            Step::SetDisabled(disabled) => {
                let change = AppChange { disabled: Some(*disabled), ..AppChange::default() };
                store.update_app(&self.app, None, change).await.expect("the app is there");
                self.disabled = *disabled;
            }
            Step::LetAllBeDue => {
                self.bed.let_all_be_due().await;
                let waiting = self.seen.values().filter(|(run, _)| run.status == Status::Retrying);
                self.moved.extend(waiting.map(|(run, _)| run.run_id));
            }
            Step::TakeAway => {
                self.interrupted.extend(self.held().await.iter().map(|lease| lease.run_id));
                self.bed.let_sessions_expire().await;
                store.reap_sessions().await.expect("the database answers");
                self.workers = vec![self.bed.worker().await, self.bed.worker().await];
            }
            Step::GiveBack(which) => {
                let Some((_, claim, _)) = self.claim(*which) else { return Ok(()) };
                let is_held = self.is_held(&claim).await;
                prop_assert!(store.give_back(claim.lease).await.is_ok() == is_held);
                self.interrupted.extend(is_held.then_some(claim.lease.run_id));
            }
            Step::HandBack(which) => {
                let Some((_, claim, _)) = self.claim(*which) else { return Ok(()) };
                let is_held = self.is_held(&claim).await;
                prop_assert!(store.hand_back(claim.lease, false).await.is_ok() == is_held);
            }
            Step::Park(which, for_event) => {
                let Some((_, claim, true)) = self.claim(*which) else { return Ok(()) };
                let hour = store.now().await.expect("the database answers") + Duration::from_secs(3600);
                let wait = if *for_event { park() } else { sleep(hour) };
                let is_held = self.is_held(&claim).await;
                let parked = store.park_run(claim.lease, Park { signals: claim.signals, ..wait }).await;
                prop_assert!(parked.is_ok() == is_held, "{parked:?}");
            }
            Step::SendEvent(which) => {
                let Some(run) = self.run(*which) else { return Ok(()) };
                let answer = store.send_event(&self.app, run.number, event(b"yes")).await;
                prop_assert!(answer.is_ok() == run.status.is_active(), "{answer:?}");
            }
            Step::Retry(which) => {
                let Some(run) = self.run(*which) else { return Ok(()) };
                let failed = matches!(run.status, Status::Crashed | Status::Errored);
                let parent = run.parent.as_ref().map(|parent| self.seen[&parent.run_id].0.status);
                let may_be_retried = failed && !self.disabled && parent != Some(Status::Cancelled);
                let answer = store.retry_run(&self.app, run.number, None).await;
                prop_assert!(answer.is_ok() == may_be_retried, "{answer:?}");
                if let Ok(retried) = answer {
                    *self.retried.entry(run.run_id).or_default() += 1;
                    self.moved.insert(run.run_id);
                    let attempts = self.bed.attempts(&run).await;
                    prop_assert_eq!(&self.seen[&run.run_id].1, &attempts, "a retry changes no attempt");
                    self.seen.insert(run.run_id, (retried, attempts));
                }
            }
            Step::StartChild(which, seq) => {
                let Some((_, claim, _)) = self.claim(*which) else { return Ok(()) };
                let is_held = self.is_held(&claim).await;
                let known = self.children.get(&(claim.lease.run_id, *seq)).copied();
                let answer = store.start_child(claim.lease, *seq, new_run(&self.app)).await;
                let may_start = is_held && (known.is_some() || !self.disabled);
                prop_assert!(answer.is_ok() == may_start, "{answer:?}");
                if let Ok(child) = answer {
                    prop_assert!(known.is_none_or(|known| known == child.run_id), "one entry, two children");
                    self.children.insert((claim.lease.run_id, *seq), child.run_id);
                }
            }
        }
        Ok(())
    }

    /// Looks at every run, and compares it with the rules and with what it was.
    async fn check(&mut self) -> Result<(), TestCaseError> {
        let filter = RunFilter { app: Some(self.app.clone()), limit: 100, ..RunFilter::default() };
        for run in self.bed.store.list_runs(&filter).await.expect("runs can be listed") {
            let attempts = self.bed.attempts(&run).await;
            if let Some((old, old_attempts)) = self.seen.get(&run.run_id) {
                if !old.status.is_active() {
                    prop_assert!((old, old_attempts) == (&run, &attempts), "a final run changed: {run:?} {old:?}");
                }
                let edge = EDGES.iter().any(|(from, to, _)| (*from, *to) == (old.status, run.status));
                prop_assert!(edge || old.status == run.status, "{:?} became {:?}", old.status, run.status);
                let is_retried = run.status == Status::Retrying || old.status == Status::Retrying;
                let goes_on = run.status.is_active() && old.status != run.status;
                prop_assert!(!(self.disabled && is_retried && goes_on), "a disabled app retries: {run:?}");
                let ended = old_attempts.iter().filter(|attempt| attempt.ended_at.is_some());
                prop_assert!(ended.zip(&attempts).all(|(old, new)| old == new), "an ended attempt changed");
                if (old.status, run.status) != (Status::Retrying, Status::Retrying) {
                    self.moved.remove(&run.run_id);
                }
            }
            self.check_rules(&run, &attempts)?;
            let parent = run.parent.as_ref().map(|parent| parent.run_id);
            prop_assert_eq!(parent.is_some(), self.children.values().any(|child| *child == run.run_id));
            self.seen.insert(run.run_id, (run, attempts));
        }
        for ((parent, _), child) in &self.children {
            let [parent, child] = [parent, child].map(|id| self.seen[id].0.status);
            prop_assert!(parent != Status::Cancelled || !child.is_active(), "a child of a cancelled run is {child:?}");
        }
        Ok(())
    }

    fn check_rules(&self, run: &Run, attempts: &[Attempt]) -> Result<(), TestCaseError> {
        let count = attempts.len() as u32;
        prop_assert!(attempts.iter().map(|attempt| attempt.seq).eq(1..=count), "{attempts:?}");
        let asked_for = self.retried.get(&run.run_id).copied().unwrap_or_default();
        prop_assert!(count <= run.policy.max_retries + 1 + asked_for, "{attempts:?}");
        prop_assert!(run.waiting_on.is_none() || run.status == Status::Running, "{:?}", run);
        let recoveries = attempts.iter().map(|attempt| ((run.run_id, attempt.seq), attempt.recoveries));
        let expected = |key| self.recoveries.get(&key).copied().unwrap_or_default();
        prop_assert!(recoveries.clone().all(|(key, count)| count == expected(key)), "{attempts:?}");
        let awaited = matches!(run.status, Status::Retrying | Status::Pending);
        let counted = if awaited { count + 1 } else { count.max(1) };
        prop_assert_eq!(run.num_attempts, counted, "{:?} {:?}", run, attempts);
        let (last, earlier) = attempts.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
        prop_assert!(earlier.iter().all(|attempt| attempt.ended_at.is_some()), "{attempts:?}");
        let is_open = last.is_some_and(|last| last.ended_at.is_none());
        prop_assert_eq!(is_open, matches!(run.status, Status::Starting | Status::Running), "{:?}", run);
        prop_assert!(!is_open || last.is_some_and(|last| last.status == run.status), "{attempts:?}");
        prop_assert_eq!(run.ended_at.is_some(), !run.status.is_active());
        if run.status == Status::Retrying && !self.moved.contains(&run.run_id) {
            let (due_at, ended_at) = (run.next_attempt_at, last.and_then(|last| last.ended_at));
            let wait = due_at.zip(ended_at).map(|(due_at, ended_at)| due_at.duration_since(ended_at).as_millis());
            let expected = run.policy.delay_before(count).map(|delay| delay.as_millis() as i128);
            prop_assert_eq!(wait, expected, "{:?}", run);
        }
        if matches!(run.status, Status::Exited | Status::Crashed | Status::Errored) {
            prop_assert_eq!(last.map(|last| last.status), Some(run.status));
            prop_assert!(last.is_some_and(|last| (&last.failure, last.exit_code) == (&run.failure, run.exit_code)));
        }
        Ok(())
    }

    /// Ends what is left, so that the next scene finds nothing due.
    async fn close(self) {
        let statuses = Status::ACTIVE.to_vec();
        let active = RunFilter { app: Some(self.app.clone()), statuses, limit: 100, ..RunFilter::default() };
        for run in self.bed.store.list_runs(&active).await.expect("runs can be listed") {
            // It may have gone with its parent.
            _ = self.bed.store.cancel_run(&self.app, run.number).await;
        }
        for worker in &self.workers {
            self.bed.store.close_session(worker).await.expect("the database answers");
        }
    }
}

fn settlement(claim: &Assignment, outcome: &Outcome) -> Settlement {
    let change =
        run::settle(run::State { attempt: claim.attempt, policy: claim.policy, until_deadline: None }, outcome);
    let (failure, exit_code) = match outcome.clone() {
        Outcome::Exited { .. } => (None, Some(0)),
        Outcome::Failed { failure, exit_code } | Outcome::NotRetryable { failure, exit_code } => {
            (Some(failure), exit_code)
        }
    };
    Settlement { verdict: outcome.verdict(), change, failure, exit_code, ..success() }
}

// R1, R4, R6, R7, R8, R9, R12, R24, R26, R29, R31, R43
pub async fn whatever_happens_the_rules_of_runs_hold(bed: &Bed) {
    let cases = if bed.is_postgres() { 40 } else { 120 };
    let config = Config { cases, failure_persistence: None, max_shrink_time: 20_000, ..Config::default() };
    let steps = proptest::collection::vec(step(), 1..60);
    let outcome = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&steps, |steps| {
            tokio::runtime::Handle::current().block_on(async {
                let mut scene = Scene::open(bed).await;
                let mut verdict = Ok(());
                for step in &steps {
                    verdict = match scene.take(step).await {
                        Ok(()) => scene.check().await,
                        Err(broken) => Err(broken),
                    };
                    if verdict.is_err() {
                        break;
                    }
                }
                scene.close().await;
                verdict
            })
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, steps)) => panic!("after {steps:#?}\n{why}"),
        Err(error) => panic!("{error}"),
    }
}
