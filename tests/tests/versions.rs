//! A run on another version of its app: tried on what is recorded first, and refused where it would take another way.

use relume_tests::guests;
use relume_tests::node::Node;
use relume_tests::server::Server;
use serde_json::{Value, json};

/// A server on each store, and its node.
async fn nodes() -> [(Server, Node); 2] {
    let (first, second) = (Server::sqlite(), Server::postgres());
    let nodes = (Node::at(first.database.clone()).await, Node::at(second.database.clone()).await);
    [(first, nodes.0), (second, nodes.1)]
}

/// Another version of `changed`, that is as `variant` says.
async fn upload(server: &Server, variant: &str, then: &str) {
    let component = std::fs::read(guests::path("changed")).expect("it was built");
    let manifest = format!("[env]\nVARIANT = \"{variant}\"\nTHEN = \"{then}\"\n");
    let answer = server.upload("changed", component, manifest).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn ended(server: &Server, node: &Node, number: i64) -> Value {
    let run = node.store.find_run("changed", number).await.expect("it was started");
    node.wait_until(&run, |run| !run.status.is_active()).await;
    server.get(&format!("/v1/apps/changed/runs/{number}")).await.json()["run"].clone()
}

#[tokio::test] // R31
async fn a_version_that_would_take_another_way_is_refused_and_one_that_fits_goes_on() {
    for (server, node) in nodes().await {
        server.deploy("changed", "[env]\nVARIANT = \"base\"\nTHEN = \"fail\"\n").await;
        let _worker = node.worker();
        server.start_run("changed", json!({})).await;
        assert_eq!(ended(&server, &node, 1).await["failure"]["message"], "failed, as asked");
        upload(&server, "renamed", "").await;
        upload(&server, "base", "").await;

        let before = server.get("/v1/apps/changed/runs/1").await.json();
        for (what, body) in [("retry", json!({"version": "v2"})), ("fork", json!({"version": "v2", "from_step": 4}))] {
            let refused = server.post(&format!("/v1/apps/changed/runs/1/{what}"), body.to_string()).await;
            let problem = refused.problem(409, "divergence");
            let detail = problem["detail"].as_str().expect("a text");
            assert!(
                detail.contains("journal (v1): step `charge`") && detail.contains("program (v2): step `bill`"),
                "{detail}"
            );
            assert_eq!(problem["field"], "version");
        }
        assert_eq!(server.get("/v1/apps/changed/runs/1").await.json(), before, "nothing changed");
        // Of the first entry `renamed` knows nothing else.
        let fork =
            server.post("/v1/apps/changed/runs/1/fork", json!({"version": "v2", "from_step": 2}).to_string()).await;
        assert_eq!(fork.status, 201, "{fork:?}");
        assert_eq!(ended(&server, &node, 2).await["status"], "exited");

        let retried = server.post("/v1/apps/changed/runs/1/retry", json!({"version": "v3"}).to_string()).await;
        assert_eq!(retried.status, 200, "{retried:?}");
        let run = ended(&server, &node, 1).await;
        assert_eq!(
            (&run["status"], &run["num_attempts"], &run["app_version"]),
            (&json!("exited"), &json!(2), &json!("v3")),
            "{run}"
        );
    }
}
