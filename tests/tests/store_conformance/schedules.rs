//! Ticks of schedules: each starts one run, whoever looks at the clock.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use relume::run::Status;
use relume::store::*;

use crate::bed::*;

fn settings() -> ScheduleSettings {
    ScheduleSettings {
        cron: "* * * * *".into(),
        timezone: "UTC".into(),
        skips_overlap: false,
        is_paused: false,
        parameters: BTreeMap::from([("WHO".into(), "Ada".into())]),
    }
}

fn at(minute: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
}

fn far() -> Timestamp {
    "2100-01-01T00:00:00Z".parse().expect("a moment")
}

/// A schedule of the app `greet`, whose first tick is in the first minute of 1970.
async fn schedule(bed: &Bed, settings: &ScheduleSettings) -> Schedule {
    if bed.store.find_app("greet").await.is_err() {
        bed.store.create_app("greet", "").await.expect("the name is free");
        bed.store.add_version("greet", upload(1)).await.expect("the app is there");
    }
    bed.store.create_schedule("greet", "nightly", settings, at(1)).await.expect("the name is free")
}

async fn runs(bed: &Bed) -> Vec<Run> {
    bed.store.list_runs(&RunFilter { limit: 100, ..RunFilter::default() }).await.expect("it lists")
}

async fn due(bed: &Bed) -> Vec<Schedule> {
    bed.store.list_due_schedules().await.expect("the database answers")
}

// R45
pub async fn a_tick_starts_a_run_with_the_schedules_parameters(bed: &Bed) {
    let schedule = schedule(bed, &settings()).await;
    assert_eq!((schedule.next_tick_at, schedule.last_tick_at, schedule.app_is_disabled), (at(1), None, false));
    assert_eq!(bed.store.next_tick_in().await.expect("the database answers"), Some(std::time::Duration::ZERO));
    assert_eq!(due(bed).await, std::slice::from_ref(&schedule));
    assert!(bed.store.fire_schedule(&schedule, far()).await.expect("the database answers"));
    let run = runs(bed).await.remove(0);
    assert_eq!((run.number, run.status, run.scheduled_at), (1, Status::Pending, at(1)));
    assert_eq!(run.parameters, settings().parameters);
    let by = ScheduledBy { schedule_id: schedule.schedule_id, name: Some("nightly".into()) };
    assert_eq!(run.schedule, Some(by));
    let now = bed.store.find_schedule("nightly").await.expect("it is there");
    assert_eq!((now.last_tick_at, now.next_tick_at), (Some(at(1)), far()));
    assert_eq!(due(bed).await, []);
    let tick = bed.store.find_app("greet").await.expect("it is there").next_tick.expect("it has a schedule");
    assert_eq!((tick.cron.as_str(), tick.at), ("* * * * *", far()));
    let worker = bed.worker().await;
    let assignment = bed.claim(&worker).await;
    assert_eq!((assignment.parameters, assignment.input), (settings().parameters, vec![]));
}

// R45
pub async fn of_three_servers_one_starts_the_run_of_a_tick(bed: &Bed) {
    const TICKS: i64 = 20;
    schedule(bed, &settings()).await;
    let servers = join_all((0..3).map(|_| bed.another())).await;
    for tick in 1..=TICKS {
        let schedule = due(bed).await.remove(0);
        assert_eq!(schedule.next_tick_at, at(tick));
        let fired = join_all(servers.iter().map(|store| store.fire_schedule(&schedule, at(tick + 1)))).await;
        let started = fired.into_iter().filter(|fired| matches!(fired, Ok(true))).count();
        assert_eq!(started, 1, "tick {tick}");
    }
    let mut ticks: Vec<_> = runs(bed).await.into_iter().map(|run| (run.number, run.scheduled_at)).collect();
    ticks.reverse();
    assert_eq!(ticks, (1..=TICKS).map(|tick| (tick, at(tick))).collect::<Vec<_>>());
}

