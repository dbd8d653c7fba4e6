//! Runs that wait without a worker.

use std::time::Duration;

use relume::run::Status;
use relume::store::*;

use crate::bed::*;

const HOUR: Duration = Duration::from_secs(3600);

/// The moment that long from now, by the database's clock.
async fn in_(bed: &Bed, length: Duration) -> jiff::Timestamp {
    bed.store.now().await.expect("the database answers") + length
}

// R24
pub async fn a_parked_run_has_no_worker_and_says_what_it_waits_for(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    assert_eq!(bed.look(&run).await.waiting_on, None);
    let park = sleep(in_(bed, HOUR).await);
    bed.store.park_run(lease, park.clone()).await.expect("the lease is valid");
    let parked = bed.look(&run).await;
    assert_eq!((parked.status, parked.waiting_on.as_ref()), (Status::Running, Some(&park.waiting_on)));
    assert_eq!(bed.store.list_held(&worker).await.expect("the database answers"), []);
    assert!(bed.claim_due(&worker).await.is_empty(), "it is not due");
    assert_eq!(bed.attempts(&run).await[0].status, Status::Running, "its attempt goes on");
    let listed = bed.store.list_runs(&RunFilter { limit: 9, ..RunFilter::default() }).await.expect("it is listed");
    assert_eq!(listed, [parked]);
    let claimed = bed.claim(&worker).await;
    assert_eq!(bed.look(&run).await.waiting_on, None, "it waits no more");
    bed.store.park_run(claimed.lease, park).await.expect("the lease is valid");
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    let cancelled = bed.look(&run).await;
    assert_eq!((cancelled.status, cancelled.waiting_on), (Status::Cancelled, None));
    assert_eq!(bed.attempts(&run).await[0].status, Status::Cancelled);
}

// R24, R42
pub async fn a_run_wakes_when_it_is_due_and_no_earlier(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    let until = in_(bed, HOUR).await;
    bed.store.park_run(lease, sleep(until)).await.expect("the lease is valid");
    let due = bed.lines("select cast(available_at as text) from runs").await;
    assert_eq!(due, [until.as_millisecond().to_string()]);
    let left = bed.store.next_due_in().await.expect("the database answers").expect("it waits");
    assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
    let minutes = async |count: i64| {
        bed.sql(&format!("update runs set available_at = available_at - {}", count * 60_000)).await;
        bed.claim_due(&worker).await.len()
    };
    assert_eq!((minutes(30).await, minutes(31).await), (0, 1));
    assert_eq!(bed.look(&run).await.status, Status::Running);
}

// R24, R26, R40
pub async fn waking_is_neither_an_attempt_nor_a_recovery(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    let mut lease = lease;
    for woken in 1..=4 {
        bed.store.park_run(lease, sleep(in_(bed, HOUR).await)).await.expect("the lease is valid");
        let claimed = bed.claim(&worker).await;
        assert_eq!((claimed.attempt, claimed.recoveries, claimed.losses), (1, 0, 0));
        assert!(!claimed.is_recovery);
        assert_eq!(claimed.fuel_used, woken * 7, "what the attempt used up is summed up");
        lease = claimed.lease;
    }
    bed.store.settle_run(lease, success()).await.expect("the lease is valid");
    let attempts = bed.attempts(&run).await;
    assert_eq!(attempts.len(), 1);
    let used = (attempts[0].fuel_used, attempts[0].peak_memory_bytes, attempts[0].bytes_in, attempts[0].bytes_out);
    assert_eq!(used, (Some(35), Some(8), Some(45), Some(50)));
    assert_eq!((bed.look(&run).await.num_attempts, attempts[0].recoveries), (1, 0));
}

// R40
pub async fn a_recovery_is_counted_between_waits(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.store.park_run(lease, sleep(in_(bed, HOUR).await)).await.expect("the lease is valid");
    let claimed = bed.claim(&worker).await;
    bed.store.give_back(claimed.lease).await.expect("the lease is valid");
    let recovered = bed.claim(&worker).await;
    assert_eq!((recovered.recoveries, recovered.is_recovery), (1, true));
    bed.store.park_run(recovered.lease, park()).await.expect("the lease is valid");
    let woken = bed.claim(&worker).await;
    assert_eq!((woken.recoveries, woken.is_recovery), (1, false));
}

// R40, R42
pub async fn a_wait_outlives_the_worker_that_began_it(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let park = sleep(in_(bed, HOUR).await);
    bed.store.park_run(lease, park.clone()).await.expect("the lease is valid");
    let before = bed.look(&run).await;
    bed.let_sessions_expire().await;
    assert_eq!(bed.store.reap_sessions().await.expect("the database answers"), 0, "it is nobody's");
    assert_eq!(bed.look(&run).await, before);
    let other = bed.worker().await;
    let claimed = bed.claim(&other).await;
    assert_eq!((claimed.lease.run_id, claimed.recoveries, claimed.losses), (run.run_id, 0, 0));
}

