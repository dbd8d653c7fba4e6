//! `--isolation process`: each attempt in a process of its own, which has nothing that its run may not use, and whose end
//! is the end of one attempt.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use relume::store::{Channel, NewEvent, Run};
use relume_tests::node::{Finished, Node};
use relume_tests::process::{Process, binary, children, number_in_status};
use relume_tests::shop::{ALLOWED, Shop};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

const RETRY: &str = "[retry]\nmax_retries = 2\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
/// What the worker has and no guest may have: the key of secrets.
const VAULT_KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";

/// A worker that isolates its guests.
fn worker(node: &Node) -> Process {
    Process::worker(&node.url, 15, &[("RELUME_ISOLATION", "process"), ("RELUME_SECRETS_KEY", VAULT_KEY)])
}

async fn nodes() -> [Node; 2] {
    [Node::sqlite().await, Node::postgres().await]
}

async fn order(node: &Node, shop: &Shop, manifest: &str) -> Run {
    let app = node.deploy("order-pipeline", &format!("{ALLOWED}{manifest}")).await;
    let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
    node.start(&app, order, &[("SHOP_URL", &shop.url())]).await
}

/// The one guest that a worker executes.
fn guest_of(worker: &Process) -> u32 {
    let guests = children(worker.id());
    assert_eq!(guests.len(), 1, "{guests:?}");
    guests[0]
}

fn kill(id: u32) {
    let pid = Pid::from_raw(i32::try_from(id).expect("a number of a process")).expect("it is not 0");
    kill_process(pid, Signal::KILL).expect("it is there");
}

/// A run's verdict, output, journal and log.
type Told = (String, Option<Value>, Vec<String>, Vec<(Channel, String)>);

/// What of a run is the same in whichever process it was executed.
fn told(finished: &Finished) -> Told {
    let journal =
        finished.journal.iter().map(|entry| format!("{} {:?} {}", entry.seq, entry.kind, entry.name)).collect();
    let log = finished.log.iter().map(|line| (line.channel, line.content.clone())).collect();
    (finished.verdict(), finished.output.clone(), journal, log)
}

#[tokio::test] // R51
async fn a_run_ends_the_same_in_a_process_of_its_own() {
    for node in nodes().await {
        let (shop, other_shop) = (Shop::start(), Shop::start());
        let here = Process::worker(&node.url, 15, &[]);
        let run = order(&node, &shop, "").await;
        let expected = node.finished(&run).await;
        drop(here);
        let _worker = worker(&node);
        let order = json!({"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"});
        let run = node.start("order-pipeline", order, &[("SHOP_URL", &other_shop.url())]).await;
        let finished = node.finished(&run).await;
        assert_eq!(told(&finished), told(&expected));
        assert_eq!(finished.verdict(), "exited");
        for entry in &finished.journal {
            let keys: Vec<_> = other_shop.requests(&entry.name).into_iter().map(|call| call.idempotency_key).collect();
            assert_eq!(keys, [Some(format!("{}-{}", run.run_id, entry.seq))], "{}", entry.name);
        }
        let calls = async |run: &Run| {
            let calls = node.store.list_calls(run.run_id, 0, 100).await.expect("its calls");
            calls.into_iter().map(|call| (call.call_num, call.seq, call.method, call.status, call.bytes_in)).collect()
        };
        let (expected_calls, found): (Vec<_>, Vec<_>) = (calls(&expected.run).await, calls(&run).await);
        assert_eq!(found, expected_calls);
        assert_eq!(found.len(), 5);
        let sent = |finished: &Finished| (finished.attempts[0].bytes_in, finished.attempts[0].bytes_out);
        assert_eq!(sent(&finished), sent(&expected));
        assert!(finished.attempts[0].fuel_used > Some(0));
    }
}

#[tokio::test] // R42, R43
async fn waits_events_children_and_retried_steps_go_over() {
    for node in nodes().await {
        let shop = Shop::start();
        let _worker = worker(&node);
        node.deploy("mixed", ALLOWED).await;
        let run = node.start("mixed", json!({"url": shop.url(), "id": 3}), &[]).await;
        let event = NewEvent { name: "go".to_owned(), payload: b"8".to_vec(), key: None };
        node.store.send_event(&run.app, run.number, event).await.expect("it is active");
        let finished = node.finished(&run).await;
        assert_eq!((finished.verdict().as_str(), finished.output.clone()), ("exited", Some(json!([3, 8, 3]))));
        assert_eq!(finished.attempts.len(), 1);
        for step in ["reserve-3", "charge-3", "pack-3", "ship-3", "leaf-3"] {
            assert_eq!(shop.calls(step), 1, "{step}");
        }
    }
}

