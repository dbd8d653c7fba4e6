//! V9: entries, inputs, outputs, events and names that are too large, and journals that grow without end.

use libtest_mimic::Trial;
use relume::journal::JournalLimits;
use relume::manifest::{Limit, Limits, SomeLimits};
use relume::store::NewRun;
use relume_tests::node::{Finished, Node};
use relume_tests::server::{Server, answer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::{Cases, test};

const MIB: usize = 1 << 20;

pub fn tests() -> Vec<Trial> {
    vec![
        test("v09_what_a_program_hands_over_has_an_end", handed_over),
        test("v09_a_journal_is_told_to_be_half_full_and_ends_at_its_limit", totals),
        test("v09_what_a_caller_sends_has_an_end", sent),
    ]
}

async fn nodes() -> [Node; 2] {
    let nodes = [Node::sqlite().await, Node::postgres().await];
    for node in &nodes {
        node.deploy("heavy", "[limits]\nmemory_mib = 128\n").await;
    }
    nodes
}

async fn run(node: &Node, way: &str, bytes: usize, times: u32, limits: SomeLimits) -> Finished {
    let input = json!({"way": way, "bytes": bytes, "times": times}).to_string().into_bytes();
    let run = node.start_new(NewRun { app: "heavy".into(), input, limits, ..NewRun::default() }).await;
    node.finished(&run).await
}

fn only(limit: Limit, value: u64) -> SomeLimits {
    [(limit, value)].into_iter().collect()
}

async fn handed_over(cases: &mut Cases) {
    let most = JournalLimits::from(&Limits::default()).entry_bytes;
    for node in nodes().await {
        let _worker = node.worker();
        // The way, the bytes, and what the failure says.
        for (way, bytes, words) in [
            ("result", most, "limits.journal_entry_mib"),
            ("result", 3 * most, "limits.journal_entry_mib"),
            ("given", most, "limits.journal_entry_mib"),
            ("given", 3 * most, "limits.journal_entry_mib"),
            ("output", most, "limits.journal_entry_mib"),
            ("output", 3 * most, "limits.journal_entry_mib"),
            ("child_input", most, "limits.journal_entry_mib"),
            ("child_parameter", most, "limits.journal_entry_mib"),
            ("child_app", most, ""),
            ("name", 257, "1 to 256 bytes"),
            ("name", 3 * most, "1 to 256 bytes"),
            ("event", 257, "1 to 256 bytes"),
            ("event", 3 * most, "1 to 256 bytes"),
            ("step_error", 3 * most, "[cut]"),
            ("error", 3 * most, "[cut]"),
            ("panic", 3 * most, ""),
        ] {
            let finished = run(&node, way, bytes, 1, SomeLimits::default()).await;
            let message = &finished.failure().message;
            let shown: String = message.chars().take(300).collect();
            assert!(finished.verdict().starts_with("crashed "), "{way} {bytes}: {} {shown}", finished.verdict());
            assert!(message.contains(words) && message.len() < 128 * 1024, "{way} {bytes}: {shown}");
            cases.add(&finished.verdict());
        }
        let finished = run(&node, "result", MIB, 1, only(Limit::JournalEntryMib, 1)).await;
        assert!(finished.failure().message.contains(&format!("the most is {MIB} (`limits.journal_entry_mib`)")));
        cases.add(&finished.verdict());
        for way in ["result", "given", "output", "child_input"] {
            // In JSON there are two quotes around it, and a call has a few bytes of its own.
            let finished = run(&node, way, most - 64, 1, SomeLimits::default()).await;
            let words = if way == "child_input" { "nobody" } else { "" };
            let message = finished.run.failure.as_ref().map_or("", |failure| failure.message.as_str());
            assert!(finished.run.status.as_str() == if words.is_empty() { "exited" } else { "crashed" }, "{way}");
            assert!(message.contains(words), "{way}: {message}");
            cases.add(&finished.verdict());
        }
    }
}

async fn totals(cases: &mut Cases) {
    for node in nodes().await {
        let _worker = node.worker();
        for (way, bytes, times) in [("result", MIB / 2, 20), ("given", MIB / 2, 20), ("result", 100 * 1024, 90)] {
            let finished = run(&node, way, bytes, times, only(Limit::JournalMib, 4)).await;
            assert_eq!(finished.verdict(), "crashed error", "{way}");
            let message = &finished.failure().message;
            assert!(message.contains("would exceed 4194304 bytes (`limits.journal_mib`)"), "{message}");
            let told: Vec<_> = finished.log.iter().filter(|line| line.content.contains("half full")).collect();
            assert_eq!(told.len(), 1, "{:?}", finished.log);
            assert!(told[0].content.contains("the most is 4 MiB (`limits.journal_mib`)"), "{}", told[0].content);
            let kept: u64 = finished.journal.iter().map(relume::store::JournalEntry::weight).sum();
            assert!(kept <= 4 * MIB as u64, "{kept} bytes were kept");
            cases.add(&finished.verdict());
        }
        let finished = run(&node, "result", MIB / 2, 3, only(Limit::JournalMib, 4)).await;
        assert_eq!(finished.verdict(), "exited");
        assert!(finished.log.iter().all(|line| !line.content.contains("half full")), "{:?}", finished.log);
    }
}

async fn sent(cases: &mut Cases) {
    for server in [Server::sqlite(), Server::postgres()] {
        let app = server.deploy("event_waiter", "").await;
        server.start_run(&app, json!({"input": {"name": "go"}, "scheduled_at": "2100-01-01T00:00:00Z"})).await;
        let runs = format!("/v1/apps/{app}/runs");
        let events = |name: &str| format!("{runs}/1/events/{name}");
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        for (path, body) in [
            (runs.clone(), format!("{{\"input\": {}}}", text(4 * MIB + 1))),
            (runs.clone(), format!("{{\"input\": {}}}", text(20 * MIB))),
            (runs.clone(), format!("{{\"parameters\": {{\"A\": {}}}}}", text(20 * MIB))),
            (events("go"), text(4 * MIB + 1)),
            (events("go"), text(20 * MIB)),
            ("/v1/apps".into(), format!("{{\"name\": {}}}", text(20 * MIB))),
            ("/v1/secrets".into(), format!("{{\"name\": \"A\", \"value\": {}}}", text(20 * MIB))),
        ] {
            // A client that goes on sending after twice as much is not listened to any more.
            let request = server.request(Method::POST, &path).header("content-type", "application/json").body(body);
            let verdict = match request.send().await {
                Ok(refused) => {
                    assert_eq!(refused.status(), 413, "{path}");
                    "refused"
                }
                Err(error) => {
                    assert!(error.is_request() || error.is_body(), "{path}: {error:?}");
                    "hung up on"
                }
            };
            cases.add(verdict);
        }
        for name in ["n".repeat(257), "n".repeat(10_000)] {
            let refused = answer(server.request(Method::POST, &events(&name)).json(&Value::Null)).await;
            refused.problem(422, "invalid_field");
            cases.add("refused");
        }
        // Just as much as there may be.
        assert_eq!(server.post(&events("go"), text(4 * MIB)).await.status, 201);
        assert_eq!(server.post(&runs, format!("{{\"input\": {}}}", text(4 * MIB))).await.status, 201);
        assert_eq!(
            server.get(&runs).await.json()["runs"].as_array().map(Vec::len),
            Some(2),
            "no refused start made a run"
        );
    }
}
