//! A private PostgreSQL that a test may kill: a real server on a loopback port, with its files in a temporary folder.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Pid;
use tempfile::TempDir;
use tokio::time::Instant;

/// The user "nobody": the server refuses to run as root.
const NOBODY: u32 = 65534;

/// A running server. It ends, and its files go, when this is dropped.
pub struct Postgres {
    folder: TempDir,
    port: u16,
    server: Child,
}

impl Postgres {
    /// Makes a new cluster and starts it, with `fsync` on as in production.
    ///
    /// # Panics
    /// When PostgreSQL is not installed; `tests/run` sees to that.
    pub fn start() -> Postgres {
        let folder = tempfile::Builder::new().prefix("relume-postgres-").tempdir_in("/tmp").expect("a folder");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may do this");
        }
        let output = program("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions", "--pgdata"])
            .arg(folder.path().join("data"))
            .output()
            .expect("initdb starts");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let port = free_port();
        let server = start_server(folder.path(), port);
        Postgres { folder, port, server }
    }

    /// A server for tests that leave it alone, one for each test process.
    pub fn shared() -> &'static Postgres {
        static SHARED: LazyLock<Postgres> = LazyLock::new(Postgres::start);
        &SHARED
    }

    /// A new, empty database of this server.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("relume_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs a statement by `psql`, and returns what it prints: a line for each row, columns split by `|`.
    ///
    /// # Panics
    /// When the statement fails.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let database = database.rsplit('/').next().unwrap_or(database);
        let output = program("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname"])
            .arg(self.url(database))
            .args(["--command", statement])
            .output()
            .expect("psql starts");
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// All that a database holds, as `pg_dump` writes it.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn dump(&self, database: &str) -> String {
        let output = program("pg_dump").arg(database).output().expect("pg_dump starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `kill -9` of the server and all its children.
    pub fn kill(&mut self) {
        kill_group(&mut self.server);
        // Its children are in groups of their own. One that lives on would keep the server from being started again.
        let data = self.folder.path().join("data");
        loop {
            let children = processes_in(&data);
            if children.is_empty() {
                return;
            }
            for child in children {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
            }
            std::thread::yield_now();
        }
    }

    /// Starts the server again on the same port, with the same files.
    pub fn restart(&mut self) {
        self.kill();
        // Until init has reaped the dead server, its lock files look like those of a living one.
        for lock in ["data/postmaster.pid".to_owned(), format!(".s.PGSQL.{}.lock", self.port)] {
            let _ = std::fs::remove_file(self.folder.path().join(lock));
        }
        self.server = start_server(self.folder.path(), self.port);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the server under a shell that waits on a pipe of ours: when this process ends, however it does, the shell
/// ends the server and removes its files.
fn start_server(folder: &Path, port: u16) -> Child {
    let script = r#"folder=$1; shift; "$@" & read -r _; kill -QUIT $!; wait; rm -rf "$folder""#;
    let mut server = program_of("/bin/sh".into());
    server.args(["-c", script, "sh"]).arg(folder).arg(program_folder().join("postgres"));
    server.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"]).arg(folder);
    server.args(["-c", "max_connections=200"]);
    // A group of its own, so that its children can be killed with it.
    server.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = server.spawn().expect("the shell starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    while !program("psql").args(["--command", "select 1", &url]).output().expect("psql starts").status.success() {
        assert!(Instant::now() < deadline, "PostgreSQL does not answer");
        std::thread::yield_now();
    }
    server
}

fn kill_group(child: &mut Child) {
    let group = Pid::from_child(child);
    // It may have ended already.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    child.wait().expect("it is our child");
}

/// The processes whose working directory this is: every process of a server works in its data folder.
fn processes_in(folder: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let here = entries.filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder));
    here.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// One of PostgreSQL's programs, as a user the server accepts.
fn program(name: &str) -> Command {
    program_of(program_folder().join(name))
}

fn program_of(path: PathBuf) -> Command {
    let mut command = Command::new(path);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    command
}

/// Where PostgreSQL's programs are: Debian's folders, else what `pg_config` says.
fn program_folder() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    newest.unwrap_or_else(|| {
        let output =
            Command::new("pg_config").arg("--bindir").output().expect("PostgreSQL is installed: see tests/run");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("it is bound").port()
}
