//! What a program is answered, by a journal in memory.

use super::*;
use crate::retry::{Delays, StepPolicy};

const CREATED_AT: Timestamp = Timestamp::UNIX_EPOCH;

fn terms() -> Terms {
    Terms {
        attempt: 1,
        version: 1,
        limits: JournalLimits::from(&Limits::default()),
        origin_run_id: Uuid::nil(),
        origin_at: CREATED_AT,
        now: CREATED_AT,
        until_deadline: None,
        signals: 0,
    }
}

fn entry(seq: u32, name: &str, state: EntryState) -> JournalEntry {
    JournalEntry {
        seq,
        attempt: 1,
        version: 1,
        kind: EntryKind::Step,
        name: name.to_owned(),
        occurrence: 1,
        request: Vec::new(),
        state,
        tries: 1,
        tries_before: 0,
        due: None,
        took: Duration::ZERO,
        usage: Usage::default(),
        seeds: 0,
        recorded_at: CREATED_AT,
    }
}

fn finished(seq: u32, name: &str, occurrence: u32) -> JournalEntry {
    JournalEntry { occurrence, ..entry(seq, name, EntryState::Finished(vec![seq as u8])) }
}

fn journal(recorded: Vec<JournalEntry>) -> (Journal, Tape) {
    let tape = Tape::default();
    (Journal::on_tape(terms(), recorded, tape.clone()), tape)
}

fn options(maximum_attempts: u32) -> StepOptions {
    let policy = StepPolicy { maximum_attempts, delays: Delays::Fixed(Duration::from_secs(1)) };
    StepOptions { policy, at_most_once: false, given: Vec::new() }
}

fn failure(message: &str) -> StepFailure {
    StepFailure { message: message.to_owned(), is_retryable: true, retry_after: None }
}

async fn begin(journal: &mut Journal, name: &str) -> Result<Begun, JournalError> {
    journal.begin(name.to_owned(), options(3)).await
}

async fn live(journal: &mut Journal, name: &str) -> LiveStep {
    match begin(journal, name).await {
        Ok(Begun::Live(step)) => step,
        other => panic!("`{name}` was answered {other:?}"),
    }
}

async fn replayed(journal: &mut Journal, name: &str) -> Vec<u8> {
    match begin(journal, name).await {
        Ok(Begun::Replayed(output, _)) => output,
        other => panic!("`{name}` is in the journal, and was answered {other:?}"),
    }
}

#[tokio::test] // R20
async fn recorded_steps_are_answered_in_order_and_the_next_is_live() {
    let (mut journal, _) = journal(vec![finished(1, "a", 1), finished(2, "a", 2)]);
    assert_eq!(replayed(&mut journal, "a").await, [1]);
    assert_eq!(replayed(&mut journal, "a").await, [2]);
    assert!(!journal.is_replaying());
    assert_eq!(live(&mut journal, "a").await.seq(), 3);
}

#[tokio::test] // R20
async fn another_call_than_the_recorded_one_is_a_divergence() {
    let given = |given: &str| StepOptions { given: given.into(), ..options(3) };
    for (name, options) in [("ship", options(3)), ("charge", given("{\"cents\":2}"))] {
        let (mut journal, _) = journal(vec![finished(1, "charge", 1)]);
        match journal.begin(name.to_owned(), options).await {
            Err(JournalError::Divergence(divergence)) => {
                assert_eq!((divergence.seq, divergence.recorded.name.as_str()), (1, "charge"));
            }
            other => panic!("{other:?}"),
        }
    }
    let (mut slept, _) = journal(vec![finished(1, "charge", 1)]);
    assert!(matches!(slept.sleep(Sleep::For(Duration::ZERO)).await, Err(JournalError::Divergence(_))));
    let (ended, _) = journal(vec![finished(1, "charge", 1)]);
    assert!(matches!(ended.end(), Err(JournalError::Divergence(divergence)) if divergence.made.is_none()));
}

#[tokio::test(start_paused = true)] // R21, R25
async fn a_failing_step_is_executed_again_after_its_wait_until_its_tries_are_used_up() {
    let (mut journal, tape) = journal(vec![]);
    let started = Instant::now();
    let mut step = live(&mut journal, "charge").await;
    for _ in 0..2 {
        step = journal.fail(step, failure("declined"), Spent::default()).await.expect("it is written").expect("a try");
    }
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    let failed = journal.fail(step, failure("declined"), Spent::default()).await.expect("it is written");
    assert_eq!(failed.expect_err("three tries").message, "declined");
    let [entry] = &tape.entries()[..] else { panic!("one step, one entry") };
    assert_eq!((&entry.state, entry.tries), (&EntryState::Failed("declined".to_owned()), 3));
}

