//! Who gets a run, and what comes with it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use relume::run::Status;
use relume::store::*;

use crate::bed::*;

pub async fn a_claim_returns_all_that_an_execution_needs(bed: &Bed) {
    let run = bed.start().await;
    let worker = bed.worker().await;
    let assignment = bed.claim(&worker).await;
    assert_eq!(assignment.lease.run_id, run.run_id);
    assert_eq!((assignment.app.as_str(), assignment.number, assignment.version), ("greet", 1, 1));
    assert_eq!((assignment.digest, assignment.settings), (upload(1).digest, upload(1).settings));
    assert_eq!((assignment.attempt, assignment.recoveries, assignment.last_line_num), (1, 0, 0));
    assert_eq!(assignment.policy, run.policy);
    let now = bed.look(&run).await;
    assert_eq!(now.status, Status::Running);
    assert!(now.started_at >= Some(run.created_at));
    let attempts = bed.attempts(&run).await;
    assert_eq!(
        attempts.iter().map(|a| (a.seq, a.status, a.ended_at)).collect::<Vec<_>>(),
        [(1, Status::Running, None)]
    );
}

pub async fn those_that_waited_longest_come_first(bed: &Bed) {
    for number in 1..=4 {
        let run = bed.start().await;
        // The later the start, the longer the wait.
        bed.sql(&format!("update runs set available_at = {} where number = {}", 10 - number, run.number)).await;
    }
    let worker = bed.worker().await;
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let claimed = bed.store.claim_runs(&worker, 2, &loaded(), &[]).await.expect("the session is valid");
        numbers.extend(claimed.iter().map(|a| a.number));
    }
    assert_eq!(numbers, [4, 3, 2, 1]);
    assert!(bed.store.claim_runs(&worker, 2, &loaded(), &[]).await.expect("the session is valid").is_empty());
}

pub async fn side_by_side_every_run_is_claimed_once(bed: &Bed) {
    const RUNS: usize = 60;
    for _ in 0..RUNS {
        bed.start().await;
    }
    let other = bed.another().await;
    let claimers = (0..6).map(async |n| {
        let store = if n % 2 == 0 { &bed.store } else { &other };
        let worker = store.open_session("tester", 4, Duration::from_secs(600)).await.expect("it opens");
        let mut claimed = Vec::new();
        loop {
            let some = store.claim_runs(&worker, 3, &loaded(), &[]).await.expect("the session is valid");
            if some.is_empty() && store.next_due_in().await.expect("the database answers").is_none() {
                return claimed;
            }
            claimed.extend(some.into_iter().map(|a| a.number));
        }
    });
    let claimed: Vec<_> = join_all(claimers).await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), RUNS);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), RUNS);
}

pub async fn what_is_not_due_is_not_claimed(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::from_secs(60))).await.expect("the lease is valid");
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
    assert_eq!(bed.look(&run).await.status, Status::Retrying);
}

// R9
pub async fn a_retry_is_claimed_as_a_new_attempt(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    assert_eq!(bed.look(&run).await.num_attempts, 2);
    assert_eq!(bed.attempts(&run).await.len(), 1, "an attempt that is awaited is not listed");
    let assignment = bed.claim(&worker).await;
    assert_eq!((assignment.attempt, assignment.recoveries), (2, 0));
    let attempts = bed.attempts(&run).await;
    let states: Vec<_> = attempts.iter().map(|a| (a.seq, a.status, a.recoveries)).collect();
    assert_eq!(states, [(1, Status::Crashed, 0), (2, Status::Running, 0)]);
}

// R26, R40
pub async fn the_same_attempt_going_on_is_a_recovery(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    let started_at = bed.look(&run).await.started_at;
    bed.store.give_back(lease).await.expect("the lease is valid");
    assert_eq!(bed.look(&run).await.status, Status::Running);
    for recoveries in [1, 2] {
        let assignment = bed.claim(&worker).await;
        assert_eq!((assignment.attempt, assignment.recoveries), (1, recoveries));
        bed.store.give_back(assignment.lease).await.expect("the lease is valid");
    }
    let now = bed.look(&run).await;
    assert_eq!((now.num_attempts, now.started_at), (1, started_at));
    assert_eq!(bed.attempts(&run).await.iter().map(|a| (a.seq, a.recoveries)).collect::<Vec<_>>(), [(1, 2)]);
}

pub async fn held_runs_are_listed_with_their_fences(bed: &Bed) {
    let (_, worker, first) = bed.start_and_claim().await;
    bed.start().await;
    let second = bed.claim(&worker).await.lease;
    let held = async || -> Vec<Lease> {
        let mut held = bed.store.list_held(&worker).await.expect("the database answers");
        held.sort_by_key(|lease| lease.run_id);
        held
    };
    assert_eq!(held().await, [first, second]);
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    assert_eq!(held().await, [second]);
    let other = bed.worker().await;
    assert_eq!(bed.store.list_held(&other).await.expect("the database answers"), []);
}

/// What a claim says of the run's past is complete, however fast the run changes hands: else two
/// workers would use one number.
pub async fn a_run_that_goes_from_hand_to_hand_has_one_past(bed: &Bed) {
    const HANDS: usize = 40;
    let run = bed.start().await;
    let other = bed.another().await;
    let workers = (0..4).map(async |n| {
        let store = if n % 2 == 0 { &bed.store } else { &other };
        let worker = store.open_session("tester", 4, Duration::from_secs(600)).await.expect("it opens");
        let mut recoveries = Vec::new();
        while bed.attempts(&run).await.first().is_none_or(|attempt| (attempt.recoveries as usize) < HANDS) {
            for assignment in store.claim_runs(&worker, 1, &loaded(), &[]).await.expect("the session is valid") {
                recoveries.push(assignment.recoveries);
                let next = line(assignment.last_line_num + 1, 1);
                store.append_logs(&[(assignment.lease, next)]).await.expect("the number is free");
                let seq = store.load_journal(run.run_id).await.expect("the database answers").len() as u32 + 1;
                store.append_journal(&[(assignment.lease, finished(seq))]).await.expect("the number is free");
                store.give_back(assignment.lease).await.expect("the lease is valid");
            }
        }
        recoveries
    });
    let mut recoveries: Vec<_> = join_all(workers).await.into_iter().flatten().collect();
    recoveries.sort_unstable();
    assert_eq!(recoveries, (0..recoveries.len() as u32).collect::<Vec<_>>());
    assert_eq!(bed.store.load_journal(run.run_id).await.expect("the database answers").len(), recoveries.len());
}
