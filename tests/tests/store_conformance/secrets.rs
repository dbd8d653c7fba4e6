//! Secrets, and the key pair to which clients encrypt them.

use futures_util::future::join_all;
use relume::store::*;

use crate::bed::*;

fn secret(name: &str, sealed: u8) -> NewSecret {
    NewSecret { name: name.into(), sealed: vec![sealed, 0, 255], preview: format!("{sealed}...") }
}

// R13
pub async fn a_secret_is_kept_replaced_and_deleted(bed: &Bed) {
    let kept = bed.store.create_secret(secret("API_KEY", 1)).await.expect("the name is free");
    assert_eq!((kept.name.as_str(), kept.preview.as_str()), ("API_KEY", "1..."));
    assert_eq!(bed.store.load_secret("API_KEY").await.expect("it is there"), [1, 0, 255]);
    assert_eq!(refusal(bed.store.create_secret(secret("API_KEY", 2)).await), "secret `API_KEY` exists already");
    assert_eq!(bed.store.load_secret("API_KEY").await.expect("it is there"), [1, 0, 255]);
    let replaced = bed.store.update_secret(secret("API_KEY", 2)).await.expect("it is there");
    assert_eq!((replaced.preview.as_str(), replaced.created_at), ("2...", kept.created_at));
    assert!(replaced.updated_at >= kept.updated_at);
    assert_eq!(bed.store.load_secret("API_KEY").await.expect("it is there"), [2, 0, 255]);
    assert_eq!(bed.store.delete_secret("API_KEY").await.expect("it is there"), replaced);
    for answer in [bed.store.delete_secret("API_KEY").await, bed.store.update_secret(secret("API_KEY", 3)).await] {
        assert_eq!(refusal(answer), "secret `API_KEY` does not exist");
    }
    assert_eq!(refusal(bed.store.load_secret("API_KEY").await), "secret `API_KEY` does not exist");
}

// R13
pub async fn secrets_are_listed_by_name_in_pages(bed: &Bed) {
    for name in ["B", "C", "A"] {
        bed.store.create_secret(secret(name, 1)).await.expect("the name is free");
    }
    let names = async |limit, offset| -> Vec<String> {
        let secrets = bed.store.list_secrets(limit, offset).await.expect("it lists");
        secrets.into_iter().map(|secret| secret.name).collect()
    };
    assert_eq!(names(10, 0).await, ["A", "B", "C"]);
    assert_eq!(names(1, 1).await, ["B"]);
    assert_eq!(bed.store.count_secrets().await.expect("it counts"), 3);
}

// R13
pub async fn servers_that_begin_together_have_one_key_pair(bed: &Bed) {
    assert_eq!(bed.store.keep_key_pair(None).await.expect("the database answers"), None);
    let servers = join_all((0..4).map(|_| bed.another())).await;
    let candidates = (0..16_u8).map(|n| servers[usize::from(n) % 4].keep_key_pair(Some(vec![n])));
    let kept: Vec<_> = join_all(candidates).await.into_iter().map(|kept| kept.expect("the database answers")).collect();
    assert!(kept[0].is_some() && kept.iter().all(|other| *other == kept[0]), "{kept:?}");
    assert_eq!(bed.store.keep_key_pair(None).await.expect("the database answers"), kept[0]);
}
