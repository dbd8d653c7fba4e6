//! What a run asked of other hosts is listed, under its lease, and goes with it.

use std::time::Duration;

use relume::store::*;

use crate::bed::*;

fn call(call_num: i64) -> Call {
    Call {
        call_num,
        attempt: 1,
        seq: Some(2),
        method: "POST".into(),
        url: format!("https://shop.example/{call_num}"),
        status: Some(200),
        error: None,
        bytes_in: 1 << 40,
        bytes_out: 7,
        took: Duration::from_millis(12),
        recorded_at: jiff::Timestamp::MIN,
    }
}

/// Writes the calls of a valid lease.
async fn write(bed: &Bed, lease: Lease, calls: &[Call]) {
    let calls: Vec<_> = calls.iter().map(|call| (lease, call.clone())).collect();
    assert_eq!(bed.store.append_calls(&calls).await.expect("the database answers"), calls.len() as u64);
}

// V11
pub async fn calls_come_back_in_pages_as_they_were_written(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let refused = Call { seq: None, status: None, error: Some("refused: ü".into()), ..call(3) };
    write(bed, lease, &[call(2), call(1), refused.clone()]).await;
    let list = async |after, limit| bed.store.list_calls(run.run_id, after, limit).await.expect("the database answers");
    let read = list(0, 9).await;
    assert!(read.iter().all(|call| call.recorded_at >= run.created_at));
    let read: Vec<_> = read.into_iter().map(|read| Call { recorded_at: jiff::Timestamp::MIN, ..read }).collect();
    assert_eq!(read, [call(1), call(2), refused]);
    let numbers = |calls: Vec<Call>| calls.into_iter().map(|call| call.call_num).collect::<Vec<_>>();
    assert_eq!(numbers(list(0, 2).await), [1, 2]);
    assert_eq!(numbers(list(2, 2).await), [3]);
    assert_eq!(bed.store.append_calls(&[]).await.expect("there is nothing to do"), 0);
}

pub async fn a_claim_knows_the_last_call_and_none_is_listed_twice(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    write(bed, lease, &[call(1), call(7)]).await;
    // Its answer got lost.
    assert_eq!(bed.store.append_calls(&[(lease, call(7))]).await.expect("the database answers"), 0);
    bed.store.give_back(lease).await.expect("the lease is valid");
    let renewed = bed.claim(&worker).await;
    assert_eq!(renewed.last_call_num, 7);
    let batch = [(lease, call(8)), (renewed.lease, call(8))];
    assert_eq!(bed.store.append_calls(&batch).await.expect("the database answers"), 1, "one lease is void");
    assert_eq!(bed.store.list_calls(run.run_id, 0, 9).await.expect("the database answers").len(), 3);
}

/// A hostile guest's method does not keep other runs from their lists.
pub async fn a_call_with_nul_fails_no_batch(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let hostile = Call { method: "G\0".into(), url: "x\0".into(), error: Some("\0".into()), ..call(1) };
    write(bed, lease, &[hostile]).await;
    let read = bed.store.list_calls(run.run_id, 0, 1).await.expect("the database answers").remove(0);
    assert_eq!(
        (read.method.as_str(), read.url.as_str(), read.error.as_deref()),
        ("G\u{fffd}", "x\u{fffd}", Some("\u{fffd}"))
    );
}

pub async fn calls_go_with_their_app(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    write(bed, lease, &[call(1)]).await;
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    bed.store.delete_app("greet", None).await.expect("none of its runs is active");
    assert_eq!(bed.store.list_calls(run.run_id, 0, 9).await.expect("the database answers"), []);
}
