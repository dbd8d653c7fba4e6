//! What a run is told from outside.

use std::time::Duration;

use futures_util::future::{join, join_all};
use relume::store::*;
use sqlx::{Connection, PgConnection};

use crate::bed::*;

async fn send(bed: &Bed, name: &str, payload: &[u8]) -> Event {
    let event = NewEvent { name: name.into(), ..event(payload) };
    bed.store.send_event("greet", 1, event).await.expect("it is active")
}

/// What is delivered of the events `approve` to an entry that waits for one.
async fn take(bed: &Bed, lease: Lease, seq: u32) -> Option<Vec<u8>> {
    bed.write(lease, waiting(seq)).await;
    let inbox = bed.store.take_event(lease, seq, "approve").await.expect("the lease is valid");
    inbox.event
}

// R42
pub async fn events_sent_early_are_kept_in_order_and_delivered_once_each(bed: &Bed) {
    let run = bed.start().await;
    for number in 0..5 {
        send(bed, "approve", &[number]).await;
        send(bed, "other", &[number + 100]).await;
    }
    let worker = bed.worker().await;
    let claimed = bed.claim(&worker).await;
    assert_eq!(claimed.signals, 10);
    for seq in 1..=5 {
        assert_eq!(take(bed, claimed.lease, seq).await, Some(vec![seq as u8 - 1]));
    }
    assert_eq!(take(bed, claimed.lease, 6).await, None);
    let events = bed.store.list_events(run.run_id, None, 100).await.expect("they can be listed");
    let sent: Vec<_> = events.iter().map(|event| (event.payload[0], event.delivered_seq)).collect();
    let expected: Vec<_> = (0..5).flat_map(|n| [(n, Some(u32::from(n) + 1)), (n + 100, None)]).collect();
    assert_eq!(sent, expected);
    assert_eq!(bed.store.list_events(run.run_id, None, 3).await.expect("they can be listed"), events[..3]);
    assert!(events.iter().all(|event| event.sent_at >= run.created_at));
}

// R40, R42
pub async fn an_event_is_delivered_once_whatever_dies(bed: &Bed) {
    let (run, _, lease) = bed.start_and_claim().await;
    for payload in [b"first", b"other"] {
        send(bed, "approve", payload).await;
    }
    let due = Some(Due::After(Duration::from_secs(60)));
    bed.write(lease, JournalEntry { due, ..waiting(1) }).await;
    // The answer is lost, and so is the worker.
    let inbox = bed.store.take_event(lease, 1, "approve").await.expect("the lease is valid");
    let (payload, at) = (inbox.event.expect("it was sent"), inbox.now);
    assert_eq!((payload.as_slice(), inbox.signals), (&b"first"[..], 2));
    bed.lose_workers().await;
    is_lost(bed.store.take_event(lease, 1, "approve").await);
    let worker = bed.worker().await;
    let lease = bed.claim(&worker).await.lease;
    let recorded = bed.journal(&run).await.remove(0);
    let delivered = JournalEntry { recorded_at: at, state: EntryState::Finished(payload), ..waiting(1) };
    assert_eq!(recorded, delivered);
    let again = bed.store.take_event(lease, 1, "approve").await.expect("the lease is valid");
    assert_eq!(again.event, None, "the entry has its event");
    assert_eq!(take(bed, lease, 2).await.as_deref(), Some(&b"other"[..]));
    // Without an entry that waits, nothing is delivered.
    send(bed, "approve", b"third").await;
    assert_eq!(bed.store.take_event(lease, 3, "approve").await.expect("the lease is valid").event, None);
    assert_eq!(take(bed, lease, 3).await.as_deref(), Some(&b"third"[..]));
}

// R24, R42
pub async fn an_event_wakes_the_run_that_waits_for_it(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.write(lease, waiting(1)).await;
    bed.store.park_run(lease, park()).await.expect("the lease is valid");
    send(bed, "other", b"").await;
    assert!(bed.claim_due(&worker).await.is_empty(), "it waits for another");
    let sent = send(bed, "approve", b"yes").await;
    assert_eq!((sent.name.as_str(), sent.delivered_seq), ("approve", None));
    let woken = bed.claim_due(&worker).await.remove(0);
    assert_eq!(woken.signals, 2);
    let inbox = bed.store.take_event(woken.lease, 1, "approve").await.expect("the lease is valid");
    assert_eq!((inbox.signals, inbox.event), (2, Some(b"yes".to_vec())));
}

// R42
pub async fn an_event_wakes_a_worker(bed: &Bed) {
    let (_, _, lease) = bed.start_and_claim().await;
    bed.store.park_run(lease, park()).await.expect("the lease is valid");
    let other = bed.another().await;
    if bed.is_postgres() {
        other.wait_for_hint().await;
        let hinted = other.wait_for_hint();
        send(bed, "approve", b"yes").await;
        tokio::time::timeout(Duration::from_secs(10), hinted).await.expect("the other process hears of it");
    }
}

