//! What is listed and counted, and how long the queue is.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use relume::run::{Change, Failure, FailureKind, Status};
use relume::store::*;

use crate::bed::*;

async fn names(bed: &Bed, filter: AppFilter) -> Vec<String> {
    let apps = bed.store.list_apps(&filter).await.expect("apps can be listed");
    let all = AppFilter { limit: 1, offset: 0, ..filter.clone() };
    let count = bed.store.count_apps(&all).await.expect("apps can be counted");
    if (filter.limit, filter.offset) == (100, 0) {
        assert_eq!(count, apps.len() as u64, "{filter:?}");
    }
    apps.into_iter().map(|app| app.name).collect()
}

fn all() -> AppFilter {
    AppFilter { limit: 100, ..AppFilter::default() }
}

async fn create(bed: &Bed, names: &[&str]) {
    for name in names {
        bed.store.create_app(name, "").await.expect("the name is free");
        bed.store.add_version(name, upload(1)).await.expect("the app is there");
    }
}

// R13
pub async fn apps_are_found_by_a_part_of_their_name_as_it_is_written(bed: &Bed) {
    create(bed, &["a-b", "a_b", "b", "axb"]).await;
    let named = async |part: &str| names(bed, AppFilter { query: Some(part.into()), ..all() }).await;
    assert_eq!(named("").await, ["a-b", "a_b", "axb", "b"]);
    assert_eq!(named("a").await, ["a-b", "a_b", "axb"]);
    assert_eq!(named("a_b").await, ["a_b"], "no character stands for others");
    assert_eq!(named("A_B").await, ["a_b"]);
    for part in ["%", "\\", "a%b", "x_", "\0"] {
        assert_eq!(named(part).await, [""; 0], "{part}");
    }
}

// R13
pub async fn apps_are_listed_by_what_they_do(bed: &Bed) {
    create(bed, &["disabled", "running", "scheduled", "plain"]).await;
    let disabled = AppChange { disabled: Some(true), ..AppChange::default() };
    bed.store.update_app("disabled", None, disabled).await.expect("the app is there");
    bed.store.start_run(new_run("running")).await.expect("it starts");
    bed.store.start_run(new_run("plain")).await.expect("it starts");
    bed.store.cancel_run("plain", 1).await.expect("it is active");
    let settings = |is_paused| ScheduleSettings {
        cron: "@daily".into(),
        timezone: "UTC".into(),
        skips_overlap: true,
        is_paused,
        parameters: Default::default(),
    };
    let tick = Timestamp::from_second(1).expect("a moment");
    bed.store.create_schedule("scheduled", "s", &settings(false), tick).await.expect("the name is free");
    bed.store.create_schedule("plain", "p", &settings(true), tick).await.expect("the name is free");
    let only = async |only| names(bed, AppFilter { only: Some(only), ..all() }).await;
    assert_eq!(only(OnlyApps::Enabled).await, ["plain", "running", "scheduled"]);
    assert_eq!(only(OnlyApps::Disabled).await, ["disabled"]);
    assert_eq!(only(OnlyApps::Running).await, ["running"]);
    assert_eq!(only(OnlyApps::Scheduled).await, ["scheduled"]);
}

// R13
pub async fn apps_are_listed_in_the_order_asked_for_in_pages(bed: &Bed) {
    create(bed, &["a", "b", "c"]).await;
    bed.sql("update apps set created_at = case name when 'a' then 1 when 'b' then 3 else 2 end").await;
    bed.sql("update apps set updated_at = case name when 'a' then 9 when 'b' then 7 else 8 end").await;
    for app in ["b", "c"] {
        bed.store.start_run(new_run(app)).await.expect("it starts");
    }
    bed.sql("update runs set created_at = case app when 'b' then 5 else 6 end").await;
    let sorted = async |sort| names(bed, AppFilter { sort, ..all() }).await;
    assert_eq!(sorted(AppSort::Name).await, ["a", "b", "c"]);
    assert_eq!(sorted(AppSort::CreatedAt).await, ["b", "c", "a"]);
    assert_eq!(sorted(AppSort::UpdatedAt).await, ["a", "c", "b"]);
    assert_eq!(sorted(AppSort::MostRecentRun).await, ["c", "b", "a"]);
    assert_eq!(names(bed, AppFilter { limit: 1, offset: 1, ..all() }).await, ["b"]);
    assert_eq!(names(bed, AppFilter { offset: 5, ..all() }).await, [""; 0]);
}

