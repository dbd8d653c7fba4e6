//! V20: Relume itself panics: in a call of a guest, in an attempt beside its guest, in the answer to a request. What it
//! was about fails, and nothing else.

use libtest_mimic::Trial;
use relume_tests::node::Node;
use relume_tests::process::Process;
use relume_tests::server::{Server, answer};
use reqwest::Method;
use serde_json::Value;

use crate::report::{Cases, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("v20_a_panic_in_a_host_call_ends_one_attempt", in_a_call),
        test("v20_a_panic_in_an_attempt_ends_it", in_an_attempt),
        test("v20_a_panic_in_a_request_is_a_problem_of_that_request", in_a_request),
    ]
}

/// Twenty runs in a row, each of which meets a panic, on a worker with two slots.
async fn panics(point: &str, cases: &mut Cases) -> (Node, Process) {
    let node = Node::sqlite().await;
    let folder = tempfile::tempdir().expect("a folder").keep();
    let data_dir = folder.to_str().expect("the path is text");
    let args = ["worker", "--database", &node.url, "--data-dir", data_dir, "--slots", "2"];
    let mut worker = Process::start(&args, &[("RELUME_PANIC_AT", point)]);
    let app = node.deploy("context", "").await;
    let mut runs = vec![];
    for _ in 0..20 {
        runs.push(node.start(&app, Value::Null, &[]).await);
    }
    for run in &runs {
        let finished = node.finished(run).await;
        assert_eq!(finished.verdict(), "errored panic", "{:?}", finished.run.failure);
        assert_eq!(finished.attempts.len(), 1);
        // What the panic said is for the log of Relume alone.
        assert!(!finished.failure().message.contains("asked"), "{:?}", finished.run.failure);
        cases.add("errored panic");
    }
    assert!(worker.is_alive(), "{:#?}", worker.said());
    std::fs::remove_dir_all(folder).expect("it is ours");
    (node, worker)
}

async fn in_a_call(cases: &mut Cases) {
    let (node, _worker) = panics("host_call", cases).await;
    // This program does not make that call: it needs a slot, and has one.
    let good = node.run_guest("steps", "", Value::from(3)).await;
    assert_eq!(good.verdict(), "exited");
}

async fn in_an_attempt(cases: &mut Cases) {
    panics("attempt", cases).await;
}

async fn in_a_request(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("sqlite:{}", folder.path().join("relume.db").display());
    let server = Server::on_with(database, &[], &[("RELUME_PANIC_AT", "request")]);
    for _ in 0..20 {
        let failed = answer(server.request(Method::GET, "/v1/environments")).await;
        let problem = failed.problem(500, "internal");
        assert!(!problem.to_string().contains("asked"), "{problem}");
        assert_eq!(server.get("/v1/apps").await.status, 200, "the next request is answered");
        cases.add("500, and the next is answered");
    }
}
