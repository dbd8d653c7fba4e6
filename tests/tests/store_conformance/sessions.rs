//! How long a worker is one, and what happens when it no longer is.

use std::time::Duration;

use futures_util::future::join_all;
use relume::run::Status;

use crate::bed::*;

pub async fn an_expired_session_claims_nothing_and_is_not_renewed(bed: &Bed) {
    bed.start().await;
    let worker = bed.worker().await;
    bed.let_sessions_expire().await;
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the database answers").is_empty());
    is_lost(bed.store.renew_session(&worker).await);
    bed.store.reap_sessions().await.expect("the database answers");
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the database answers").is_empty());
    is_lost(bed.store.renew_session(&worker).await);
}

// R40
pub async fn runs_of_an_expired_session_are_taken_away(bed: &Bed) {
    let short = Duration::from_millis(1);
    let run = bed.start().await;
    let worker = bed.store.open_session("short", 4, short).await.expect("it opens");
    // The lease may be over before the claim: then there is nothing to take away.
    let held = bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the database answers").len() as u64;
    let mut taken = 0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while bed.store.renew_session(&worker).await.is_ok() || taken < held {
        taken += bed.store.reap_sessions().await.expect("the database answers");
        assert!(tokio::time::Instant::now() < deadline);
    }
    assert_eq!(taken, held);
    let other = bed.worker().await;
    assert_eq!(bed.claim(&other).await.recoveries, held as u32);
    assert_eq!(bed.look(&run).await.status, Status::Running);
}

// R40
pub async fn a_dead_session_is_noticed_at_once(bed: &Bed) {
    let run = bed.start().await;
    let other = bed.another().await;
    let worker = other.open_session("other", 4, Duration::from_secs(600)).await.expect("it opens");
    assert_eq!(other.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the session is valid").len(), 1);
    assert_eq!(bed.store.reap_sessions().await.expect("the database answers"), 0, "it is alive");
    drop(other);
    eventually("the dead worker's run is taken away", async || {
        bed.store.reap_sessions().await.expect("the database answers") == 1
    })
    .await;
    assert_eq!(bed.look(&run).await.status, Status::Running);
    let worker = bed.worker().await;
    assert_eq!(bed.claim(&worker).await.recoveries, 1);
}

pub async fn a_living_session_is_not_reaped(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    let other = bed.another().await;
    for store in [&bed.store, &other] {
        assert_eq!(store.reap_sessions().await.expect("the database answers"), 0);
    }
    bed.store.renew_session(&worker).await.expect("it is alive");
    assert_eq!(bed.store.list_held(&worker).await.expect("the database answers"), [lease]);
}

pub async fn closing_gives_back_what_is_held(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.store.close_session(&worker).await.expect("the database answers");
    is_lost(bed.store.give_back(lease).await);
    is_lost(bed.store.renew_session(&worker).await);
    assert!(bed.store.claim_runs(&worker, 10, &loaded(), &[]).await.expect("the database answers").is_empty());
    let other = bed.worker().await;
    assert_eq!(bed.claim(&other).await.recoveries, 1);
}

pub async fn a_run_without_a_session_is_found_by_the_next_reaper(bed: &Bed) {
    bed.start_and_claim().await;
    bed.sql("delete from workers").await;
    assert_eq!(bed.store.reap_sessions().await.expect("the database answers"), 1);
    assert_eq!(bed.store.reap_sessions().await.expect("the database answers"), 0);
}

pub async fn reapers_side_by_side_take_each_run_once(bed: &Bed) {
    for _ in 0..20 {
        bed.start().await;
    }
    let worker = bed.worker().await;
    assert_eq!(bed.store.claim_runs(&worker, 20, &loaded(), &[]).await.expect("the session is valid").len(), 20);
    bed.let_sessions_expire().await;
    let others = join_all((0..3).map(|_| bed.another())).await;
    let reaped = join_all(others.iter().map(|store| store.reap_sessions())).await;
    let mut taken: u64 = reaped.into_iter().map(|taken| taken.expect("the database answers")).sum();
    taken += bed.store.reap_sessions().await.expect("the database answers");
    assert_eq!(taken, 20);
}

#[test] // R40
fn a_broken_connection_is_noticed_at_once() {
    on_postgres(async |bed| {
        let (_, worker, lease) = bed.start_and_claim().await;
        break_sessions(bed).await;
        eventually("the run is taken away", async || {
            bed.store.reap_sessions().await.expect("the database answers") == 1
        })
        .await;
        is_lost(bed.store.renew_session(&worker).await);
        is_lost(bed.store.give_back(lease).await);
    });
}

#[test]
fn a_session_survives_a_broken_connection_if_nobody_noticed() {
    on_postgres(async |bed| {
        let (_, worker, lease) = bed.start_and_claim().await;
        break_sessions(bed).await;
        bed.store.renew_session(&worker).await.expect("the row is still there");
        assert_eq!(bed.store.reap_sessions().await.expect("the database answers"), 0);
        bed.store.give_back(lease).await.expect("the lease is valid");
    });
}

async fn break_sessions(bed: &Bed) {
    let held = "from pg_locks where locktype = 'advisory' and database = (select oid from pg_database \
        where datname = current_database())";
    bed.sql(&format!("select pg_terminate_backend(pid) {held}")).await;
    eventually("the server closed the connection", async || {
        bed.lines(&format!("select count(*)::text {held}")).await == ["0"]
    })
    .await;
}
