//! V3: tables, instances, memories and handles without end.

use libtest_mimic::Trial;
use relume_tests::alone::Alone;
use relume_tests::component::{component, plain, with_destructor, with_host};

use crate::report::{Cases, test};

const LIMITS: &str = "[limits]\nmemory_mib = 64\nfuel = 2_000_000_000\n";

pub fn tests() -> Vec<Trial> {
    vec![
        test("v03_tables_end_at_their_limit", tables),
        test("v03_instances_memories_and_tables_are_counted", instances),
        test("v03_handles_end_at_their_limit", handles),
        test("v03_a_manifest_may_have_less", less),
    ]
}

fn run(fields: &str, body: &str) -> Vec<u8> {
    plain(&format!(r#"{fields} (func (export "run") (result i32) {body} i32.const 0)"#))
}

/// Executes it and looks how it ends, and that the limit is named.
async fn check(cases: &mut Cases, name: &str, component: Vec<u8>, manifest: &str, verdict: &str, key: &str) {
    let (ended, message) = Alone::new(component, manifest).await.ended().await;
    assert_eq!(ended, verdict, "{name}: {message}");
    assert!(message.contains(key), "{name}: {message}");
    cases.add(&ended);
}

async fn tables(cases: &mut Cases) {
    let mut all = vec![];
    for elements in [100_001_u64, 1_000_000, 10_000_000, u64::from(u32::MAX)] {
        for kind in ["funcref", "externref"] {
            all.push((format!("a table of {elements} {kind}"), run(&format!("(table {elements} {kind})"), "")));
        }
    }
    for (tables, elements) in [(2, 50_001), (4, 30_000), (30, 3_500)] {
        all.push((format!("{tables} tables"), run(&format!("(table {elements} funcref)").repeat(tables), "")));
    }
    for step in [1, 1000, 100_001, -1] {
        let body = format!("(loop $more (drop (table.grow (ref.null func) (i32.const {step}))) (br $more))");
        all.push((format!("a table that grows by {step}"), run("(table 0 funcref)", &body)));
    }
    for (name, component) in all {
        // Growing by more than fits 32 bits is answered with -1, for ever.
        let (verdict, key) = match name.ends_with("by -1") {
            true => ("crashed fuel", "limits.fuel"),
            false => ("crashed memory", "limits.table_elements"),
        };
        check(cases, &name, component, LIMITS, verdict, key).await;
    }
}

/// A component of so many instances of a module.
fn many_instances(count: usize, module: &str) -> Vec<u8> {
    let instances: String = (0..count).map(|_| "(core instance (instantiate $m))".to_owned()).collect();
    component(&format!(
        r#"(component (core module $m {module}) {instances}
             (core module $main (func (export "run") (result i32) i32.const 0))
             (core instance $i (instantiate $main))
             (func $run (result (result)) (canon lift (core func $i "run")))
             (instance $entry (export "run" (func $run)))
             (export "wasi:cli/run@0.2.0" (instance $entry)))"#
    ))
}

async fn instances(cases: &mut Cases) {
    for count in [32, 100, 900] {
        let name = format!("{count} instances and one");
        check(cases, &name, many_instances(count, ""), LIMITS, "crashed memory", "limits.instances").await;
    }
    for (what, field) in [("memories", "(memory 0)"), ("tables", "(table 0 funcref)")] {
        for count in [33, 64] {
            let component = run(&field.repeat(count), "");
            check(cases, &format!("{count} {what}"), component, LIMITS, "crashed memory", "limits.instances").await;
        }
        let component = many_instances(17, &format!("{field}{field}"));
        check(cases, &format!("34 {what} of 17 instances"), component, LIMITS, "crashed memory", "limits.instances")
            .await;
    }
    assert_eq!(Alone::new(many_instances(31, ""), LIMITS).await.verdict().await, "exited", "32 are allowed");
}

/// Programs that take one handle after the other, how they end, and what is said. The runtime counts what is lent for a
/// call by itself, and has its own words for it.
fn takers() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let timers = r#"(import "host" "timer" (func $timer (param i64) (result i32)))
        (func (export "run") (result i32) (loop $more (drop (call $timer (i64.const 1000000000))) (br $more)) i32.const 0)"#;
    let streams = r#"(import "host" "stdout" (func $stdout (result i32)))
        (func (export "run") (result i32) (loop $more (drop (call $stdout)) (br $more)) i32.const 0)"#;
    let subscriptions = r#"(import "host" "stdout" (func $stdout (result i32)))
        (import "host" "subscribe" (func $subscribe (param i32) (result i32)))
        (func (export "run") (result i32) (local $out i32) (local.set $out (call $stdout))
          (loop $more (drop (call $subscribe (local.get $out))) (br $more)) i32.const 0)"#;
    vec![
        ("timers", with_host(None, timers), "crashed memory", "limits.handles"),
        ("streams", with_host(None, streams), "crashed memory", "limits.handles"),
        ("subscriptions", with_host(None, subscriptions), "crashed trap", "handle limit"),
    ]
}

async fn handles(cases: &mut Cases) {
    for (name, component, verdict, words) in takers() {
        check(cases, name, component, LIMITS, verdict, words).await;
    }
    // Of its own kind they cost the host nothing but their number, which the runtime counts by itself.
    let main = r#"(import "resource" "new" (func $new (param i32) (result i32)))
        (func (export "run") (result i32) (loop $more (drop (call $new (i32.const 1))) (br $more)) i32.const 0)"#;
    let own = with_destructor(r#"(func (export "dtor") (param i32))"#, main);
    check(cases, "resources of its own", own, LIMITS, "crashed trap", "handle limit").await;
}

async fn less(cases: &mut Cases) {
    let with = |line: &str| format!("{LIMITS}{line}\n");
    let two_tables = run("(table 6 funcref) (table 5 funcref)", "");
    check(cases, "11 elements", two_tables, &with("table_elements = 10"), "crashed memory", "10 table elements").await;
    check(cases, "one instance", many_instances(1, ""), &with("instances = 1"), "crashed memory", "at most 1").await;
    for (name, component, verdict, words) in takers() {
        check(cases, name, component, &with("handles = 8"), verdict, words).await;
    }
}