// R28
pub async fn no_wait_is_longer_than_the_deadline(bed: &Bed) {
    bed.start().await;
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    let deadline_at = in_(bed, HOUR).await;
    let new = NewRun { deadline_at: Some(deadline_at), ..new_run("greet") };
    let run = bed.store.start_run(new).await.expect("it starts").run;
    assert_eq!((run.deadline_at, bed.look(&run).await.deadline_at), (Some(deadline_at), Some(deadline_at)));
    let worker = bed.worker().await;
    for wait in [park(), sleep(in_(bed, HOUR * 2).await)] {
        let claimed = bed.claim(&worker).await;
        let left = claimed.until_deadline.expect("it has a deadline");
        assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
        bed.store.park_run(claimed.lease, wait).await.expect("the lease is valid");
        let due = bed.lines("select cast(available_at as text) from runs where number = 2").await;
        assert_eq!(due, [deadline_at.as_millisecond().to_string()]);
    }
    bed.sql("update runs set deadline_at = 1").await;
    assert_eq!(bed.claim(&worker).await.until_deadline, Some(Duration::ZERO));
}

// R42
pub async fn what_waits_for_ever_does_not_come_due(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.store.park_run(lease, park()).await.expect("the lease is valid");
    assert!(bed.claim_due(&worker).await.is_empty());
    let left = bed.store.next_due_in().await.expect("the database answers").expect("it waits");
    assert!(left > HOUR * 24 * 365 * 1000, "{left:?}");
}

// R42
pub async fn a_run_that_was_told_something_since_it_looked_is_due_at_once(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    let other = NewEvent { name: "other".into(), ..NewEvent::default() };
    bed.store.send_event("greet", 1, other).await.expect("it is active");
    bed.store.park_run(lease, park()).await.expect("the lease is valid");
    let woken = bed.claim_due(&worker).await.remove(0);
    assert_eq!(woken.signals, 1);
    bed.store.park_run(woken.lease, Park { signals: 1, ..park() }).await.expect("the lease is valid");
    assert!(bed.claim_due(&worker).await.is_empty(), "it knows");
}

// R29
pub async fn what_is_handed_back_counts_for_nothing_and_others_may_take_it_at_once(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.hand_back(lease, false).await.expect("the lease is valid");
    let refused = [upload(1).digest, upload(2).digest];
    let claim = bed.store.claim_runs(&worker, 10, &loaded(), &refused).await.expect("the session is valid");
    assert!(claim.is_empty(), "this worker cannot run it");
    let other = bed.worker().await;
    let claimed = bed.claim_due(&other).await.remove(0);
    assert_eq!((claimed.attempt, claimed.recoveries, claimed.losses, claimed.is_recovery), (1, 0, 0, false));
    assert!(claimed.lease.fence > lease.fence);
    // Also while its code is fetched, over and over.
    let mut lease = claimed.lease;
    for _ in 0..5 {
        bed.store.hand_back(lease, false).await.expect("the lease is valid");
        let cold = bed.store.claim_runs(&other, 1, &[], &[]).await.expect("the session is valid").remove(0);
        assert!(cold.is_starting);
        lease = cold.lease;
    }
    let attempts = bed.attempts(&run).await;
    assert_eq!((attempts.len(), attempts[0].recoveries, attempts[0].status), (1, 0, Status::Starting));
    // What was interrupted stays so.
    bed.store.give_back(lease).await.expect("the lease is valid");
    for _ in 0..3 {
        let claimed = bed.claim_due(&other).await.remove(0);
        assert_eq!((claimed.is_recovery, claimed.recoveries), (true, 1));
        bed.store.hand_back(claimed.lease, true).await.expect("the lease is valid");
    }
    assert_eq!(bed.attempts(&run).await[0].recoveries, 0, "it goes on nowhere yet");
}

// R8, R29
pub async fn a_retry_of_a_disabled_app_ends_even_if_this_worker_cannot_run_it(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    let disabled = AppChange { disabled: Some(true), ..AppChange::default() };
    bed.store.update_app("greet", None, disabled).await.expect("the app is there");
    let refused = [upload(1).digest];
    assert!(bed.store.claim_runs(&worker, 10, &[], &refused).await.expect("the session is valid").is_empty());
    assert_eq!(bed.look(&run).await.status, Status::Crashed);
}

pub async fn use_of_the_network_outside_steps_is_remembered(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.park_run(lease, Park { used_loose_io: true, ..park() }).await.expect("the lease is valid");
    assert!(bed.look(&run).await.used_loose_io);
    let lease = bed.claim(&worker).await.lease;
    bed.store.settle_run(lease, success()).await.expect("the lease is valid");
    assert!(bed.look(&run).await.used_loose_io);
    let (run, _, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, Settlement { used_loose_io: true, ..success() }).await.expect("the lease is valid");
    assert!(bed.look(&run).await.used_loose_io);
}
