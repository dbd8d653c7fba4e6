//! Entries that are written more than once before they are final, and those that are due at a time.

use std::time::Duration;

use jiff::Timestamp;
use relume::store::*;

use crate::bed::*;

const EVERY_STATE: fn() -> [EntryState; 6] = || {
    [
        EntryState::Begun,
        EntryState::Again("busy".into()),
        EntryState::Waiting,
        EntryState::Finished(vec![0, 255]),
        EntryState::Failed("declined".into()),
        EntryState::Indeterminate,
    ]
};

// R20
pub async fn entries_of_every_kind_and_state_come_back_as_they_were_written(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let mut expected = Vec::new();
    for kind in EntryKind::ALL {
        for state in EVERY_STATE() {
            let seq = expected.len() as u32 + 1;
            let request = vec![0, 255, seq as u8];
            let entry = JournalEntry {
                kind,
                request,
                version: 3,
                attempt: 2,
                tries: 4,
                tries_before: 5,
                seeds: u32::MAX,
                ..entry(seq, state)
            };
            let recorded_at = bed.write(lease, entry.clone()).await.at;
            expected.push(JournalEntry { recorded_at, ..entry });
        }
    }
    assert_eq!(bed.journal(&run).await, expected);
}

// R20, R24
pub async fn an_entry_is_written_anew_until_it_is_final(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let wait = Duration::from_secs(5);
    bed.write(lease, entry(1, EntryState::Begun)).await;
    let again = JournalEntry { due: Some(Due::After(wait)), ..entry(1, EntryState::Again("busy".into())) };
    let recorded = bed.write(lease, again).await;
    let due_at = recorded.due_at.expect("it is due");
    assert_eq!(due_at.duration_since(recorded.at), wait.try_into().expect("it is short"));
    let read = bed.journal(&run).await.remove(0);
    assert_eq!((read.due, read.recorded_at), (Some(Due::At(due_at)), recorded.at));
    let last = JournalEntry { tries: 2, took: Duration::from_secs(1), ..finished(1) };
    assert_eq!(bed.write(lease, last.clone()).await.due_at, None);
    let read = bed.journal(&run).await;
    assert_eq!(read, [JournalEntry { recorded_at: read[0].recorded_at, ..last }]);
}

// R20
pub async fn a_final_entry_is_never_written_again(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let finals: Vec<_> = EVERY_STATE().into_iter().filter(EntryState::is_final).collect();
    assert_eq!(finals.len(), 3);
    for (seq, state) in (1..).zip(finals) {
        bed.write(lease, entry(seq, state)).await;
    }
    let before = bed.journal(&run).await;
    for seq in 1..=3 {
        for state in EVERY_STATE() {
            let answer = bed.store.append_journal(&[(lease, finished(4)), (lease, entry(seq, state))]).await;
            assert!(matches!(answer, Err(StoreError::Fault(_))), "{answer:?}");
        }
    }
    assert_eq!(bed.journal(&run).await, before, "all or nothing");
}

// R42
pub async fn an_entry_is_due_when_it_says_or_so_long_after_it_was_written(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let moment = "2100-01-01T00:00:00Z".parse().expect("a moment");
    let sleep = |due| JournalEntry { kind: EntryKind::Sleep, due: Some(due), ..entry(1, EntryState::Waiting) };
    assert_eq!(bed.write(lease, sleep(Due::At(moment))).await.due_at, Some(moment));
    let past = Timestamp::UNIX_EPOCH;
    assert_eq!(bed.write(lease, sleep(Due::At(past))).await.due_at, Some(past));
    for hostile in [Due::After(Duration::MAX), Due::At(Timestamp::MAX)] {
        let due_at = bed.write(lease, sleep(hostile)).await.due_at.expect("it is due");
        assert!(due_at > moment, "it is far away: {due_at}");
    }
    // A sleep is final from the start, and says until when all the same; what else is final waits for nothing.
    let slept = JournalEntry { state: EntryState::Finished(vec![]), ..sleep(Due::At(moment)) };
    assert_eq!(bed.write(lease, slept).await.due_at, Some(moment));
    let step = JournalEntry { due: Some(Due::At(moment)), ..finished(2) };
    assert_eq!(bed.write(lease, step).await.due_at, None);
    let dues: Vec<_> = bed.journal(&run).await.into_iter().map(|entry| entry.due).collect();
    assert_eq!(dues, [Some(Due::At(moment)), None]);
}

pub async fn the_entries_of_a_batch_have_one_moment(bed: &Bed) {
    let (_, _, lease) = bed.start_and_claim().await;
    let batch: Vec<_> = (1..=50).map(|seq| (lease, finished(seq))).collect();
    let answers = bed.store.append_journal(&batch).await.expect("the database answers");
    assert!(answers[0].is_some() && answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

pub async fn what_was_used_up_is_kept_however_much_it_is(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    let all = Usage { fuel: u64::MAX, peak_memory_bytes: u64::MAX, bytes_in: u64::MAX, bytes_out: u64::MAX };
    bed.write(lease, JournalEntry { usage: all, took: Duration::MAX, ..finished(1) }).await;
    let read = bed.journal(&run).await.remove(0).usage;
    assert!(read.fuel >= 1 << 52 && read.bytes_out == read.fuel, "{read:?}");
    bed.store.park_run(lease, Park { usage: all, ..park() }).await.expect("the lease is valid");
    let worker = bed.worker().await;
    let lease = bed.claim(&worker).await.lease;
    let settlement = Settlement { usage: all, ..success() };
    bed.store.settle_run(lease, settlement).await.expect("the sum does not overflow");
}
