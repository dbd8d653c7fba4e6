//! V23: what this is made of: exact versions, from one place, under licences that are listed.

use std::collections::BTreeSet;
use std::process::Stdio;

use libtest_mimic::Trial;
use relume_tests::guests::{cargo, workspace};
use serde_json::Value;

use crate::report::{Cases, test};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub fn tests() -> Vec<Trial> {
    vec![
        test("v23_every_dependency_is_from_crates_io_and_its_version_is_written_down", sources),
        test("v23_every_licence_is_one_that_deny_toml_lists", licences),
    ]
}

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What cargo resolves, with the lock file as it is.
fn packages() -> Vec<Value> {
    let mut cargo = cargo();
    let output = cargo.args(["metadata", "--format-version", "1", "--locked"]).stderr(Stdio::inherit()).output();
    let output = output.expect("cargo starts");
    assert!(output.status.success(), "the lock file is not that of the manifests: build once, and commit Cargo.lock");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

async fn sources(cases: &mut Cases) {
    let packages = packages();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    for package in &packages {
        match package["source"].as_str() {
            Some(source) => assert_eq!(source, CRATES_IO, "{}", package["name"]),
            None => {
                let path = package["manifest_path"].as_str().expect("a path");
                assert!(path.starts_with(workspace().to_str().expect("text")), "{path} is not of this workspace");
            }
        }
    }
    for package in read("Cargo.lock").split("[[package]]").skip(1) {
        let has = |key: &str| package.lines().any(|line| line.starts_with(&format!("{key} = ")));
        assert_eq!(has("source"), has("checksum"), "no checksum: {package}");
    }
    let deny = read(".cargo/deny.toml");
    for line in ["unknown-registry = \"deny\"", "unknown-git = \"deny\"", "yanked = \"deny\""] {
        assert!(deny.contains(line), "deny.toml does not say `{line}`");
    }
    let ignored = read(".gitignore");
    assert!(!ignored.lines().any(|line| line.contains("Cargo.lock")), "the lock file is not committed");
    cases.add(&format!("{} packages from one place", packages.len()));
}

async fn licences(cases: &mut Cases) {
    let deny = read(".cargo/deny.toml");
    let listed = deny.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).expect("a list");
    let listed: BTreeSet<&str> = listed.split('"').skip(1).step_by(2).collect();
    assert!(listed.contains("MIT") && listed.len() > 5, "{listed:?}");
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
        let (name, version) = (&package["name"], &package["version"]);
        let licence = licence.replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "+WITH+");
        let words: Vec<String> = licence.split_whitespace().map(|word| word.replace("+WITH+", " WITH ")).collect();
        let mut words = words.iter().map(String::as_str).peekable();
        let is_listed = any_of(&mut words, &listed);
        assert!(is_listed && words.next().is_none(), "{name} {version}: `{licence}` is not in .cargo/deny.toml");
        cases.add("listed");
    }
}

/// Whether one of what stands between `OR` is listed.
fn any_of<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>, listed: &BTreeSet<&str>) -> bool {
    let mut is_listed = all_of(words, listed);
    while words.next_if_eq(&"OR").is_some() {
        is_listed |= all_of(words, listed);
    }
    is_listed
}

/// Whether all of what stands between `AND` are.
fn all_of<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>, listed: &BTreeSet<&str>) -> bool {
    let mut is_listed = true;
    loop {
        is_listed &= match words.next() {
            Some("(") => {
                let inner = any_of(words, listed);
                words.next() == Some(")") && inner
            }
            Some(word) => listed.contains(word),
            None => false,
        };
        if words.next_if_eq(&"AND").is_none() {
            return is_listed;
        }
    }
}
