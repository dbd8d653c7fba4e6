//! Where a program can go on without end, and where it can call itself without end: everywhere a guest's code runs.

use relume_tests::component::{plain, with_destructor, with_host, with_post_return};
use relume_tests::guests;

/// A program, and what it is.
pub type Named = (&'static str, Vec<u8>);

/// A module whose `run` has this body.
fn main_of(body: &str) -> String {
    format!(
        r#"(memory 4 8) (table $t 100 100 funcref) (elem declare func $none) (elem $e func $none)
           (data $d "sixteen bytes...") (global $g (mut i64) (i64.const 0)) (type $none_t (func))
           (func $none) (func (export "run") (result i32) (local $i i32) (local $f f64) {body})"#
    )
}

/// A module whose `run` calls the host in a loop without end; each time it does what `body` says.
fn host_loop(body: &str) -> Vec<u8> {
    with_host(None, &host_main(&format!("(loop {body} (br 0)) (unreachable)")))
}

/// A module that imports the host, and whose `run` has this body.
pub fn host_main(body: &str) -> String {
    format!(
        r#"(import "host" "random" (func $random (param i64 i32)))
           (import "host" "stdout" (func $stdout (result i32)))
           (import "host" "now" (func $now (result i64)))
           (import "host" "timer" (func $timer (param i64) (result i32)))
           (import "host" "check-write" (func $check-write (param i32 i32)))
           (import "host" "write" (func $write (param i32 i32 i32 i32)))
           (import "host" "write-and-flush" (func $write-and-flush (param i32 i32 i32 i32)))
           (import "host" "subscribe" (func $subscribe (param i32) (result i32)))
           (import "host" "block" (func $block (param i32)))
           (import "host" "ready" (func $ready (param i32) (result i32)))
           (import "host" "poll" (func $poll (param i32 i32 i32)))
           (import "host" "drop-pollable" (func $drop-pollable (param i32)))
           (import "libc" "memory" (memory 2))
           (func (export "run") (result i32) (local $i i32) (local $s i32)
             (local.set $s (call $stdout)) {body})"#
    )
}

/// Loops without end.
pub fn loops() -> Vec<Named> {
    let body = |text: &str| plain(&main_of(text));
    let returns = r#"(func (export "run") (result i32) (i32.const 0))"#;
    let libc = |realloc: &str| format!(r#"(memory (export "memory") 2) {realloc}"#);
    let realloc_loops =
        libc(r#"(func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop (br 0)) (unreachable))"#);
    vec![
        ("main", body("(loop (br 0)) (unreachable)")),
        ("blocks", body("(loop (block (block (block (br 3))))) (unreachable)")),
        ("a table of branches", body("(loop (br_table 0 0 0 (i32.const 7))) (unreachable)")),
        ("a condition", body("(loop (br_if 0 (i32.const 1))) (unreachable)")),
        ("arithmetic", body("(loop (local.set $f (f64.div (local.get $f) (f64.const 3))) (br 0)) (unreachable)")),
        ("a global", body("(loop (global.set $g (i64.add (global.get $g) (i64.const 1))) (br 0)) (unreachable)")),
        ("calls", body("(loop (call $none) (br 0)) (unreachable)")),
        (
            "memory.fill",
            body("(loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 262144)) (br 0)) (unreachable)"),
        ),
        (
            "memory.copy",
            body("(loop (memory.copy (i32.const 0) (i32.const 131072) (i32.const 131072)) (br 0)) (unreachable)"),
        ),
        (
            "memory.init",
            body("(loop (memory.init $d (i32.const 0) (i32.const 0) (i32.const 16)) (br 0)) (unreachable)"),
        ),
        ("memory.grow by nothing", body("(loop (drop (memory.grow (i32.const 0))) (br 0)) (unreachable)")),
        ("memory.grow refused", body("(loop (drop (memory.grow (i32.const 65535))) (br 0)) (unreachable)")),
        (
            "table.fill",
            body("(loop (table.fill $t (i32.const 0) (ref.func $none) (i32.const 100)) (br 0)) (unreachable)"),
        ),
        (
            "table.copy",
            body("(loop (table.copy $t $t (i32.const 0) (i32.const 50) (i32.const 50)) (br 0)) (unreachable)"),
        ),
        (
            "table.init",
            body("(loop (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1)) (br 0)) (unreachable)"),
        ),
        ("table.set", body("(loop (table.set $t (i32.const 0) (ref.null func)) (br 0)) (unreachable)")),
        (
            "table.grow by nothing",
            body("(loop (drop (table.grow $t (ref.null func) (i32.const 0))) (br 0)) (unreachable)"),
        ),
        (
            "indirect calls",
            body(
                "(table.set $t (i32.const 0) (ref.func $none))
                 (loop (call_indirect $t (type $none_t) (i32.const 0)) (br 0)) (unreachable)",
            ),
        ),
        (
            "vectors",
            body(
                "(loop (drop (i8x16.swizzle (v128.const i64x2 1 2) (i8x16.splat (local.get $i)))) (br 0)) (unreachable)",
            ),
        ),
        ("tail calls", plain(r#"(func $f (export "run") (result i32) (return_call $f))"#)),
        (
            "tail calls of two",
            plain(
                r#"(func $f (export "run") (result i32) (return_call $g (i32.const 1)))
                   (func $g (param i32) (result i32) (return_call $f))"#,
            ),
        ),
        (
            "indirect tail calls",
            plain(
                r#"(type $t (func (result i32))) (table 1 1 funcref) (elem (i32.const 0) $f)
                   (func $f (export "run") (result i32) (return_call_indirect (type $t) (i32.const 0)))"#,
            ),
        ),
        ("the start function", plain(&format!("(func $s (loop (br 0))) (start $s) {returns}"))),
        (
            "the start function, in memory.fill",
            plain(&format!(
                "(memory 4) (func $s (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 262144)) (br 0)))
                 (start $s) {returns}"
            )),
        ),
        (
            "realloc",
            with_host(Some(&realloc_loops), &host_main("(call $random (i64.const 8) (i32.const 0)) (i32.const 0)")),
        ),
        (
            "a destructor",
            with_destructor(
                r#"(func (export "dtor") (param i32) (loop (br 0)))"#,
                r#"(import "resource" "new" (func $new (param i32) (result i32)))
                   (import "resource" "drop" (func $drop (param i32)))
                   (func (export "run") (result i32) (call $drop (call $new (i32.const 1))) (i32.const 0))"#,
            ),
        ),
        (
            "resources made and dropped",
            with_destructor(
                r#"(func (export "dtor") (param i32))"#,
                r#"(import "resource" "new" (func $new (param i32) (result i32)))
                   (import "resource" "drop" (func $drop (param i32)))
                   (func (export "run") (result i32)
                     (loop (call $drop (call $new (i32.const 1))) (br 0)) (unreachable))"#,
            ),
        ),
        ("post-return", with_post_return(&format!(r#"{returns} (func (export "after") (param i32) (loop (br 0)))"#))),
        ("random numbers", host_loop("(call $random (i64.const 64) (i32.const 0))")),
        ("the clock", host_loop("(drop (call $now))")),
        ("check-write", host_loop("(call $check-write (local.get $s) (i32.const 0))")),
        (
            "empty writes",
            host_loop("(call $write-and-flush (local.get $s) (i32.const 0) (i32.const 0) (i32.const 16))"),
        ),
        (
            "timers that are over",
            host_loop(
                "(local.set $i (call $timer (i64.const 0))) (call $block (local.get $i)) (call $drop-pollable (local.get $i))",
            ),
        ),
        (
            "a poll that is ready",
            host_loop(
                "(if (i32.eqz (local.get $i)) (then (local.set $i (call $timer (i64.const 0)))))
                 (i32.store (i32.const 64) (local.get $i)) (call $poll (i32.const 64) (i32.const 1) (i32.const 0))",
            ),
        ),
    ]
}

/// Recursion without end, and frames that are too large.
pub fn recursions() -> Vec<Named> {
    let returns = r#"(func (export "run") (result i32) (i32.const 0))"#;
    // Values that all have to be kept over a call.
    let kept: String = (0..1500).map(|_| "(call $value) ").collect();
    let added: String = (1..1500).map(|_| "(i64.add) ").collect();
    let resource = |main: &str| {
        format!(
            r#"(import "resource" "new" (func $new (param i32) (result i32)))
               (import "resource" "drop" (func $drop (param i32))) {main}"#
        )
    };
    let locals = "i64 ".repeat(2000);
    vec![
        ("a function", plain(r#"(func $f (export "run") (result i32) (i32.add (call $f) (i32.const 1)))"#)),
        (
            "two functions",
            plain(
                r#"(func $f (export "run") (result i32) (i32.add (call $g (i64.const 1)) (i32.const 1)))
                   (func $g (param i64) (result i32) (i32.add (call $f) (i32.const 1)))"#,
            ),
        ),
        (
            "an indirect function",
            plain(
                r#"(type $t (func (result i32))) (table 1 1 funcref) (elem (i32.const 0) $f)
                   (func $f (export "run") (result i32)
                     (i32.add (call_indirect (type $t) (i32.const 0)) (i32.const 1)))"#,
            ),
        ),
        (
            "large frames",
            plain(&format!(
                r#"(global $g (mut i64) (i64.const 1))
                   (func $value (result i64) (global.set $g (i64.mul (global.get $g) (i64.const 3))) (global.get $g))
                   (func $f (result i64) {kept} (call $f) (i64.add) {added})
                   (func (export "run") (result i32) (i32.wrap_i64 (call $f)))"#
            )),
        ),
        (
            "many parameters",
            plain(&format!(
                r#"(func $f (param {}) (result i64) {} (i64.add (call $f) (i64.const 1)))
                   (func (export "run") (result i32) {} (i32.wrap_i64 (call $f)))"#,
                "i64 ".repeat(900),
                (0..900).map(|i| format!("(local.get {i}) ")).collect::<String>(),
                "(i64.const 1) ".repeat(900),
            )),
        ),
        (
            "many locals",
            plain(&format!(
                r#"(func $f (result i64) (local {locals}) (i64.add (call $f) (local.get 1999)))
                   (func (export "run") (result i32) (i32.wrap_i64 (call $f)))"#
            )),
        ),
        ("the start function", plain(&format!("(func $s (call $s) (call $s)) (start $s) {returns}"))),
        (
            "a destructor",
            with_destructor(
                r#"(func $d (export "dtor") (param i32) (call $d (i32.const 1)) (call $d (i32.const 2)))"#,
                &resource(r#"(func (export "run") (result i32) (call $drop (call $new (i32.const 1))) (i32.const 0))"#),
            ),
        ),
        (
            "a destructor of another in a destructor",
            // The destructor calls back into the program by a table that both have.
            with_destructor(
                r#"(type $t (func (param i32))) (table (export "table") 1 1 funcref)
                   (func (export "dtor") (param i32) (call_indirect (type $t) (i32.const 1) (i32.const 0)))"#,
                &resource(
                    r#"(import "dtor" "table" (table 1 1 funcref)) (elem (i32.const 0) $again)
                       (func $again (param i32) (call $drop (call $new (i32.const 1))) (call $drop (call $new (i32.const 1))))
                       (func (export "run") (result i32) (call $drop (call $new (i32.const 1))) (i32.const 0))"#,
                ),
            ),
        ),
        (
            "post-return",
            with_post_return(&format!(
                r#"{returns} (func $a (export "after") (param i32) (call $a (i32.const 1)) (call $a (i32.const 1)))"#
            )),
        ),
        (
            "realloc",
            with_host(
                Some(
                    r#"(memory (export "memory") 2) (func $r (export "realloc") (param i32 i32 i32 i32) (result i32)
                         (i32.add (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)) (i32.const 1)))"#,
                ),
                &host_main("(call $random (i64.const 8) (i32.const 0)) (i32.const 0)"),
            ),
        ),
        (
            "the host calls realloc, which calls the host",
            with_host(
                Some(
                    r#"(type $t (func (param i32 i32 i32 i32) (result i32))) (memory (export "memory") 2)
                       (table (export "table") 1 1 funcref)
                       (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                         (call_indirect (type $t) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 0)))"#,
                ),
                &format!(
                    r#"(import "libc" "table" (table 1 1 funcref)) {} (elem (i32.const 0) $again)
                       (func $again (param i32 i32 i32 i32) (result i32)
                         (call $random (i64.const 8) (i32.const 0)) (i32.const 0))"#,
                    host_main("(call $random (i64.const 8) (i32.const 0)) (i32.const 0)"),
                ),
            ),
        ),
        (
            "writes at the end of the stack",
            with_host(
                None,
                &format!(
                    r#"{} (func $deep (param $s i32) (result i32)
                         (call $write-and-flush (local.get $s) (i32.const 0) (i32.const 1) (i32.const 16))
                         (i32.add (call $deep (local.get $s)) (i32.const 1)))"#,
                    host_main("(call $deep (local.get $s))"),
                ),
            ),
        ),
        ("a program in Rust", std::fs::read(guests::path("recurse")).expect("it was built")),
    ]
}
