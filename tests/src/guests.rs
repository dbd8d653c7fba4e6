//! The programs that tests run, built for `wasm32-wasip2` once per test process: every file in `tests/guests/src/bin`
//! and every folder in `examples`. A new file is a new guest; there is no other list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

/// The component of the guest or example `name`: `loop_forever`, `order-pipeline`.
///
/// The first call builds them all, which takes a minute when nothing is built yet.
///
/// # Panics
/// When there is no such guest, or they cannot be built; cargo's errors are on stderr.
pub fn path(name: &str) -> &'static Path {
    static COMPONENTS: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(build);
    match COMPONENTS.get(name) {
        Some(path) => path,
        None => panic!("there is no guest `{name}`; there are {:?}", COMPONENTS.keys()),
    }
}

/// The names of all test guests, from the folder.
pub fn names() -> Vec<String> {
    let mut names: Vec<_> = names_in("tests/guests/src/bin").collect();
    names.sort();
    names
}

/// The names of all examples, from the folder.
pub fn examples() -> Vec<String> {
    let mut names: Vec<_> = names_in("examples").collect();
    names.sort();
    names
}

/// The file names in a folder of the workspace, without `.rs`.
fn names_in(folder: &str) -> impl Iterator<Item = String> {
    let folder = workspace().join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display()));
    entries.map(|entry| {
        let path = entry.expect("an entry of a folder is readable").path();
        path.file_stem().expect("an entry has a name").to_string_lossy().into_owned()
    })
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in a workspace")
}

/// Cargo, as one would start it from a shell in the workspace.
///
/// The cargo that started this process has told it about a package. Build scripts look at that too, and would run again
/// whenever it changes: ring's does, and with it a third of the dependencies would be built anew each time.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes())) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds all guests, and finds out from cargo where they are.
fn build() -> BTreeMap<String, PathBuf> {
    let output = cargo()
        .args(["build", "--release", "--target", "wasm32-wasip2", "--message-format", "json-render-diagnostics"])
        .args(["--package", "relume-test-guests"])
        .args(examples().iter().flat_map(|example| ["--package", example]))
        // Flags for the host, of a coverage run for instance, are not for the guests.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "the guests cannot be built");

    let lines = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|message| component(&message)).collect()
}

/// The name and path of the component that a message of cargo tells of.
fn component(message: &Value) -> Option<(String, PathBuf)> {
    let path = message["executable"].as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // R50
    fn every_guest_and_example_is_a_component() {
        for name in names().iter().chain(&examples()) {
            let start = std::fs::read(path(name)).expect("it was built")[..8].to_vec();
            assert_eq!(start, b"\0asm\x0d\0\x01\0", "{name}");
        }
    }
}
