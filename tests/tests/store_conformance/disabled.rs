//! What a disabled app does, and what it no longer does.

use std::time::Duration;

use relume::run::{Change, EndedBecause, FailureKind, Status, Verdict};
use relume::store::*;

use crate::bed::*;

async fn set_disabled(bed: &Bed, disabled: bool) {
    let change = AppChange { disabled: Some(disabled), ..AppChange::default() };
    bed.store.update_app("greet", None, change).await.expect("the app is there");
}

/// The run ended as its one attempt did, because its app was disabled.
async fn check_skipped(bed: &Bed, run: &Run) {
    let ended = bed.look(run).await;
    assert_eq!((ended.status, ended.ended_because), (Status::Crashed, Some(EndedBecause::AppDisabled)));
    assert_eq!((ended.num_attempts, ended.exit_code, ended.next_attempt_at), (1, Some(3), None));
    assert_eq!(ended.failure.map(|failure| failure.kind), Some(FailureKind::Exit));
    let attempts = bed.attempts(run).await;
    assert_eq!(attempts.iter().map(|a| (a.seq, a.status)).collect::<Vec<_>>(), [(1, Status::Crashed)]);
    assert!(ended.ended_at >= attempts[0].ended_at);
}

// R8
pub async fn a_disabled_app_starts_no_run_until_it_is_enabled(bed: &Bed) {
    bed.start().await;
    set_disabled(bed, true).await;
    assert!(bed.store.find_app("greet").await.expect("it is there").disabled);
    for version in [None, Some(1)] {
        let answer = bed.store.start_run(NewRun { version, ..new_run("greet") }).await;
        assert_eq!(refusal(answer), "app `greet` is disabled");
    }
    set_disabled(bed, false).await;
    assert_eq!(bed.start().await.number, 2, "a refused start uses up no number");
}

// R8
pub async fn a_retry_is_skipped_when_the_attempt_fails(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    set_disabled(bed, true).await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    check_skipped(bed, &run).await;
    assert_eq!(bed.look(&run).await.ended_at, bed.attempts(&run).await[0].ended_at);
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
}

// R8
pub async fn a_retry_is_skipped_when_its_wait_ends(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::from_secs(60))).await.expect("the lease is valid");
    set_disabled(bed, true).await;
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
    assert_eq!(bed.look(&run).await.status, Status::Retrying, "the wait is not over");
    bed.let_all_be_due().await;
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
    check_skipped(bed, &run).await;
    assert_eq!(bed.store.next_due_in().await.expect("the database answers"), None);
}

// R8
pub async fn a_retry_after_our_fault_is_skipped_as_errored(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    let settlement = Settlement { verdict: Verdict::Errored, ..retry(Duration::ZERO) };
    bed.store.settle_run(lease, settlement).await.expect("the lease is valid");
    set_disabled(bed, true).await;
    bed.let_all_be_due().await;
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
    let ended = bed.look(&run).await;
    assert_eq!((ended.status, ended.num_attempts), (Status::Errored, 1));
}

// R8
pub async fn a_skipped_retry_keeps_no_other_run_waiting(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    bed.store.create_app("other", "").await.expect("the name is free");
    bed.store.add_version("other", upload(1)).await.expect("the app is there");
    bed.store.start_run(new_run("other")).await.expect("it starts");
    set_disabled(bed, true).await;
    bed.let_all_be_due().await;
    let claimed = bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid");
    assert_eq!(claimed.iter().map(|a| a.app.as_str()).collect::<Vec<_>>(), ["other"]);
}

// R8
pub async fn enabling_again_revives_nothing(bed: &Bed) {
    let (at_its_end, worker, lease) = bed.start_and_claim().await;
    let (at_its_time, _, second) = bed.start_and_claim().await;
    bed.store.settle_run(second, retry(Duration::ZERO)).await.expect("the lease is valid");
    set_disabled(bed, true).await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    bed.let_all_be_due().await;
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
    set_disabled(bed, false).await;
    bed.let_all_be_due().await;
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
    for run in [at_its_end, at_its_time] {
        check_skipped(bed, &run).await;
    }
}

// R8
pub async fn what_was_started_before_runs_to_its_end(bed: &Bed) {
    let (interrupted, worker, lease) = bed.start_and_claim().await;
    let waiting = bed.start().await;
    set_disabled(bed, true).await;
    let claimed = bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid");
    assert_eq!(claimed.iter().map(|a| a.number).collect::<Vec<_>>(), [waiting.number]);
    bed.store.give_back(lease).await.expect("the lease is valid");
    let resumed = bed.claim(&worker).await;
    assert_eq!((resumed.number, resumed.recoveries), (interrupted.number, 1));
    for assignment in [&claimed[0], &resumed] {
        bed.store.settle_run(assignment.lease, success()).await.expect("the lease is valid");
    }
    for run in [interrupted, waiting] {
        assert_eq!((bed.look(&run).await.status, bed.look(&run).await.ended_because), (Status::Exited, None));
    }
}

// R8
pub async fn a_failed_step_stays_recorded_when_its_retry_is_skipped(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let failed = entry(1, EntryState::Failed("declined".into()));
    assert_eq!(written(bed.store.append_journal(&[(lease, failed)]).await.expect("it is written")), [true]);
    set_disabled(bed, true).await;
    let settlement = crash(Change::Retry { after: Duration::ZERO, reopen_failed_step: true });
    bed.store.settle_run(lease, settlement).await.expect("the lease is valid");
    assert_eq!(bed.store.load_journal(run.run_id).await.expect("the database answers").len(), 1);
}

// R7
pub async fn a_reason_is_kept_with_the_run(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let settlement = crash(Change::Finish { because: Some(EndedBecause::NotRetryable) });
    bed.store.settle_run(lease, settlement).await.expect("the lease is valid");
    let ended = bed.look(&run).await;
    assert_eq!((ended.status, ended.ended_because), (Status::Crashed, Some(EndedBecause::NotRetryable)));
}

/// A start that names its version is told the truth, however often the app is disabled and enabled meanwhile.
// R8
pub async fn a_start_beside_a_switch_says_nothing_else_than_disabled(bed: &Bed) {
    bed.start().await;
    let other = bed.another().await;
    let switch = async {
        for n in 0..60 {
            let change = AppChange { disabled: Some(n % 2 == 0), ..AppChange::default() };
            other.update_app("greet", None, change).await.expect("the app is there");
        }
    };
    let start = async |version| {
        for _ in 0..60 {
            match bed.store.start_run(NewRun { version, ..new_run("greet") }).await {
                Ok(_) => {}
                answer => assert_eq!(refusal(answer), "app `greet` is disabled"),
            }
        }
    };
    tokio::join!(switch, start(Some(1)), start(None), start(Some(1)));
}
