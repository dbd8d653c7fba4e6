//! What the end of an attempt writes.

use std::time::Duration;

use relume::run::{Change, Failure, FailureKind, Status};
use relume::store::*;

use crate::bed::*;

pub async fn success_ends_the_run(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, success()).await.expect("the lease is valid");
    let ended = bed.look(&run).await;
    assert_eq!((ended.status, ended.exit_code, ended.failure), (Status::Exited, Some(0), None));
    let attempt = bed.attempts(&run).await.remove(0);
    assert_eq!((attempt.status, attempt.fuel_used, attempt.peak_memory_bytes), (Status::Exited, Some(7), Some(8)));
    assert!(ended.ended_at.is_some() && ended.ended_at == attempt.ended_at);
    assert_eq!(bed.store.list_held(&worker).await.expect("the database answers"), []);
    assert_eq!(bed.store.next_due_in().await.expect("the database answers"), None);
}

// R2, R10
pub async fn a_failure_is_kept_with_its_attempt(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    let waiting = bed.look(&run).await;
    assert_eq!((waiting.exit_code, waiting.failure), (None, None), "the run is not final");
    let lease = bed.claim(&worker).await.lease;
    let failure = Failure { kind: FailureKind::Trap, message: "a\0b".into(), backtrace: Some("main.rs:3".into()) };
    let settlement = Settlement {
        exit_code: None,
        failure: Some(failure.clone()),
        usage: Usage { fuel: u64::MAX, ..Usage::default() },
        ..crash(Change::Finish { because: None })
    };
    bed.store.settle_run(lease, settlement).await.expect("the lease is valid");
    let failure = Failure { message: "a\u{fffd}b".into(), ..failure };
    let ended = bed.look(&run).await;
    assert_eq!((ended.status, ended.exit_code, ended.failure), (Status::Crashed, None, Some(failure.clone())));
    let attempts = bed.attempts(&run).await;
    assert_eq!(attempts[0].exit_code, Some(3));
    assert_eq!(attempts[0].failure.as_ref().map(|f| f.kind), Some(FailureKind::Exit));
    assert_eq!(attempts[1].failure, Some(failure));
}

// R4, R6
pub async fn a_retry_waits_exactly_as_long_as_asked(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let delay = Duration::from_secs(30);
    bed.store.settle_run(lease, retry(delay)).await.expect("the lease is valid");
    let waiting = bed.look(&run).await;
    assert_eq!((waiting.status, waiting.num_attempts, waiting.ended_at), (Status::Retrying, 2, None));
    let due_at = waiting.next_attempt_at.expect("the next attempt has a time");
    let ended_at = bed.attempts(&run).await[0].ended_at.expect("the attempt ended");
    assert_eq!(due_at.duration_since(ended_at), delay.try_into().expect("it is short"));
}

// R12
pub async fn an_active_run_is_cancelled_and_a_final_one_is_not(bed: &Bed) {
    let waiting = bed.start().await;
    let cancelled = bed.store.cancel_run("greet", waiting.number).await.expect("it is active");
    assert_eq!(cancelled.status, Status::Cancelled);
    assert_eq!(bed.look(&waiting).await, cancelled);
    assert_eq!(bed.attempts(&waiting).await, [], "it never began");

    let (running, _, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::from_secs(60))).await.expect("the lease is valid");
    bed.store.cancel_run("greet", running.number).await.expect("a retry can be cancelled");
    let attempts = bed.attempts(&running).await;
    assert_eq!(attempts.iter().map(|a| a.status).collect::<Vec<_>>(), [Status::Crashed], "what ended stays");

    let (running, _, _) = bed.start_and_claim().await;
    bed.store.cancel_run("greet", running.number).await.expect("it is active");
    assert_eq!(bed.attempts(&running).await[0].status, Status::Cancelled);
    let again = refusal(bed.store.cancel_run("greet", running.number).await);
    assert_eq!(again, "run `greet#3` is already cancelled");
    assert_eq!(refusal(bed.store.cancel_run("greet", 9).await), "run `greet#9` does not exist");
}

pub async fn a_dropped_call_leaves_the_store_usable(bed: &Bed) {
    bed.start().await;
    for micros in (0..4000).step_by(50) {
        let start = bed.store.start_run(new_run("greet"));
        let _ = tokio::time::timeout(Duration::from_micros(micros), start).await;
    }
    if bed.is_postgres() {
        let busy = "select count(*)::text from pg_stat_activity where datname = current_database() \
            and state = 'active' and pid <> pg_backend_pid()";
        eventually("the server is done with what nobody waits for", async || bed.lines(busy).await == ["0"]).await;
    }
    let last = bed.start().await;
    let filter = RunFilter { limit: 1000, ..RunFilter::default() };
    let runs = bed.store.list_runs(&filter).await.expect("runs can be listed");
    assert_eq!(runs.len() as i64, last.number, "each start was done or not done");
    let worker = bed.worker().await;
    let claimed = bed.store.claim_runs(&worker, 1000, &loaded(), &[]).await.expect("the session is valid");
    assert_eq!(claimed.len(), runs.len());
}
