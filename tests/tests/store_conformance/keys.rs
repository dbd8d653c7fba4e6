//! Starts with a key: however often one is sent, one run is started.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use relume::store::*;

use crate::bed::*;

/// A start with this key, of a request that `hash` stands for.
fn keyed(app: &str, key: &str, hash: u8) -> NewRun {
    let key = StartKey { key: key.to_owned(), request_hash: vec![hash; 32] };
    NewRun { key: Some(key), ..new_run(app) }
}

// R44
pub async fn the_same_start_again_is_the_run_it_started(bed: &Bed) {
    bed.start().await;
    let first = bed.store.start_run(keyed("greet", "a", 1)).await.expect("it starts");
    assert!(!first.is_repeated);
    let worker = bed.worker().await;
    let claimed = bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid");
    bed.store.settle_run(claimed[1].lease, success()).await.expect("the lease is valid");
    let again = bed.another().await.start_run(keyed("greet", "a", 1)).await.expect("it was started");
    assert!(again.is_repeated);
    assert_eq!(again.run, bed.look(&first.run).await, "as it is now");
    let other = bed.store.start_run(keyed("greet", "b", 1)).await.expect("it starts");
    assert_eq!((other.run.number, other.is_repeated), (3, false), "a repeated start uses up no number");
}

// R44
pub async fn another_request_with_the_key_is_refused(bed: &Bed) {
    bed.start().await;
    bed.store.start_run(keyed("greet", "a", 1)).await.expect("it starts");
    let answer = bed.store.start_run(keyed("greet", "a", 2)).await;
    assert!(matches!(answer, Err(StoreError::KeyReused)), "{answer:?}");
    assert_eq!(bed.start().await.number, 3, "nothing was started");
}

// R44
pub async fn of_many_starts_with_one_key_one_starts_a_run(bed: &Bed) {
    bed.start().await;
    let other = bed.another().await;
    let starts = (0..64).map(|n| match n % 2 {
        0 => bed.store.start_run(keyed("greet", "a", 1)),
        _ => other.start_run(keyed("greet", "a", 1)),
    });
    let started: Vec<_> = join_all(starts).await.into_iter().map(|answer| answer.expect("it starts")).collect();
    let runs: BTreeSet<_> = started.iter().map(|started| started.run.run_id).collect();
    assert_eq!((runs.len(), started.iter().filter(|started| !started.is_repeated).count()), (1, 1));
    let all = RunFilter { app: Some("greet".into()), ..RunFilter::default() };
    assert_eq!(bed.store.count_runs(&all).await.expect("the database answers"), 2);
}

// R44
pub async fn the_key_of_a_refused_start_is_free(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    refusal(bed.store.start_run(keyed("greet", "a", 1)).await);
    bed.store.add_version("greet", upload(1)).await.expect("the app is there");
    refusal(bed.store.start_run(NewRun { version: Some(9), ..keyed("greet", "a", 1) }).await);
    let disabled = |disabled| AppChange { disabled: Some(disabled), ..AppChange::default() };
    bed.store.update_app("greet", None, disabled(true)).await.expect("the app is there");
    refusal(bed.store.start_run(keyed("greet", "a", 1)).await);
    bed.store.update_app("greet", None, disabled(false)).await.expect("the app is there");
    let started = bed.store.start_run(keyed("greet", "a", 2)).await.expect("the key is free");
    assert!(!started.is_repeated);
    bed.store.update_app("greet", None, disabled(true)).await.expect("the app is there");
    let again = bed.store.start_run(keyed("greet", "a", 2)).await.expect("it was started before");
    assert_eq!((again.run.run_id, again.is_repeated), (started.run.run_id, true));
}

// R44
pub async fn a_key_is_of_one_app_and_goes_with_it(bed: &Bed) {
    bed.start().await;
    bed.store.create_app("other", "").await.expect("the name is free");
    bed.store.add_version("other", upload(1)).await.expect("the app is there");
    for app in ["greet", "other"] {
        assert!(!bed.store.start_run(keyed(app, "a", 1)).await.expect("it starts").is_repeated);
    }
    bed.store.cancel_run("other", 1).await.expect("it is active");
    bed.store.delete_app("other", None).await.expect("none of its runs is active");
    bed.store.create_app("other", "").await.expect("the name is free");
    bed.store.add_version("other", upload(1)).await.expect("the app is there");
    let started = bed.store.start_run(keyed("other", "a", 2)).await.expect("it starts");
    assert_eq!((started.run.number, started.is_repeated), (1, false));
}
