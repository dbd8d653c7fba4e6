//! Another attempt of a run that failed, because somebody asks for it.

use std::time::Duration;

use relume::run::{Change, EndedBecause, Status, Verdict};
use relume::store::*;

use crate::bed::*;

const FINISH: Change = Change::Finish { because: None };

// R31
pub async fn a_failed_run_is_retried_as_the_next_attempt(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.write(lease, finished(1)).await;
    let because = Some(EndedBecause::NotRetryable);
    bed.store.settle_run(lease, crash(Change::Finish { because })).await.expect("the lease is valid");
    for (attempt, verdict) in [(2, Verdict::Errored), (3, Verdict::Crashed)] {
        let retried = bed.store.retry_run("greet", 1, None).await.expect("it failed");
        assert_eq!((retried.status, retried.num_attempts, retried.ended_at), (Status::Retrying, attempt, None));
        assert_eq!((retried.ended_because, &retried.failure), (None, &None));
        assert_eq!(bed.look(&run).await, retried);
        let claimed = bed.claim_due(&worker).await.remove(0);
        assert_eq!((claimed.attempt, claimed.recoveries, claimed.is_recovery), (attempt, 0, false));
        assert_eq!(bed.journal(&run).await.len(), 1, "what is done is done");
        bed.store.settle_run(claimed.lease, Settlement { verdict, ..crash(FINISH) }).await.expect("the lease is valid");
    }
    let statuses: Vec<_> = bed.attempts(&run).await.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Status::Crashed, Status::Errored, Status::Crashed]);
}

// R31
pub async fn a_failed_run_is_retried_on_another_version(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, crash(FINISH)).await.expect("the lease is valid");
    bed.store.add_version("greet", upload(2)).await.expect("the app is there");
    assert_eq!(bed.store.retry_run("greet", 1, None).await.expect("it failed").version, 1, "it keeps its own");
    let claimed = bed.claim_due(&worker).await.remove(0);
    bed.store.settle_run(claimed.lease, crash(FINISH)).await.expect("the lease is valid");
    assert_eq!(bed.store.retry_run("greet", 1, Some(2)).await.expect("it failed").version, 2);
    let claimed = bed.claim_due(&worker).await.remove(0);
    assert_eq!((claimed.version, claimed.digest), (2, upload(2).digest));
    assert_eq!(bed.look(&run).await.version, 2);
}

/// What the journal ends with, after a retry by `ask`.
async fn last_after(bed: &Bed, last: JournalEntry, ask: impl AsyncFn(Lease)) -> (u32, Option<JournalEntry>) {
    bed.start().await;
    let worker = bed.worker().await;
    let claimed = bed.claim(&worker).await;
    bed.write(claimed.lease, failed(1)).await;
    let seq = last.seq;
    bed.write(claimed.lease, last).await;
    ask(claimed.lease).await;
    let mut journal = bed.store.load_journal(claimed.lease.run_id).await.expect("the journal can be read");
    bed.store.cancel_run("greet", claimed.number).await.expect("it is active");
    let count = journal.len() as u32;
    (count, journal.pop().filter(|entry| entry.seq == seq))
}

/// On request, and by policy if asked.
// R25, R31
pub async fn the_step_that_failed_last_is_executed_again_with_all_its_tries(bed: &Bed) {
    let on_request = async |lease: Lease| {
        bed.store.settle_run(lease, crash(FINISH)).await.expect("the lease is valid");
        let failed = RunFilter { statuses: vec![Status::Crashed], limit: 1, ..RunFilter::default() };
        let number = bed.store.list_runs(&failed).await.expect("it is listed")[0].number;
        bed.store.retry_run("greet", number, None).await.expect("it failed");
    };
    let by_policy = async |lease: Lease| {
        let change = Change::Retry { after: Duration::ZERO, reopen_failed_step: true };
        bed.store.settle_run(lease, crash(change)).await.expect("the lease is valid");
    };
    let exhausted = || JournalEntry { tries: 3, tries_before: 2, ..failed(2) };
    let unknown = || entry(2, EntryState::Indeterminate);
    let reopened = |entry: &JournalEntry| (entry.state.clone(), entry.tries, entry.tries_before, entry.due);
    for entry in [exhausted(), unknown()] {
        let tries = entry.tries + entry.tries_before;
        let message = if entry.state == EntryState::Indeterminate { "" } else { "declined" };
        let expected = (EntryState::Again(message.into()), 0, tries, None);
        for (count, last) in
            [last_after(bed, entry.clone(), on_request).await, last_after(bed, entry.clone(), by_policy).await]
        {
            assert_eq!((count, last.as_ref().map(reopened)), (2, Some(expected.clone())));
        }
    }
    // A call that is no step is made anew.
    for kind in [EntryKind::Event, EntryKind::Child, EntryKind::Result] {
        let call = || JournalEntry { kind, ..exhausted() };
        assert_eq!(last_after(bed, call(), on_request).await, (1, None), "{kind:?}");
        assert_eq!(last_after(bed, call(), by_policy).await, (1, None), "{kind:?}");
    }
    // What did not fail stays.
    for state in [EntryState::Finished(vec![1]), EntryState::Begun, EntryState::Waiting] {
        let (count, last) = last_after(bed, entry(2, state.clone()), on_request).await;
        assert_eq!((count, last.map(|entry| entry.state)), (2, Some(state)));
    }
    let not_asked = async |lease: Lease| {
        bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    };
    let (_, last) = last_after(bed, exhausted(), not_asked).await;
    assert_eq!(last.map(|entry| entry.state), Some(failed(2).state));
}

