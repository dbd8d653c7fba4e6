//! V18: what guests and callers write, as it reaches a browser: as data with its right type, never as a page.

use libtest_mimic::Trial;
use relume_tests::server::{Answer, answer};
use reqwest::Method;
use serde_json::json;

use crate::report::{Cases, test};
use crate::world::World;

pub fn tests() -> Vec<Trial> {
    vec![test("v18_no_answer_of_the_api_is_a_page", pages)]
}

/// 100 ways to have a script executed where a text is taken for markup.
fn payloads() -> Vec<String> {
    let scripts = [
        "<script>alert(1)</script>",
        "<ScRiPt>alert(1)</sCrIpT>",
        "<script src=//evil.example></script>",
        "<script>alert(1)//",
        "<img src=x onerror=alert(1)>",
        "<img/src=x/onerror=alert(1)>",
        "<svg onload=alert(1)>",
        "<svg><script>alert(1)</script>",
        "<body onload=alert(1)>",
        "<iframe srcdoc=\"<script>alert(1)</script>\">",
        "<iframe src=javascript:alert(1)>",
        "<a href=javascript:alert(1)>x</a>",
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "<object data=javascript:alert(1)>",
        "<embed src=javascript:alert(1)>",
        "<math><mi xlink:href=javascript:alert(1)>",
        "<details open ontoggle=alert(1)>",
        "<video><source onerror=alert(1)>",
        "<marquee onstart=alert(1)>",
        "<input autofocus onfocus=alert(1)>",
        "<meta http-equiv=refresh content=\"0;javascript:alert(1)\">",
        "<link rel=stylesheet href=javascript:alert(1)>",
        "<base href=javascript:/>",
        "<!--><script>alert(1)</script>",
    ];
    let around = [("", ""), ("\"'>", ""), ("</title></textarea></script>", "<!--"), ("]]>", "\u{2028}")];
    scripts.iter().flat_map(|script| around.map(|(before, after)| format!("{before}{script}{after}"))).collect()
}

fn check(what: &str, answer: &Answer, cases: &mut Cases) {
    assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{what}: {answer:?}");
    let policy = answer.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'none'"), "{what}: {policy}");
    let kind = answer.headers["content-type"].to_str().expect("text");
    match kind {
        "application/json" | "application/problem+json" => {
            // No parser of markup meets it, and one of scripts that does reads one value.
            assert!(serde_json::from_str::<serde_json::Value>(&answer.text).is_ok(), "{what}: {}", answer.text);
        }
        "text/event-stream" => {}
        "text/plain; charset=utf-8" => {
            let disposition = answer.headers["content-disposition"].to_str().expect("text");
            assert!(disposition.starts_with("attachment;"), "{what}: {disposition}");
        }
        other => panic!("{what} is told as {other}"),
    }
    cases.add("data");
}

async fn pages(cases: &mut Cases) {
    assert_eq!(payloads().len(), 100);
    let world = World::sqlite(&[]);
    let server = &world.server;
    let app = server.deploy("mirror", "").await;
    for payload in payloads() {
        let describe = json!({"description": payload});
        check(
            &payload,
            &answer(server.request(Method::PATCH, &format!("/v1/apps/{app}")).json(&describe)).await,
            cases,
        );
        let body = json!({"input": {"text": payload, "end": "wait"}, "parameters": {"P": payload}});
        let run = server.start_run(&app, body).await;
        let path = format!("/v1/apps/{app}/runs/{}", run["number"]);
        let name: String = payload.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let sent = server.post(&format!("{path}/events/{name}"), json!(payload).to_string()).await;
        assert_eq!(sent.status, 201, "{sent:?}");
        check(&payload, &sent, cases);
        let run = world.finished(&app, &run["number"]).await;
        // Its event is no `()`.
        assert_eq!(run["status"], "crashed", "{run}");
        for path in
            ["", "/journal", "/events", "/explain", "/logs", "/logs?limit=9", "/logs?format=text", "/logs/stream"]
                .map(|rest| format!("{path}{rest}"))
        {
            check(&payload, &server.get(&path).await, cases);
        }
    }
    for path in [
        format!("/v1/apps/{app}"),
        "/v1/apps".into(),
        "/v1/runs?limit=100".into(),
        "/v1/openapi.json".into(),
        "/healthz".into(),
    ] {
        check(&path, &server.get(&path).await, cases);
    }
    // What is refused is told with what was asked for.
    for path in
        ["/v1/apps/<svg onload=alert(1)>", "/<script>alert(1)</script>", "/v1/runs?status=<script>alert(1)</script>"]
    {
        check(path, &server.get(path).await, cases);
        check(path, &answer(server.anonymous(Method::GET, path)).await, cases);
    }
}
