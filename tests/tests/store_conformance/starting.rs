//! Runs whose code has to be fetched, and cancelling in every active status.

use std::time::Duration;

use relume::run::{Change, Failure, FailureKind, Status, Verdict};
use relume::store::*;

use crate::bed::*;

/// What a worker claims that has no code ready.
async fn claim_cold(bed: &Bed, worker: &WorkerSession) -> Assignment {
    bed.let_all_be_due().await;
    let mut claimed = bed.store.claim_runs(worker, 10, &[], &[]).await.expect("the session is valid");
    assert_eq!(claimed.len(), 1, "one run is due");
    claimed.remove(0)
}

// R1, R9
pub async fn a_run_is_starting_while_its_code_is_fetched(bed: &Bed) {
    let run = bed.start().await;
    let worker = bed.worker().await;
    let assignment = claim_cold(bed, &worker).await;
    assert!(assignment.is_starting);
    let now = bed.look(&run).await;
    assert_eq!((now.status, now.started_at), (Status::Starting, None));
    assert!(now.starting_at >= Some(run.created_at));
    let attempt = bed.attempts(&run).await.remove(0);
    assert_eq!((attempt.status, attempt.started_at, attempt.ended_at), (Status::Starting, None, None));
    assert_eq!(attempt.starting_at, now.starting_at);

    bed.store.begin_running(assignment.lease).await.expect("the lease is valid");
    let running = bed.look(&run).await;
    assert_eq!((running.status, running.starting_at), (Status::Running, now.starting_at));
    assert!(running.started_at >= running.starting_at);
    let attempt = bed.attempts(&run).await.remove(0);
    assert_eq!((attempt.status, attempt.started_at), (Status::Running, running.started_at));
    bed.store.settle_run(assignment.lease, success()).await.expect("the lease is valid");
    assert_eq!(bed.attempts(&run).await[0].starting_at, now.starting_at);
}

// R1
pub async fn code_that_is_ready_is_not_fetched(bed: &Bed) {
    let run = bed.start().await;
    let worker = bed.worker().await;
    let assignment = bed.claim(&worker).await;
    assert!(!assignment.is_starting);
    let (now, attempt) = (bed.look(&run).await, bed.attempts(&run).await.remove(0));
    assert_eq!((now.status, now.starting_at, attempt.starting_at), (Status::Running, None, None));
    assert_eq!(now.started_at, attempt.started_at);
    is_lost(bed.store.begin_running(assignment.lease).await);
}

// R1, R40
pub async fn another_worker_may_have_to_fetch_the_code_again(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    let started_at = bed.look(&run).await.started_at;
    bed.store.give_back(lease).await.expect("the lease is valid");
    let assignment = claim_cold(bed, &worker).await;
    assert_eq!((assignment.is_starting, assignment.attempt, assignment.recoveries), (true, 1, 1));
    let now = bed.look(&run).await;
    assert_eq!((now.status, now.started_at), (Status::Starting, started_at));
    assert_eq!(bed.attempts(&run).await[0].status, Status::Starting);
    bed.store.begin_running(assignment.lease).await.expect("the lease is valid");
    let now = bed.look(&run).await;
    assert_eq!((now.status, now.started_at), (Status::Running, started_at), "it began once");
    assert_eq!(bed.attempts(&run).await[0].started_at, started_at);

    // A worker that dies while it fetches the code leaves a run that is `starting`, and waits.
    bed.store.give_back(assignment.lease).await.expect("the lease is valid");
    let again = claim_cold(bed, &worker).await;
    is_lost(bed.store.begin_running(assignment.lease).await);
    bed.store.give_back(again.lease).await.expect("the lease is valid");
    is_lost(bed.store.begin_running(again.lease).await);
    assert_eq!(bed.look(&run).await.status, Status::Starting);
    let ready = bed.claim(&worker).await;
    assert_eq!((ready.is_starting, ready.recoveries), (false, 3));
    assert_eq!(bed.look(&run).await.status, Status::Running);
    bed.store.settle_run(ready.lease, success()).await.expect("the lease is valid");
}

