//! Runs that wait for their time, and those that waited too long.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use relume::run::{EndedBecause, Status};
use relume::store::*;

use crate::bed::*;

const MINUTE: Duration = Duration::from_secs(60);

fn patient(pending: Duration) -> NewRun {
    NewRun { timeouts: Timeouts { pending: Some(pending), running: None }, ..new_run("greet") }
}

fn far() -> Timestamp {
    "2100-01-01T00:00:00Z".parse().expect("a moment")
}

async fn expire(bed: &Bed) -> u64 {
    bed.store.expire_pending_runs().await.expect("the database answers")
}

/// The time until which each run may wait is over.
async fn let_patience_end(bed: &Bed) {
    bed.sql("update runs set pending_until = 1 where pending_until is not null").await;
}

pub async fn a_run_that_no_worker_took_in_time_is_cancelled(bed: &Bed) {
    bed.start().await;
    let run = bed.store.start_run(patient(MINUTE)).await.expect("it starts").run;
    let until = run.pending_until.expect("it waits for a while");
    assert_eq!(until.duration_since(run.created_at).as_millis(), 60_000);
    assert_eq!(bed.look(&run).await, run);
    assert_eq!(expire(bed).await, 0, "its time is not over");
    let_patience_end(bed).await;
    assert_eq!(expire(bed).await, 1);
    let ended = bed.look(&run).await;
    assert_eq!((ended.status, ended.ended_because), (Status::Cancelled, Some(EndedBecause::PendingTimeout)));
    assert_eq!((ended.num_attempts, ended.started_at), (1, None));
    assert!(ended.ended_at.is_some());
    assert_eq!(bed.attempts(&run).await, []);
    assert_eq!(expire(bed).await, 0);
    let worker = bed.worker().await;
    assert_eq!(bed.claim(&worker).await.number, 1, "the other waits without end");
}

pub async fn a_run_that_a_worker_took_waits_without_end(bed: &Bed) {
    bed.start_and_claim().await;
    let run = bed.store.start_run(patient(MINUTE)).await.expect("it starts").run;
    let worker = bed.worker().await;
    let lease = bed.claim(&worker).await.lease;
    let never = async |status| {
        assert_eq!((bed.look(&run).await.status, bed.look(&run).await.pending_until), (status, None));
        let_patience_end(bed).await;
        assert_eq!(expire(bed).await, 0);
    };
    never(Status::Running).await;
    bed.store.give_back(lease).await.expect("the lease is valid");
    never(Status::Running).await;
    let lease = bed.claim(&worker).await.lease;
    bed.store.settle_run(lease, retry(MINUTE)).await.expect("the lease is valid");
    never(Status::Retrying).await;
}

pub async fn a_scheduled_run_waits_from_its_time_on(bed: &Bed) {
    bed.start_and_claim().await;
    let new = NewRun { scheduled_at: Some(far()), ..patient(MINUTE) };
    let run = bed.store.start_run(new).await.expect("it starts").run;
    assert_eq!(run.pending_until.map(|until| until.duration_since(far()).as_millis()), Some(60_000));
    let_patience_end(bed).await;
    assert_eq!(expire(bed).await, 1);
    assert_eq!(bed.look(&run).await.status, Status::Cancelled);
}

pub async fn of_a_claim_and_the_end_of_patience_one_wins(bed: &Bed) {
    const RUNS: u32 = 30;
    bed.start_and_claim().await;
    for _ in 0..RUNS {
        bed.store.start_run(patient(MINUTE)).await.expect("it starts");
    }
    let_patience_end(bed).await;
    let (worker, others) = (bed.worker().await, join_all((0..2).map(|_| bed.another())).await);
    let claim = async {
        let mut claimed = 0;
        while bed.store.next_due_in().await.expect("the database answers").is_some() {
            claimed += bed.store.claim_runs(&worker, 3, &loaded(), &[]).await.expect("the session is valid").len();
        }
        claimed as u64
    };
    let expire = join_all(others.iter().map(|store| store.expire_pending_runs()));
    let (claimed, expired) = tokio::join!(claim, expire);
    let expired: u64 = expired.into_iter().map(|expired| expired.expect("the database answers")).sum();
    let filter = |status| RunFilter { statuses: vec![status], ..RunFilter::default() };
    assert_eq!(claimed + expired, u64::from(RUNS));
    assert_eq!(bed.store.count_runs(&filter(Status::Running)).await.expect("it counts"), claimed + 1);
    assert_eq!(bed.store.count_runs(&filter(Status::Cancelled)).await.expect("it counts"), expired);
}

