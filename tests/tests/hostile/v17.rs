//! V17: uploads, changes and starts that come late, come twice, or come at the same time.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use libtest_mimic::Trial;
use relume::manifest::Limit;
use relume_tests::component::numbered;
use relume_tests::guests;
use relume_tests::server::{Answer, Server, answer};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::report::{Cases, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("v17_an_upload_that_comes_again_changes_nothing", again),
        test("v17_a_version_that_may_do_more_needs_approval_every_time", approval),
        test("v17_a_stale_change_of_an_app_is_refused", stale),
        test("v17_changes_side_by_side_are_all_kept", side_by_side),
        test("v17_a_start_that_comes_again_is_the_same_run", starts),
    ]
}

async fn servers() -> [Server; 2] {
    let servers = [Server::sqlite(), Server::postgres()];
    for server in &servers {
        assert_eq!(server.post("/v1/apps", r#"{"name": "plain"}"#).await.status, 201);
    }
    servers
}

fn component(number: u32) -> Vec<u8> {
    numbered(&std::fs::read(guests::path("plain")).expect("it was built"), number)
}

async fn upload(server: &Server, component: Vec<u8>, manifest: &str, query: &str) -> Answer {
    let form = Form::new()
        .part("component", Part::bytes(component).file_name("app.wasm"))
        .part("manifest", Part::text(manifest.to_owned()));
    answer(server.request(Method::POST, &format!("/v1/apps/plain/versions{query}")).multipart(form)).await
}

fn version(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["version"]["version"].as_str().expect("a name").to_owned()
}

async fn versions(server: &Server) -> Vec<Value> {
    server.get("/v1/apps/plain/versions").await.json()["versions"].as_array().expect("a list").clone()
}

async fn again(cases: &mut Cases) {
    for server in servers().await {
        assert_eq!(version(&upload(&server, component(1), "", "").await), "v1");
        let before = versions(&server).await;
        for _ in 0..3 {
            assert_eq!(version(&upload(&server, component(1), "", "").await), "v1");
            cases.add("the same");
        }
        let at_once = join_all((0..8).map(|_| upload(&server, component(1), "", ""))).await;
        assert!(at_once.iter().all(|answer| version(answer) == "v1"));
        assert_eq!(versions(&server).await, before);
        cases.add("the same");
        // An old upload is a new version, and takes the place of none.
        assert_eq!(version(&upload(&server, component(2), "", "").await), "v2");
        assert_eq!(version(&upload(&server, component(1), "", "").await), "v3");
        let after = versions(&server).await;
        assert_eq!((after.len(), &after[2]), (3, &before[0]));
        assert_eq!(after[0]["content_checksum"], after[2]["content_checksum"]);
        cases.add("another");
        let at_once = join_all((10..18).map(|number| upload(&server, component(number), "", ""))).await;
        let numbers: BTreeSet<_> = at_once.iter().map(version).collect();
        assert_eq!(numbers.len(), 8, "each has its own number");
        cases.add("another");
    }
}

async fn approval(cases: &mut Cases) {
    let (less, more) = ("", "allowed_hosts = [\"https://api.example.com\"]\nsecrets = [\"KEY\"]\n[env]\nA = \"1\"\n");
    for server in servers().await {
        let first = upload(&server, component(1), more, "").await;
        assert_eq!(version(&first), "v1", "the first has nothing to be more than");
        let told: Vec<_> = first.json()["version"]["difference"]["added"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|c| c["kind"].clone())
            .collect();
        assert_eq!(told.iter().filter(|kind| *kind != "import").count(), 3, "{told:?}");
        assert_eq!(version(&upload(&server, component(1), less, "").await), "v2", "less is no more");
        for manifest in [
            more,
            "allowed_hosts = [\"https://api.example.com\"]",
            "secrets = [\"KEY\"]",
            "loose_io = true",
            "[env]\nA = \"1\"",
            "[limits]\nmemory_mib = 257",
            "[limits]\nlog_mib = 11",
        ] {
            let before = versions(&server).await;
            for query in ["", "?approve=false", "?create=true"] {
                let refused = upload(&server, component(1), manifest, query).await.problem(409, "needs_approval");
                assert!(refused["detail"].as_str().is_some_and(|told| told.contains("\n+ ")), "{refused}");
                cases.add("refused");
            }
            let at_once = join_all((0..4).map(|_| upload(&server, component(1), manifest, ""))).await;
            assert!(at_once.iter().all(|answer| answer.status == 409));
            assert_eq!(versions(&server).await, before, "nothing was changed");
            let approved = version(&upload(&server, component(1), manifest, "?approve=true").await);
            assert_eq!(version(&upload(&server, component(1), manifest, "").await), approved, "it is active already");
            // Replayed after it was taken back, it has to be approved again.
            upload(&server, component(1), less, "").await;
            upload(&server, component(1), manifest, "").await.problem(409, "needs_approval");
            cases.add("refused");
        }
        for bad in ["?approve=yes", "?approve=", "?approve=1", "?approve=true&approve=true"] {
            assert_eq!(
                upload(&server, component(1), more, bad).await.problem(422, "invalid_field")["field"],
                "approve"
            );
            cases.add("refused");
        }
        // Whoever comes between: an approval of nothing is no approval of what another took back meanwhile.
        let mixed = join_all((0..12).map(|number| async move { number }).map(|number| async {
            let number = number.await;
            upload(&server, component(1), if number % 2 == 0 { more } else { less }, "").await.status
        }))
        .await;
        assert!(
            mixed.iter().enumerate().all(|(number, status)| *status == if number % 2 == 0 { 409 } else { 201 }),
            "{mixed:?}"
        );
        cases.add("refused");
    }
}

async fn patch(server: &Server, revision: Option<&str>, body: Value) -> Answer {
    let request = server.request(Method::PATCH, "/v1/apps/plain").json(&body);
    answer(match revision {
        Some(revision) => request.header("If-Match", revision),
        None => request,
    })
    .await
}

fn revision(headers: &HeaderMap) -> String {
    headers.get("etag").map(HeaderValue::to_str).expect("an ETag").expect("it is text").to_owned()
}

async fn stale(cases: &mut Cases) {
    for server in servers().await {
        let seen = revision(&server.get("/v1/apps/plain").await.headers);
        let changed = patch(&server, Some(&seen), json!({"limits": {"memory_mib": 64}})).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let now = server.get("/v1/apps/plain").await.text;
        for body in [
            json!({"limits": {"memory_mib": 128}}),
            json!({"limits": null}),
            json!({"description": "stale"}),
            json!({"status": "disabled"}),
        ] {
            patch(&server, Some(&seen), body).await.problem(412, "outdated");
            cases.add("refused");
        }
        let delete = server.request(Method::DELETE, "/v1/apps/plain").header("If-Match", &seen);
        answer(delete).await.problem(412, "outdated");
        for bad in ["x", "\"\"", "W/\"1\"", "\"-1\"", "1", "\"9223372036854775808\""] {
            let refused = patch(&server, Some(bad), json!({"description": "x"})).await;
            assert!(matches!(refused.status, 412 | 422), "{bad}: {refused:?}");
            cases.add("refused");
        }
        assert_eq!(server.get("/v1/apps/plain").await.text, now, "nothing was changed");
    }
}

async fn side_by_side(cases: &mut Cases) {
    for server in servers().await {
        let each = Limit::ALL.map(|limit| json!({"limits": {limit.spec().name: limit.spec().min}}));
        let answers = join_all(each.into_iter().map(|body| patch(&server, None, body))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        let app = server.get("/v1/apps/plain").await.json();
        for limit in Limit::ALL {
            assert_eq!(app["app"]["limits"][limit.spec().name], limit.spec().min, "{app}");
            cases.add("kept");
        }
    }
}

async fn starts(cases: &mut Cases) {
    for server in servers().await {
        upload(&server, component(1), "", "").await;
        let start = async |key: &str, body: Value| {
            let request = server.request(Method::POST, "/v1/apps/plain/runs").header("Idempotency-Key", key);
            answer(request.json(&body)).await
        };
        let body = json!({"input": 1, "limits": {"memory_mib": 64, "log_mib": 1}});
        let at_once = join_all((0..8).map(|_| start("k", body.clone()))).await;
        let numbers: BTreeSet<_> = at_once.iter().map(|answer| answer.json()["run"]["number"].to_string()).collect();
        assert_eq!(numbers.len(), 1, "{numbers:?}");
        cases.add("the same");
        let same = start("k", json!({"limits": {"log_mib": 1, "memory_mib": 64}, "input": 1})).await;
        assert_eq!(
            (same.status, same.json()["run"]["number"].to_string()),
            (201, numbers.first().expect("one").clone())
        );
        cases.add("the same");
        for other in [
            json!({"input": 2, "limits": {"memory_mib": 64, "log_mib": 1}}),
            json!({"input": 1, "limits": {"memory_mib": 65, "log_mib": 1}}),
            json!({"input": 1, "limits": {"memory_mib": 64}}),
            json!({"input": 1}),
            json!({"input": 1, "version": "v1", "limits": {"memory_mib": 64, "log_mib": 1}}),
        ] {
            start("k", other).await.problem(422, "idempotency_key_reused");
            cases.add("refused");
        }
        // It holds for the app as long as that is there, whatever became of the version.
        upload(&server, component(2), "", "").await;
        let late = start("k", body.clone()).await;
        assert_eq!(late.json()["run"]["app_version"], "v1", "{late:?}");
        assert_eq!(late.headers.get("idempotency-replayed").map(HeaderValue::as_bytes), Some(b"true".as_slice()));
        cases.add("the same");
        assert_eq!(server.get("/v1/apps/plain/runs").await.json()["runs"].as_array().map(Vec::len), Some(1));
    }
}
