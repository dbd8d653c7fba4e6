//! The README holds: the tour's commands are typed into a shell one after the other and print what stands below them,
//! its links lead somewhere, its reference is true, and the demo ends well.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use relume::manifest::{Limits, Manifest};
use relume_tests::guests::workspace;
use relume_tests::process;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::time::Instant;

/// The chapter whose blocks are typed.
const TOUR: &str = "## A tour in five minutes";
/// Where `relume dev` listens by default. The test has a free port instead, in what is typed and in what is expected.
const ADDRESS: &str = "127.0.0.1:7300";
/// Stands for any text within a line, and alone on a line for any lines.
const ANY: &str = "…";
/// How long one command may take. The longest builds the app.
const PATIENCE: Duration = Duration::from_secs(600);
/// What the shell says after each command, with its exit code.
const DONE: &str = "--- the command is done: ";

#[test]
fn the_tour_prints_what_the_readme_shows() {
    let mut shell = Shell::start();
    for part in parts(&tour()) {
        match part {
            Part::File { path, text } => shell.write(&path, &text),
            Part::Command { typed, expected } => shell.check(&typed, &expected),
        }
    }
}

#[test] // R20, R30, R40
fn the_demo_shows_an_order_that_survives_the_death_of_its_worker() {
    let demo = Command::new(env!("CARGO_BIN_EXE_demo")).current_dir(workspace()).output().expect("the demo starts");
    let (said, complained) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success(), "{said}\n{complained}");
    for line in ["kill -9", "1 reserve    1", "2 charge     1", "3 pack       1", "4 ship       2", "5 notify     1"] {
        assert!(said.contains(line), "`{line}` is not in:\n{said}");
    }
}

#[test]
fn the_reference_is_a_manifest_and_shows_the_default_limits() {
    let chapter = chapter("## relume.toml");
    let block = chapter.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of TOML");
    let manifest = Manifest::parse(block).expect("it is a manifest");
    assert_eq!(manifest.limits, Limits::default());
}

#[test]
fn every_link_leads_to_a_file() {
    for link in readme().split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(link.starts_with("https://") || workspace().join(link).exists(), "the README links to `{link}`");
    }
}

#[test]
fn a_wrong_expectation_is_seen() {
    let matches = |expected: &[&str], actual: &[&str]| matches(&lines(expected), &lines(actual));
    assert!(matches(&["tea#1"], &["tea#1"]));
    assert!(!matches(&["tea#1"], &["tea#2"]));
    assert!(!matches(&["tea#1"], &["tea#1", "more"]));
    assert!(!matches(&["tea#1", "more"], &["tea#1"]));
    assert!(matches(&["token: rl_…", "…", "end"], &["token: rl_1", "a", "b", "end"]));
    assert!(!matches(&["…", "end"], &["a", "b"]));
    assert!(matches(&["{…\"n\":4,…}"], &["{\"a\":1,\"n\":4,\"b\":2}"]));
    assert!(!matches(&["{…\"n\":4,…}"], &["{\"a\":1,\"n\":5,\"b\":2}"]));
}

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|line| (*line).to_owned()).collect()
}

fn readme() -> String {
    fs::read_to_string(workspace().join("README.md")).expect("there is a README")
}

/// The text from a heading to the next of its rank.
fn chapter(heading: &str) -> String {
    let readme = readme();
    let after = readme.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no chapter `{heading}`"));
    after.split("\n## ").next().unwrap_or_default().to_owned()
}

fn tour() -> String {
    chapter(TOUR)
}

/// What a reader of the tour does.
#[derive(Debug)]
enum Part {
    /// Writes a file. Its first line is a comment with its path.
    File { path: String, text: String },
    /// Types a command and sees what it prints.
    Command { typed: String, expected: Vec<String> },
}

fn parts(text: &str) -> Vec<Part> {
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
fn matches(expected: &[String], actual: &[String]) -> bool {
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

/// A shell in a folder of its own, as a reader has one: with `relume` on the PATH and the repository beside it.
struct Shell {
    bash: Child,
    stdin: ChildStdin,
    output: Receiver<String>,
    folder: TempDir,
    address: String,
    in_background: u32,
}

impl Shell {
    fn start() -> Shell {
        let folder = tempfile::Builder::new().prefix("relume-tour-").tempdir().expect("a folder");
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
            if ["CARGO_", "RUSTFLAGS", "RELUME_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                bash.env_remove(name);
            }
        }
        if let Some(home) = std::env::var_os("CARGO_HOME") {
            bash.env("CARGO_HOME", home);
        }
        // What the app is built of stays for the next time; the app itself is where a reader finds it.
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

    fn send(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("bash is there");
    }

    /// Types a command, and compares what it prints. Nothing below a command means that its output does not matter.
    fn check(&mut self, typed: &str, expected: &[String]) {
        println!("$ {typed}");
        let real = |text: &str| text.replace(ADDRESS, &self.address);
        let (typed, expected) = (real(typed), expected.iter().map(|line| real(line)).collect::<Vec<_>>());
        if let Some(command) = typed.strip_suffix(" &") {
            return self.check_in_background(command, &expected);
        }
        let (actual, code) = self.run(&typed);
        let is_right = expected.is_empty() || matches(&expected, &actual);
        assert!(is_right, "{}", difference(&typed, &expected, &actual));
        let may_fail = expected.iter().any(|line| line.starts_with("error:"));
        assert!(code == "0" || may_fail, "`{typed}` ended with {code}:\n{}", actual.join("\n"));
    }

    /// What a command prints, and its exit code.
    fn run(&mut self, typed: &str) -> (Vec<String>, String) {
        self.send(&format!("{{ {typed}\n}} 2>&1 </dev/null; echo \"{DONE}$?\""));
        let (mut actual, deadline) = (vec![], Instant::now() + PATIENCE);
        loop {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.split_once(DONE) {
                    // What is printed last may have no newline.
                    Some((last, code)) => {
                        actual.extend(Some(last.to_owned()).filter(|last| !last.is_empty()));
                        return (actual, code.to_owned());
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
    fn check_in_background(&mut self, command: &str, expected: &[String]) {
        self.in_background += 1;
        let file = self.folder.path().join(format!("background-{}", self.in_background));
        self.send(&format!("{command} >'{}' 2>&1 </dev/null &", file.display()));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let actual: Vec<_> = read(&file).lines().map(str::to_owned).collect();
            if matches(expected, &actual) {
                return;
            }
            let is_over = actual.len() > expected.len() || Instant::now() > deadline;
            assert!(!is_over, "{}", difference(command, expected, &actual));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a file of the tour below the shell's folder.
    fn write(&mut self, path: &str, text: &str) {
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

fn read(file: &Path) -> String {
    // Before the command has started there is none.
    fs::read_to_string(file).unwrap_or_default()
}

fn difference(typed: &str, expected: &[String], actual: &[String]) -> String {
    let (expected, actual) = (expected.join("\n"), actual.join("\n"));
    format!("$ {typed}\n\n--- the README shows\n{expected}\n\n--- it printed\n{actual}\n")
}
