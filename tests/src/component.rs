//! Components that no compiler would make: written as text, with `wasi:cli/run` exported so that they can be uploaded.

use crate::guests::workspace;

/// What of the world a component is given: the text of its imports, each with the core function of that name in the
/// instance `host` of [`app`].
const IMPORTS: &str = r#"
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
    (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer 1 $error (type $error'))
    (alias outer 1 $pollable (type $pollable'))
    (export "error" (type $err (eq $error')))
    (type $failed' (variant (case "last-operation-failed" (own $err)) (case "closed")))
    (export "stream-error" (type $failed (eq $failed')))
    (export "[method]output-stream.check-write" (func (param "self" (borrow $stream))
      (result (result u64 (error $failed)))))
    (export "[method]output-stream.write" (func (param "self" (borrow $stream)) (param "contents" (list u8))
      (result (result (error $failed)))))
    (export "[method]output-stream.subscribe" (func (param "self" (borrow $stream)) (result (own $pollable'))))
    (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $stream))
      (param "contents" (list u8)) (result (result (error $failed)))))))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $stream (type $stream'))
    (export "output-stream" (type $out (eq $stream')))
    (export "get-stdout" (func (result (own $out))))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $pollable'))
    (export "pollable" (type $p (eq $pollable')))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
"#;

/// What every program is given: a memory, a `realloc`, and a table.
const LIBC: &str = r#"
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.const 16)))))
      (local.get $at))
"#;

/// A program of one module, which imports nothing; it exports `run`.
///
/// # Panics
/// When the text is wrong.
pub fn plain(module: &str) -> Vec<u8> {
    component(&format!(r#"(component (core module $m {module}) (core instance $main (instantiate $m)) {})"#, entry("")))
}

/// A program of one module that imports the host's functions as `host` and the memory as `libc`, and a module `libc`
/// which exports `memory` and `realloc`.
///
/// # Panics
/// When the text is wrong.
pub fn with_host(libc: Option<&str>, module: &str) -> Vec<u8> {
    let libc = libc.unwrap_or(LIBC);
    let lowered = [
        ("random", "random", "get-random-bytes"),
        ("stdout", "stdout", "get-stdout"),
        ("now", "clock", "now"),
        ("timer", "clock", "subscribe-duration"),
        ("check-write", "streams", "[method]output-stream.check-write"),
        ("write", "streams", "[method]output-stream.write"),
        ("write-and-flush", "streams", "[method]output-stream.blocking-write-and-flush"),
        ("subscribe", "streams", "[method]output-stream.subscribe"),
        ("block", "poll", "[method]pollable.block"),
        ("ready", "poll", "[method]pollable.ready"),
        ("poll", "poll", "poll"),
    ];
    let lower = |(name, instance, function): &(&str, &str, &str)| {
        format!(
            r#"(core func ${name} (canon lower (func ${instance} "{function}") (memory (core memory $libc "memory"))
                 (realloc (core func $libc "realloc"))))"#
        )
    };
    let lowers: String = lowered.iter().map(lower).collect();
    let exports: String = lowered.iter().map(|(name, ..)| format!(r#"(export "{name}" (func ${name}))"#)).collect();
    component(&format!(
        r#"(component {IMPORTS}
             (core module $l {libc}) (core instance $libc (instantiate $l))
             {lowers}
             (core func $drop-pollable (canon resource.drop $pollable))
             (core instance $host {exports} (export "drop-pollable" (func $drop-pollable)))
             (core module $m {module})
             (core instance $main (instantiate $m (with "host" (instance $host)) (with "libc" (instance $libc))))
             {})"#,
        entry("")
    ))
}

/// A program whose module `dtor` exports `dtor`, which ends a resource that `main` makes with `resource` `new` and
/// gives up with `drop`.
///
/// # Panics
/// When the text is wrong.
pub fn with_destructor(dtor: &str, main: &str) -> Vec<u8> {
    component(&format!(
        r#"(component
             (core module $d {dtor}) (core instance $dtor (instantiate $d))
             (type $r (resource (rep i32) (dtor (core func $dtor "dtor"))))
             (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
             (core instance $resource (export "new" (func $new)) (export "drop" (func $drop)))
             (core module $m {main})
             (core instance $main (instantiate $m (with "resource" (instance $resource)) (with "dtor" (instance $dtor))))
             {})"#,
        entry("")
    ))
}

/// A program whose module exports `after`, to be called when `run` has returned.
///
/// # Panics
/// When the text is wrong.
pub fn with_post_return(module: &str) -> Vec<u8> {
    let entry = entry(r#"(post-return (core func $main "after"))"#);
    component(&format!(r#"(component (core module $m {module}) (core instance $main (instantiate $m)) {entry})"#))
}

/// The export by which a component is an app.
fn entry(options: &str) -> String {
    format!(
        r#"(func $run (result (result)) (canon lift (core func $main "run") {options}))
           (instance $entry (export "run" (func $run)))
           (export "wasi:cli/run@0.2.0" (instance $entry))"#
    )
}

/// The component that a text describes.
///
/// # Panics
/// When the text is wrong.
pub fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The same component with a section of its own, so that it has another digest.
pub fn numbered(component: &[u8], number: u32) -> Vec<u8> {
    // Custom section: id 0, its length, a name of one byte, four bytes.
    [component, &[0, 6, 1, b'n'], &number.to_le_bytes()].concat()
}

/// What a test wrote and finds again the next time: below the target folder.
pub fn scratch(name: &str) -> std::path::PathBuf {
    workspace().join("target/tmp").join(name)
}