// R5
pub async fn timeouts_are_the_apps_unless_the_run_has_its_own(bed: &Bed) {
    bed.start().await;
    let change = AppChange {
        pending_timeout: Some(Some(MINUTE)),
        running_timeout: Some(Some(Duration::from_secs(7))),
        ..AppChange::default()
    };
    let app = bed.store.update_app("greet", None, change).await.expect("the app is there");
    assert_eq!(app.timeouts, Timeouts { pending: Some(MINUTE), running: Some(Duration::from_secs(7)) });
    let of = async |run: &Run| {
        let run = bed.look(run).await;
        (run.pending_until.map(|until| until.duration_since(run.created_at).as_secs()), run.running_timeout)
    };
    let apps = bed.start().await;
    let own = Timeouts { pending: Some(2 * MINUTE), running: Some(MINUTE) };
    let own = bed.store.start_run(NewRun { timeouts: own, ..new_run("greet") }).await.expect("it starts").run;
    let none = AppChange { pending_timeout: Some(None), ..AppChange::default() };
    let app = bed.store.update_app("greet", None, none).await.expect("the app is there");
    assert_eq!(app.timeouts, Timeouts { pending: None, running: Some(Duration::from_secs(7)) });
    assert_eq!(of(&apps).await, (Some(60), Some(Duration::from_secs(7))), "what was started stays as it was");
    assert_eq!(of(&own).await, (Some(120), Some(MINUTE)));
    assert_eq!(of(&bed.start().await).await, (None, Some(Duration::from_secs(7))));
    let worker = bed.worker().await;
    let claimed = bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid");
    let running: Vec<_> = claimed.iter().map(|a| a.running_timeout.map(|length| length.as_secs())).collect();
    assert_eq!(running, [None, Some(7), Some(60), Some(7)]);
}

// R45
pub async fn a_run_waits_for_its_start_time(bed: &Bed) {
    bed.start_and_claim().await;
    let new = NewRun { scheduled_at: Some(far()), ..new_run("greet") };
    let run = bed.store.start_run(new).await.expect("it starts").run;
    assert_eq!((run.status, run.scheduled_at), (Status::Scheduled, far()));
    assert_eq!(bed.look(&run).await, run);
    let worker = bed.worker().await;
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").is_empty());
    let wait = bed.store.next_due_in().await.expect("the database answers").expect("one waits");
    assert!(wait > MINUTE);
    let of = async |status| {
        let filter = RunFilter { statuses: vec![status], limit: 10, ..RunFilter::default() };
        let app = RunFilter { app: Some("greet".into()), ..filter.clone() };
        let numbers: Vec<_> =
            bed.store.list_runs(&filter).await.expect("it lists").into_iter().map(|run| run.number).collect();
        for filter in [filter, app] {
            assert_eq!(bed.store.count_runs(&filter).await.expect("it counts"), numbers.len() as u64);
            assert_eq!(bed.store.list_runs(&filter).await.expect("it lists").len(), numbers.len());
        }
        numbers
    };
    assert_eq!((of(Status::Scheduled).await, of(Status::Pending).await), (vec![2], vec![]));
    bed.let_all_be_due().await;
    assert_eq!(bed.look(&run).await.status, Status::Pending, "its time has come");
    assert_eq!((of(Status::Scheduled).await, of(Status::Pending).await), (vec![], vec![2]));
    assert_eq!(bed.claim(&worker).await.number, 2);
    assert_eq!(bed.look(&run).await.scheduled_at, far());
}

// R45
pub async fn a_start_time_that_is_past_is_now(bed: &Bed) {
    bed.start_and_claim().await;
    let past = Timestamp::from_millisecond(5).expect("a moment");
    let run = bed.store.start_run(NewRun { scheduled_at: Some(past), ..patient(MINUTE) }).await.expect("it starts").run;
    assert_eq!((run.status, run.scheduled_at), (Status::Pending, past));
    assert!(run.pending_until > Some(run.created_at), "it waits from now on");
    let worker = bed.worker().await;
    let claimed = bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid");
    assert_eq!(claimed.len(), 1);
}
