//! Apps that are changed and deleted, also while others use them.

use std::time::Duration;

use futures_util::future::join_all;
use relume::retry::RetryPolicy;
use relume::run::Status;
use relume::store::*;

use crate::bed::*;

const POLICY: RetryPolicy = RetryPolicy { max_retries: 3, delay: Duration::from_secs(30), exponential: true };

fn far() -> jiff::Timestamp {
    "2100-01-01T00:00:00Z".parse().expect("a moment")
}

fn settings() -> ScheduleSettings {
    ScheduleSettings {
        cron: "@daily".into(),
        timezone: "UTC".into(),
        skips_overlap: false,
        is_paused: false,
        parameters: Default::default(),
    }
}

#[track_caller]
fn is_outdated<T: std::fmt::Debug>(answer: Result<T>) {
    assert!(matches!(answer, Err(StoreError::Outdated(_))), "it was changed meanwhile: {answer:?}");
}

// R5
pub async fn an_app_is_changed_only_by_who_saw_its_last_revision(bed: &Bed) {
    let app = bed.store.create_app("greet", "says hello").await.expect("the name is free");
    assert_eq!((app.description.as_str(), app.disabled, app.timeouts), ("says hello", false, Timeouts::default()));
    let policy = AppChange { policy: Some(POLICY), ..AppChange::default() };
    let changed = bed.store.update_app("greet", Some(app.revision), policy.clone()).await.expect("it is the last");
    assert_eq!((changed.policy, changed.description.as_str()), (POLICY, "says hello"));
    assert!(changed.revision > app.revision);
    let other =
        AppChange { description: Some("x".into()), policy: Some(RetryPolicy::default()), ..AppChange::default() };
    is_outdated(bed.store.update_app("greet", Some(app.revision), other).await);
    assert_eq!(bed.store.find_app("greet").await.expect("it is there"), changed, "nothing was written");
    bed.store.add_version("greet", upload(1)).await.expect("the app is there");
    is_outdated(bed.store.update_app("greet", Some(changed.revision), AppChange::default()).await);
    is_outdated(bed.store.delete_app("greet", Some(changed.revision)).await);
    assert_eq!(refusal(bed.store.update_app("x", None, AppChange::default()).await), "app `x` does not exist");

    let now = bed.store.find_app("greet").await.expect("it is there");
    let changes = join_all((0..8).map(|_| bed.store.update_app("greet", Some(now.revision), policy.clone()))).await;
    assert_eq!(changes.iter().filter(|change| change.is_ok()).count(), 1, "one was first: {changes:?}");
}

// R5
pub async fn a_run_keeps_the_policy_it_was_started_with(bed: &Bed) {
    let before = bed.start().await;
    let change = AppChange { policy: Some(POLICY), ..AppChange::default() };
    bed.store.update_app("greet", None, change).await.expect("the app is there");
    let after = bed.start().await;
    assert_eq!((bed.look(&before).await.policy, after.policy), (RetryPolicy::default(), POLICY));
}

pub async fn an_app_is_deleted_with_all_that_belongs_to_it(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    bed.store.append_journal(&[(lease, finished(1))]).await.expect("it is written");
    bed.store.append_logs(&[(lease, line(1, 1))]).await.expect("it is written");
    bed.store.create_app("other", "").await.expect("the name is free");
    bed.store.add_version("other", upload(1)).await.expect("the app is there");
    bed.store.start_run(new_run("other")).await.expect("it starts");
    bed.store.create_schedule("greet", "nightly", &settings(), far()).await.expect("the name is free");

    assert_eq!(refusal(bed.store.delete_app("greet", None).await), "app `greet` has an active run");
    bed.start().await;
    assert_eq!(refusal(bed.store.delete_app("greet", None).await), "app `greet` has 2 active runs");
    bed.store.cancel_run("greet", 2).await.expect("it is active");
    bed.store.settle_run(lease, retry(Duration::from_secs(60))).await.expect("the lease is valid");
    assert_eq!(refusal(bed.store.delete_app("greet", None).await), "app `greet` has an active run");
    let lease = bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").remove(0).lease;
    bed.store.settle_run(lease, success()).await.expect("the lease is valid");
    bed.store.cancel_run("greet", 1).await.expect("it is active");

    let revision = bed.store.find_app("greet").await.expect("it is there").revision;
    bed.store.delete_app("greet", Some(revision)).await.expect("none of its runs is active");
    assert_eq!(refusal(bed.store.delete_app("greet", None).await), "app `greet` does not exist");
    assert_eq!(refusal(bed.store.find_schedule("nightly").await), "schedule `nightly` does not exist");
    refusal(bed.store.find_run("greet", 1).await);
    refusal(bed.store.load_run_io(run.run_id).await);
    assert_eq!(bed.attempts(&run).await, []);
    assert_eq!(bed.store.load_journal(run.run_id).await.expect("the database answers"), []);
    let lines = bed.store.list_logs(run.run_id, LogFilter { limit: 9, ..LogFilter::default() }).await;
    assert_eq!(lines.expect("the database answers"), []);

    assert_eq!(bed.store.load_artifact(&upload(1).digest).await.expect("another app has it").len(), 3);
    assert_eq!(bed.store.find_run("other", 1).await.expect("it stays").status, Status::Exited);
    assert_eq!(bed.start().await.number, 1, "the name is free, and begins anew");
}

