//! What opening a database does, and what it says when it cannot.

use std::time::Duration;

use tokio::time::Instant;

use futures_util::future::join_all;
use relume::store::{self, StoreError};

use crate::bed::*;

/// The bed has migrated its database already, so all but the tables is new here.
pub async fn opening_twice_at_once_works(bed: &Bed) {
    match bed.is_postgres() {
        true => bed.sql("drop schema public cascade; create schema public").await,
        false => {
            let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
            let url = format!("sqlite:{}", folder.path().join("new/folder/relume.db").display());
            for opened in join_all((0..6).map(|_| store::open(&url))).await {
                opened.map(drop).expect("a new file can be opened by many at once");
            }
        }
    }
    for opened in join_all((0..6).map(|_| store::open(&bed.url))).await {
        opened.map(drop).expect("a database can be opened by many at once");
    }
}

pub async fn a_database_is_opened_again_with_what_it_held(bed: &Bed) {
    let run = bed.start().await;
    let other = bed.another().await;
    assert_eq!(other.find_run("greet", 1).await.expect("it is there"), run);
}

pub async fn the_database_answers(bed: &Bed) {
    bed.store.ping().await.expect("it does");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_unavailable_and_says_why() {
    let began = Instant::now();
    for url in ["postgres://postgres@127.0.0.1:1/relume", "postgres://postgres@192.0.2.1/relume"] {
        let Err(error) = store::open(url).await else { panic!("nobody listens at {url}") };
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        let text = error.to_string();
        assert!(["refused", "no answer", "unreachable"].iter().any(|why| text.contains(why)), "{text}");
    }
    assert!(began.elapsed() < Duration::from_secs(7));
}

#[test]
fn a_database_that_restarts_is_unavailable_and_then_there_again() {
    on_postgres(async |bed| {
        join_all((0..20).map(|_| bed.store.ping())).await;
        bed.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
        eventually("the database answers again", async || match bed.store.ping().await {
            Ok(()) => true,
            Err(StoreError::Unavailable(_)) => false,
            Err(error) => panic!("this is no fault: {error:?}"),
        })
        .await;
        bed.start_and_claim().await;
    });
}

#[tokio::test]
async fn a_url_of_another_database_is_refused() {
    let Err(error) = store::open("mysql://localhost/relume").await else { panic!("there is no such store") };
    assert!(error.to_string().contains("use postgres://... or sqlite:PATH"), "{error}");
}
