//! Many at once: what is cancelled stays cancelled, and a tick starts one run, whoever is first.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use relume::retry::RetryPolicy;
use relume::run::Status;
use relume::scheduler::watch;
use relume::store::{Attempt, NewRun, Run, RunFilter, ScheduleSettings, StoreError};
use relume_tests::node::Node;
use relume_tests::server::Server;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Cancels per store.
const CANCELS: u64 = 500;
/// Cancels under way at the same time.
const SIDE_BY_SIDE: u64 = 10;

/// What a cancel was told, and what the run was like then.
enum Answer {
    Cancelled(Run, Vec<Attempt>),
    TooLate(Run, Vec<Attempt>),
}

/// Starts a run and cancels it at a moment that `chance` chooses: at once, after it was looked at a few times, when it
/// has begun, a little later, or when it is final.
async fn start_and_cancel(node: &Node, chance: u64) -> Answer {
    let app = if chance.is_multiple_of(3) { "exit-three" } else { "plain" };
    let policy = Some(RetryPolicy { max_retries: 2, delay: Duration::ZERO, exponential: false });
    let new = NewRun { app: app.to_owned(), policy, ..NewRun::default() };
    let run = node.store.start_run(new).await.expect("the run starts").run;
    let (moment, looks) = (chance / 3 % 10, chance / 30 % 8);
    match moment {
        0 => {}
        1..5 => drop(node.wait_until(&run, |run| run.status != Status::Pending).await),
        5 => drop(node.finished(&run).await),
        _ => {}
    }
    for _ in 0..if moment < 2 { 0 } else { looks } {
        node.store.find_run(app, run.number).await.expect("the run is there");
    }
    let answer = node.store.cancel_run(app, run.number).await;
    let (run, attempts) = look(node, &run).await;
    match answer {
        Ok(cancelled) => {
            assert_eq!(cancelled, run, "from the answer on nothing changes");
            Answer::Cancelled(run, attempts)
        }
        Err(StoreError::Conflict(_)) => Answer::TooLate(run, attempts),
        Err(error) => panic!("{error}"),
    }
}

async fn look(node: &Node, run: &Run) -> (Run, Vec<Attempt>) {
    let run = node.store.find_run(&run.app, run.number).await.expect("the run is there");
    let attempts = node.store.list_attempts(run.run_id).await.expect("its attempts");
    (run, attempts)
}

