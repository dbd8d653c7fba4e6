//! Runs that are started by runs.

use std::time::Duration;

use futures_util::future::{join, join_all};
use relume::run::{FailureKind, Status};
use relume::store::*;

use crate::bed::*;

/// The app `child`, with a version.
async fn create_child_app(bed: &Bed) {
    bed.store.create_app("child", "").await.expect("the name is free");
    bed.store.add_version("child", upload(2)).await.expect("the app is there");
}

async fn start_child(bed: &Bed, parent: Lease, seq: u32) -> RunName {
    bed.store.start_child(parent, seq, new_run("child")).await.expect("the lease is valid")
}

async fn find(bed: &Bed, name: &RunName) -> Run {
    bed.store.find_run(&name.app, name.number).await.expect("it is there")
}

/// Puts the parent aside until the child ends, as a worker does: it looks first.
async fn park_until_it_ends(bed: &Bed, parent: Lease, child: &RunName) {
    let seen = bed.store.find_child(parent, child.run_id).await.expect("it is a child");
    assert!(seen.status.is_active() && seen.output.is_none());
    bed.store.park_run(parent, await_child(child, seen.signals)).await.expect("the lease is valid");
}

// R43, R44
pub async fn a_child_is_started_once_for_each_entry(bed: &Bed) {
    create_child_app(bed).await;
    let (parent, _, lease) = bed.start_and_claim().await;
    let new = NewRun { input: vec![7], ..new_run("child") };
    let first = bed.store.start_child(lease, 1, new).await.expect("the lease is valid");
    let again = start_child(bed, lease, 1).await;
    let side_by_side = join_all((0..6).map(|_| start_child(bed, lease, 2))).await;
    assert_eq!((first.number, &again), (1, &first));
    assert!(side_by_side.iter().all(|name| name.number == 2), "{side_by_side:?}");
    let child = find(bed, &first).await;
    let name = RunName { run_id: parent.run_id, app: "greet".into(), number: 1 };
    assert_eq!((child.run_id, child.parent, child.status), (first.run_id, Some(name), Status::Pending));
    assert_eq!(bed.store.load_run_io(first.run_id).await.expect("it is there").input, [7]);
    // After a crash, too.
    bed.lose_workers().await;
    let worker = bed.worker().await;
    bed.sql("update runs set available_at = null, status = 'cancelled', ended_at = 1 where app = 'child'").await;
    is_lost(bed.store.start_child(lease, 1, new_run("child")).await);
    let lease = bed.claim(&worker).await.lease;
    assert_eq!(start_child(bed, lease, 1).await, first);
    assert_eq!(bed.store.find_child(lease, first.run_id).await.expect("it is a child").status, Status::Cancelled);
}

// R43
pub async fn the_end_of_a_child_wakes_the_parent_that_waits_for_it(bed: &Bed) {
    create_child_app(bed).await;
    let (parent, worker, lease) = bed.start_and_claim().await;
    let [first, second] = [start_child(bed, lease, 1).await, start_child(bed, lease, 2).await];
    let children = bed.claim_due(&worker).await;
    assert_eq!(children.len(), 2);
    park_until_it_ends(bed, lease, &first).await;
    let waiting = bed.look(&parent).await.waiting_on.expect("it is parked");
    assert_eq!((waiting.kind, waiting.name.as_str(), waiting.until), (WaitKind::Child, "child#1", None));

    bed.store.settle_run(children[1].lease, success()).await.expect("the lease is valid");
    assert!(bed.claim_due(&worker).await.is_empty(), "it waits for the other");
    let settlement = Settlement { output: Some(vec![1, 2]), ..success() };
    bed.store.settle_run(children[0].lease, settlement).await.expect("the lease is valid");
    let woken = bed.claim_due(&worker).await.remove(0);
    assert_eq!((woken.lease.run_id, woken.signals, woken.recoveries), (parent.run_id, 2, 0));
    for (child, output) in [(first, Some(vec![1, 2])), (second, None)] {
        let seen = bed.store.find_child(woken.lease, child.run_id).await.expect("it is a child");
        assert_eq!((seen.status, seen.output, seen.signals), (Status::Exited, output, 2));
    }
}

