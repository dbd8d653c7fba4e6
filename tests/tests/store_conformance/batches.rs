//! The journal and the log: many entries of many runs in one commit.

use std::time::Duration;

use relume::store::*;

use crate::bed::*;

// R20
pub async fn entries_come_back_in_order_as_they_were_written(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let bytes = vec![0, 255, 254, 0];
    let entries = [
        entry(2, EntryState::Failed("decli\0ned".into())),
        entry(1, EntryState::Finished(bytes)),
        entry(3, EntryState::Finished(Vec::new())),
    ];
    for entry in &entries {
        assert_eq!(
            written(bed.store.append_journal(&[(lease, entry.clone())]).await.expect("the database answers")),
            [true]
        );
    }
    let read = bed.store.load_journal(run.run_id).await.expect("the database answers");
    assert!(read.iter().all(|entry| entry.recorded_at >= run.created_at));
    let written = [&entries[1], &entries[0], &entries[2]];
    let expected: Vec<_> =
        written.iter().zip(&read).map(|(&e, r)| JournalEntry { recorded_at: r.recorded_at, ..e.clone() }).collect();
    assert_eq!(read, expected);
}

pub async fn one_batch_serves_many_runs_and_says_which_were_written(bed: &Bed) {
    let worker = bed.worker().await;
    let mut leases = Vec::new();
    for _ in 0..3 {
        bed.start().await;
        leases.push(bed.claim(&worker).await.lease);
    }
    let void = leases[1];
    bed.store.give_back(void).await.expect("the lease is valid");
    let renewed = bed.claim(&worker).await.lease;
    // Void and valid lease of one run beside each other.
    let batch = [(leases[2], finished(1)), (void, finished(1)), (renewed, finished(1)), (leases[0], finished(1))];
    let written = bed.store.append_journal(&batch).await.expect("the database answers");
    assert_eq!(crate::bed::written(written), [true, false, true, true]);
    let lines = [(leases[2], line(1, 1)), (void, line(1, 1)), (renewed, line(1, 1)), (renewed, line(2, 1))];
    assert_eq!(bed.store.append_logs(&lines).await.expect("the database answers"), 3);
    for lease in leases {
        assert_eq!(bed.store.load_journal(lease.run_id).await.expect("the database answers").len(), 1);
    }
}

// R20
pub async fn a_sequence_number_is_used_once(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    bed.store.append_journal(&[(lease, finished(1))]).await.expect("the lease is valid");
    let answer = bed.store.append_journal(&[(lease, finished(2)), (lease, finished(1))]).await;
    assert!(matches!(answer, Err(StoreError::Fault(_))), "{answer:?}");
    assert_eq!(bed.store.load_journal(run.run_id).await.expect("the database answers").len(), 1, "all or nothing");
}

// R11
pub async fn lines_are_filtered_by_attempt_and_by_number(bed: &Bed) {
    let (run, worker, lease) = bed.start_and_claim().await;
    let setup = LogLine { channel: Channel::Setup, seq: Some(3), ..line(1, 1) };
    let lines = [(lease, setup.clone()), (lease, line(2, 1)), (lease, line(3, 1))];
    assert_eq!(bed.store.append_logs(&lines).await.expect("the lease is valid"), 3);
    bed.store.settle_run(lease, retry(Duration::ZERO)).await.expect("the lease is valid");
    let lease = bed.claim(&worker).await.lease;
    bed.store.append_logs(&[(lease, line(4, 2))]).await.expect("the lease is valid");
    let list = async |attempt, after_line, limit| -> Vec<i64> {
        let filter = LogFilter { attempt, after_line, limit, ..LogFilter::default() };
        let lines = bed.store.list_logs(run.run_id, filter).await.expect("the database answers");
        lines.into_iter().map(|line| line.line_num).collect()
    };
    assert_eq!(list(None, 0, 10).await, [1, 2, 3, 4]);
    assert_eq!(list(None, 0, 2).await, [1, 2]);
    assert_eq!(list(None, 2, 10).await, [3, 4]);
    assert_eq!(list(Some(1), 1, 10).await, [2, 3]);
    assert_eq!(list(Some(2), 0, 10).await, [4]);
    let of_step = LogFilter { seq: Some(3), limit: 10, ..LogFilter::default() };
    assert_eq!(bed.store.list_logs(run.run_id, of_step).await.expect("the database answers").len(), 1);
    let filter = LogFilter { limit: 1, ..LogFilter::default() };
    let read = bed.store.list_logs(run.run_id, filter).await.expect("the database answers").remove(0);
    assert!(read.reported_at >= run.created_at);
    assert_eq!(read, LogLine { reported_at: read.reported_at, ..setup });
}

pub async fn a_claim_knows_the_last_line(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.store.append_logs(&[(lease, line(1, 1)), (lease, line(7, 1))]).await.expect("the lease is valid");
    bed.store.give_back(lease).await.expect("the lease is valid");
    assert_eq!(bed.claim(&worker).await.last_line_num, 7);
}

pub async fn empty_batches_write_nothing(bed: &Bed) {
    assert!(bed.store.append_journal(&[]).await.expect("there is nothing to do").is_empty());
    assert_eq!(bed.store.append_logs(&[]).await.expect("there is nothing to do"), 0);
}

/// A hostile guest's text does not keep other runs from their journal.
pub async fn text_with_nul_fails_no_batch(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let hostile = JournalEntry { name: "a\0b".into(), ..finished(1) };
    assert_eq!(written(bed.store.append_journal(&[(lease, hostile)]).await.expect("it is written")), [true]);
    assert_eq!(bed.store.load_journal(run.run_id).await.expect("the database answers")[0].name, "a\u{fffd}b");
    let hostile = LogLine { content: "a\0b".into(), ..line(1, 1) };
    assert_eq!(bed.store.append_logs(&[(lease, hostile)]).await.expect("it is written"), 1);
    assert!(refusal(bed.store.find_app("greet\0").await).contains("does not exist"));
    assert!(refusal(bed.store.find_token("k\0").await).contains("does not exist"));
}