async fn cancels_beside_workers(node: Node) {
    for guest in ["plain", "exit_three"] {
        node.deploy(guest, "").await;
    }
    let workers = [node.worker(), node.worker()];
    let cancels = (0..SIDE_BY_SIDE).map(async |lane| {
        let mut answers = vec![];
        for n in 0..CANCELS / SIDE_BY_SIDE {
            // Any mixing will do: it is to be different each time, and the same in the next test run.
            let chance = (lane * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            answers.push(start_and_cancel(&node, chance).await);
        }
        answers
    });
    let answers: Vec<_> = join_all(cancels).await.into_iter().flatten().collect();
    for worker in workers {
        worker.drain().await;
    }
    let (mut waiting, mut running, mut late) = (0, 0, 0);
    for answer in answers {
        match answer {
            Answer::Cancelled(run, attempts) => {
                assert_eq!(run.status, Status::Cancelled);
                assert_eq!(look(&node, &run).await, (run, attempts.clone()), "it was cancelled, and went on");
                match attempts.last() {
                    Some(last) if last.status == Status::Cancelled => running += 1,
                    _ => waiting += 1,
                }
                assert!(attempts.iter().all(|attempt| attempt.ended_at.is_some()), "{attempts:?}");
            }
            Answer::TooLate(run, attempts) => {
                assert!(matches!(run.status, Status::Exited | Status::Crashed), "{run:?}");
                assert_eq!(look(&node, &run).await, (run, attempts), "it was final, and changed");
                late += 1;
            }
        }
    }
    assert!(waiting > 0 && running > 0 && late > 0, "cancelled {waiting} waiting, {running} running; {late} too late");
    let active = RunFilter { statuses: Status::ACTIVE.to_vec(), ..RunFilter::default() };
    assert_eq!(node.store.count_runs(&active).await.expect("they are counted"), 0);
    let open = "select count(*) || '' from attempts where ended_at is null";
    assert_eq!(relume_tests::sql::lines(&node.url, open).await, ["0"], "open attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // R1, R12
async fn an_acknowledged_cancel_is_never_lost_on_sqlite() {
    cancels_beside_workers(Node::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // R1, R12
async fn an_acknowledged_cancel_is_never_lost_on_postgres() {
    cancels_beside_workers(Node::postgres().await).await;
}

fn at(tick: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(tick)
}

/// Lets each of the schedules be due, so often that one that is started twice shows, and waits until each has ticked.
async fn ticks_beside_servers(node: &Node) {
    const SCHEDULES: usize = 5;
    const TICKS: i64 = 4;
    let settings = ScheduleSettings {
        cron: "@yearly".into(),
        timezone: "UTC".into(),
        skips_overlap: false,
        is_paused: false,
        parameters: BTreeMap::new(),
    };
    node.deploy("plain", "").await;
    let mut schedules = vec![];
    for n in 0..SCHEDULES {
        let name = format!("yearly-{n}");
        let far = "2100-01-01T00:00:00Z".parse().expect("a moment");
        let schedule = node.store.create_schedule("plain", &name, &settings, far).await;
        schedules.push(schedule.expect("the name is free"));
    }
    for tick in 1..=TICKS {
        for schedule in &schedules {
            let due = node.store.update_schedule(schedule.schedule_id, &schedule.name, &settings, at(tick)).await;
            due.expect("it is there");
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        for schedule in &schedules {
            while node.store.find_schedule(&schedule.name).await.expect("it is there").last_tick_at != Some(at(tick)) {
                assert!(Instant::now() < deadline, "no server let it tick");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    let filter = RunFilter { app: Some("plain".into()), limit: 1000, ..RunFilter::default() };
    let runs = node.store.list_runs(&filter).await.expect("runs can be listed");
    let mut ticks: Vec<_> = runs.iter().map(|run| (run.schedule.clone().map(|by| by.name), run.scheduled_at)).collect();
    ticks.sort_by_key(|(_, at)| *at);
    assert_eq!(ticks.len(), SCHEDULES * TICKS as usize, "each tick is one run: {ticks:?}");
    let now = node.store.now().await.expect("the database answers");
    for schedule in &schedules {
        let next = node.store.find_schedule(&schedule.name).await.expect("it is there").next_tick_at;
        assert!(next > now, "the ticks of more than fifty years that nobody saw are one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // R45
async fn three_watches_start_one_run_for_each_tick() {
    for url in [Node::sqlite().await, Node::postgres().await] {
        let closing = CancellationToken::new();
        let stores = join_all((0..3).map(|_| relume::store::open(&url.url))).await;
        let stores = stores.into_iter().map(|store| store.expect("the database is there"));
        let watches: Vec<_> = stores.map(|store| tokio::spawn(watch(store, closing.clone()))).collect();
        ticks_beside_servers(&url).await;
        closing.cancel();
        for watch in watches {
            watch.await.expect("the watch ends");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // R45
async fn three_servers_start_one_run_for_each_tick() {
    let first = Server::postgres();
    let _others = [first.another(), first.another()];
    ticks_beside_servers(&Node::at(first.database.clone()).await).await;
}

/// A trigger by which the database fails to start the run of a tick.
fn refuse_runs_of(tick: Timestamp, is_postgres: bool) -> String {
    let when = format!("before insert on runs for each row when (new.scheduled_at = {})", tick.as_millisecond());
    match is_postgres {
        true => format!(
            "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$; \
             create trigger refuse {when} execute function refuse()"
        ),
        false => format!("create trigger refuse {when} begin select raise(abort, 'no'); end"),
    }
}

#[tokio::test] // R45
async fn a_schedule_that_cannot_tick_keeps_no_other_from_it() {
    for node in [Node::sqlite().await, Node::postgres().await] {
        node.deploy("plain", "").await;
        node.sql(&refuse_runs_of(at(1), node.url.starts_with("postgres"))).await;
        let settings = |cron: &str| ScheduleSettings {
            cron: cron.into(),
            timezone: "UTC".into(),
            skips_overlap: false,
            is_paused: false,
            parameters: BTreeMap::new(),
        };
        // As another build may have kept it.
        for (n, name, cron) in [(1, "refused", "@yearly"), (2, "broken", "no expression"), (3, "good", "@yearly")] {
            node.store.create_schedule("plain", name, &settings(cron), at(n)).await.expect("the name is free");
        }
        let closing = CancellationToken::new();
        let watching = tokio::spawn(watch(node.store.clone(), closing.clone()));
        let deadline = Instant::now() + Duration::from_secs(60);
        let filter = RunFilter { limit: 10, ..RunFilter::default() };
        while node.store.count_runs(&filter).await.expect("they are counted") == 0 {
            assert!(Instant::now() < deadline, "the good one did not tick");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(node.store.find_schedule("broken").await.expect("it is there").settings.is_paused);
        closing.cancel();
        watching.await.expect("the watch ends");
    }
}
