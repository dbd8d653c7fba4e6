//! V10: payloads that make trouble for whoever reads them. Each is sent wherever a payload goes, and comes back from
//! wherever one is shown: never as a failure of ours, on either database.

use libtest_mimic::Trial;
use relume_tests::server::answer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::{Cases, test};
use crate::world::World;

pub fn tests() -> Vec<Trial> {
    vec![
        test(
            "v10_a_poisoned_payload_is_refused_or_carried_and_never_our_failure_on_sqlite",
            async |cases: &mut Cases| {
                payloads(World::sqlite(&[]), cases).await;
            },
        ),
        test(
            "v10_a_poisoned_payload_is_refused_or_carried_and_never_our_failure_on_postgres",
            async |cases: &mut Cases| {
                payloads(World::postgres(&[]), cases).await;
            },
        ),
        test("v10_a_poisoned_text_of_a_program_is_kept_as_far_as_it_is_text_on_sqlite", async |cases: &mut Cases| {
            texts(World::sqlite(&[]), cases).await;
        }),
        test("v10_a_poisoned_text_of_a_program_is_kept_as_far_as_it_is_text_on_postgres", async |cases: &mut Cases| {
            texts(World::postgres(&[]), cases).await;
        }),
    ]
}

/// Bodies, each as it is sent.
fn poisons() -> Vec<(&'static str, Vec<u8>)> {
    let nested =
        |open: &str, close: &str, depth: usize| [open.repeat(depth), close.repeat(depth)].concat().into_bytes();
    vec![
        ("NUL in a string", b"\"a\\u0000b\"".to_vec()),
        ("a raw NUL", b"\"a\0b\"".to_vec()),
        ("NUL behind the end", b"{}\0".to_vec()),
        ("a lone high surrogate", b"\"\\ud800\"".to_vec()),
        ("a lone low surrogate", b"\"\\udc00x\"".to_vec()),
        ("surrogates in the wrong order", b"\"\\udc00\\ud800\"".to_vec()),
        ("a surrogate in UTF-8", b"\"\xed\xa0\x80\"".to_vec()),
        ("an overlong NUL", b"\"\xc0\x80\"".to_vec()),
        ("a byte that is no UTF-8", b"\"\xff\"".to_vec()),
        ("UTF-8 that is cut", b"\"\xf0\x9f\x99\"".to_vec()),
        ("a BOM", b"\xef\xbb\xbf{}".to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("10,000 arrays", nested("[", "]", 10_000)),
        ("10,000 objects", nested("{\"a\":", "}", 10_000)),
        ("10,000 objects that hold something", [&b"{\"a\":".repeat(10_000)[..], b"1", &b"}".repeat(10_000)].concat()),
        ("100,000 arrays without an end", b"[".repeat(100_000)),
        ("127 arrays", nested("[", "]", 127)),
        ("a huge number", b"1e400".to_vec()),
        ("a number of 100,000 digits", [b"1".repeat(100_000), b".5".to_vec()].concat()),
        ("a huge exponent", b"1e99999999999999999999".to_vec()),
        ("minus nothing", b"-0.0".to_vec()),
        ("NaN", b"NaN".to_vec()),
        ("Infinity", b"-Infinity".to_vec()),
        ("a number that begins with 0", b"007".to_vec()),
        ("a key twice", b"{\"a\":1,\"a\":2}".to_vec()),
        ("a key that is empty", b"{\"\":{\"\":\"\"}}".to_vec()),
        ("keys of objects' ancestors", b"{\"__proto__\":{\"x\":1},\"constructor\":null}".to_vec()),
        ("control characters", b"\"\x01\x02\x1b[2J\"".to_vec()),
        ("escaped control characters", b"\"\\u0001\\u001b[2J\\u009b\\u202e\"".to_vec()),
        ("a comma too many", b"[1,]".to_vec()),
        ("nothing but spaces", b"   \r\n".to_vec()),
        ("a comment", b"/* */ {}".to_vec()),
        ("a string of 3 MiB of quotes", [&b"\""[..], &b"\\\"".repeat(3 << 19), b"\""].concat()),
        ("SQL", b"\"'; drop table runs; --\"".to_vec()),
        ("the type of another parser", b"{\"$serde_json::private::RawValue\":\"[1]\"}".to_vec()),
        ("the number of another parser", b"{\"$serde_json::private::Number\":\"x\"}".to_vec()),
    ]
}

/// The answer is no failure of ours. Returns whether the payload was taken.
fn is_taken(what: &str, place: &str, status: u16, cases: &mut Cases) -> bool {
    assert!(matches!(status, 200 | 201 | 400 | 413 | 422), "{what} as {place}: {status}");
    cases.add(if status < 300 { "carried" } else { "refused" });
    status < 300
}

async fn payloads(world: World, cases: &mut Cases) {
    let server = &world.server;
    let app = server.deploy("echo_stdin", "").await;
    let waits = server.deploy("event_waiter", "").await;
    for (what, poison) in poisons() {
        let body = [b"{\"input\":", poison.as_slice(), b"}"].concat();
        let started = server.post(&format!("/v1/apps/{app}/runs"), body).await;
        if is_taken(what, "input", started.status, cases) {
            let run = world.finished(&app, &started.json()["run"]["number"]).await;
            assert_eq!(run["status"], "exited", "{what}: {run}");
            shown(&world, &app, &run, what).await;
        }
        let started = server.start_run(&waits, json!({"input": {"name": "poison"}})).await;
        let path = format!("/v1/apps/{waits}/runs/{}", started["number"]);
        let sent = server.post(&format!("{path}/events/poison"), poison.clone()).await;
        if is_taken(what, "event", sent.status, cases) {
            let run = world.finished(&waits, &started["number"]).await;
            // What does not fit the program's types is the program's to refuse.
            assert!(run["status"] == "exited" || run["status"] == "crashed", "{what}: {run}");
            shown(&world, &waits, &run, what).await;
        } else {
            assert_eq!(server.post(&path, "").await.status, 200, "a run can still be cancelled");
        }
        let text = String::from_utf8_lossy(&poison[..poison.len().min(4096)]).into_owned();
        let started =
            server.post(&format!("/v1/apps/{app}/runs"), json!({"parameters": {"P": text}}).to_string()).await;
        if is_taken(what, "parameter", started.status, cases) {
            let run = world.finished(&app, &started.json()["run"]["number"]).await;
            assert_eq!((&run["status"], &run["parameters"][0]["value"]), (&json!("exited"), &json!(text)), "{run}");
        }
        let described =
            answer(server.request(Method::PATCH, &format!("/v1/apps/{app}")).json(&json!({"description": text}))).await;
        is_taken(what, "description", described.status, cases);
    }
}

/// Every place where the run's payloads are shown answers.
async fn shown(world: &World, app: &str, run: &Value, what: &str) {
    for path in ["", "/journal", "/events", "/logs", "/logs?format=text", "/explain"] {
        let answer = world.server.get(&format!("/v1/apps/{app}/runs/{}{path}", run["number"])).await;
        assert_eq!(answer.status, 200, "{what} at {path}: {answer:?}");
    }
}

async fn texts(world: World, cases: &mut Cases) {
    let texts = [
        "a\0b",
        "\0",
        "\u{1b}[2J",
        "\u{feff}bom",
        "\u{202e}desrever",
        "\u{fffe}\u{ffff}",
        "\u{10ffff}",
        "'; drop table runs; --",
        "\r\n\r\nHTTP/1.1 200 OK",
        "\\u0000",
        "%00",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "\t\u{b}\u{c}",
        "ﷺ",
        "Z\u{351}\u{36f}a\u{321}lgo",
    ];
    let raws =
        ["[[[[1]]]]", "1e400", "\"\\ud800\"", "{\"a\":1,\"a\":2}", "123456789012345678901234567890", "\"\\u0000\""];
    let app = world.server.deploy("mirror", "").await;
    let deep = ["[".repeat(10_000), "]".repeat(10_000)].concat();
    let raws = raws.iter().map(|raw| (*raw).to_owned()).chain([deep]).map(|raw| (raw, "raw", "exited"));
    let texts = texts.iter().flat_map(|text| {
        ["", "fail", "panic"].map(|end| ((*text).to_owned(), end, if end.is_empty() { "exited" } else { "crashed" }))
    });
    for (text, end, status) in texts.chain(raws) {
        let run = world.run_with(&app, json!({"text": text, "end": end})).await;
        assert_eq!(run["status"], status, "{text:?} {end}: {run}");
        shown(&world, &app, &run, &text).await;
        cases.add(status);
    }
}