#[tokio::test] // R2, V20
async fn what_a_guest_does_wrong_is_its_own_fault_in_a_process_too() {
    let node = Node::sqlite().await;
    let _worker = worker(&node);
    for (guest, manifest, input, verdict, words) in [
        ("panic", "", Value::Null, "crashed trap", "unreachable"),
        ("out_of_bounds", "", Value::Null, "crashed trap", "out of bounds"),
        ("recurse", "", Value::Null, "crashed stack", "recurse"),
        ("loop_forever", "[limits]\nfuel = 10000000\n", Value::Null, "crashed fuel", "fuel"),
        ("sleep_long", "[limits]\nrunning_time_seconds = 1\n", Value::Null, "crashed timeout", "running time"),
        ("eat_memory", "", Value::Null, "crashed memory", "MiB"),
        ("exit_three", "", Value::Null, "crashed exit", "code 3"),
        ("return_error", "", Value::Null, "crashed error", ""),
        ("big_step", "", json!(5_000_000), "crashed error", "bytes"),
    ] {
        let finished = node.run_guest(guest, manifest, input).await;
        assert_eq!(finished.verdict(), verdict, "{guest}: {:?}", finished.run.failure);
        assert!(finished.failure().message.contains(words), "{guest}: {}", finished.failure().message);
    }
}

#[tokio::test] // V11
async fn a_guest_without_a_network_asks_by_the_same_rules() {
    let node = Node::sqlite().await;
    let worker = worker(&node);
    let finished = node.run_guest("forbidden_host", "", json!("http://127.0.0.1:9/x")).await;
    let log: Vec<_> = finished.log.iter().map(|line| line.content.as_str()).collect();
    assert!(log.iter().any(|line| line.starts_with("refused: a request to http://127.0.0.1:9")), "{log:?}");
    assert!(
        finished.output.as_ref().is_some_and(|said| said.to_string().contains("is not in `allowed_hosts`")),
        "{:?}",
        finished.output
    );
    assert_eq!(node.store.list_calls(finished.run.run_id, 0, 10).await.expect("its calls").len(), 1);
    drop(worker);
}

#[tokio::test] // V20
async fn a_killed_process_is_one_errored_attempt_and_its_steps_are_not_executed_again() {
    for node in nodes().await {
        let shop = Shop::start();
        shop.hold("pack");
        let worker = worker(&node);
        let run = order(&node, &shop, RETRY).await;
        shop.wait_for_call("pack").await;
        kill(guest_of(&worker));
        shop.wait_for_calls("pack", 2).await;
        shop.release("pack");
        let finished = node.finished(&run).await;
        assert_eq!(finished.verdict(), "exited");
        let [first, second] = &finished.attempts[..] else { panic!("two attempts: {:?}", finished.attempts) };
        let failure = first.failure.as_ref().expect("it failed");
        assert_eq!((first.status.as_str(), failure.kind.as_str()), ("errored", "host"));
        assert!(failure.message.contains("killed by signal 9"), "{}", failure.message);
        assert_eq!(second.status.as_str(), "exited");
        let calls = ["reserve", "charge", "pack", "ship", "notify"].map(|step| shop.calls(step));
        assert_eq!(calls, [1, 1, 2, 1, 1]);
    }
}

