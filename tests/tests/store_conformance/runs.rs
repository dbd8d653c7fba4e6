//! Runs as a caller starts, finds, lists and cancels them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use relume::retry::RetryPolicy;
use relume::run::Status;
use relume::store::*;

use crate::bed::*;

const POLICY: RetryPolicy = RetryPolicy { max_retries: 2, delay: Duration::from_secs(30), exponential: true };

pub async fn a_run_starts_pending_under_the_apps_policy(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    let upload = Upload { policy: Some(POLICY), ..upload(1) };
    bed.store.add_version("greet", upload).await.expect("the app is there");
    let run = bed.start().await;
    assert_eq!((run.number, run.version, run.status, run.num_attempts), (1, 1, Status::Pending, 1)); // R9
    assert_eq!(run.policy, POLICY); // R5
    assert_eq!(bed.look(&run).await, run);
    assert_eq!(bed.attempts(&run).await, []);
}

pub async fn a_run_may_bring_its_own_version_and_policy(bed: &Bed) {
    bed.start().await;
    bed.store.add_version("greet", upload(2)).await.expect("the app is there");
    let new = NewRun { version: Some(1), policy: Some(POLICY), ..new_run("greet") };
    let run = bed.store.start_run(new).await.expect("the version is there").run;
    assert_eq!((run.version, run.policy), (1, POLICY)); // R5
    assert_eq!(bed.start().await.version, 2);
    assert_eq!(bed.store.find_app("greet").await.expect("it is there").policy, RetryPolicy::default());
}

pub async fn a_start_says_what_is_missing(bed: &Bed) {
    assert_eq!(refusal(bed.store.start_run(new_run("x")).await), "app `x` does not exist");
    bed.store.create_app("x", "").await.expect("the name is free");
    let answer = bed.store.start_run(new_run("x")).await;
    assert!(matches!(answer, Err(StoreError::Conflict(_))), "{answer:?}");
    bed.store.add_version("x", upload(1)).await.expect("the app is there");
    let answer = bed.store.start_run(NewRun { version: Some(9), ..new_run("x") }).await;
    assert_eq!(refusal(answer), "version v9 of app `x` does not exist");
    let run = bed.store.start_run(new_run("x")).await.expect("the app has a version").run;
    assert_eq!(run.number, 1, "a refused start uses up no number");
    assert_eq!(refusal(bed.store.find_run("x", 2).await), "run `x#2` does not exist");
}

pub async fn starts_side_by_side_are_numbered_without_gaps(bed: &Bed) {
    bed.start().await;
    let other = bed.another().await;
    let starts = (0..30).map(|n| match n % 2 {
        0 => bed.store.start_run(new_run("greet")),
        _ => other.start_run(new_run("greet")),
    });
    let mut numbers: Vec<_> =
        join_all(starts).await.into_iter().map(|run| run.expect("it starts").run.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=31).collect::<Vec<_>>());
}

pub async fn bytes_come_back_as_they_were_given(bed: &Bed) {
    bed.start().await;
    let input = vec![0, 255, 254, b'\'', 0];
    let parameters = BTreeMap::from([("na\0me".to_owned(), "\u{1f600} \0 '".to_owned())]);
    let new = NewRun { input: input.clone(), parameters: parameters.clone(), ..new_run("greet") };
    let run = bed.store.start_run(new).await.expect("it starts").run;
    let worker = bed.worker().await;
    let claimed = bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid");
    let assignment = claimed.iter().find(|a| a.lease.run_id == run.run_id).expect("it is due");
    assert_eq!((&assignment.input, &assignment.parameters), (&input, &parameters));
    let output = Some(vec![255, 0, 128]);
    let settlement = Settlement { output: output.clone(), ..success() };
    bed.store.settle_run(assignment.lease, settlement).await.expect("the lease is valid");
    assert_eq!(bed.look(&run).await.parameters, parameters);
    assert_eq!(bed.store.load_run_io(run.run_id).await.expect("it is there"), RunIo { input, output });
    let unknown = uuid::Uuid::nil();
    assert!(refusal(bed.store.load_run_io(unknown).await).contains("run"));
}

pub async fn runs_are_listed_newest_first_in_pages(bed: &Bed) {
    bed.start().await;
    bed.store.create_app("other", "").await.expect("the name is free");
    bed.store.add_version("other", upload(1)).await.expect("the app is there");
    for _ in 0..2 {
        bed.store.start_run(new_run("other")).await.expect("it starts");
        bed.start().await;
    }
    bed.store.cancel_run("greet", 2).await.expect("it is active");
    let list = async |filter| -> Vec<String> {
        let runs = bed.store.list_runs(&filter).await.expect("runs can be listed");
        runs.iter().map(|run| format!("{}#{}", run.app, run.number)).collect()
    };
    let all = RunFilter { limit: 10, ..RunFilter::default() };
    assert_eq!(list(all.clone()).await, ["greet#3", "other#2", "greet#2", "other#1", "greet#1"]);
    assert_eq!(list(RunFilter { limit: 2, ..all.clone() }).await, ["greet#3", "other#2"]);
    let before = Some(bed.store.find_run("other", 2).await.expect("it is there").run_id);
    assert_eq!(list(RunFilter { before, limit: 2, ..all.clone() }).await, ["greet#2", "other#1"]);
    let greet = RunFilter { app: Some("greet".into()), ..all.clone() };
    assert_eq!(list(RunFilter { before, ..greet.clone() }).await, ["greet#2", "greet#1"]);
    assert_eq!(list(RunFilter { statuses: vec![Status::Pending], ..greet }).await, ["greet#3", "greet#1"]);
    assert_eq!(list(RunFilter { statuses: vec![Status::Cancelled], ..all }).await, ["greet#2"]);
}

pub async fn the_next_due_run_is_known(bed: &Bed) {
    let due = async || bed.store.next_due_in().await.expect("the database answers");
    assert_eq!(due().await, None);
    let (_, _, lease) = bed.start_and_claim().await;
    assert_eq!(due().await, None, "a held run does not wait");
    bed.store.settle_run(lease, retry(Duration::from_secs(60))).await.expect("the lease is valid");
    let wait = due().await.expect("one waits");
    assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(60), "{wait:?}");
    bed.let_all_be_due().await;
    assert_eq!(due().await, Some(Duration::ZERO));
}

pub async fn a_start_wakes_who_waits(bed: &Bed) {
    bed.start().await;
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, bed.store.wait_for_hint()).await.expect("the hint was kept");
    if bed.is_postgres() {
        let other = bed.another().await;
        let hint = tokio::spawn(async move { other.wait_for_hint().await });
        eventually("another process is woken", async || {
            bed.start().await;
            hint.is_finished()
        })
        .await;
    }
}
