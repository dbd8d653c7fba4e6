//! V21: does a guest find what another left behind? One fills all it has with a pattern, the next looks for it.

use std::time::Duration;

use libtest_mimic::Trial;
use relume_tests::alone::Alone;
use relume_tests::component::{plain, with_host};

use crate::loops::host_main;
use crate::report::{Cases, test};

const ALTERNATIONS: usize = 10_000;
const LIMITS: &str = "[limits]\nfuel = 1_000_000_000\nmemory_mib = 16\n";

pub fn tests() -> Vec<Trial> {
    vec![
        test("v21_nothing_of_a_run_is_found_by_the_next", alternate),
        test("v21_nothing_is_left_by_a_run_that_is_cut_off", cut_off),
    ]
}

/// Fills its memory, what memory grows by, its globals, its table, and its stack down to the end.
const FILL: &str = r#"
    (memory 1 4) (global $g (mut i64) (i64.const 0)) (table $t 64 64 funcref) (elem declare func $run)
    (func $deep (param $n i64) (param $a i64) (param $b i64) (param $c i64) (result i64)
      (local $x i64) (local $y i64)
      (local.set $x (i64.xor (local.get $a) (local.get $n))) (local.set $y (i64.xor (local.get $b) (local.get $n)))
      (if (result i64) (i64.eqz (local.get $n))
        (then (i64.const 0))
        (else (i64.add (local.get $x) (i64.add (local.get $y)
          (call $deep (i64.sub (local.get $n) (i64.const 1)) (local.get $x) (local.get $y) (local.get $c)))))))
    (func $run (export "run") (result i32)
      (drop (memory.grow (i32.const 3)))
      (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 262144))
      (global.set $g (i64.const 0xa5a5a5a5a5a5a5a5))
      (table.fill $t (i32.const 0) (ref.func $run) (i32.const 64))
      (drop (call $deep (i64.const 2000) (i64.const 0xa5a5a5a5a5a5a5a5) (i64.const 0xa5a5a5a5a5a5a5a5) (i64.const 0)))
      (i32.const 0))"#;

/// Fails if anything is not as it is at a program's beginning.
const LOOK: &str = r#"
    (memory 1 4) (global $g (mut i64) (i64.const 0)) (table $t 64 64 funcref)
    (func $is-clean (result i32) (local $i i32) (local $a i64)
      (local.set $a (i64.or (global.get $g) (local.get $a)))
      (loop $next
        (if (i32.eqz (ref.is_null (table.get $t (local.get $i)))) (then (return (i32.const 0))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64))))
      (local.set $i (i32.const 0))
      (loop $next
        (local.set $a (i64.or (local.get $a) (i64.or (i64.load (local.get $i)) (i64.load offset=8 (local.get $i)))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (i32.const 262144))))
      (i64.eqz (local.get $a)))
    (func (export "run") (result i32)
      (drop (memory.grow (i32.const 3)))
      (i32.eqz (call $is-clean)))"#;

async fn alternate(cases: &mut Cases) {
    let fill = Alone::new(plain(FILL), LIMITS).await;
    let look = Alone::new(plain(LOOK), LIMITS).await;
    // Some at the same time, as a worker has them.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (fill, look) = (fill.clone(), look.clone());
        tasks.spawn(async move {
            for _ in 0..ALTERNATIONS / 4 {
                assert_eq!(fill.verdict().await, "exited");
                assert_eq!(look.verdict().await, "exited", "something was found");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nothing was found");
    }
    // The one who looks does find what is there.
    let planted = LOOK.replace("(memory 1 4)", "(memory 1 4) (data (i32.const 65000) \"\\a5\")");
    assert_eq!(Alone::new(plain(&planted), LIMITS).await.verdict().await, "crashed exit");
    cases.add("10,000 times nothing found");
}

/// A run that is cut off in the middle cleans nothing up itself.
async fn cut_off(cases: &mut Cases) {
    let end = FILL.rfind("(i32.const 0))").expect("it ends so");
    let endless = format!("{}(loop (br 0)) (unreachable))", &FILL[..end]);
    let fill = Alone::new(plain(&endless), LIMITS).await.time(Duration::from_millis(2));
    let deep =
        with_host(None, &host_main("(call $random (i64.const 65536) (i32.const 1024)) (loop (br 0)) (unreachable)"));
    let random = Alone::new(deep, LIMITS).await.time(Duration::from_millis(2));
    let look = Alone::new(plain(LOOK), LIMITS).await;
    for _ in 0..100 {
        assert_eq!(fill.verdict().await, "crashed timeout");
        assert_eq!(look.verdict().await, "exited", "something was found");
        assert_eq!(random.verdict().await, "crashed timeout");
        assert_eq!(look.verdict().await, "exited", "something was found");
        cases.add("nothing found");
    }
}
