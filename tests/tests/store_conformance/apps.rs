//! Apps, versions and artifacts.

use std::time::Duration;

use futures_util::future::join_all;
use relume::retry::RetryPolicy;
use relume::store::AppFilter;

use crate::bed::*;

const POLICY: RetryPolicy = RetryPolicy { max_retries: 3, delay: Duration::from_secs(30), exponential: true };

pub async fn a_name_is_taken_once(bed: &Bed) {
    let app = bed.store.create_app("greet", "").await.expect("the name is free");
    assert_eq!((app.active_version, app.policy), (None, RetryPolicy::default()));
    assert_eq!(refusal(bed.store.create_app("greet", "").await), "app `greet` exists already");
}

pub async fn an_app_is_found_by_its_name_and_listed_by_it(bed: &Bed) {
    for name in ["b", "a", "c"] {
        bed.store.create_app(name, "").await.expect("the name is free");
    }
    let all = AppFilter { limit: 10, ..AppFilter::default() };
    let names: Vec<_> =
        bed.store.list_apps(&all).await.expect("apps can be listed").into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(bed.store.find_app("b").await.expect("it is there").name, "b");
    assert_eq!(refusal(bed.store.find_app("x").await), "app `x` does not exist");
}

pub async fn an_upload_becomes_the_active_version(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    for number in [1, 2] {
        let version = bed.store.add_version("greet", upload(number)).await.expect("the app is there");
        assert_eq!((version.number, version.size_bytes), (number.into(), 3));
    }
    assert_eq!(bed.store.find_app("greet").await.expect("it is there").active_version, Some(2));
    let versions = bed.store.list_versions("greet").await.expect("versions can be listed");
    assert_eq!(versions.iter().map(|v| v.number).collect::<Vec<_>>(), [2, 1]);
    let component = bed.store.load_artifact(&versions[0].digest).await.expect("it was stored");
    assert_eq!(component, upload(2).component);
    assert!(refusal(bed.store.load_artifact("00").await).starts_with("artifact 00"));
    assert_eq!(refusal(bed.store.add_version("x", upload(1)).await), "app `x` does not exist");
}

pub async fn the_same_upload_again_changes_nothing_but_the_policy(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    let first = bed.store.add_version("greet", upload(1)).await.expect("the app is there");
    let again = bed.store.add_version("greet", relume::store::Upload { policy: Some(POLICY), ..upload(1) }).await;
    assert_eq!(again.expect("the app is there"), first);
    let app = bed.store.find_app("greet").await.expect("it is there");
    assert_eq!((app.active_version, app.policy), (Some(1), POLICY));
    bed.store.add_version("greet", upload(2)).await.expect("the app is there");
    assert_eq!(
        bed.store.find_app("greet").await.expect("it is there").policy,
        POLICY,
        "an upload without one keeps it"
    );
}

pub async fn other_settings_make_another_version_of_the_same_artifact(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    bed.store.add_version("greet", upload(1)).await.expect("the app is there");
    let mut other = upload(1);
    other.settings.allowed_hosts.push("example.com".into());
    let version = bed.store.add_version("greet", other.clone()).await.expect("the app is there");
    assert_eq!((version.number, version.settings), (2, other.settings));
    let back = bed.store.add_version("greet", upload(1)).await.expect("the app is there");
    assert_eq!(back.number, 3, "only the active version counts as the same");
}

pub async fn uploads_side_by_side_get_numbers_without_gaps(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    let uploads = (1..=8).map(|number| bed.store.add_version("greet", upload(number)));
    let versions = join_all(uploads).await.into_iter().map(|v| v.expect("the app is there").number);
    let mut numbers: Vec<_> = versions.collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
}

pub async fn the_same_upload_side_by_side_is_one_version(bed: &Bed) {
    bed.store.create_app("greet", "").await.expect("the name is free");
    let uploads = (0..8).map(|_| bed.store.add_version("greet", upload(1)));
    for version in join_all(uploads).await {
        assert_eq!(version.expect("the app is there").number, 1);
    }
}
