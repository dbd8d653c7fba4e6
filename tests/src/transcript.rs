//! Does the program print what is written down? The commands of a text are typed into a shell one after the other, and
//! what they print is compared with what stands below them.
//!
//! In a block ` ```console `, a line that begins with `$ ` is typed, and the lines below it are what it prints, stdout
//! and stderr as they come. `…` stands for any text within a line, and alone on a line for any lines. Any other block
//! is a file, whose first line is a comment with its path.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::guests::workspace;
use crate::process;

/// Where `relume dev` listens by default. A test has a free port instead, in what is typed and in what is expected.
const ADDRESS: &str = "127.0.0.1:7300";
const ANY: &str = "…";
/// How long one command may take. The longest builds an app.
const PATIENCE: Duration = Duration::from_secs(600);
/// What the shell says after each command, with its exit code.
const DONE: &str = "--- the command is done: ";

/// What a reader does.
#[derive(Debug)]
pub enum Part {
    /// Writes a file.
    File { path: String, text: String },
    /// Types a command and sees what it prints.
    Command { typed: String, expected: Vec<String> },
}

/// What the blocks of a text ask a reader to do.
///
/// # Panics
/// When output stands below no command.
pub fn parts(text: &str) -> Vec<Part> {
    let mut parts = vec![];
    for block in text.split("\n```").skip(1).step_by(2) {
        let (language, block) = block.split_once('\n').expect("a block has lines");
        let mut lines = block.lines().map(str::to_owned).peekable();
        if language != "console" {
            let first = lines.peek().expect("a block has lines");
            let path = first.trim_start_matches(['/', '#']).trim().to_owned();
            parts.push(Part::File { path, text: format!("{block}\n") });
            continue;
        }
        while let Some(line) = lines.next() {
            let typed = line.strip_prefix("$ ").unwrap_or_else(|| panic!("`{line}` is below no command")).to_owned();
            let mut expected = vec![];
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                expected.push(line);
            }
            parts.push(Part::Command { typed, expected });
        }
    }
    parts
}

/// Whether the lines are those expected.
pub fn matches(expected: &[String], actual: &[String]) -> bool {
    match (expected, actual) {
        ([], actual) => actual.is_empty(),
        ([any, rest @ ..], actual) if any == ANY => (0..=actual.len()).any(|skipped| matches(rest, &actual[skipped..])),
        ([line, rest @ ..], [first, others @ ..]) => line_matches(line, first) && matches(rest, others),
        _ => false,
    }
}

fn line_matches(expected: &str, actual: &str) -> bool {
    let Some((start, rest)) = expected.split_once(ANY) else { return expected == actual };
    let Some(actual) = actual.strip_prefix(start) else { return false };
    (0..=actual.len()).any(|skipped| actual.is_char_boundary(skipped) && line_matches(rest, &actual[skipped..]))
}

/// How what was expected and what was printed differ, for the person who has to decide which is right.
pub fn difference(typed: &str, expected: &[String], actual: &[String]) -> String {
    let (expected, actual) = (expected.join("\n"), actual.join("\n"));
    format!("$ {typed}\n\n--- what is written\n{expected}\n\n--- what it printed\n{actual}\n")
}

/// A shell in a folder of its own, as a reader has one: with `relume` on the PATH and the repository beside it.
pub struct Shell {
    bash: Child,
    stdin: ChildStdin,
    output: Receiver<String>,
    folder: TempDir,
    address: String,
    in_background: u32,
}