// R45
pub async fn ticks_and_starts_side_by_side_are_numbered_without_gaps(bed: &Bed) {
    let mut schedules = vec![schedule(bed, &settings()).await];
    for n in 0..9 {
        let name = format!("hourly-{n}");
        schedules.push(bed.store.create_schedule("greet", &name, &settings(), at(1)).await.expect("the name is free"));
    }
    let other = bed.another().await;
    let fire = join_all(schedules.iter().map(|schedule| other.fire_schedule(schedule, far())));
    let start = join_all((0..10).map(|_| bed.store.start_run(new_run("greet"))));
    let (fired, started) = tokio::join!(fire, start);
    assert!(fired.into_iter().all(|fired| matches!(fired, Ok(true))) && started.iter().all(Result::is_ok));
    let mut numbers: Vec<_> = runs(bed).await.into_iter().map(|run| run.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

// R45
pub async fn a_tick_is_skipped_while_the_run_of_an_earlier_one_is_active(bed: &Bed) {
    schedule(bed, &ScheduleSettings { skips_overlap: true, ..settings() }).await;
    bed.store.start_run(new_run("greet")).await.expect("it starts");
    let fire = async |minute| {
        let schedule = due(bed).await.remove(0);
        bed.store.fire_schedule(&schedule, at(minute)).await.expect("the database answers")
    };
    assert!(fire(2).await, "a run that somebody started is no overlap");
    assert!(!fire(3).await);
    let now = bed.store.find_schedule("nightly").await.expect("it is there");
    assert_eq!((now.last_tick_at, now.next_tick_at), (Some(at(2)), at(3)), "the tick is over");
    bed.store.cancel_run("greet", 2).await.expect("it is active");
    assert!(fire(4).await);
    let numbers: Vec<_> = runs(bed).await.into_iter().map(|run| run.number).collect();
    assert_eq!(numbers, [3, 2, 1], "a skipped tick uses up no number");
}

// R45
pub async fn overlaps_are_allowed_unless_they_are_skipped(bed: &Bed) {
    schedule(bed, &settings()).await;
    for minute in [2, 3] {
        let schedule = due(bed).await.remove(0);
        assert!(bed.store.fire_schedule(&schedule, at(minute)).await.expect("the database answers"));
    }
    assert_eq!(runs(bed).await.len(), 2);
}

// R45
pub async fn a_paused_schedule_does_not_tick(bed: &Bed) {
    let active = schedule(bed, &settings()).await;
    let paused = ScheduleSettings { is_paused: true, ..settings() };
    let updated = bed.store.update_schedule(active.schedule_id, "nightly", &paused, at(1)).await;
    let updated = updated.expect("it is there");
    assert_eq!(updated.settings, paused);
    assert_eq!((due(bed).await, bed.store.next_tick_in().await.expect("the database answers")), (vec![], None));
    for stale in [&active, &updated] {
        assert!(!bed.store.fire_schedule(stale, far()).await.expect("the database answers"));
    }
    assert_eq!(bed.store.find_schedule("nightly").await.expect("it is there").next_tick_at, at(1));
    assert_eq!(bed.store.find_app("greet").await.expect("it is there").next_tick, None);
    assert!(runs(bed).await.is_empty());
}

// R8, R45
pub async fn a_tick_of_a_disabled_app_starts_nothing_and_is_over(bed: &Bed) {
    let schedule = schedule(bed, &settings()).await;
    let disabled = |disabled| AppChange { disabled: Some(disabled), ..AppChange::default() };
    bed.store.update_app("greet", None, disabled(true)).await.expect("the app is there");
    assert!(due(bed).await[0].app_is_disabled);
    assert!(!bed.store.fire_schedule(&schedule, at(2)).await.expect("the database answers"));
    bed.store.update_app("greet", None, disabled(false)).await.expect("the app is there");
    let next = due(bed).await.remove(0);
    assert_eq!(next.next_tick_at, at(2));
    assert!(bed.store.fire_schedule(&next, far()).await.expect("the database answers"));
    assert_eq!(runs(bed).await.iter().map(|run| run.scheduled_at).collect::<Vec<_>>(), [at(2)]);
}

// R45
pub async fn a_tick_of_an_app_without_a_version_starts_nothing(bed: &Bed) {
    bed.store.create_app("empty", "").await.expect("the name is free");
    let schedule = bed.store.create_schedule("empty", "early", &settings(), at(1)).await.expect("the name is free");
    assert!(!bed.store.fire_schedule(&schedule, far()).await.expect("the database answers"));
    assert_eq!(due(bed).await, []);
}

// R45
pub async fn a_schedule_is_found_changed_and_deleted(bed: &Bed) {
    let first = schedule(bed, &settings()).await;
    assert_eq!(bed.store.find_schedule(&first.schedule_id.to_string()).await.expect("it is there"), first);
    let again = bed.store.create_schedule("greet", "nightly", &settings(), at(1)).await;
    assert_eq!(refusal(again), "schedule `nightly` exists already");
    let of_none = bed.store.create_schedule("x", "other", &settings(), at(1)).await;
    assert_eq!(refusal(of_none), "app `x` does not exist");
    let second = bed.store.create_schedule("greet", "hourly", &settings(), far()).await.expect("the name is free");
    let taken = bed.store.update_schedule(second.schedule_id, "nightly", &settings(), far()).await;
    assert_eq!(refusal(taken), "schedule `nightly` exists already");
    let names = async |app, limit, offset| -> Vec<String> {
        let schedules = bed.store.list_schedules(app, None, limit, offset).await.expect("it lists");
        schedules.into_iter().map(|schedule| schedule.name).collect()
    };
    assert_eq!(names(None, 10, 0).await, ["hourly", "nightly"]);
    assert_eq!(names(Some("greet"), 1, 1).await, ["nightly"]);
    assert_eq!(names(Some("x"), 10, 0).await, [""; 0]);
    assert_eq!(bed.store.count_schedules(Some("greet"), None).await.expect("it counts"), 2);
    assert_eq!(bed.store.count_schedules(Some("x"), None).await.expect("it counts"), 0);

    assert!(bed.store.fire_schedule(&first, far()).await.expect("the database answers"));
    bed.store.delete_schedule(first.schedule_id).await.expect("it is there");
    refusal(bed.store.delete_schedule(first.schedule_id).await);
    refusal(bed.store.update_schedule(first.schedule_id, "nightly", &settings(), at(1)).await);
    assert!(!bed.store.fire_schedule(&first, far()).await.expect("the database answers"));
    let run = runs(bed).await.remove(0);
    assert_eq!(run.schedule, Some(ScheduledBy { schedule_id: first.schedule_id, name: None }), "its run stays");
}

/// A schedule may bear another's id as its name: the id comes first.
pub async fn an_id_is_meant_before_a_name(bed: &Bed) {
    let first = schedule(bed, &settings()).await;
    let id = first.schedule_id.to_string();
    bed.store.create_schedule("greet", &id, &settings(), at(1)).await.expect("the name is free");
    assert_eq!(bed.store.find_schedule(&id).await.expect("it is there"), first);
}