// R26, R43
pub async fn a_parent_waits_on_while_its_child_is_retried(bed: &Bed) {
    create_child_app(bed).await;
    let (parent, worker, lease) = bed.start_and_claim().await;
    let child = start_child(bed, lease, 1).await;
    let claimed = bed.claim_due(&worker).await.remove(0);
    park_until_it_ends(bed, lease, &child).await;
    bed.store.settle_run(claimed.lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    let claimed = bed.claim_due(&worker).await;
    assert_eq!(claimed.iter().map(|a| (a.app.as_str(), a.attempt)).collect::<Vec<_>>(), [("child", 2)]);
    bed.store
        .settle_run(claimed[0].lease, crash(relume::run::Change::Finish { because: None }))
        .await
        .expect("it holds");
    let woken = bed.claim_due(&worker).await.remove(0);
    assert_eq!((woken.lease.run_id, woken.attempt), (parent.run_id, 1));
    let seen = bed.store.find_child(woken.lease, child.run_id).await.expect("it is a child");
    assert_eq!((seen.status, seen.failure.map(|failure| failure.kind)), (Status::Crashed, Some(FailureKind::Exit)));
}

// R43
pub async fn no_end_of_a_child_beside_a_park_is_lost(bed: &Bed) {
    create_child_app(bed).await;
    let worker = bed.worker().await;
    let other = bed.another().await;
    for number in 1..=40 {
        bed.start().await;
        let parent = bed.claim(&worker).await.lease;
        let child = start_child(bed, parent, 1).await;
        let lease = bed.claim_due(&worker).await.remove(0).lease;
        let wait = async {
            let seen = bed.store.find_child(parent, child.run_id).await.expect("it is a child");
            let is_over = !seen.status.is_active();
            if !is_over {
                bed.store.park_run(parent, await_child(&child, seen.signals)).await.expect("the lease is valid");
            }
            is_over
        };
        let (is_over, settled) = join(wait, other.settle_run(lease, success())).await;
        settled.expect("the lease is valid");
        assert!(is_over || bed.claim_due(&worker).await.len() == 1, "round {number}: the parent sleeps for ever");
        bed.store.cancel_run("greet", number).await.expect("it is active");
    }
}

/// A child may end by itself, or be gone with its app.
// R43
pub async fn a_parent_is_woken_however_its_child_ended(bed: &Bed) {
    create_child_app(bed).await;
    let (_, worker, lease) = bed.start_and_claim().await;
    let patience = Timeouts { pending: Some(Duration::from_secs(9)), running: None };
    let new = NewRun { timeouts: patience, ..new_run("child") };
    let child = bed.store.start_child(lease, 1, new).await.expect("the lease is valid");
    park_until_it_ends(bed, lease, &child).await;
    assert_eq!(bed.store.wake_parents().await.expect("the database answers"), 0, "the child has not ended");
    bed.sql("update runs set pending_until = 1 where pending_until is not null").await;
    assert_eq!(bed.store.expire_pending_runs().await.expect("the database answers"), 1);
    assert_eq!(bed.store.wake_parents().await.expect("the database answers"), 1);
    assert_eq!(bed.store.wake_parents().await.expect("the database answers"), 0, "it is due");
    let lease = bed.claim_due(&worker).await.remove(0).lease;
    assert_eq!(bed.store.find_child(lease, child.run_id).await.expect("it is a child").status, Status::Cancelled);

    let child = start_child(bed, lease, 2).await;
    park_until_it_ends(bed, lease, &child).await;
    bed.store.cancel_run("child", child.number).await.expect("it is active");
    let lease = bed.claim_due(&worker).await.remove(0).lease;

    let child = start_child(bed, lease, 3).await;
    park_until_it_ends(bed, lease, &child).await;
    let end = "update runs set status = 'cancelled', ended_at = 1, available_at = null";
    bed.sql(&format!("{end} where app = 'child' and ended_at is null")).await;
    bed.store.delete_app("child", None).await.expect("none of its runs is active");
    assert_eq!(bed.store.wake_parents().await.expect("the database answers"), 1);
    let lease = bed.claim_due(&worker).await.remove(0).lease;
    assert!(refusal(bed.store.find_child(lease, child.run_id).await).contains("does not exist"));
}

// R12, R43
pub async fn cancelling_a_run_cancels_its_children_and_theirs(bed: &Bed) {
    create_child_app(bed).await;
    let (parent, worker, lease) = bed.start_and_claim().await;
    let mut names = Vec::new();
    for seq in 1..=3 {
        names.push(start_child(bed, lease, seq).await);
    }
    let children = bed.claim_due(&worker).await;
    let grandchild = start_child(bed, children[0].lease, 1).await;
    let grandchild_lease = bed.claim_due(&worker).await.remove(0).lease;
    let last = start_child(bed, grandchild_lease, 1).await;
    // One child ended, one waits for its next attempt, and the first waits for the grandchild.
    park_until_it_ends(bed, children[0].lease, &grandchild).await;
    bed.store.settle_run(children[1].lease, retry(Duration::from_secs(60))).await.expect("the lease is valid");
    bed.store.settle_run(children[2].lease, success()).await.expect("the lease is valid");

    bed.store.cancel_run("greet", parent.number).await.expect("it is active");
    let cancelled = [&names[0], &names[1], &grandchild, &last];
    for name in cancelled {
        let run = find(bed, name).await;
        assert_eq!((run.status, &run.waiting_on, run.num_attempts), (Status::Cancelled, &None, 1), "{name:?}");
        assert!(bed.attempts(&run).await.iter().all(|attempt| attempt.ended_at.is_some()));
    }
    assert_eq!(bed.attempts(&find(bed, &names[0]).await).await[0].status, Status::Cancelled);
    assert_eq!(find(bed, &names[2]).await.status, Status::Exited, "what ended stays");
    is_lost(bed.store.settle_run(grandchild_lease, success()).await);
    assert_eq!(bed.store.list_held(&worker).await.expect("the database answers"), []);
    assert_eq!(bed.store.cancel_orphans().await.expect("the database answers"), 0);
}

// R43
pub async fn a_child_that_is_started_beside_a_cancel_is_not_left_over(bed: &Bed) {
    create_child_app(bed).await;
    let worker = bed.worker().await;
    let other = bed.another().await;
    for number in 1..=30 {
        bed.start().await;
        let lease = bed.claim(&worker).await.lease;
        let (started, cancelled) =
            join(bed.store.start_child(lease, 1, new_run("child")), other.cancel_run("greet", number)).await;
        cancelled.expect("it is active");
        bed.store.cancel_orphans().await.expect("the database answers");
        match started {
            Ok(name) => assert_eq!(find(bed, &name).await.status, Status::Cancelled),
            answer => is_lost(answer),
        }
    }
    let active = RunFilter { statuses: Status::ACTIVE.to_vec(), ..RunFilter::default() };
    assert_eq!(bed.store.count_runs(&active).await.expect("they are counted"), 0);
}

// R43
pub async fn a_child_that_cannot_be_started_says_why(bed: &Bed) {
    let (_, _, lease) = bed.start_and_claim().await;
    let start = async |new: NewRun| refusal(bed.store.start_child(lease, 1, new).await);
    assert_eq!(start(new_run("child")).await, "app `child` does not exist");
    bed.store.create_app("child", "").await.expect("the name is free");
    assert_eq!(start(new_run("child")).await, "app `child` has no version yet");
    bed.store.add_version("child", upload(2)).await.expect("the app is there");
    let other = NewRun { version: Some(2), ..new_run("child") };
    assert_eq!(start(other).await, "version v2 of app `child` does not exist");
    let disabled = AppChange { disabled: Some(true), ..AppChange::default() };
    bed.store.update_app("child", None, disabled).await.expect("the app is there");
    assert_eq!(start(new_run("child")).await, "app `child` is disabled");
    let enabled = AppChange { disabled: Some(false), ..AppChange::default() };
    bed.store.update_app("child", None, enabled).await.expect("the app is there");
    assert_eq!(start_child(bed, lease, 1).await.number, 1, "a refused start uses up no number");
}

// R43
pub async fn who_is_no_parent_learns_nothing_of_a_run(bed: &Bed) {
    create_child_app(bed).await;
    let (_, _, lease) = bed.start_and_claim().await;
    let child = start_child(bed, lease, 1).await;
    bed.store.cancel_run("child", 1).await.expect("it is active");
    let (stranger, _, other) = bed.start_and_claim().await;
    assert!(refusal(bed.store.find_child(other, child.run_id).await).contains("does not exist"));
    assert!(refusal(bed.store.find_child(lease, stranger.run_id).await).contains("does not exist"));
    bed.store.find_child(lease, child.run_id).await.expect("it is a child");
}

// R28, R43
pub async fn a_child_has_to_end_no_later_than_its_parent(bed: &Bed) {
    create_child_app(bed).await;
    bed.start().await;
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    let moment = |text: &str| Some(text.parse().expect("a moment"));
    let (early, late) = (moment("2100-01-01T00:00:00Z"), moment("2101-01-01T00:00:00Z"));
    bed.store.start_run(NewRun { deadline_at: early, ..new_run("greet") }).await.expect("it starts");
    let worker = bed.worker().await;
    let lease = bed.claim(&worker).await.lease;
    for (seq, deadline_at) in [(1, None), (2, late), (3, early)] {
        let new = NewRun { deadline_at, ..new_run("child") };
        let child = bed.store.start_child(lease, seq, new).await.expect("the lease is valid");
        assert_eq!(find(bed, &child).await.deadline_at, early);
    }
    bed.store.cancel_run("greet", 2).await.expect("it is active");
    let (_, _, lease) = bed.start_and_claim().await;
    for (seq, deadline_at) in [(1, None), (2, late)] {
        let new = NewRun { deadline_at, ..new_run("child") };
        let child = bed.store.start_child(lease, seq, new).await.expect("the lease is valid");
        assert_eq!(find(bed, &child).await.deadline_at, deadline_at);
    }
}

// R43
pub async fn a_child_outlives_the_row_of_its_parent(bed: &Bed) {
    create_child_app(bed).await;
    let (_, _, lease) = bed.start_and_claim().await;
    let child = start_child(bed, lease, 1).await;
    bed.store.settle_run(lease, success()).await.expect("the lease is valid");
    bed.store.delete_app("greet", None).await.expect("none of its runs is active");
    let run = find(bed, &child).await;
    assert_eq!((run.status, run.parent), (Status::Pending, None));
    let worker = bed.worker().await;
    let lease = bed.claim(&worker).await.lease;
    bed.store.settle_run(lease, success()).await.expect("a parent that is gone needs no waking");
}
