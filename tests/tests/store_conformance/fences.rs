//! A worker whose run was taken away changes nothing.

use std::time::Duration;

use futures_util::future::{join, join_all};
use relume::run::Status;
use relume::store::*;

use crate::bed::*;

/// Nothing that a worker with this lease could write is written.
async fn check_void(bed: &Bed, run: &Run, lease: Lease) {
    let count = bed.store.count_runs(&RunFilter::default()).await.expect("they are counted");
    let before = (bed.look(run).await, bed.attempts(run).await);
    let written = bed.store.append_journal(&[(lease, finished(1))]).await.expect("the database answers");
    assert_eq!(written, [None]);
    assert_eq!(bed.store.append_logs(&[(lease, line(1, 1))]).await.expect("the database answers"), 0);
    is_lost(bed.store.give_back(lease).await);
    is_lost(bed.store.hand_back(lease, false).await);
    is_lost(bed.store.park_run(lease, park()).await);
    is_lost(bed.store.take_event(lease, 1, "approve").await);
    is_lost(bed.store.start_child(lease, 1, new_run("greet")).await);
    assert_eq!(bed.store.count_runs(&RunFilter::default()).await.expect("they are counted"), count);
    let settlement = Settlement { output: Some(vec![1]), ..success() };
    is_lost(bed.store.settle_run(lease, settlement).await);
    is_lost(bed.store.settle_run(lease, retry(Duration::ZERO)).await);
    assert_eq!((bed.look(run).await, bed.attempts(run).await), before);
    assert_eq!(bed.store.load_journal(run.run_id).await.expect("the database answers"), []);
    assert_eq!(bed.store.load_run_io(run.run_id).await.expect("it is there").output, None);
}

pub async fn nothing_is_written_after_the_run_was_given_back(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    bed.store.give_back(lease).await.expect("the lease is valid");
    check_void(bed, &run, lease).await;
    let other = bed.worker().await;
    bed.claim(&other).await;
    check_void(bed, &run, lease).await;
}

// R12
pub async fn nothing_is_written_after_the_run_was_cancelled(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    check_void(bed, &run, lease).await;
}

pub async fn nothing_is_written_after_the_run_was_taken_away(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    bed.let_sessions_expire().await;
    assert_eq!(bed.store.reap_sessions().await.expect("the database answers"), 1);
    check_void(bed, &run, lease).await;
    let other = bed.worker().await;
    let assignment = bed.claim(&other).await;
    assert_eq!(assignment.recoveries, 1);
    check_void(bed, &run, lease).await;
    bed.store.settle_run(assignment.lease, success()).await.expect("the new lease is valid");
}

// R24, R42
pub async fn nothing_is_written_after_the_run_was_parked(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.park_run(lease, park()).await.expect("the lease is valid");
    check_void(bed, &run, lease).await;
    bed.store.send_event("greet", 1, event(b"yes")).await.expect("it is active");
    check_void(bed, &run, lease).await;
    bed.claim(&worker).await;
    check_void(bed, &run, lease).await;
}

// R29
pub async fn nothing_is_written_after_the_run_was_handed_back(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    bed.store.hand_back(lease, false).await.expect("the lease is valid");
    check_void(bed, &run, lease).await;
}

pub async fn nothing_is_written_after_the_run_was_settled(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    check_void(bed, &run, lease).await;
}

pub async fn the_old_lease_stays_void_when_the_same_worker_claims_again(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.give_back(lease).await.expect("the lease is valid");
    let again = bed.claim(&worker).await.lease;
    assert!(again.fence > lease.fence);
    check_void(bed, &run, lease).await;
    assert_eq!(written(bed.store.append_journal(&[(again, finished(1))]).await.expect("the database answers")), [true]);
}

pub async fn a_lease_of_a_run_that_waits_is_void(bed: &Bed) {
    let run = bed.start().await;
    check_void(bed, &run, Lease { run_id: run.run_id, fence: 0 }).await;
}

pub async fn of_a_cancel_and_a_settlement_one_wins(bed: &Bed) {
    let worker = bed.worker().await;
    for _ in 0..20 {
        let run = bed.start().await;
        let lease = bed.claim(&worker).await.lease;
        let cancel = bed.store.cancel_run("greet", run.number);
        let (cancelled, settled) = join(cancel, bed.store.settle_run(lease, success())).await;
        let status = match (cancelled, settled) {
            (Ok(_), Err(StoreError::LeaseLost)) => Status::Cancelled,
            (Err(StoreError::Conflict(_)), Ok(())) => Status::Exited,
            both => panic!("exactly one should win: {both:?}"),
        };
        assert_eq!(bed.look(&run).await.status, status);
        assert_eq!(bed.attempts(&run).await[0].status, status);
    }
}

pub async fn a_cancel_beside_a_claim_leaves_no_open_attempt(bed: &Bed) {
    let worker = bed.worker().await;
    let other = bed.another().await;
    for _ in 0..10 {
        let mut runs = Vec::new();
        for _ in 0..5 {
            runs.push(bed.start().await);
        }
        let cancels = join_all(runs.iter().map(|run| other.cancel_run("greet", run.number)));
        let (claimed, cancelled) = join(bed.store.claim_runs(&worker, 5, &loaded(), &[]), cancels).await;
        claimed.expect("the session is valid");
        for (run, cancelled) in runs.iter().zip(cancelled) {
            cancelled.expect("nothing else ends it");
            assert_eq!(bed.look(run).await.status, Status::Cancelled);
            assert!(bed.attempts(run).await.iter().all(|attempt| attempt.status == Status::Cancelled));
        }
    }
    assert_eq!(bed.store.list_held(&worker).await.expect("the database answers"), []);
}

/// The next worker loads a journal that no zombie adds to.
pub async fn a_write_beside_a_take_away_is_before_it_or_refused(bed: &Bed) {
    let worker = bed.worker().await;
    let other = bed.another().await;
    for _ in 0..20 {
        let run = bed.start().await;
        let lease = bed.claim(&worker).await.lease;
        let batch = [(lease, finished(1))];
        let take_away = async {
            other.give_back(lease).await.expect("the lease is valid");
            other.load_journal(run.run_id).await.expect("the database answers").len()
        };
        let (written, seen) = join(bed.store.append_journal(&batch), take_away).await;
        let written = written.expect("the database answers")[0].is_some();
        assert_eq!(written, seen == 1, "written after it was taken away");
        bed.store.cancel_run("greet", run.number).await.expect("it is active");
    }
}