// R31
pub async fn what_cannot_be_retried_says_why_and_stays_as_it_is(bed: &Bed) {
    let refused = async |version| refusal(bed.store.retry_run("greet", 1, version).await);
    assert_eq!(refused(None).await, "run `greet#1` does not exist");
    let (run, worker, lease) = bed.start_and_claim().await;
    let only = "; only one that crashed or errored can be retried";
    assert_eq!(refused(None).await, format!("run `greet#1` is running{only}"));
    bed.write(lease, failed(1)).await;
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    assert_eq!(refused(None).await, format!("run `greet#1` is retrying{only}"));
    let lease = bed.claim(&worker).await.lease;
    bed.store.settle_run(lease, crash(FINISH)).await.expect("the lease is valid");

    let before = (bed.look(&run).await, bed.journal(&run).await, bed.attempts(&run).await);
    assert_eq!(refused(Some(2)).await, "version v2 of app `greet` does not exist");
    let switch = async |disabled| {
        let change = AppChange { disabled: Some(disabled), ..AppChange::default() };
        bed.store.update_app("greet", None, change).await.expect("the app is there");
    };
    switch(true).await;
    assert_eq!(refused(None).await, "app `greet` is disabled");
    switch(false).await;
    bed.sql("update runs set deadline_at = 1").await;
    assert_eq!(refused(None).await, "the deadline of run `greet#1` has passed: it was 1970-01-01T00:00:00.001Z");
    bed.sql("update runs set deadline_at = null").await;
    assert_eq!((bed.look(&run).await, bed.journal(&run).await, bed.attempts(&run).await), before);

    bed.store.retry_run("greet", 1, None).await.expect("it failed");
    let lease = bed.claim(&worker).await.lease;
    bed.store.settle_run(lease, success()).await.expect("the lease is valid");
    assert_eq!(refused(None).await, format!("run `greet#1` is exited{only}"));
    bed.start().await;
    bed.store.cancel_run("greet", 2).await.expect("it is active");
    assert!(refusal(bed.store.retry_run("greet", 2, None).await).starts_with("run `greet#2` is cancelled"));
}

// R31
pub async fn of_many_who_ask_one_retries(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, crash(FINISH)).await.expect("the lease is valid");
    let other = bed.another().await;
    let (one, two, three) = tokio::join!(
        bed.store.retry_run("greet", 1, None),
        other.retry_run("greet", 1, None),
        bed.store.retry_run("greet", 1, None)
    );
    assert_eq!([one, two, three].iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(bed.look(&run).await.num_attempts, 2);
}

/// Either the run is active again and its app is there, or both are gone.
// R31
pub async fn of_a_retry_and_a_deletion_one_wins(bed: &Bed) {
    let worker = bed.worker().await;
    let other = bed.another().await;
    for _ in 0..20 {
        bed.start().await;
        let lease = bed.claim(&worker).await.lease;
        bed.store.settle_run(lease, crash(FINISH)).await.expect("the lease is valid");
        let (retried, deleted) = tokio::join!(bed.store.retry_run("greet", 1, None), other.delete_app("greet", None));
        match deleted {
            Ok(()) => {
                refusal(bed.store.find_run("greet", 1).await);
                // It may have been retried, and be gone before that was read back.
                refusal(retried);
            }
            answer => {
                assert_eq!(refusal(answer), "app `greet` has an active run");
                retried.expect("it was first");
                bed.store.cancel_run("greet", 1).await.expect("it is active");
                bed.store.delete_app("greet", None).await.expect("none of its runs is active");
            }
        }
    }
}

// R12, R31
pub async fn a_retry_that_is_cancelled_leaves_the_attempts_there_were(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    bed.store.settle_run(lease, crash(FINISH)).await.expect("the lease is valid");
    bed.store.retry_run("greet", 1, None).await.expect("it failed");
    let cancelled = bed.store.cancel_run("greet", 1).await.expect("it is active");
    assert_eq!((cancelled.status, cancelled.num_attempts), (Status::Cancelled, 1));
    assert_eq!(bed.attempts(&run).await[0].status, Status::Crashed);
}

// R31, R43
pub async fn a_child_of_a_cancelled_run_is_not_retried(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.store.start_child(lease, 1, new_run("greet")).await.expect("the lease is valid");
    let claimed = bed.claim_due(&worker).await.remove(0);
    bed.store.settle_run(claimed.lease, crash(FINISH)).await.expect("the lease is valid");
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    let refused = refusal(bed.store.retry_run("greet", 2, None).await);
    assert_eq!(refused, "run `greet#2` is a child of `greet#1`, which was cancelled");
    // What was being retried as the parent was cancelled is found by the next look.
    bed.sql(
        "update runs set status = 'retrying', available_at = 1, ended_at = null, num_attempts = 2 where number = 2",
    )
    .await;
    assert_eq!(bed.store.cancel_orphans().await.expect("the database answers"), 1);
}

// R31, R43
pub async fn a_child_that_is_retried_has_its_parent_still(bed: &Bed) {
    let (parent, worker, lease) = bed.start_and_claim().await;
    let child = bed.store.start_child(lease, 1, new_run("greet")).await.expect("the lease is valid");
    let claimed = bed.claim_due(&worker).await.remove(0);
    bed.store.settle_run(claimed.lease, crash(FINISH)).await.expect("the lease is valid");
    let retried = bed.store.retry_run("greet", child.number, None).await.expect("it failed");
    assert_eq!(retried.parent.map(|name| name.run_id), Some(parent.run_id));
    let seen = bed.store.find_child(lease, child.run_id).await.expect("it is a child");
    bed.store.park_run(lease, await_child(&child, seen.signals)).await.expect("the lease is valid");
    let claimed = bed.claim_due(&worker).await.remove(0);
    bed.store.settle_run(claimed.lease, success()).await.expect("the lease is valid");
    assert_eq!(bed.claim_due(&worker).await.remove(0).lease.run_id, parent.run_id);
}
