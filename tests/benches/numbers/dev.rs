//! `relume dev` in an empty folder: how soon is it ready, how much memory does it take, how large is the program?

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use relume_tests::guests::{cargo, workspace};
use tokio::time::Instant;

use crate::table::{Figure, median};

const STARTS: usize = 11;
/// After this long nothing more happens in an idle process.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// All three.
pub fn figures() -> Vec<Figure> {
    let program = build();
    let (mut starts, mut versions) = (vec![], vec![]);
    for _ in 0..STARTS {
        let began = Instant::now();
        let status = Command::new(program).arg("--version").stdout(Stdio::null()).status().expect("it starts");
        assert!(status.success());
        versions.push(began.elapsed());
        starts.push(Dev::start(program).ready_after);
    }
    let size_bytes = std::fs::metadata(program).expect("it was built").len();
    let start = ("`relume --version`", median(versions));
    vec![
        Figure::time("first start of `relume dev` to ready", median(starts), start, "< 1 s"),
        Figure::alone("memory of `relume dev`, idle", idle_memory(program), "< 60 MB"),
        Figure::alone("size of the program", megabytes(size_bytes), "< 45 MB"),
    ]
}

/// The program as it is shipped, built once.
pub fn build() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut cargo = cargo();
        // Together with this package, so that the two share one build of their dependencies.
        cargo.args(["build", "--quiet", "--release"]);
        cargo.args(["--package", "relume", "--package", "relume-tests", "--bin", "relume"]);
        assert!(cargo.status().expect("cargo starts").success(), "relume cannot be built");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
        target.join("release/relume")
    });
    &BUILT
}

struct Dev {
    process: Child,
    ready_after: Duration,
    /// Open, because it may say more.
    _stderr: BufReader<ChildStderr>,
    _folder: tempfile::TempDir,
}

impl Dev {
    fn start(program: &Path) -> Dev {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(program);
        command.args(["dev", "--listen", "127.0.0.1:0"]).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut process = command.spawn().expect("it starts");
        let mut stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let ready = stderr.by_ref().lines().map_while(Result::ok).find(|line| line.contains("listening on"));
        let ready_after = began.elapsed();
        assert!(ready.is_some(), "it never listened");
        Dev { process, ready_after, _stderr: stderr, _folder: folder }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Resident memory, and the part that is not pages of the program's file.
fn idle_memory(program: &Path) -> String {
    let dev = Dev::start(program);
    std::thread::sleep(SETTLED_AFTER);
    let all = memory_bytes(dev.process.id(), "VmRSS:");
    let own = own_memory_bytes(dev.process.id());
    format!("{}, {} without the program's file", megabytes(all), megabytes(own))
}

/// Resident memory of a process without the pages of files.
pub fn own_memory_bytes(process: u32) -> u64 {
    memory_bytes(process, "RssAnon:")
}

fn memory_bytes(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("Linux says so");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
    kilobytes * 1024
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
