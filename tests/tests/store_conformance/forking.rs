//! A new run with the beginning of another's journal.

use std::time::Duration;

use relume::retry::RetryPolicy;
use relume::run::{Change, Status};
use relume::store::*;

use crate::bed::*;

const POLICY: RetryPolicy = RetryPolicy { max_retries: 3, delay: Duration::from_secs(30), exponential: true };

/// A run whose journal has three final entries and one that is not.
async fn start_original(bed: &Bed) -> (Run, Lease) {
    bed.start().await;
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    let new = NewRun {
        input: vec![1, 2],
        parameters: [("A".to_owned(), "1".to_owned())].into(),
        policy: Some(POLICY),
        timeouts: Timeouts { pending: None, running: Some(Duration::from_secs(7)) },
        deadline_at: Some("2100-01-01T00:00:00Z".parse().expect("a moment")),
        ..new_run("greet")
    };
    let run = bed.store.start_run(new).await.expect("it starts").run;
    let worker = bed.worker().await;
    let lease = bed.claim(&worker).await.lease;
    let until = "2100-01-01T00:00:00Z".parse().expect("a moment");
    let slept = JournalEntry { kind: EntryKind::Sleep, due: Some(Due::At(until)), ..finished(2) };
    for entry in [finished(1), slept, failed(3), entry(4, EntryState::Again("busy".into()))] {
        bed.write(lease, entry).await;
    }
    (run, lease)
}

// R31
pub async fn a_fork_is_a_new_run_that_has_done_what_the_other_had(bed: &Bed) {
    let (run, lease) = start_original(bed).await;
    bed.store.settle_run(lease, crash(Change::Finish { because: None })).await.expect("the lease is valid");
    let before = (bed.look(&run).await, bed.journal(&run).await);
    for (number, from_seq) in [(3, 1), (4, 2), (5, 4)] {
        let fork = bed.store.fork_run("greet", 2, from_seq, None).await.expect("the entries are final");
        assert_eq!((fork.number, fork.status, fork.num_attempts, fork.version), (number, Status::Pending, 1, 1));
        assert_eq!((fork.policy, fork.running_timeout), (POLICY, Some(Duration::from_secs(7))));
        assert_eq!((&fork.parameters, fork.deadline_at), (&run.parameters, None));
        let name = RunName { run_id: run.run_id, app: "greet".into(), number: 2 };
        assert_eq!(fork.forked_from, Some(Fork { run: name, from_seq }));
        assert_eq!((fork.origin_run_id, fork.origin_at), (run.run_id, run.created_at));
        assert_eq!(bed.store.load_run_io(fork.run_id).await.expect("it is there").input, [1, 2]);
        let kept: Vec<_> = before.1.iter().take(from_seq as usize - 1).cloned().collect();
        assert_eq!(bed.journal(&fork).await, kept);
    }
    assert_eq!((bed.look(&run).await, bed.journal(&run).await), before);
    let worker = bed.worker().await;
    assert_eq!(bed.claim_due(&worker).await.iter().map(|a| a.number).collect::<Vec<_>>(), [3, 4, 5]);
}

// R31
pub async fn a_fork_may_run_on_another_version_and_of_a_run_that_goes_on(bed: &Bed) {
    let (run, lease) = start_original(bed).await;
    bed.store.add_version("greet", upload(2)).await.expect("the app is there");
    assert_eq!(bed.store.fork_run("greet", 2, 2, None).await.expect("the entries are final").version, 1);
    assert_eq!(bed.store.fork_run("greet", 2, 2, Some(2)).await.expect("the entries are final").version, 2);
    bed.store.settle_run(lease, success()).await.expect("the original is not disturbed");
    assert_eq!(bed.look(&run).await.status, Status::Exited);
}

// R31
pub async fn what_cannot_be_forked_says_why_and_nothing_is_started(bed: &Bed) {
    let refused = async |from_seq, version| refusal(bed.store.fork_run("greet", 2, from_seq, version).await);
    assert_eq!(refused(1, None).await, "run `greet#2` does not exist");
    start_original(bed).await;
    assert_eq!(refused(0, None).await, "the entries of a journal count from 1");
    assert_eq!(refused(5, None).await, "entry 4 of run `greet#2` (step `charge`) is not final yet");
    assert_eq!(refused(6, None).await, "entry 5 of run `greet#2` does not exist");
    assert_eq!(refused(u32::MAX, None).await, format!("entry {} of run `greet#2` does not exist", u32::MAX - 1));
    assert_eq!(refused(2, Some(9)).await, "version v9 of app `greet` does not exist");
    let disabled = AppChange { disabled: Some(true), ..AppChange::default() };
    bed.store.update_app("greet", None, disabled).await.expect("the app is there");
    assert_eq!(refused(2, None).await, "app `greet` is disabled");
    assert_eq!(bed.store.count_runs(&RunFilter::default()).await.expect("they are counted"), 2);
    let disabled = AppChange { disabled: Some(false), ..AppChange::default() };
    bed.store.update_app("greet", None, disabled).await.expect("the app is there");
    assert_eq!(bed.store.fork_run("greet", 2, 2, None).await.expect("it is enabled").number, 3, "no number is used up");
}

// R31, R43
pub async fn a_fork_may_wait_for_the_children_of_the_run_it_comes_from(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    let child = bed.store.start_child(lease, 1, new_run("greet")).await.expect("the lease is valid");
    bed.write(lease, JournalEntry { kind: EntryKind::Child, ..finished(1) }).await;
    let child_lease = bed.claim_due(&worker).await.remove(0).lease;
    let fork = bed.store.fork_run("greet", 1, 2, None).await.expect("the entries are final");
    let fork = bed.store.fork_run("greet", fork.number, 2, None).await.expect("the entries are final");
    let claimed = bed.claim_due(&worker).await;
    let claimed = claimed.iter().find(|claimed| claimed.number == fork.number).expect("it was due");
    assert_eq!(claimed.origin_run_id, lease.run_id, "where its journal began");
    let seen = bed.store.find_child(claimed.lease, child.run_id).await.expect("it comes from the parent");
    bed.store.park_run(claimed.lease, await_child(&child, seen.signals)).await.expect("the lease is valid");
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    is_lost(bed.store.settle_run(child_lease, success()).await);
    assert_eq!(bed.store.wake_parents().await.expect("the database answers"), 1);
    let woken = bed.claim_due(&worker).await.remove(0);
    let seen = bed.store.find_child(woken.lease, child.run_id).await.expect("it comes from the parent");
    assert_eq!((woken.number, seen.status), (fork.number, Status::Cancelled));
}

// R31
pub async fn a_fork_outlives_the_row_it_comes_from(bed: &Bed) {
    start_original(bed).await;
    let fork = bed.store.fork_run("greet", 2, 2, None).await.expect("the entries are final");
    bed.sql("update runs set forked_from_run_id = run_id where number = 3").await;
    assert_eq!(bed.look(&fork).await.forked_from.map(|fork| fork.run.number), Some(3));
    for number in [2, 3] {
        bed.store.cancel_run("greet", number).await.expect("it is active");
    }
    bed.store.delete_app("greet", None).await.expect("none of its runs is active");
}
