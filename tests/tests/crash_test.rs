//! `relume test`: an unsafe step is found, and a safe program is not accused.

use relume_tests::guests;
use relume_tests::server::{Said, cli};
use relume_tests::shop::{self, Shop};
use serde_json::Value;

fn test(guest: &str, shop: &Shop, input: &str, more: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("relume.toml"), shop::ALLOWED).expect("a manifest");
    let component = guests::path(guest).to_str().expect("a path");
    let url = format!("SHOP_URL={}", shop.url());
    let args = ["test", component, "--crash-at", "every-boundary", "-p", &url, "-i", input];
    let here = ["--manifest", "relume.toml", "--allow-network", "127.0.0.1/32"];
    cli(folder.path(), &[&args, here.as_slice(), more].concat(), &[], "")
}

#[test] // R20, R44
fn a_planted_step_that_is_not_idempotent_is_found_and_named() {
    let shop = Shop::start();
    let said = test("double-charge", &shop, r#"{"id": 7, "cents": 100}"#, &[]);
    assert_eq!(said.exit_code, 1, "{said:?}");
    assert!(said.stdout.starts_with("step `charge` is not safe: crashed before write 2\n"), "{said:?}");
    assert_eq!(said.stdout.matches("is not safe").count(), 1, "the others are: {said:?}");
    assert_eq!(said.stderr.matches("NOT SAFE").count(), 1, "{said:?}");

    let said = test("double-charge", &shop, r#"{"id": 7, "cents": 100}"#, &["--json"]);
    let told: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!((&told["boundaries"], &told["findings"][0]["step"]), (&6.into(), &"charge".into()), "{told}");
}

#[test] // R20, R44
fn a_safe_program_is_resumed_to_the_same_end_from_each_crash() {
    let shop = Shop::start();
    let order = r#"{"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"}"#;
    let said = test("order-pipeline", &shop, order, &[]);
    assert_eq!(said.exit_code, 0, "{said:?}");
    assert!(said.stdout.ends_with("is safe: 10 crashes, each resumed to the same end\n"), "{said:?}");
    // Two whole runs, and for each of five steps one that was cut before it was recorded and executed again.
    assert_eq!(shop.calls("reserve"), 2 + 10 + 1);
}

#[test] // R42
fn waits_are_left_out() {
    let shop = Shop::start();
    let said = test("sleeper", &shop, "86400000", &[]);
    assert_eq!(said.exit_code, 0, "{said:?}");
}

#[test]
fn a_program_that_fails_without_a_crash_is_not_tested() {
    let shop = Shop::start();
    let said = test("double-charge", &shop, "{}", &[]);
    assert_eq!(said.exit_code, 1, "{said:?}");
    assert!(said.stderr.contains("cannot be tested\ncause: without a crash it already fails"), "{said:?}");
}