// R9
pub async fn runs_are_counted_as_they_are_listed(bed: &Bed) {
    for _ in 0..6 {
        bed.start().await;
    }
    create(bed, &["other"]).await;
    bed.store.start_run(new_run("other")).await.expect("it starts");
    bed.store.cancel_run("greet", 2).await.expect("it is active");
    bed.store.cancel_run("greet", 5).await.expect("it is active");
    bed.sql("update runs set created_at = number * 1000 where app = 'greet'").await;
    let check = async |filter: RunFilter, expected: &[i64]| {
        for app in [Some("greet".to_owned()), None] {
            let filter = RunFilter { app, limit: 100, ..filter.clone() };
            let runs = bed.store.list_runs(&filter).await.expect("runs can be listed");
            let greet: Vec<_> = runs.iter().filter(|run| run.app == "greet").map(|run| run.number).collect();
            assert_eq!(greet, expected, "{filter:?}");
            let counted = RunFilter { limit: 1, offset: 9, ..filter.clone() };
            assert_eq!(bed.store.count_runs(&counted).await.expect("they are counted"), runs.len() as u64);
        }
    };
    let second = |n| Some(Timestamp::from_second(n).expect("a moment"));
    let any = RunFilter::default();
    check(any.clone(), &[6, 5, 4, 3, 2, 1]).await;
    check(RunFilter { statuses: vec![Status::Cancelled], ..any.clone() }, &[5, 2]).await;
    check(RunFilter { statuses: vec![Status::Cancelled, Status::Pending], ..any.clone() }, &[6, 5, 4, 3, 2, 1]).await;
    check(RunFilter { statuses: vec![Status::Exited], ..any.clone() }, &[]).await;
    check(RunFilter { created_from: second(3), created_until: second(5), ..any.clone() }, &[4, 3]).await;
    let cancelled = RunFilter { statuses: vec![Status::Cancelled], created_until: second(5), ..any.clone() };
    check(cancelled, &[2]).await;
    let page = RunFilter { app: Some("greet".into()), limit: 2, offset: 3, ..any };
    let page: Vec<_> = bed.store.list_runs(&page).await.expect("it lists").iter().map(|run| run.number).collect();
    assert_eq!(page, [3, 2]);
}

// R32
pub async fn runs_are_found_by_a_text_in_their_app_failure_or_parameters(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    let failure = Failure { kind: FailureKind::Error, message: "Card 100% declined".to_owned(), backtrace: None };
    let failed = Settlement { failure: Some(failure), ..crash(Change::Finish { because: None }) };
    bed.store.settle_run(lease, failed).await.expect("the lease is valid");
    let parameters = BTreeMap::from([("WHO".to_owned(), "Ada_1".to_owned())]);
    bed.store.start_run(NewRun { parameters, ..new_run("greet") }).await.expect("it starts");
    bed.store.close_session(&worker).await.expect("it is open");
    let check = async |query: &str, in_app: &[i64], anywhere: &[i64]| {
        for (app, expected) in [(Some("greet".to_owned()), in_app), (None, anywhere)] {
            let filter = RunFilter { app, query: Some(query.to_owned()), limit: 10, ..RunFilter::default() };
            let runs = bed.store.list_runs(&filter).await.expect("runs can be listed");
            assert_eq!(runs.iter().map(|run| run.number).collect::<Vec<_>>(), expected, "{filter:?}");
            assert_eq!(bed.store.count_runs(&filter).await.expect("they are counted"), expected.len() as u64);
            let sample = bed.store.sample_runs(&filter).await.expect("they are told");
            let told: Vec<_> = runs.iter().map(|run| (run.status, run.created_at, run.ended_at)).collect();
            assert_eq!(sample.iter().map(|run| (run.status, run.created_at, run.ended_at)).collect::<Vec<_>>(), told);
        }
    };
    check("100% DECL", &[1], &[1]).await;
    check("100_", &[], &[]).await;
    check("ada_1", &[2], &[2]).await;
    check("gree", &[], &[2, 1]).await;
    check("nobody", &[], &[]).await;
}