// R2, R6
pub async fn code_that_cannot_be_made_ready_fails_the_attempt(bed: &Bed) {
    let run = bed.start().await;
    let worker = bed.worker().await;
    let failed = |change| Settlement {
        verdict: Verdict::Errored,
        exit_code: None,
        failure: Some(Failure::new(FailureKind::Artifact, "it is not there")),
        ..crash(change)
    };
    let lease = claim_cold(bed, &worker).await.lease;
    let again = Change::Retry { after: Duration::ZERO, reopen_failed_step: false };
    bed.store.settle_run(lease, failed(again)).await.expect("the lease is valid");
    assert_eq!((bed.look(&run).await.status, bed.look(&run).await.num_attempts), (Status::Retrying, 2));
    let lease = claim_cold(bed, &worker).await.lease;
    bed.store.settle_run(lease, failed(Change::Finish { because: None })).await.expect("the lease is valid");
    let ended = bed.look(&run).await;
    assert_eq!((ended.status, ended.started_at), (Status::Errored, None));
    let attempts = bed.attempts(&run).await;
    assert!(attempts.iter().all(|a| a.status == Status::Errored && a.starting_at.is_some() && a.started_at.is_none()));
    assert_eq!(attempts.len(), 2);
}

/// The run is cancelled; `attempts` are the statuses of those it had.
async fn check_cancelled(bed: &Bed, run: &Run, attempts: &[Status]) {
    let cancelled = bed.store.cancel_run("greet", run.number).await.expect("it is active");
    assert_eq!((cancelled.status, cancelled.ended_because), (Status::Cancelled, None));
    assert_eq!((cancelled.exit_code, cancelled.failure, cancelled.next_attempt_at), (None, None, None));
    assert_eq!(cancelled.num_attempts as usize, attempts.len().max(1), "no attempt is awaited any more");
    let now = bed.attempts(run).await;
    assert_eq!(now.iter().map(|a| a.status).collect::<Vec<_>>(), attempts);
    if let Some(last) = now.last().filter(|last| last.status == Status::Cancelled) {
        assert_eq!(last.ended_at, cancelled.ended_at);
    }
    refusal(bed.store.cancel_run("greet", run.number).await);
    let worker = bed.worker().await;
    bed.let_all_be_due().await;
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
}

// R12
pub async fn a_run_is_cancelled_in_every_active_status(bed: &Bed) {
    let pending = bed.start().await;
    check_cancelled(bed, &pending, &[]).await;

    let at = Some("2100-01-01T00:00:00Z".parse().expect("a moment"));
    let new = NewRun { scheduled_at: at, ..new_run("greet") };
    let scheduled = bed.store.start_run(new).await.expect("it starts").run;
    assert_eq!(scheduled.status, Status::Scheduled);
    check_cancelled(bed, &scheduled, &[]).await;

    let starting = bed.start().await;
    let worker = bed.worker().await;
    let lease = claim_cold(bed, &worker).await.lease;
    check_cancelled(bed, &starting, &[Status::Cancelled]).await;
    is_lost(bed.store.begin_running(lease).await);

    let (running, _, lease) = bed.start_and_claim().await;
    check_cancelled(bed, &running, &[Status::Cancelled]).await;
    is_lost(bed.store.settle_run(lease, success()).await);

    let (given_back, _, lease) = bed.start_and_claim().await;
    bed.store.give_back(lease).await.expect("the lease is valid");
    check_cancelled(bed, &given_back, &[Status::Cancelled]).await;

    let (retrying, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::from_secs(60))).await.expect("the lease is valid");
    check_cancelled(bed, &retrying, &[Status::Crashed]).await;

    let (second, _, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    bed.claim(&worker).await;
    check_cancelled(bed, &second, &[Status::Crashed, Status::Cancelled]).await;
}
