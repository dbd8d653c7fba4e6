//! How often a run's worker was lost without anything coming of it.

use std::time::Duration;

use relume::store::*;

use crate::bed::*;

/// Kills every worker, and claims the run anew. Returns how often it was lost in a row.
async fn lose(bed: &Bed) -> (u32, Lease) {
    bed.lose_workers().await;
    let worker = bed.worker().await;
    let claimed = bed.claim(&worker).await;
    assert!(claimed.is_recovery && claimed.attempt == 1, "the same attempt goes on");
    (claimed.losses, claimed.lease)
}

// R40
pub async fn losses_in_a_row_are_counted_until_the_journal_grows(bed: &Bed) {
    let (run, _, _) = bed.start_and_claim().await;
    for losses in 1..=3 {
        assert_eq!(lose(bed).await.0, losses);
    }
    let (losses, lease) = lose(bed).await;
    assert_eq!(losses, 4);
    bed.write(lease, finished(1)).await;
    let (losses, lease) = lose(bed).await;
    assert_eq!(losses, 1, "something had come of it");
    bed.write(lease, entry(2, EntryState::Begun)).await;
    let (losses, lease) = lose(bed).await;
    assert_eq!(losses, 1);
    bed.write(lease, entry(2, EntryState::Again("busy".into()))).await;
    assert_eq!(lose(bed).await.0, 2, "the entry was there before");
    assert_eq!(bed.attempts(&run).await[0].recoveries, 7);
}

// R40
pub async fn what_is_given_back_is_not_lost(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.store.give_back(lease).await.expect("the lease is valid");
    let claimed = bed.claim(&worker).await;
    assert_eq!((claimed.losses, claimed.recoveries, claimed.is_recovery), (0, 1, true));
    assert_eq!(lose(bed).await.0, 1);
    let (losses, lease) = lose(bed).await;
    bed.store.give_back(lease).await.expect("the lease is valid");
    let worker = bed.worker().await;
    assert_eq!((losses, bed.claim(&worker).await.losses), (2, 2), "but what was lost before stays counted");
    bed.store.close_session(&worker).await.expect("the database answers");
    let worker = bed.worker().await;
    let claimed = bed.claim(&worker).await;
    assert_eq!((claimed.losses, claimed.is_recovery), (2, true));
}

// R40
pub async fn a_wait_and_the_end_of_an_attempt_end_the_row(bed: &Bed) {
    bed.start_and_claim().await;
    lose(bed).await;
    let (losses, lease) = lose(bed).await;
    assert_eq!(losses, 2);
    bed.store.park_run(lease, park()).await.expect("the lease is valid");
    let worker = bed.worker().await;
    assert_eq!(bed.claim(&worker).await.losses, 0);
    let (losses, lease) = lose(bed).await;
    assert_eq!(losses, 1);
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    let worker = bed.worker().await;
    let claimed = bed.claim(&worker).await;
    assert_eq!((claimed.losses, claimed.attempt, claimed.is_recovery), (0, 2, false));
}

// R40
pub async fn a_run_lost_while_its_code_was_fetched_is_counted_too(bed: &Bed) {
    bed.start().await;
    for losses in 0..3 {
        let worker = bed.worker().await;
        let claimed = bed.store.claim_runs(&worker, 1, &[], &[]).await.expect("the session is valid").remove(0);
        assert_eq!((claimed.losses, claimed.is_starting), (losses, true));
        bed.lose_workers().await;
    }
}
