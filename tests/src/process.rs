//! Relume's own processes, as an operator starts them, to be stopped and killed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::guests::{cargo, workspace};
use crate::node::LOOPBACK;

/// How long a process may take to say or do something.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program `relume`, built once per test process.
pub fn binary() -> PathBuf {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut cargo = cargo();
        // Together with this package, so that the two share one build of their dependencies.
        cargo.args(["build", "--quiet", "--package", "relume", "--package", "relume-tests", "--bin", "relume"]);
        let status = cargo.status().expect("cargo starts");
        assert!(status.success(), "relume cannot be built");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
        target.join("debug/relume")
    });
    BUILT.clone()
}

/// A running process of Relume. Killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `relume` with these arguments and variables of the environment.
    pub fn start(args: &[&str], env: &[(&str, &str)]) -> Process {
        let mut command = Command::new(binary());
        command.args(args).envs(env.iter().copied()).env_remove("RELUME_TOKEN").env_remove("DATABASE_URL");
        Process::spawn(command)
    }

    /// Starts a command of Relume.
    pub fn spawn(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("relume starts");
        let stderr = child.stderr.take().expect("it is piped");
        let (send, lines) = channel();
        let said = Arc::new(Mutex::new(vec![]));
        let keep = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                keep.lock().expect("no one panics with it").push(line.clone());
                // No one may be waiting any more.
                let _ = send.send(line);
            }
        });
        Process { child, lines, said }
    }

    /// A worker on the database `url`, with a lease of `lease_seconds`.
    pub fn worker(url: &str, lease_seconds: u32, env: &[(&str, &str)]) -> Process {
        let data_dir = workspace().join("target/tmp/worker");
        std::fs::create_dir_all(&data_dir).expect("a folder");
        let data_dir = data_dir.to_str().expect("the path is text");
        let lease_seconds = lease_seconds.to_string();
        let args = ["worker", "--database", url, "--data-dir", data_dir, "--lease-seconds", &lease_seconds];
        let networks = LOOPBACK.iter().flat_map(|network| ["--allow-network", network]);
        Process::start(&args.into_iter().chain(networks).collect::<Vec<_>>(), env)
    }

    /// Waits for a line on stderr that contains `words`.
    pub fn wait_for_line(&self, words: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(_) => panic!("the process never said `{words}`, but: {:#?}", self.said()),
            }
        }
    }

    /// Every line on stderr so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("no one panics with it").clone()
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// The memory that it holds now, as the kernel counts it.
    pub fn resident_bytes(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// The most that it has held.
    pub fn peak_bytes(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the kernel says");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is our child");
    }

    /// Waits until the process was stopped by SIGSTOP.
    pub fn wait_until_stopped(&self) {
        let pid = Pid::from_child(&self.child);
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).expect("our child").expect("it changed");
        assert!(status.stopped(), "{status:?}: {:#?}", self.said());
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("our child")
    }

    /// Waits until the process was killed by SIGKILL.
    pub fn wait_until_killed(&mut self) {
        let status = self.wait();
        assert_eq!(status.signal(), Some(9), "{status}: {:#?}", self.said());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The children of a process, from the system's own list.
pub fn children(parent: u32) -> Vec<u32> {
    let is_child = |id: u32| number_in_status(id, "PPid:") == Some(u64::from(parent));
    let processes = std::fs::read_dir("/proc").expect("the system lists processes");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| is_child(*id)).collect()
}

/// The memory that a process holds.
pub fn resident_kib(id: u32) -> u64 {
    number_in_status(id, "VmRSS:").expect("the process is there")
}

/// What the system says of a process on the line `name`.
pub fn number_in_status(id: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
