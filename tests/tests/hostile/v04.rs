//! V4: stacks that overflow, in every place where a guest's code runs, in this process and in a worker's: the guest
//! ends, and no process does.

use libtest_mimic::Trial;
use relume_tests::alone::Alone;
use relume_tests::node::Node;
use relume_tests::process::Process;
use serde_json::{Value, json};

use crate::loops::recursions;
use crate::report::{Cases, test};

const LIMITS: &str = "[limits]\nfuel = 2_000_000_000\nmemory_mib = 32\n";

pub fn tests() -> Vec<Trial> {
    vec![
        test("v04_a_guest_that_overflows_its_stack_is_ended_alone", here),
        test("v04_a_worker_outlives_every_overflow", in_a_worker),
    ]
}

/// What may come of it. The component model does not let the host be called from `realloc`.
fn check(name: &str, verdict: &str) {
    let expected = if name.contains("the host calls") { "crashed trap" } else { "crashed stack" };
    assert_eq!(verdict, expected, "{name}");
}

async fn here(cases: &mut Cases) {
    for (name, component) in recursions() {
        let program = Alone::new(component, LIMITS).await;
        for _ in 0..2 {
            let verdict = program.verdict().await;
            check(name, &verdict);
            cases.add(&verdict);
        }
    }
}

async fn in_a_worker(cases: &mut Cases) {
    let node = Node::sqlite().await;
    let mut worker = Process::worker(&node.url, 15, &[]);
    let mut runs = vec![];
    for (number, (name, component)) in recursions().into_iter().enumerate() {
        let app = format!("deep-{number}");
        node.deploy_component(&app, component, LIMITS).await;
        runs.push((name, node.start(&app, Value::Null, &[]).await));
    }
    for (name, run) in runs {
        let verdict = node.finished(&run).await.verdict();
        check(name, &verdict);
        cases.add(&verdict);
    }
    let good = node.run_guest("steps", "", json!(3)).await;
    assert_eq!(good.verdict(), "exited");
    assert!(worker.is_alive(), "the worker ended: {:#?}", worker.said());
}
