//! V2: memory without end, in every way a guest has to take it; and limits that somebody wants to be higher than the
//! operator's.

use libtest_mimic::Trial;
use relume::manifest::{Limit, SomeLimits, Spec};
use relume::policy::Policy;
use relume_tests::alone::Alone;
use relume_tests::component::{numbered, plain, with_host};
use relume_tests::guests;
use relume_tests::node::Node;
use relume_tests::process::{Process, resident_kib};
use relume_tests::server::{Server, answer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::network::sandbox_under;
use crate::report::{Cases, test};

const LIMITS: &str = "[limits]\nmemory_mib = 16\nfuel = 20_000_000_000\n";
/// How much more a worker may hold after its hostile guests are gone.
const LEFT_KIB: u64 = 64 * 1024;

pub fn tests() -> Vec<Trial> {
    vec![
        test("v02_memory_ends_at_its_limit_however_it_is_taken", bombs),
        test("v02_a_worker_gives_the_memory_of_its_guests_back", given_back),
        test("v02_no_limit_is_set_out_of_range_or_over_the_operators_ceiling", over_the_ceiling),
        test("v02_a_worker_gives_no_more_than_its_operator_allows", clamped),
    ]
}

/// Ways to take memory, and whether the guest fills it.
fn takers() -> Vec<(String, Vec<u8>)> {
    let run =
        |fields: &str, body: &str| plain(&format!(r#"{fields} (func (export "run") (result i32) {body} i32.const 0)"#));
    let mut all = vec![];
    for step in [1, 7, 64, 300, 1000, 65535] {
        let body = format!("(loop $more (drop (memory.grow (i32.const {step}))) (br $more))");
        all.push((format!("grows by {step} pages without end"), run("(memory 0)", &body)));
    }
    for pages in [257, 1000, 4096, 16384, 65536] {
        all.push((format!("begins with {pages} pages"), run(&format!("(memory {pages})"), "")));
    }
    for (memories, pages) in [(2, 129), (8, 33), (30, 9), (32, 65536)] {
        all.push((format!("has {memories} memories"), run(&format!("(memory {pages})").repeat(memories), "")));
    }
    let grow_each: String = (0..16).map(|memory| format!("(drop (memory.grow {memory} (i32.const 1)))")).collect();
    all.push((
        "grows sixteen memories in turn".into(),
        run(&"(memory 0)".repeat(16), &format!("(loop $more {grow_each} (br $more))")),
    ));
    let fill = "(loop $more (memory.fill (i32.mul (memory.grow (i32.const 16)) (i32.const 65536)) (i32.const 1) (i32.const 1048576)) (br $more))";
    all.push(("fills what it takes".into(), run("(memory 0)", fill)));
    let start = plain(
        r#"(memory 0) (func $s (loop $more (drop (memory.grow (i32.const 1))) (br $more))) (start $s)
            (func (export "run") (result i32) i32.const 0)"#,
    );
    all.push(("grows before it begins".into(), start));
    all.push(("takes tables for memory".into(), run("(memory 250) (table 100000 funcref)", "")));
    let realloc = r#"(memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
          (loop $more (drop (memory.grow (i32.const 16))) (br $more)) i32.const 0)"#;
    let asks = r#"(import "host" "random" (func $random (param i64 i32))) (memory (import "libc" "memory") 2)
        (func (export "run") (result i32) (call $random (i64.const 64) (i32.const 0)) i32.const 0)"#;
    all.push(("grows while the host answers".into(), with_host(Some(realloc), asks)));
    all
}

async fn bombs(cases: &mut Cases) {
    for (name, component) in takers() {
        let verdict = Alone::new(component, LIMITS).await.verdict().await;
        assert_eq!(verdict, "crashed memory", "{name}");
        cases.add(&verdict);
    }
    // What the host would have to make for it counts too.
    for bytes in [1_u64 << 17, 1 << 32, u64::MAX] {
        let asks = format!(
            r#"(import "host" "random" (func $random (param i64 i32))) (memory (import "libc" "memory") 2)
                (func (export "run") (result i32) (call $random (i64.const {}) (i32.const 0)) i32.const 0)"#,
            bytes.cast_signed()
        );
        let verdict = Alone::new(with_host(None, &asks), LIMITS).await.verdict().await;
        assert_eq!(verdict, "crashed trap", "{bytes} random bytes");
        cases.add(&verdict);
    }
}

async fn given_back(cases: &mut Cases) {
    let node = Node::sqlite().await;
    let mut worker = Process::worker(&node.url, 15, &[]);
    let good = node.run_guest("plain", "", Value::Null).await;
    assert_eq!(good.verdict(), "exited");
    let manifest = "[limits]\nmemory_mib = 128\nfuel = 20_000_000_000\n";
    let (_, fills) = takers().into_iter().find(|(name, _)| name == "fills what it takes").expect("it is there");
    let eater = std::fs::read(guests::path("eat_memory")).expect("it was built");
    for (app, component) in [("fills", fills), ("eats", eater)] {
        node.deploy_component(app, component, manifest).await;
    }
    let before = resident_kib(worker.id());
    for _ in 0..6 {
        for app in ["fills", "eats"] {
            let run = node.start(app, Value::Null, &[]).await;
            let verdict = node.finished(&run).await.verdict();
            assert_eq!(verdict, "crashed memory", "{app}");
            cases.add(&verdict);
        }
    }
    let after = resident_kib(worker.id());
    assert!(after < before + LEFT_KIB, "{before} KiB before, {after} KiB after");
    assert!(worker.is_alive());
}

/// The values that no operator lets anybody have.
fn beyond(limit: Limit, ceiling: u64) -> Vec<Value> {
    let Spec { min, max, .. } = limit.spec();
    let mut values = vec![
        json!(ceiling + 1),
        json!(max),
        json!(min - 1),
        json!(-1),
        json!(1.5),
        json!("1"),
        json!([1]),
        json!(true),
        json!(1e300),
    ];
    values.extend(max.checked_add(1).map(Value::from));
    values
}

async fn over_the_ceiling(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.toml");
    // One more than the least, so that there is something below and above.
    let ceiling = |limit: Limit| limit.spec().min + 1;
    let lines: String =
        Limit::ALL.iter().map(|limit| format!("{} = {}\n", limit.spec().name, ceiling(*limit))).collect();
    std::fs::write(&file, format!("[limits]\n{lines}")).expect("it is written");
    let server = Server::sqlite_with(&["--policy", file.to_str().expect("text")], &[]);
    let component = std::fs::read(guests::path("plain")).expect("it was built");
    assert_eq!(server.post("/v1/apps", r#"{"name": "plain"}"#).await.status, 201);
    assert_eq!(server.upload("plain", component.clone(), "").await.status, 201);
    let patch = async |body: Value| answer(server.request(Method::PATCH, "/v1/apps/plain").json(&body)).await;
    let start = async |body: Value| server.post("/v1/apps/plain/runs", body.to_string()).await;
    for limit in Limit::ALL {
        let name = limit.spec().name;
        for value in beyond(limit, ceiling(limit)) {
            let body = json!({"limits": {name: value}});
            let field = format!("limits.{name}");
            for refused in [patch(body.clone()).await, start(body).await] {
                let problem = refused.problem(422, "invalid_field");
                assert_eq!(problem["field"], field, "{value}: {problem}");
                cases.add("refused");
            }
        }
        let over = format!("[limits]\n{name} = {}\n", ceiling(limit) + 1);
        let problem = server.upload("plain", component.clone(), over).await.problem(422, "invalid_field");
        assert_eq!(problem["field"], format!("limits.{name}"));
        let told = problem["detail"].as_str().expect("words");
        // Where the most there is at all is reached first, that is what is told.
        assert!(told.contains("the operator's ceiling") || told.contains("out of range"), "{told}");
        cases.add("refused");
        let allowed = json!({"limits": {name: ceiling(limit)}});
        assert_eq!((patch(allowed.clone()).await.status, start(allowed).await.status), (200, 201), "{name}");
    }
    let app = server.get("/v1/apps/plain").await.json();
    assert_eq!(app["app"]["version"], "v1", "no refused upload made a version");
    let runs = server.get("/v1/apps/plain/runs?page_size=100").await.json();
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(Limit::ALL.len()), "no refused start made a run");
}

async fn clamped(cases: &mut Cases) {
    let node = Node::sqlite().await;
    let limits: SomeLimits = [(Limit::MemoryMib, 16)].into_iter().collect();
    let worker = node.worker_with(sandbox_under(Policy { limits, ..Policy::default() }));
    let eater = std::fs::read(guests::path("eat_memory")).expect("it was built");
    for (number, manifest) in ["", "[limits]\nmemory_mib = 1024\n"].into_iter().enumerate() {
        let app = format!("eats-{number}");
        node.deploy_component(&app, numbered(&eater, 1), manifest).await;
        let run = node.start(&app, Value::Null, &[]).await;
        let finished = node.finished(&run).await;
        assert_eq!(finished.verdict(), "crashed memory");
        assert!(finished.failure().message.contains("its limit is 16 MiB"), "{}", finished.failure().message);
        let told = finished.log.iter().filter(|line| line.content.contains("over the operator's ceiling of 16"));
        assert_eq!(told.count(), number, "it is told where somebody asked for more: {:?}", finished.log);
        cases.add(&finished.verdict());
    }
    worker.stop().await;
}
