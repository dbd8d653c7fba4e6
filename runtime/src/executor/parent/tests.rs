//! A child that was taken over by its guest: what it asks for, and what it says of its end.

use super::*;
use crate::journal::Parking;
use crate::store::{EntryKind, EntryState, WaitKind, WaitingOn};
use jiff::Timestamp;

const LEASE: Lease = Lease { run_id: uuid::Uuid::from_u128(1), fence: 1 };

/// Of a run whose journal has two entries.
fn attended() -> Attended {
    let store: std::sync::Arc<dyn crate::store::Record> = std::sync::Arc::new(NoStore);
    Attended {
        lease: LEASE,
        journal: JournalWriter::start(store),
        log: Log::to_nowhere(),
        limits: JournalLimits { step_attempts: 10, entry_bytes: 100, total_bytes: 250 },
        last_seq: 2,
        journal_bytes: 0,
        lease_was_lost: false,
        store_was_away: false,
    }
}

/// Nothing gets as far as this.
struct NoStore;

#[async_trait::async_trait]
impl crate::store::Record for NoStore {
    async fn append_journal(
        &self,
        _: &[(Lease, JournalEntry)],
    ) -> crate::store::Result<Vec<Option<crate::store::Recorded>>> {
        Err(crate::store::StoreError::LeaseLost)
    }
    async fn take_event(&self, _: Lease, _: u32, _: &str) -> crate::store::Result<crate::store::Inbox> {
        Err(crate::store::StoreError::LeaseLost)
    }
    async fn start_child(&self, _: Lease, _: u32, _: NewRun) -> crate::store::Result<crate::store::RunName> {
        Err(crate::store::StoreError::LeaseLost)
    }
    async fn find_child(&self, _: Lease, _: uuid::Uuid) -> crate::store::Result<crate::store::ChildState> {
        Err(crate::store::StoreError::LeaseLost)
    }
    async fn append_logs(&self, _: &[(Lease, crate::store::LogLine)]) -> crate::store::Result<u64> {
        Err(crate::store::StoreError::LeaseLost)
    }
    async fn append_calls(&self, _: &[(Lease, crate::store::Call)]) -> crate::store::Result<u64> {
        Err(crate::store::StoreError::LeaseLost)
    }
}

fn entry(seq: u32, bytes: usize) -> JournalEntry {
    JournalEntry {
        seq,
        attempt: 1,
        version: 1,
        kind: EntryKind::Step,
        name: "step".to_owned(),
        occurrence: 1,
        request: vec![],
        state: EntryState::Finished(vec![0; bytes]),
        tries: 1,
        tries_before: 0,
        due: None,
        took: Duration::ZERO,
        usage: Usage::default(),
        seeds: 0,
        recorded_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test] // V20
async fn a_child_writes_entries_only_where_they_belong_and_within_the_limits() {
    assert!(attended().check_entry(&entry(3, 100)).is_ok());
    assert!(attended().check_entry(&entry(2, 100)).is_ok(), "which the store refuses if it is final");
    for wrong in [entry(0, 1), entry(4, 1), entry(u32::MAX, 1), entry(3, 101)] {
        assert!(attended().check_entry(&wrong).is_err(), "{} {}", wrong.seq, journal::size(&wrong));
    }
    let mut attended = attended();
    assert_eq!([3, 4, 5].map(|seq| attended.check_entry(&entry(seq, 100)).is_ok()), [true, true, false]);
}

#[tokio::test] // V20
async fn a_child_asks_for_nothing_but_its_own_run() {
    let sandbox = Sandbox::asking(std::sync::Arc::new(NoNetwork)).expect("a sandbox");
    assert!(sandbox.program().is_none(), "there is no child of a child");
    for lease in [Lease { fence: 2, ..LEASE }, Lease { run_id: uuid::Uuid::from_u128(2), ..LEASE }] {
        let new = || NewChild { app: "app".to_owned(), version: None, input: vec![], parameters: Default::default() };
        for question in [
            Question::Append(lease, entry(3, 1)),
            Question::TakeEvent(lease, 2, "go".to_owned()),
            Question::StartChild(lease, 3, new()),
            Question::FindChild(lease, uuid::Uuid::from_u128(3)),
            Question::Log(lease, vec![]),
        ] {
            assert!(attended().about(question).is_err());
        }
    }
    for question in
        [Question::TakeEvent(LEASE, 3, "go".to_owned()), Question::TakeEvent(LEASE, 2, "g".repeat(MAX_NAME_BYTES + 1))]
    {
        assert!(attended().about(question).is_err());
    }
}

struct NoNetwork;

#[async_trait::async_trait]
impl crate::sandbox::Ask for NoNetwork {
    async fn ask(
        &self,
        _: crate::sandbox::AskedRequest,
    ) -> Result<crate::sandbox::AskedAnswer, crate::sandbox::AskedError> {
        Err(crate::sandbox::AskedError::RequestDenied)
    }
}

#[tokio::test] // V20
async fn a_child_is_not_believed_what_cannot_be() {
    let usage = Usage { fuel: u64::MAX, peak_memory_bytes: u64::MAX, bytes_in: 9, bytes_out: 9 };
    let told = |end, attended: &Attended, is_paused| {
        believed(Execution { end, usage, used_loose_io: true }, attended, is_paused, 7, 8)
    };
    let is_broken = |execution: &Execution| matches!(&execution.end, Ok(Outcome::Failed { failure, .. }) if failure.kind == FailureKind::Host);
    let calm = attended();
    for end in [
        Err(Interrupted::LeaseLost),
        Err(Interrupted::StoreUnavailable),
        Err(Interrupted::Paused),
        Err(Interrupted::Replayed),
        Err(Interrupted::Crashed),
        Ok(Outcome::Exited { output: Some(vec![0; 101]) }),
    ] {
        assert!(is_broken(&told(end.clone(), &calm, false)), "{end:?}");
    }
    let away = Attended { lease_was_lost: true, store_was_away: true, ..attended() };
    for end in [Interrupted::LeaseLost, Interrupted::StoreUnavailable, Interrupted::Paused] {
        assert_eq!(told(Err(end.clone()), &away, true).end, Err(end));
    }
    let waiting_on = WaitingOn { kind: WaitKind::Event, name: "go".to_owned(), until: None };
    let parked = Interrupted::Parked(Box::new(Parking { waiting_on, child: None, signals: 0 }));
    assert_eq!(told(Err(parked.clone()), &calm, false).end, Err(parked));
    let exited = told(Ok(Outcome::Exited { output: None }), &calm, false);
    assert_eq!(exited.usage, Usage { fuel: 7, peak_memory_bytes: 8, bytes_in: 0, bytes_out: 0 });
    assert!(!exited.used_loose_io, "the parent knows that itself");
    let long = Outcome::failed(FailureKind::Error, "x".repeat(1_000_000));
    match told(Ok(long), &calm, false).end {
        Ok(Outcome::Failed { failure, .. }) => assert_eq!(failure.message.len(), MAX_MESSAGE_BYTES),
        other => panic!("{other:?}"),
    }
}
