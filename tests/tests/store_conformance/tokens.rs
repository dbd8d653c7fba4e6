//! Tokens are found by their id until they are revoked.

use relume::store::*;

use crate::bed::*;

pub async fn a_token_is_found_until_it_is_revoked(bed: &Bed) {
    let new = NewToken {
        token_id: "k1".into(),
        name: "laptop".into(),
        secret_hash: vec![0, 255],
        scopes: "admin".into(),
        apps: None,
        valid_for: None,
    };
    let token = bed.store.create_token(new.clone()).await.expect("the id is free");
    assert_eq!(refusal(bed.store.create_token(new).await), "token `k1` exists already");
    assert_eq!(bed.store.find_token("k1").await.expect("it is there"), (vec![0, 255], token.clone()));
    assert_eq!(bed.store.list_tokens().await.expect("the database answers"), [token]);
    bed.store.revoke_token("k1").await.expect("it is there");
    assert_eq!(refusal(bed.store.find_token("k1").await), "token `k1` does not exist");
    assert_eq!(refusal(bed.store.revoke_token("k1").await), "token `k1` does not exist");
    assert_eq!(bed.store.list_tokens().await.expect("the database answers"), []);
}

// R13
pub async fn a_token_expires(bed: &Bed) {
    let token = |token_id: &str, valid_for| NewToken {
        token_id: token_id.into(),
        name: "ci".into(),
        secret_hash: vec![1],
        scopes: "read".into(),
        apps: None,
        valid_for,
    };
    let hour = std::time::Duration::from_secs(3600);
    let kept = bed.store.create_token(token("a", Some(hour))).await.expect("the id is free");
    let expires_at = kept.expires_at.expect("it expires");
    assert_eq!((expires_at.duration_since(kept.created_at).as_secs(), kept.scopes.as_str()), (3600, "read"));
    let lasting = bed.store.create_token(token("b", None)).await.expect("the id is free");
    assert_eq!(lasting.expires_at, None);
    assert_eq!(bed.store.find_token("a").await.expect("it is valid").1, kept);
    bed.sql("update tokens set expires_at = 1 where expires_at is not null").await;
    refusal(bed.store.find_token("a").await);
    bed.store.find_token("b").await.expect("it is valid");
    let listed = bed.store.list_tokens().await.expect("it lists");
    assert_eq!(listed.len(), 2, "an expired one is shown until it is revoked");
}

// V16
pub async fn a_token_of_some_apps_is_found_with_them(bed: &Bed) {
    let apps = Some(vec!["greet".to_owned(), "tea".to_owned()]);
    let new = NewToken {
        token_id: "k1".into(),
        name: "ci".into(),
        secret_hash: vec![1],
        scopes: "runs:read".into(),
        apps: apps.clone(),
        valid_for: None,
    };
    assert_eq!(bed.store.create_token(new.clone()).await.expect("the id is free").apps, apps);
    assert_eq!(bed.store.find_token("k1").await.expect("it is there").1.apps, apps);
    let admin = NewToken { token_id: "k2".into(), scopes: "admin".into(), ..new };
    assert!(bed.store.create_token(admin).await.is_err(), "the schema knows it too");
}
