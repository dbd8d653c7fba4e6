//! The Python that has Tower's client and schemathesis.

use std::path::{Path, PathBuf};

use crate::guests::workspace;

/// A program of that Python, e.g. `python`.
///
/// # Panics
/// When it is not there, or not with what `requirements.txt` asks for.
pub fn program(name: &str) -> PathBuf {
    let folder = workspace().join("target/tmp/python");
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let installed = read(&folder.join("requirements.txt"));
    assert!(
        installed.is_some() && installed == read(&workspace().join("tests/requirements.txt")),
        "what tests/requirements.txt lists is not in {}: start the tests by `tests/run`, which installs it",
        folder.display()
    );
    folder.join("bin").join(name)
}
