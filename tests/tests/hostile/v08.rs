//! V8: floods of output. Lines and the whole are cut and say so, what waits to be stored is bounded because the
//! program waits meanwhile, and a program that does not wait is ended.

use libtest_mimic::Trial;
use relume::store::Channel;
use relume_tests::alone::Alone;
use relume_tests::component::with_host;
use relume_tests::node::{Finished, Node};
use relume_tests::process::Process;
use serde_json::json;

use crate::loops::host_main;
use crate::report::{Cases, test};

const MIB: usize = 1 << 20;
/// The most of a line, and the words that it was cut.
const MAX_LINE: usize = 16 * 1024 + " [line cut]".len();
const MAX_ATTEMPT: usize = 10 * MIB;
/// What a flood may add to a worker's memory.
const MAX_GROWTH: usize = 64 * MIB;

pub fn tests() -> Vec<Trial> {
    vec![
        test("v08_every_flood_is_cut_and_marked", floods),
        test("v08_a_program_that_writes_more_than_it_may_is_ended", unasked),
        test("v08_a_flood_leaves_a_workers_memory_bounded", memory),
    ]
}

/// What holds for every log.
fn check(kind: &str, finished: &Finished) {
    let lines: Vec<_> = finished.log.iter().filter(|line| line.channel == Channel::Program).collect();
    let longest = lines.iter().map(|line| line.content.len()).max().unwrap_or_default();
    assert!(longest <= MAX_LINE, "{kind}: a line of {longest} bytes");
    let total: usize = lines.iter().map(|line| line.content.len()).sum();
    assert!(total <= MAX_ATTEMPT, "{kind}: {total} bytes");
    assert!(lines.iter().all(|line| !line.content.contains('\0')), "{kind}: a NUL");
    // Every line has a row, which is not free either.
    assert!(lines.len() * 128 + total <= MAX_ATTEMPT, "{kind}: {} lines of {total} bytes", lines.len());
}

async fn floods(cases: &mut Cases) {
    let node = Node::sqlite().await;
    let _worker = node.worker();
    let app = node.deploy("flood", "").await;
    for (kind, verdict, is_dropped, is_cut) in [
        ("no_newline", "exited", false, true),
        ("not_utf8", "exited", true, false),
        ("nul", "exited", true, false),
        ("carriage_returns", "exited", false, true),
        ("tiny_lines", "exited", true, false),
        ("empty_lines", "exited", true, false),
        ("alternating", "exited", true, false),
        ("one_byte_too_long", "exited", true, true),
        ("exactly_long_enough", "exited", true, false),
        ("then_trap", "crashed trap", true, false),
        ("then_exit", "crashed exit", true, false),
        ("escape_sequences", "exited", true, false),
    ] {
        let run = node.start(&app, json!(kind), &[]).await;
        let finished = node.finished(&run).await;
        assert_eq!(finished.verdict(), verdict, "{kind}: {:?}", finished.run.failure);
        check(kind, &finished);
        let marker = finished.log.iter().find(|line| line.content.contains("lines dropped"));
        assert_eq!(marker.is_some(), is_dropped, "{kind}: {marker:?}");
        let cut = finished.log.iter().any(|line| line.content.ends_with(" [line cut]"));
        assert_eq!(cut, is_cut, "{kind}");
        if let Some(marker) = marker {
            let dropped: usize = marker.content.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            assert!(dropped > 0 && marker.channel == Channel::Setup, "{kind}: {marker:?}");
        }
        cases.add(if is_dropped { "lines dropped, and counted" } else { "line cut" });
    }
}

/// WASI lets a program write only what `check-write` has permitted.
async fn unasked(cases: &mut Cases) {
    for (name, body) in [
        ("without asking", "(loop (call $write (local.get $s) (i32.const 0) (i32.const 65536) (i32.const 16)) (br 0))"),
        (
            "twice after asking once",
            "(call $check-write (local.get $s) (i32.const 16))
             (loop (call $write (local.get $s) (i32.const 0) (i32.const 40000) (i32.const 16)) (br 0))",
        ),
        ("a memory at once", "(call $write (local.get $s) (i32.const 0) (i32.const 131072) (i32.const 16))"),
        ("out of bounds", "(call $write (local.get $s) (i32.const 131000) (i32.const 65536) (i32.const 16))"),
        ("to no stream", "(call $write (i32.const 99) (i32.const 0) (i32.const 1) (i32.const 16))"),
    ] {
        let program = Alone::new(with_host(None, &host_main(&format!("{body} (i32.const 0)"))), "").await;
        let verdict = program.verdict().await;
        assert_eq!(verdict, "crashed trap", "{name}");
        cases.add(&verdict);
    }
}

async fn memory(cases: &mut Cases) {
    let node = Node::sqlite().await;
    let worker = Process::worker(&node.url, 15, &[]);
    let app = node.deploy("flood", "").await;
    // Once, so that the machine code is there.
    let first = node.start(&app, json!("nothing"), &[]).await;
    assert_eq!(node.finished(&first).await.verdict(), "exited");
    let before = worker.resident_bytes();
    let mut runs = vec![];
    for kind in ["no_newline", "tiny_lines", "one_byte_too_long", "alternating"] {
        runs.push(node.start(&app, json!(kind), &[]).await);
    }
    for run in runs {
        assert_eq!(node.finished(&run).await.verdict(), "exited");
    }
    let peak = worker.peak_bytes();
    println!("V8: four floods at once, a worker's memory: {} MiB before, {} MiB at most", before / MIB, peak / MIB);
    assert!(peak <= before + MAX_GROWTH, "{before} bytes before, {peak} at most");
    cases.add("memory bounded");
}