#[tokio::test] // R12
async fn cancel_ends_the_process_within_a_second() {
    let node = Node::sqlite().await;
    let shop = Shop::start();
    shop.hold("pack");
    let worker = worker(&node);
    let run = order(&node, &shop, "").await;
    shop.wait_for_call("pack").await;
    let guest = guest_of(&worker);
    let began = Instant::now();
    node.store.cancel_run(&run.app, run.number).await.expect("it is active");
    while number_in_status(guest, "PPid:").is_some() && !is_dead(guest) {
        assert!(began.elapsed() < Duration::from_secs(1), "it still runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_dead(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test] // R8
async fn a_drained_worker_gives_the_run_back_and_it_goes_on_elsewhere() {
    let node = Node::postgres().await;
    let shop = Shop::start();
    shop.hold("pack");
    let mut drained = worker(&node);
    let run = order(&node, &shop, "").await;
    shop.wait_for_call("pack").await;
    drained.signal(Signal::TERM);
    drained.wait_for_line("draining");
    shop.release("pack");
    assert!(drained.wait().success());
    let _worker = worker(&node);
    let finished = node.finished(&run).await;
    assert_eq!((finished.verdict().as_str(), finished.attempts.len()), ("exited", 1));
    assert_eq!(["reserve", "charge", "pack", "ship", "notify"].map(|step| shop.calls(step)), [1; 5]);
}

#[tokio::test] // V12, V20
async fn the_process_of_a_guest_has_nothing_that_its_run_may_not_use() {
    let node = Node::postgres().await;
    let shop = Shop::start();
    shop.hold("pack");
    let worker = worker(&node);
    order(&node, &shop, "").await;
    shop.wait_for_call("pack").await;
    let guest = guest_of(&worker);
    let of = |file: &str| std::fs::read(format!("/proc/{guest}/{file}")).expect("tests run as root");
    assert_eq!(String::from_utf8_lossy(&of("environ")), "");
    assert_eq!(number_in_status(guest, "Seccomp:"), Some(2));
    assert_eq!(number_in_status(guest, "NoNewPrivs:"), Some(1));
    let open = std::fs::read_dir(format!("/proc/{guest}/fd")).expect("tests run as root");
    let mut open: Vec<_> = open.map(|fd| std::fs::read_link(fd.expect("an entry").path()).expect("a link")).collect();
    open.sort();
    let kinds: Vec<_> = open.iter().map(|path| path.to_string_lossy()).collect();
    let distinct = |start: &str| kinds.iter().filter(|kind| kind.starts_with(start)).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct("pipe:"), 1, "stderr: {kinds:?}");
    assert!(distinct("socket:") <= 3, "its parent's, and the pair with which tokio tells itself of signals: {kinds:?}");
    for kind in &kinds {
        let is_known =
            ["socket:", "pipe:", "/dev/null", "anon_inode:[event"].iter().any(|start| kind.starts_with(start));
        assert!(is_known, "{kinds:?}");
    }
    let password_and_host = node.url.rsplit("://").next().expect("a URL").as_bytes();
    let raw_key: Vec<u8> =
        (0..32).map(|n| u8::from_str_radix(&VAULT_KEY[n * 2..n * 2 + 2], 16).expect("hex")).collect();
    let secrets = [password_and_host, VAULT_KEY.as_bytes(), &raw_key];
    assert_eq!(secrets.map(|secret| holds(guest, secret)), [false; 3]);
    assert!(holds(guest, shop.url().as_bytes()), "what it was given is there");
    assert!(holds(worker.id(), VAULT_KEY.as_bytes()), "what is looked for is found where it is");
    shop.release("pack");
}

/// Whether a process has these bytes in memory that it can write.
fn holds(process: u32, bytes: &[u8]) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("tests run as root");
    let memory = std::fs::File::open(format!("/proc/{process}/mem")).expect("tests run as root");
    maps.lines().any(|line| {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().expect("a range"), words.next().expect("rights"));
        let (start, end) = range.split_once('-').expect("from and to");
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        if !rights.starts_with("rw") {
            return false;
        }
        let mut held = vec![0; usize::try_from(end - start).expect("it fits")];
        memory.read_exact_at(&mut held, start).is_ok() && held.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test] // V11, V20
fn a_confined_process_can_do_nothing_of_what_a_guest_must_not() {
    let output = Command::new(binary()).args(["internal-execute", "--probe"]).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "", "{output:?}");
}

#[test] // V5, V20
fn whoever_starts_the_inner_commands_by_hand_gets_an_error() {
    for args in [["internal-execute"].as_slice(), &["internal-compile", "60", "2048"]] {
        let output = Command::new(binary()).args(args).stdin(std::process::Stdio::null()).output().expect("it starts");
        assert!(!output.status.success(), "{args:?}");
    }
}
