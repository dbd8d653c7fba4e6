//! V6: thousands of imports and exports, names that are too long, what is not in our world, and components that are damaged.

use std::time::Duration;

use libtest_mimic::Trial;
use relume::sandbox::{Inspection, Refusal, Sandbox};
use relume_tests::dice::Dice;
use relume_tests::guests;
use relume_tests::node::sandbox_in;
use tokio::time::Instant;

use crate::bytes::{app_with, export, import, list, section, sections, tiny};
use crate::report::{Cases, test};

/// What may pass until an upload is refused by its names.
const AT_ONCE: Duration = Duration::from_secs(1);

pub fn tests() -> Vec<Trial> {
    vec![
        test("v06_imports_and_exports_are_counted_and_named_before_anything_is_compiled", names),
        test("v06_a_component_that_ends_early_is_refused", cut_short),
        test("v06_a_component_with_a_flipped_bit_is_refused_or_is_one", flipped),
    ]
}

async fn inspect(sandbox: &Sandbox, component: Vec<u8>) -> (Result<Inspection, Refusal>, Duration) {
    let began = Instant::now();
    (sandbox.inspect(component).await, began.elapsed())
}

fn imports(names: impl IntoIterator<Item = String>) -> Vec<u8> {
    app_with(&[section(10, &list(&names.into_iter().map(|name| import(&name)).collect::<Vec<_>>()))])
}

async fn names(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = sandbox_in(folder.path());
    let ours = |n: usize| (0..n).map(|n| format!("wasi:io/x{n}@0.2.0"));
    let exports = |n: usize| list(&(0..n).map(|n| export(&format!("a:b/x{n}"))).collect::<Vec<_>>());
    for (component, code, told) in [
        (imports(ours(65)), "too_many_imports", "65 imports; the most is 64"),
        (imports(ours(5_000)), "too_many_imports", "5000 imports"),
        (imports(ours(500_000)), "too_many_imports", "500000 imports"),
        (app_with(&vec![section(10, &list(&[import("wasi:io/x")])); 1_000]), "too_many_imports", "1000 imports"),
        (app_with(&[section(11, &exports(300))]), "too_many_exports", "301 exports; the most is 256"),
        (app_with(&[section(11, &exports(100_000))]), "too_many_exports", "100001 exports"),
        (imports([format!("wasi:io/{}", "x".repeat(249))]), "name_too_long", "257 bytes; the most is 256"),
        (imports(["x".repeat(1_000_000)]), "component_malformed", "string size out of bounds"),
        (app_with(&[section(11, &list(&[export(&"x".repeat(300))]))]), "name_too_long", "300 bytes"),
        (imports(["env:host/x".into(), "wasi:nn/x@0.2.0".into()]), "unknown_imports", "env:host/x, wasi:nn/x@0.2.0"),
        (imports(["wasi-io/x".into()]), "unknown_imports", "wasi-io/x"),
        (imports(["evil\u{1b}[2J\u{202e}/x".into()]), "unknown_imports", "evil\\u{1b}[2J\\u{202e}/x"),
        (imports(["wasi:io".into(), "relume:durable2/x".into()]), "unknown_imports", "wasi:io, relume:durable2/x"),
        (imports((0..64).map(|n| format!("a:b/x{n}"))), "unknown_imports", "a:b/x0, a:b/x1, a:b/x2"),
        (imports((0..64).map(|n| format!("a:b/x{n}"))), "unknown_imports", "a:b/x63"),
    ] {
        let (refusal, took) = inspect(&sandbox, component).await;
        let refusal = refusal.expect_err(told);
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(refusal.to_string().contains(told), "{told}: {refusal}");
        assert!(took < AT_ONCE, "{told}: {took:?}");
        cases.add(code);
    }
}

async fn cut_short(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = sandbox_in(folder.path());
    let whole = std::fs::read(guests::path("hello")).expect("it was built");
    let edges = [sections(&whole), vec![whole.len()]].concat();
    // At each section, and within the head and the middle of each.
    for end in edges.windows(2).flat_map(|edge| [edge[0], edge[0] + 1, edge[0].midpoint(edge[1])]) {
        let (verdict, took) = inspect(&sandbox, whole[..end].to_vec()).await;
        assert!(took < Duration::from_secs(20), "{end}: {took:?}");
        match verdict {
            Err(refusal) => {
                assert!(!matches!(refusal, Refusal::Host(_)), "{end}: {refusal}");
                cases.add(refusal.code());
            }
            // What tools say of themselves stands behind all that counts.
            Ok(_) => {
                let rest = edges.iter().take_while(|edge| **edge < whole.len()).filter(|edge| **edge >= end);
                assert!(rest.clone().all(|edge| whole[*edge] == 0), "the first {end} bytes are an app");
                cases.add("compiles");
            }
        }
    }
}

async fn flipped(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = sandbox_in(folder.path());
    let hello = std::fs::read(guests::path("hello")).expect("it was built");
    let mut dice = Dice::cast();
    for n in 0..200 {
        let mut component = if n % 8 == 0 { hello.clone() } else { tiny() };
        let bit = dice.below(component.len() as u64 * 8) as usize;
        component[bit / 8] ^= 1 << (bit % 8);
        match inspect(&sandbox, component).await.0 {
            Ok(_) => cases.add("compiles"),
            Err(refusal) => {
                assert!(!matches!(refusal, Refusal::Host(_)), "bit {bit}: {refusal}");
                cases.add(refusal.code());
            }
        }
    }
    sandbox.inspect(tiny()).await.expect("it is still there for others");
}