impl Shell {
    /// In a new folder, where nothing is known of a server.
    ///
    /// # Panics
    /// When there is no bash.
    pub fn start() -> Shell {
        let folder = tempfile::Builder::new().prefix("relume-shell-").tempdir().expect("a folder");
        std::os::unix::fs::symlink(workspace(), folder.path().join("relume")).expect("a link");
        let relume = process::binary();
        let target = relume.ancestors().nth(2).expect("it is in the target folder");
        let mut paths = vec![relume.parent().expect("it is in a folder").to_owned()];
        paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");

        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc"]).current_dir(folder.path()).process_group(0);
        for (name, _) in std::env::vars_os() {
            let starts = ["CARGO_", "RUSTFLAGS", "RELUME_", "DATABASE_URL"];
            if starts.iter().any(|start| name.to_string_lossy().starts_with(start)) {
                bash.env_remove(name);
            }
        }
        if let Some(home) = std::env::var_os("CARGO_HOME") {
            bash.env("CARGO_HOME", home);
        }
        // What an app is built of stays for the next time; the app itself is where a reader finds it.
        bash.env("CARGO_BUILD_BUILD_DIR", target.join("tmp/tour"));
        bash.env("PATH", std::env::join_paths(paths).expect("they were joined before"));
        bash.env("RELUME_LISTEN", &address).env("RELUME_URL", format!("http://{address}"));
        bash.env("XDG_CACHE_HOME", folder.path().join("cache"));
        bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut bash = bash.spawn().expect("bash starts");
        let stdin = bash.stdin.take().expect("it is piped");
        let stdout = bash.stdout.take().expect("it is piped");
        let (send, output) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // No one may be waiting any more.
                let _ = send.send(line);
            }
        });
        let mut shell = Shell { bash, stdin, output, folder, address, in_background: 0 };
        // The shell ends with this process, however that ends, and all that it started ends with the shell.
        shell.send("trap 'kill -9 0' EXIT");
        shell
    }

    /// The folder in which it was started.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn send(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("bash is there");
    }

    /// What a command prints, and its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn run(&mut self, typed: &str) -> (Vec<String>, i32) {
        let real = typed.replace(ADDRESS, &self.address);
        self.send(&format!("{{ {real}\n}} 2>&1 </dev/null; echo \"{DONE}$?\""));
        let (mut actual, deadline) = (vec![], Instant::now() + PATIENCE);
        loop {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.split_once(DONE) {
                    // What is printed last may have no newline.
                    Some((last, code)) => {
                        actual.extend(Some(last.to_owned()).filter(|last| !last.is_empty()));
                        let shown = actual.iter().map(|line| line.replace(&self.address, ADDRESS)).collect();
                        return (shown, code.parse().expect("bash tells a number"));
                    }
                    // The shell's word on a job that was killed comes whenever it notices.
                    None if line.starts_with("bash: line ") && line.contains(" Killed ") => {}
                    None => actual.push(line),
                },
                Err(RecvTimeoutError::Timeout) => panic!("`{typed}` does not end:\n{}", actual.join("\n")),
                Err(RecvTimeoutError::Disconnected) => panic!("`{typed}` ended the shell:\n{}", actual.join("\n")),
            }
        }
    }

    /// Starts a command that stays, and waits until it has printed what is expected.
    ///
    /// # Panics
    /// When it prints something else.
    pub fn run_in_background(&mut self, command: &str, expected: &[String]) {
        self.in_background += 1;
        let file = self.folder.path().join(format!("background-{}", self.in_background));
        let real = command.replace(ADDRESS, &self.address);
        self.send(&format!("{real} >'{}' 2>&1 </dev/null &", file.display()));
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Before the command has started there is no file.
            let text = fs::read_to_string(&file).unwrap_or_default().replace(&self.address, ADDRESS);
            let actual: Vec<_> = text.lines().map(str::to_owned).collect();
            if matches(expected, &actual) {
                return;
            }
            let may_be_more = expected.iter().any(|line| line == ANY) || actual.len() <= expected.len();
            assert!(may_be_more && Instant::now() < deadline, "{}", difference(command, expected, &actual));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a file below the folder in which the shell is now.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&mut self, path: &str, text: &str) {
        let (folder, _) = self.run("pwd");
        let path = PathBuf::from(folder.concat()).join(path);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).expect("a folder");
        let mut file = File::create(&path).expect("a new file");
        file.write_all(text.as_bytes()).expect("it is written");
        if path.ends_with("Cargo.toml") {
            // The versions that are here already: the test needs no network.
            fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).expect("it is copied");
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.bash), Signal::KILL);
        let _ = self.bash.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_expectation_is_seen() {
        let lines = |text: &[&str]| text.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let matches = |expected: &[&str], actual: &[&str]| matches(&lines(expected), &lines(actual));
        assert!(matches(&["tea#1"], &["tea#1"]));
        assert!(!matches(&["tea#1"], &["tea#2"]));
        assert!(!matches(&["tea#1"], &["tea#1", "more"]));
        assert!(!matches(&["tea#1", "more"], &["tea#1"]));
        assert!(!matches(&[], &["tea#1"]));
        assert!(matches(&["token: rl_…", "…", "end"], &["token: rl_1", "a", "b", "end"]));
        assert!(!matches(&["…", "end"], &["a", "b"]));
        assert!(matches(&["{…\"n\":4,…}"], &["{\"a\":1,\"n\":4,\"b\":2}"]));
        assert!(!matches(&["{…\"n\":4,…}"], &["{\"a\":1,\"n\":5,\"b\":2}"]));
    }
}