// R32
pub async fn workers_and_what_waits_for_them_are_told(bed: &Bed) {
    assert_eq!(bed.store.list_workers().await.expect("they are told"), []);
    assert_eq!(bed.store.count_due_runs().await.expect("they are counted"), DueRuns::default());
    let lost = bed.store.open_session("lost", 9, Duration::from_secs(600)).await.expect("it opens");
    bed.let_sessions_expire().await;
    let first = bed.worker().await;
    for _ in 0..3 {
        bed.start().await;
    }
    bed.sql("update runs set available_at = 1000 * number").await;
    bed.store.claim_runs(&first, 1, &loaded(), &[]).await.expect("the session is valid");
    let workers = bed.store.list_workers().await.expect("they are told");
    let told: Vec<_> = workers.iter().map(|worker| (worker.worker_id, worker.slots, worker.held)).collect();
    assert_eq!(told, [(first.worker_id, 4, 1)]);
    assert!(workers[0].started_at < workers[0].expires_at);
    let due = bed.store.count_due_runs().await.expect("they are counted");
    assert_eq!((due.count, due.oldest_at), (2, Timestamp::from_second(2).ok()));
    bed.store.close_session(&lost).await.expect("it was open");
}

// R6
pub async fn the_active_version_is_the_one_of_runs_that_name_none(bed: &Bed) {
    bed.start().await;
    bed.store.add_version("greet", upload(2)).await.expect("the app is there");
    assert_eq!(bed.start().await.version, 2);
    let back = AppChange { active_version: Some(1), ..AppChange::default() };
    bed.store.update_app("greet", None, back).await.expect("the app is there");
    assert_eq!(bed.start().await.version, 1);
    bed.store.add_version("greet", upload(3)).await.expect("the app is there");
    assert_eq!(bed.start().await.version, 3, "what is uploaded is active");
}

// R9
pub async fn the_queue_ahead_of_a_run_is_described(bed: &Bed) {
    let queue = async |run: &Run| bed.store.describe_queue(run.run_id).await.expect("the run is there");
    let runs = [bed.start().await, bed.start().await, bed.start().await];
    assert_eq!(queue(&runs[0]).await, Queue::default(), "there is no worker");
    for run in &runs {
        bed.sql(&format!("update runs set available_at = {} where number = {}", run.number, run.number)).await;
    }
    assert_eq!(queue(&runs[2]).await, Queue { ahead: 2, ..Queue::default() });
    let lost = bed.store.open_session("lost", 9, Duration::from_secs(600)).await.expect("it opens");
    bed.let_sessions_expire().await;
    let [first, second] = [bed.worker().await, bed.worker().await];
    assert_eq!(bed.store.claim_runs(&first, 1, &loaded(), &[]).await.expect("the session is valid").len(), 1);
    let held = Queue { workers: 2, slots: 8, held: 1, ahead: 0, is_held: true };
    assert_eq!(queue(&runs[0]).await, held);
    assert_eq!(queue(&runs[2]).await, Queue { ahead: 1, is_held: false, ..held });
    for session in [first, second, lost] {
        bed.store.close_session(&session).await.expect("the database answers");
    }
    let later = NewRun { scheduled_at: Some("2100-01-01T00:00:00Z".parse().expect("a moment")), ..new_run("greet") };
    let later = bed.store.start_run(later).await.expect("it starts").run;
    assert_eq!(queue(&later).await, Queue { ahead: 3, ..Queue::default() });
}

pub async fn lines_are_filtered_by_when_they_were_said(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let lines: Vec<_> = (1..=4).map(|number| (lease, line(number, 1))).collect();
    assert_eq!(bed.store.append_logs(&lines).await.expect("they are written"), 4);
    bed.sql("update logs set reported_at = line_num * 1000").await;
    let from = Some(Timestamp::from_second(3).expect("a moment"));
    let filter = LogFilter { reported_from: from, limit: 10, ..LogFilter::default() };
    let said = bed.store.list_logs(run.run_id, filter).await.expect("it lists");
    assert_eq!(said.iter().map(|line| line.line_num).collect::<Vec<_>>(), [3, 4]);
}
