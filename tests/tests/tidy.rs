//! The shape of the code: what ARCHITECTURE.md says is absent is absent. Each message says how to mend a breach.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use relume_tests::guests::{self, workspace};

/// The libraries that only one module may name.
const HOMES: [(&str, &str); 6] = [
    ("sqlx", "store"),
    ("wasmtime", "sandbox"),
    ("wasmtime_wasi", "sandbox"),
    ("wasmtime_wasi_http", "sandbox"),
    ("axum", "api"),
    ("clap", "cli"),
];

/// The longest a source file may grow before it has to say which two questions it answers.
const MAX_LINES: usize = 500;

/// Folders with Rust that people write.
const SOURCES: [&str; 4] = ["runtime/src", "guest-sdk", "examples", "tests"];

/// What users were promised, by the ids of the list of requirements, as far as it is built.
const PROMISES: [&str; 31] = [
    "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "R13", "R20", "R21", "R22", "R23",
    "R24", "R25", "R26", "R27", "R28", "R29", "R30", "R31", "R40", "R41", "R42", "R43", "R44", "R45",
];

#[test]
fn each_module_uses_only_those_above_it() {
    let order = modules();
    for (position, module) in order.iter().enumerate() {
        for (path, text) in sources_of(module) {
            for used in names_after(&text, "crate::") {
                let Some(used_position) = order.iter().position(|name| *name == used) else { continue };
                assert!(
                    used_position <= position,
                    "{} uses `{used}`, which comes later in lib.rs than its own module `{module}`. Move what it needs \
                     up into a module above both, or hand it in as a parameter; if the order itself is wrong, change \
                     it in lib.rs and in ARCHITECTURE.md",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_api_never_talks_to_a_worker() {
    for (path, text) in sources_of("api") {
        let used = names_after(&text, "crate::");
        assert!(!used.contains("worker"), "{} uses `worker`: write a row, and let the worker see it", path.display());
    }
}

#[test]
fn each_library_has_one_home() {
    for module in modules() {
        for (path, text) in sources_of(&module) {
            for (library, home) in HOMES {
                let named = text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
                    names_after(line, "").iter().any(|name| *name == library) && line.contains(&format!("{library}::"))
                });
                assert!(
                    !named || module == home,
                    "{} names `{library}`, whose only home is `{home}`. Give `{home}` a type or function of our own \
                     for this, and use that",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_pure_modules_read_no_clock_and_reach_for_nothing() {
    for module in ["retry", "run", "hosts", "numbers", "manifest", "policy", "capabilities", "cron"] {
        for (path, text) in sources_of(module) {
            // An address is a value; a socket is not.
            let sockets = ["TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"];
            for forbidden in ["::now(", "std::fs", "std::env", "tokio", "async fn"].into_iter().chain(sockets) {
                assert!(
                    !text.contains(forbidden),
                    "{} contains `{forbidden}`: it decides, others act. Hand the value in",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_statement_is_a_file_that_says_what_it_promises_and_is_used() {
    let loaded = read(&workspace().join("runtime/src/store/statements.rs"));
    for path in files(&workspace().join("runtime/queries"), "sql") {
        let (name, text) = (file_name(&path), read(&path));
        assert!(text.starts_with("-- "), "{name} opens with no comment: say what it promises, then its parameters");
        let stem = name.split('.').next().unwrap_or_default();
        assert!(loaded.contains(stem), "{name} is loaded by no one: remove it, or name it in statements.rs");
    }
    for (path, text) in sources_of("store") {
        for word in ["insert into ", "delete from ", "update runs", "select * from"] {
            let written = text.lines().any(|line| line.contains(&format!("\"{word}")));
            assert!(!written, "{} holds SQL (`{word}`): it belongs into a file in runtime/queries", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_is_short_enough_to_read() {
    for folder in SOURCES {
        for path in files(&workspace().join(folder), "rs") {
            let text = read(&path);
            let shown = path.display();
            assert!(text.starts_with("//!"), "{shown} does not open by saying what it is for: begin it with `//!`");
            let lines = text.lines().count();
            assert!(
                lines <= MAX_LINES,
                "{shown} has {lines} lines: which two questions does it answer? Make it two files"
            );
        }
    }
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    // Built from halves, so that this file does not find itself.
    let marks = [["to", "do!("], ["#[ig", "nore"], ["FIX", "ME"], ["dbg", "!("]].map(|halves| halves.concat());
    for folder in SOURCES {
        for path in files(&workspace().join(folder), "rs") {
            let text = read(&path);
            for mark in &marks {
                assert!(!text.contains(mark.as_str()), "{} contains `{mark}`: finish it or remove it", path.display());
            }
        }
    }
}

#[test]
fn every_guest_has_a_test() {
    let tests: String = files(&workspace().join("tests/tests"), "rs").iter().map(|path| read(path)).collect();
    for guest in guests::names() {
        assert!(tests.contains(&format!("\"{guest}\"")), "no test runs the guest `{guest}`: write one, or remove it");
    }
}

#[test]
fn every_row_of_the_threat_table_has_a_hostile_test() {
    let suite: String = files(&workspace().join("tests/tests/hostile"), "rs").iter().map(|path| read(path)).collect();
    let missing: Vec<_> =
        (1..=23).map(|row| format!("v{row:02}_")).filter(|row| !suite.contains(&format!("\"{row}"))).collect();
    assert!(missing.is_empty(), "no test in tests/tests/hostile is named after {missing:?}: see SECURITY.md");
}

#[test]
fn every_promise_has_a_test_that_names_it() {
    let texts = SOURCES.iter().flat_map(|folder| files(&workspace().join(folder), "rs")).map(|path| read(&path));
    let named: BTreeSet<_> = texts.flat_map(|text| ids_beside_tests(&text)).collect();
    let missing: Vec<_> = PROMISES.iter().filter(|id| !named.contains(**id)).collect();
    assert!(
        missing.is_empty(),
        "no test names {missing:?}: write `// {}` behind the `#[test]` that proves it",
        missing[0]
    );
}

/// The ids in comments that stand behind the attribute of a test, or right above a conformance case.
fn ids_beside_tests(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let mut ids = vec![];
    for (line, next) in lines.iter().zip(lines.iter().skip(1).chain(&[""])) {
        let is_test = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let is_above_case = line.starts_with("// R") && next.starts_with("pub async fn ");
        let Some((_, comment)) = line.split_once("// ").filter(|_| is_test || is_above_case) else { continue };
        ids.extend(comment.split([',', ' ']).filter(|word| word.starts_with('R')).map(str::to_owned));
    }
    ids
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let architecture = read(&workspace().join("runtime/ARCHITECTURE.md"));
    let invariants = architecture.split("## Invariants").nth(1).expect("ARCHITECTURE.md has a section `Invariants`");
    let tests: String =
        SOURCES.iter().flat_map(|folder| files(&workspace().join(folder), "rs")).map(|p| read(&p)).collect();
    let items: Vec<_> = invariants.split("\n- ").skip(1).collect();
    assert!(items.len() >= 8, "only {} invariants were found", items.len());
    for item in items {
        let item = item.split("\n\n").next().unwrap_or_default();
        let (_, named) = item.rsplit_once("Kept by").unwrap_or_else(|| panic!("this invariant names no test: {item}"));
        let names: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "this invariant names no test: {item}");
        for name in names {
            let exists = tests.contains(&format!("fn {name}("))
                || tests.contains(&format!(" {name}\n"))
                || tests.contains(&format!(" {name}: "))
                || tests.contains(&format!("test(\"{name}\""));
            assert!(exists, "ARCHITECTURE.md names the test `{name}`, which does not exist");
        }
    }
}

/// The modules of the runtime in the order of lib.rs.
fn modules() -> Vec<String> {
    let text = read(&workspace().join("runtime/src/lib.rs"));
    let lines = text.lines().filter_map(|line| line.strip_prefix("pub mod "));
    lines.map(|line| line.split(';').next().unwrap_or_default().to_owned()).collect()
}

/// The files of a module, without their tests.
fn sources_of(module: &str) -> Vec<(PathBuf, String)> {
    let folder = workspace().join("runtime/src");
    let mut paths = files(&folder.join(module), "rs");
    paths.extend(Some(folder.join(format!("{module}.rs"))).filter(|path| path.exists()));
    assert!(!paths.is_empty(), "lib.rs names the module `{module}`, which has no file");
    let without_tests = |text: String| text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
    paths.into_iter().map(|path| (path.clone(), without_tests(read(&path)))).collect()
}

/// The identifiers in `text` that follow `prefix`.
fn names_after<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    if prefix.is_empty() {
        return text.split(|c| !is_part(c)).collect();
    }
    let mut names = BTreeSet::new();
    for rest in text.split(prefix).skip(1) {
        // `use crate::{a, b::c};` names several.
        let group = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap_or_default());
        for path in group.map_or_else(|| vec![rest], |group| group.split(',').collect()) {
            names.insert(path.trim().split(|c| !is_part(c)).next().unwrap_or_default());
        }
    }
    names
}

/// The files below a folder with this extension; none if there is no such folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}