/// Either the run is there and so is its app, or both are not.
pub async fn of_a_start_and_a_deletion_one_wins(bed: &Bed) {
    let other = bed.another().await;
    for n in 0..20 {
        let app = format!("app-{n}");
        bed.store.create_app(&app, "").await.expect("the name is free");
        bed.store.add_version(&app, upload(1)).await.expect("the app is there");
        let key = StartKey { key: "k".into(), request_hash: vec![1] };
        let keyed = NewRun { key: Some(key), ..new_run(&app) };
        let (started, deleted, keyed) =
            tokio::join!(bed.store.start_run(new_run(&app)), other.delete_app(&app, None), bed.store.start_run(keyed));
        match deleted {
            Ok(()) => {
                for answer in [started, keyed] {
                    assert_eq!(refusal(answer), format!("app `{app}` does not exist"));
                }
                refusal(bed.store.find_run(&app, 1).await);
            }
            answer => {
                refusal(answer);
                let is_there = bed.store.find_run(&app, 1).await.is_ok();
                assert!(is_there && (started.is_ok() || keyed.is_ok()));
            }
        }
    }
}

// R45
pub async fn of_a_tick_and_a_deletion_one_wins(bed: &Bed) {
    let other = bed.another().await;
    for n in 0..20 {
        let app = format!("app-{n}");
        bed.store.create_app(&app, "").await.expect("the name is free");
        bed.store.add_version(&app, upload(1)).await.expect("the app is there");
        let tick = jiff::Timestamp::UNIX_EPOCH;
        let schedule = bed.store.create_schedule(&app, &app, &settings(), tick).await.expect("the name is free");
        let fire = bed.store.fire_schedule(&schedule, far());
        let (fired, deleted) = tokio::join!(fire, other.delete_app(&app, None));
        match deleted {
            Ok(()) => assert!(!fired.expect("neither waits for the other for ever")),
            answer => {
                assert_eq!(refusal(answer), format!("app `{app}` has an active run"));
                assert!(fired.expect("neither waits for the other for ever"));
            }
        }
    }
}

// R45
pub async fn of_a_new_schedule_and_a_deletion_one_wins(bed: &Bed) {
    let other = bed.another().await;
    for n in 0..20 {
        let app = format!("app-{n}");
        bed.store.create_app(&app, "").await.expect("the name is free");
        let settings = settings();
        let create = bed.store.create_schedule(&app, &app, &settings, far());
        let (created, deleted) = tokio::join!(create, other.delete_app(&app, None));
        deleted.expect("it has no run");
        if let Err(error) = created {
            // It may have gone between its creation and the answer.
            let text = error.to_string();
            assert!(text.contains("does not exist"), "{text}");
        }
        assert_eq!(bed.store.count_schedules(None, None).await.expect("they are counted"), 0);
    }
}

pub async fn a_start_beside_uploads_always_finds_a_version(bed: &Bed) {
    bed.start().await;
    let other = bed.another().await;
    let uploads = async {
        for n in 0..24 {
            other.add_version("greet", upload(n % 9 + 1)).await.expect("the app is there");
        }
    };
    let starts = async |version| {
        for _ in 0..24 {
            let started = bed.store.start_run(NewRun { version, ..new_run("greet") }).await;
            started.expect("it has a version all the time");
        }
    };
    tokio::join!(uploads, starts(None), starts(Some(1)), starts(None));
}
