//! Limits of apps and runs, and what the component of a version imports.

use futures_util::future::join_all;
use relume::manifest::{Limit, SomeLimits};
use relume::store::*;

use crate::bed::*;

fn memory(mib: u64) -> SomeLimits {
    [(Limit::MemoryMib, mib)].into_iter().collect()
}

async fn set(bed: &Bed, limits: SomeLimits) -> App {
    let change = AppChange { limits: Some(limits), ..AppChange::default() };
    bed.store.update_app("greet", None, change).await.expect("the app is there")
}

// R5
pub async fn a_run_has_its_own_limits_and_those_the_app_had_when_it_was_started(bed: &Bed) {
    let before = bed.start().await;
    assert_eq!((before.app_limits, before.limits), (SomeLimits::default(), SomeLimits::default()));
    assert_eq!(set(bed, memory(64)).await.limits, memory(64));
    let described = AppChange { description: Some("tea".into()), ..AppChange::default() };
    let app = bed.store.update_app("greet", None, described).await.expect("the app is there");
    assert_eq!(app.limits, memory(64), "what is not said stays");
    let new = NewRun { limits: memory(32), ..new_run("greet") };
    let run = bed.store.start_run(new).await.expect("it starts").run;
    assert_eq!((&run.app_limits, &run.limits), (&memory(64), &memory(32)));
    assert_eq!(set(bed, SomeLimits::default()).await.limits, SomeLimits::default());
    assert_eq!(bed.look(&run).await, run);
    let worker = bed.worker().await;
    let claimed: Vec<_> =
        bed.claim_due(&worker).await.into_iter().map(|claimed| (claimed.app_limits, claimed.limits)).collect();
    assert_eq!(claimed, [(SomeLimits::default(), SomeLimits::default()), (memory(64), memory(32))]);
}

// R31
pub async fn a_retry_and_a_fork_keep_the_limits_of_the_run(bed: &Bed) {
    bed.start_and_claim().await;
    set(bed, memory(64)).await;
    let new = NewRun { limits: memory(32), ..new_run("greet") };
    let run = bed.store.start_run(new).await.expect("it starts").run;
    set(bed, memory(128)).await;
    let worker = bed.worker().await;
    let lease = bed.claim(&worker).await.lease;
    let crashed = crash(relume::run::Change::Finish { because: None });
    bed.store.settle_run(lease, crashed).await.expect("the lease is valid");
    let again = bed.store.retry_run("greet", run.number, None).await.expect("it crashed");
    let fork = bed.store.fork_run("greet", run.number, 1, None).await.expect("there is nothing to keep");
    for run in [again, fork] {
        assert_eq!((run.app_limits, run.limits), (memory(64), memory(32)), "#{}", run.number);
    }
}

// R43, R45
pub async fn a_child_has_the_limits_of_its_app_alone(bed: &Bed) {
    bed.start().await;
    set(bed, memory(64)).await;
    let new = NewRun { limits: memory(32), ..new_run("greet") };
    bed.store.start_run(new).await.expect("it starts");
    let worker = bed.worker().await;
    let parent = bed.claim_due(&worker).await.pop().expect("it is due").lease;
    let child = bed.store.start_child(parent, 1, new_run("greet")).await.expect("the lease is valid");
    let child = bed.store.find_run("greet", child.number).await.expect("it was started");
    assert_eq!((child.app_limits, child.limits), (memory(64), SomeLimits::default()));
}

pub async fn a_version_knows_what_its_component_imports(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    let imports = vec!["wasi:cli/environment@0.2.0".to_owned(), "wasi:http/types@0.2.0".to_owned()];
    let version = bed.store.add_version("greet", Upload { imports: imports.clone(), ..upload(1) }).await;
    assert_eq!(version.expect("the app is there").imports.as_ref(), Some(&imports));
    let listed = bed.store.list_versions("greet").await.expect("versions can be listed");
    assert_eq!(listed[0].imports.as_ref(), Some(&imports));
}

pub async fn an_upload_over_one_version_is_refused_over_another(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    let over = |number, over| bed.store.add_version("greet", Upload { only_over: Some(over), ..upload(number) });
    let outdated = |answer: Result<Version>| assert!(matches!(answer, Err(StoreError::Outdated(_))), "{answer:?}");
    outdated(over(1, 1).await);
    assert_eq!(over(1, 0).await.expect("there is none").number, 1);
    outdated(over(2, 0).await);
    assert_eq!(over(1, 1).await.expect("it is the same").number, 1);
    assert_eq!(over(2, 1).await.expect("the first is active").number, 2);
    outdated(over(3, 1).await);
    let uploads = join_all((3..=8).map(|number| over(number, 2))).await;
    let added: Vec<_> = uploads.into_iter().filter_map(|answer| answer.ok()).map(|version| version.number).collect();
    assert_eq!(added, [3], "of many at once one is over the second");
    let versions = bed.store.list_versions("greet").await.expect("versions can be listed");
    assert_eq!(versions.len(), 3);
    let app = bed.store.find_app("greet").await.expect("it is there");
    assert_eq!(app.active_version, Some(3));
}
