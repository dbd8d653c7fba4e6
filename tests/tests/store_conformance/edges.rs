//! Which changes of a run's status the database lets pass, whoever asks.

use std::collections::BTreeSet;

use relume::run::{EDGES, Status};

use crate::bed::*;

// R1
pub async fn a_status_changes_along_the_edges_and_in_no_other_way(bed: &Bed) {
    bed.start().await;
    let pairs = || Status::ALL.into_iter().flat_map(|from| Status::ALL.map(|to| (from, to)));
    let number = |from: Status, to: Status| 10 + 9 * position(from) + position(to);
    let mut insert = String::new();
    for (from, to) in pairs() {
        let (id, number) = (id(bed, number(from, to)), number(from, to));
        let (available_at, ended_at) = moments(from);
        insert += &format!(
            "insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, \
             exponential, available_at, created_at, ended_at) values ({id}, 'greet', {number}, 1, '{}', 1, 0, 0, false, \
             {available_at}, 1, {ended_at});",
            from.as_str()
        );
    }
    bed.sql(&insert).await;
    let mut accepted = BTreeSet::new();
    for (from, to) in pairs() {
        let (available_at, ended_at) = moments(to);
        let update = format!(
            "update runs set status = '{}', available_at = {available_at}, ended_at = {ended_at} where number = {}",
            to.as_str(),
            number(from, to)
        );
        match bed.try_sql(&update).await {
            Ok(()) => drop(accepted.insert((from.as_str(), to.as_str()))),
            Err(error) => assert!(error.contains("a run") && error.contains("cannot"), "{from:?} to {to:?}: {error}"),
        }
    }
    let same = Status::ALL.map(|status| (status, status));
    let edges = EDGES.iter().map(|(from, to, _)| (*from, *to)).chain(same);
    assert_eq!(accepted, edges.map(|(from, to)| (from.as_str(), to.as_str())).collect());
}

fn position(status: Status) -> usize {
    Status::ALL.iter().position(|other| *other == status).expect("it is one of them")
}

/// What `available_at` and `ended_at` have to be.
fn moments(status: Status) -> (&'static str, &'static str) {
    if status.is_active() { ("1", "null") } else { ("null", "1") }
}

fn id(bed: &Bed, number: usize) -> String {
    match bed.is_postgres() {
        true => format!("'{:032x}'", number),
        false => format!("x'{:032x}'", number),
    }
}
