//! A real browser at the dashboard: the scripts of `tests/dashboard`, which Node.js executes with Playwright and Chromium.

use std::process::{Command, Stdio};

use crate::guests::{self, workspace};
use crate::server::Server;

/// Executes the tests of one script at the dashboard of a server with a worker.
///
/// # Panics
/// When one of them fails, or what they need is not installed.
pub fn execute(script: &str, server: &Server) {
    let folder = workspace().join("tests/dashboard");
    assert!(
        folder.join("node_modules/playwright-core").is_dir(),
        "what tests/dashboard/package-lock.json lists is not installed: start the tests by `tests/run`, which does so"
    );
    let components = guests::path("plain").parent().expect("a folder");
    let ended = Command::new("node")
        .args(["--test", "--test-reporter=spec", script])
        .current_dir(folder)
        .env("RELUME_URL", &server.url)
        .env("RELUME_TOKEN", &server.token)
        .env("RELUME_COMPONENTS", components)
        .stdin(Stdio::null())
        .output()
        .expect("node is there: `tests/run` installs it");
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{said}");
    assert!(ended.status.success(), "{script} failed:\n{said}");
}