#[tokio::test(start_paused = true)] // R23
async fn an_error_may_name_its_own_wait_or_that_there_is_no_point_in_one() {
    let (mut journal, _) = journal(vec![]);
    let started = Instant::now();
    let step = live(&mut journal, "charge").await;
    let later = StepFailure { retry_after: Some(Duration::from_secs(7)), ..failure("busy") };
    let step = journal.fail(step, later, Spent::default()).await.expect("it is written").expect("a try");
    assert_eq!(started.elapsed(), Duration::from_secs(7));
    let never = StepFailure { is_retryable: false, ..failure("no such card") };
    assert!(journal.fail(step, never, Spent::default()).await.expect("it is written").is_err());
}

#[tokio::test(start_paused = true)] // R27
async fn the_run_ends_when_a_step_wants_more_tries_than_a_run_may_have() {
    let tape = Tape::default();
    let recorded = vec![JournalEntry { tries: 2, tries_before: 5, ..finished(1, "a", 1) }];
    let mut journal = Journal::on_tape(
        Terms { limits: JournalLimits { step_attempts: 8, ..terms().limits }, ..terms() },
        recorded,
        tape.clone(),
    );
    replayed(&mut journal, "a").await;
    let step = live(&mut journal, "b").await;
    let over = journal.fail(step, failure("declined"), Spent::default()).await;
    assert!(matches!(over, Err(JournalError::StepLimit(8))), "{over:?}");
    assert_eq!(tape.entries()[1].tries, 1, "what was tried is recorded");
}

#[tokio::test(start_paused = true)] // R28
async fn a_try_that_would_begin_at_the_deadline_does_not_happen() {
    let soon = Terms { until_deadline: Some(Duration::from_secs(1)), ..terms() };
    let mut journal = Journal::on_tape(soon, vec![], Tape::default());
    let step = live(&mut journal, "charge").await;
    assert!(journal.fail(step, failure("declined"), Spent::default()).await.expect("it is written").is_err());
}

#[tokio::test(start_paused = true)] // R6, R21, R31
async fn a_new_attempt_has_all_the_tries_again() {
    let again = |attempt| JournalEntry { attempt, tries: 2, ..entry(1, "charge", EntryState::Again("no".to_owned())) };
    for (attempt, tries_left) in [(1, 1), (0, 3)] {
        let (mut journal, tape) = journal(vec![again(attempt)]);
        let mut step = live(&mut journal, "charge").await;
        let mut tries = 1;
        while let Ok(next) = journal.fail(step, failure("no"), Spent::default()).await.expect("it is written") {
            (step, tries) = (next, tries + 1);
        }
        let entry = &tape.entries()[0];
        assert_eq!((tries, entry.tries + entry.tries_before), (tries_left, 2 + tries_left));
    }
}

#[tokio::test] // R41
async fn what_is_executed_at_most_once_is_recorded_first_and_indeterminate_after_a_crash() {
    let once = || StepOptions { at_most_once: true, ..options(3) };
    let (mut first, tape) = journal(vec![]);
    let begun = first.begin("charge".to_owned(), once()).await;
    assert!(matches!(begun, Ok(Begun::Live(_))), "{begun:?}");
    assert_eq!(tape.entries()[0].state, EntryState::Begun);

    for _ in 0..2 {
        let (mut next, tape_of_next) = journal(tape.entries());
        let Ok(Begun::Failed(failed)) = next.begin("charge".to_owned(), once()).await else { panic!("it is unknown") };
        assert!(failed.is_indeterminate);
        assert_eq!(tape_of_next.entries()[0].state, EntryState::Indeterminate);
    }
}

#[tokio::test(start_paused = true)] // R42
async fn a_sleep_is_over_when_its_time_has_come_also_in_a_replay() {
    let (mut first, tape) = journal(vec![]);
    first.sleep(Sleep::For(Duration::from_secs(3600))).await.expect("it is over");
    assert_eq!(first.last_met().1, CREATED_AT + Duration::from_secs(3600));
    let started = Instant::now();
    let later = Terms { now: CREATED_AT + Duration::from_secs(3000), ..terms() };
    let mut next = Journal::on_tape(later, tape.entries(), Tape::default());
    next.sleep(Sleep::For(Duration::from_secs(3600))).await.expect("it is over");
    assert_eq!(started.elapsed(), Duration::from_secs(600));
}

