//! Tokens are found by their id until they are revoked.

use relume::store::*;

use crate::bed::*;

pub async fn a_token_is_found_until_it_is_revoked(bed: &Bed) {
    let new = NewToken { token_id: "k1".into(), name: "laptop".into(), secret_hash: vec![0, 255] };
    let token = bed.store.create_token(new.clone()).await.expect("the id is free");
    assert_eq!(refusal(bed.store.create_token(new).await), "token `k1` exists already");
    assert_eq!(bed.store.find_token("k1").await.expect("it is there"), (vec![0, 255], token.clone()));
    assert_eq!(bed.store.list_tokens().await.expect("the database answers"), [token]);
    bed.store.revoke_token("k1").await.expect("it is there");
    assert_eq!(refusal(bed.store.find_token("k1").await), "token `k1` does not exist");
    assert_eq!(refusal(bed.store.revoke_token("k1").await), "token `k1` does not exist");
    assert_eq!(bed.store.list_tokens().await.expect("the database answers"), []);
}