// R42, R44
pub async fn a_key_sends_one_event(bed: &Bed) {
    let run = bed.start().await;
    let keyed = |payload: &[u8]| NewEvent { key: Some("k".into()), ..event(payload) };
    let other = bed.another().await;
    let sends = (0..8).map(|n| {
        let store = if n % 2 == 0 { &bed.store } else { &other };
        store.send_event("greet", 1, keyed(&[n]))
    });
    let sent: Vec<_> = join_all(sends).await.into_iter().map(|answer| answer.expect("it is active")).collect();
    assert!(sent.iter().all(|event| *event == sent[0]), "{sent:?}");
    assert_eq!(bed.store.list_events(run.run_id, None, 9).await.expect("they can be listed"), sent[..1]);
    let worker = bed.worker().await;
    assert_eq!(bed.claim(&worker).await.signals, 1);
    // The keys of another run are its own.
    bed.start().await;
    let second = bed.store.send_event("greet", 2, keyed(b"2")).await.expect("it is active");
    assert_ne!(second.event_id, sent[0].event_id);
    // Who asks again after the end gets the same answer.
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    assert_eq!(bed.store.send_event("greet", 1, keyed(b"3")).await.expect("it was sent"), sent[0]);
}

// R42
pub async fn who_cannot_be_told_anything_is_named(bed: &Bed) {
    let run = bed.start().await;
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    let refused = refusal(bed.store.send_event("greet", 1, event(b"")).await);
    assert_eq!(refused, "run `greet#1` is already cancelled");
    assert_eq!(refusal(bed.store.send_event("greet", 2, event(b"")).await), "run `greet#2` does not exist");
    assert_eq!(refusal(bed.store.send_event("x\0", 1, event(b"")).await), "run `x\0#1` does not exist");
    assert_eq!(bed.store.list_events(run.run_id, None, 9).await.expect("they can be listed"), []);
    // Hostile text is kept as far as the database can.
    bed.start().await;
    let hostile = NewEvent { name: "a\0b".into(), payload: vec![0, 255], key: Some("k\0".into()) };
    let sent = bed.store.send_event("greet", 2, hostile).await.expect("it is active");
    assert_eq!((sent.name.as_str(), sent.payload), ("a\u{fffd}b", vec![0, 255]));
}

/// Whichever comes first: the run has it, or is due.
// R42
pub async fn no_event_beside_a_park_is_lost(bed: &Bed) {
    let worker = bed.worker().await;
    let other = bed.another().await;
    for number in 1..=60 {
        bed.start().await;
        let lease = bed.claim(&worker).await.lease;
        bed.write(lease, waiting(1)).await;
        let wait = async {
            let inbox = bed.store.take_event(lease, 1, "approve").await.expect("the lease is valid");
            let signals = inbox.signals;
            match inbox.event {
                Some(_) => true,
                None => {
                    bed.store.park_run(lease, Park { signals, ..park() }).await.expect("the lease is valid");
                    false
                }
            }
        };
        let (has_it, sent) = join(wait, other.send_event("greet", number, event(b"yes"))).await;
        sent.expect("it is active");
        if !has_it {
            let woken = bed.claim_due(&worker).await;
            assert_eq!(woken.len(), 1, "round {number}: the run sleeps, and its event is there");
            let inbox = bed.store.take_event(woken[0].lease, 1, "approve").await.expect("the lease is valid");
            assert!(inbox.event.is_some());
        }
        bed.store.cancel_run("greet", number).await.expect("it is active");
    }
}

/// On Postgres a look can begin before the event is there, wait for who sends it, and end without it.
// R42
pub async fn a_look_that_missed_an_event_does_not_count_it(bed: &Bed) {
    let (_, worker, lease) = bed.start_and_claim().await;
    bed.write(lease, waiting(1)).await;
    if !bed.is_postgres() {
        return;
    }
    let mut sender = PgConnection::connect(&bed.url).await.expect("the database answers");
    for statement in [
        "begin",
        "select 1 from runs for update",
        "insert into events (event_id, run_id, name, payload, sent_at)
            select run_id, run_id, 'approve', 'yes', 1 from runs",
        "update runs set signals = signals + 1",
    ] {
        sqlx::query(statement).execute(&mut sender).await.expect("it is written");
    }
    let look = bed.store.take_event(lease, 1, "approve");
    let commit = async {
        let waits = "select count(*)::text from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        eventually("the look waits for the sender", async || bed.lines(waits).await == ["1"]).await;
        sqlx::query("commit").execute(&mut sender).await.expect("it is committed");
    };
    let inbox = join(look, commit).await.0.expect("the lease is valid");
    let missed = inbox.event.is_none();
    assert_eq!(inbox.signals, i64::from(!missed), "what was missed is not counted");
    if missed {
        bed.store.park_run(lease, Park { signals: inbox.signals, ..park() }).await.expect("the lease is valid");
        let woken = bed.claim_due(&worker).await.remove(0);
        assert!(bed.store.take_event(woken.lease, 1, "approve").await.expect("the lease is valid").event.is_some());
    }
}

pub async fn events_go_with_their_app(bed: &Bed) {
    let run = bed.start().await;
    send(bed, "approve", b"yes").await;
    bed.store.cancel_run("greet", 1).await.expect("it is active");
    bed.store.delete_app("greet", None).await.expect("none of its runs is active");
    assert_eq!(bed.store.list_events(run.run_id, None, 9).await.expect("the database answers"), []);
}