#[tokio::test] // R42
async fn no_length_of_time_a_program_names_does_harm() {
    let (mut journal, tape) = journal(vec![]);
    for length in [Sleep::For(Duration::MAX), Sleep::Until(u64::MAX)] {
        let slept = tokio::time::timeout(Duration::ZERO, journal.sleep(length)).await;
        assert!(slept.is_err(), "{length:?}");
    }
    assert!(tape.entries().iter().all(|entry| matches!(entry.due, Some(Due::At(_)))));
}

#[tokio::test] // R42
async fn the_clock_is_read_once() {
    let (mut first, tape) = journal(vec![]);
    let now = first.read_clock().await.expect("it is written");
    let late = Terms { now: CREATED_AT + Duration::from_secs(60), ..terms() };
    let mut next = Journal::on_tape(late, tape.entries(), Tape::default());
    assert_eq!(next.read_clock().await.expect("it is recorded"), now);
}

#[tokio::test] // V9
async fn an_entry_over_the_limit_is_refused() {
    let (mut journal, _) = journal(vec![]);
    let step = live(&mut journal, "big").await;
    let result = journal.succeed(step, Spent::default(), vec![0; (4 << 20) + 1]).await;
    assert!(matches!(result, Err(JournalError::Refused(_))));
    let given = StepOptions { given: vec![0; (4 << 20) + 1], ..options(1) };
    assert!(matches!(journal.begin("big".to_owned(), given).await, Err(JournalError::Refused(_))));
}

#[tokio::test] // V9
async fn a_journal_is_told_once_to_be_half_full_and_holds_no_more_than_it_may() {
    let limits = JournalLimits { total_bytes: 1000, ..terms().limits };
    let mut journal = Journal::on_tape(Terms { limits, ..terms() }, vec![], Tape::default());
    let mut told = vec![];
    for number in 1..=9 {
        let step = live(&mut journal, &format!("s{number}")).await;
        journal.succeed(step, Spent::default(), vec![0; 100]).await.expect("there is room");
        told.extend(journal.take_warning());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("600 bytes") && told[0].contains("`limits.journal_mib`"), "{told:?}");
    let step = live(&mut journal, "last").await;
    let refused = journal.succeed(step, Spent::default(), vec![0; 101]).await.expect_err("it is full").to_string();
    assert!(refused.contains("1000 bytes") && refused.contains("`limits.journal_mib`"), "{refused}");
}

#[tokio::test] // V6
async fn a_name_is_neither_empty_nor_long() {
    let (mut journal, _) = journal(vec![]);
    for name in [String::new(), "n".repeat(257), "n\0".to_owned()] {
        assert!(matches!(begin(&mut journal, &name).await, Err(JournalError::Refused(_))));
        assert!(matches!(journal.await_event(name, None).await, Err(JournalError::Refused(_))));
    }
}

#[tokio::test]
async fn nothing_new_begins_once_paused_but_what_is_recorded_is_answered() {
    let pause = CancellationToken::new();
    let sink = Sink::Tape(Tape::default());
    let mut journal = Journal::with_sink(terms(), vec![finished(1, "a", 1)], sink, pause.clone());
    pause.cancel();
    assert_eq!(replayed(&mut journal, "a").await, [1]);
    assert!(matches!(begin(&mut journal, "b").await, Err(JournalError::Paused)));
}

#[tokio::test] // R31
async fn a_check_ends_where_the_record_does() {
    let mut journal = Journal::check(terms(), vec![finished(1, "a", 1)]);
    assert_eq!(replayed(&mut journal, "a").await, [1]);
    assert!(matches!(begin(&mut journal, "b").await, Err(JournalError::Replayed)));
}

#[tokio::test] // R43
async fn only_a_child_can_be_waited_for() {
    let (mut journal, _) = journal(vec![]);
    for id in ["", "x", "00000000-0000-0000-0000-000000000000"] {
        assert!(matches!(journal.await_child(id).await, Err(JournalError::Refused(_))));
    }
}
