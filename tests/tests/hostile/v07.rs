//! V7: host calls that never return, because whoever is asked never answers, or never stops.

use std::time::Duration;

use libtest_mimic::Trial;
use relume_tests::node::LOOPBACK;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::network::{Bed, get, sandbox, send_for_ever, server, silent_name_server};
use crate::report::{Cases, test};

/// How long a call may take in these tests.
const CALL: Duration = Duration::from_secs(2);
/// How long an attempt may take until it is over, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn tests() -> Vec<Trial> {
    vec![
        test("v07_a_call_that_never_ends_is_ended_for_the_program", calls_end),
        test("v07_an_attempt_in_a_call_that_never_ends_ends_by_its_own_time", attempts_end),
    ]
}

/// Whom to ask so that it never ends.
async fn tarpits() -> Vec<(&'static str, Value)> {
    let ok = "HTTP/1.1 200 OK\r\n\r\n";
    let drip = Duration::from_millis(20);
    let silent = server("127.0.0.1", move |stream| send_for_ever(stream, "", b"", drip)).await;
    let half = server("127.0.0.1", move |stream| send_for_ever(stream, "HTTP/1.1 2", b"", drip)).await;
    let slow_head =
        server("127.0.0.1", move |stream| send_for_ever(stream, "HTTP/1.1 200 OK\r\nx: ", b"x", drip)).await;
    let interim =
        server("127.0.0.1", move |stream| send_for_ever(stream, "", b"HTTP/1.1 100 Continue\r\n\r\n", drip)).await;
    let stuck = server("127.0.0.1", move |stream| send_for_ever(stream, ok, b"", drip)).await;
    let slow = server("127.0.0.1", move |stream| send_for_ever(stream, ok, b"x", drip)).await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let trickle = server("127.0.0.1", move |stream| send_for_ever(stream, chunked, b"1\r\nx\r\n", drip)).await;
    // It takes the connection, and neither reads nor writes.
    let deaf = server("127.0.0.1", |stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    vec![
        ("a server that says nothing", get(silent)),
        ("half a status", get(half)),
        ("a slow head", get(slow_head)),
        ("answers that are none", get(interim)),
        ("a body that never begins", get(stuck)),
        ("a slow body", get(slow)),
        ("slow chunks", get(trickle)),
        (
            "a request that is not read",
            json!({"authority": deaf.to_string(), "method": "POST", "body_bytes": 30_000_000}),
        ),
        ("no handshake", json!({"authority": deaf.to_string(), "scheme": "https"})),
        ("a name server that says nothing", get("tarpit.example")),
    ]
}

fn lines() -> Vec<String> {
    ["http://127.0.0.1:*", "https://127.0.0.1:*", "http://tarpit.example"].map(str::to_owned).into()
}

async fn calls_end(cases: &mut Cases) {
    let (name_server, _deaf) = silent_name_server().await;
    let limits = format!("[limits]\ncall_seconds = {}\n", CALL.as_secs());
    let bed = Bed::new(sandbox(&LOOPBACK, Some(name_server)), &lines(), &limits).await;
    for (what, ask) in tarpits().await {
        let began = Instant::now();
        let told = bed.fetch(&[ask], false).await.remove(0);
        assert!(told.to_lowercase().contains("timeout"), "{what}: {told}");
        assert!(began.elapsed() >= CALL && began.elapsed() < PATIENCE, "{what}: {:?}", began.elapsed());
        cases.add("call ended");
    }
}

async fn attempts_end(cases: &mut Cases) {
    let (name_server, _deaf) = silent_name_server().await;
    let bed = Bed::new(sandbox(&LOOPBACK, Some(name_server)), &lines(), "[limits]\nrunning_time_seconds = 1\n").await;
    let plain = bed.node.deploy("plain", "").await;
    let mut runs = Vec::new();
    // Twice as many at once as the worker has slots, so that each slot has to be given back.
    for (what, ask) in tarpits().await {
        let many = vec![ask; 8];
        runs.push((what, bed.node.start("fetch", json!({"asks": many, "at_once": !what.contains("read")}), &[]).await));
    }
    let after = bed.node.start(&plain, json!({}), &[]).await;
    for (what, run) in runs {
        let finished = bed.node.finished(&run).await;
        assert_eq!(finished.verdict(), "crashed timeout", "{what}: {finished:?}");
        let calls = bed.node.store.list_calls(run.run_id, 0, 100).await.expect("they are listed");
        assert!(!calls.is_empty() && calls.iter().all(|call| call.error.is_some()), "{what}: {calls:?}");
        cases.add("crashed timeout");
    }
    assert_eq!(bed.node.finished(&after).await.verdict(), "exited", "there is room for others");
}
