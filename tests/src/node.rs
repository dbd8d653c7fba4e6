//! Relume without its processes: a real store, and workers in this process when a test asks for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use relume::executor::Isolation;
use relume::manifest::Manifest;
use relume::policy::Policy;
use relume::run::Failure;
use relume::sandbox::{Sandbox, SandboxOptions};
use relume::store::{self, Assignment, Attempt, JournalEntry, LogFilter, LogLine, NewRun, Run, Store, Upload};
use relume::vault::Vault;
use relume::worker::{Shutdown, WorkerOptions, work};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::guests;
use crate::postgres::Postgres;
use crate::process::binary;
use crate::server::data_dir;
use crate::sql;

/// The networks of this machine itself, where the tests have their servers.
pub const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// How long a run may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A store with apps in it.
pub struct Node {
    pub store: Arc<dyn Store>,
    /// Names the database, for processes that use it too.
    pub url: String,
    _folder: Option<TempDir>,
}

/// A run that is final, and all that is kept of it.
#[derive(Debug)]
pub struct Finished {
    pub run: Run,
    pub attempts: Vec<Attempt>,
    pub journal: Vec<JournalEntry>,
    pub log: Vec<LogLine>,
    pub output: Option<serde_json::Value>,
}

impl Finished {
    /// The failure of a run that failed.
    pub fn failure(&self) -> &Failure {
        self.run.failure.as_ref().expect("the run failed")
    }

    /// `crashed fuel`, `exited`: the verdict in two words.
    pub fn verdict(&self) -> String {
        match &self.run.failure {
            Some(failure) => format!("{} {}", self.run.status.as_str(), failure.kind.as_str()),
            None => self.run.status.as_str().to_owned(),
        }
    }

    /// What the program printed.
    pub fn lines(&self) -> Vec<&str> {
        let program = self.log.iter().filter(|line| line.channel == store::Channel::Program);
        program.map(|line| line.content.as_str()).collect()
    }
}

impl Node {
    /// On SQLite, in a folder of its own.
    pub async fn sqlite() -> Node {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("relume.db").display());
        Node::open(url, Some(folder)).await
    }

    /// On a database of its own in the shared PostgreSQL.
    pub async fn postgres() -> Node {
        Node::open(Postgres::shared().database(), None).await
    }

    /// On the database that `url` names.
    pub async fn at(url: String) -> Node {
        Node::open(url, None).await
    }

    async fn open(url: String, folder: Option<TempDir>) -> Node {
        let store = store::open(&url).await.expect("the database is there");
        Node { store, url, _folder: folder }
    }

    /// Deploys a guest as the app of its name, with hyphens. `manifest` is the text of a `relume.toml`.
    pub async fn deploy(&self, guest: &str, manifest: &str) -> String {
        let app = guest.replace('_', "-");
        self.store.create_app(&app, "").await.expect("a new app");
        self.deploy_again(guest, manifest).await;
        app
    }

    /// Deploys a guest that is deployed already: another manifest makes another version.
    pub async fn deploy_again(&self, guest: &str, manifest: &str) {
        let component = std::fs::read(guests::path(guest)).expect("it was built");
        self.add_version(&guest.replace('_', "-"), component, manifest).await;
    }

    /// Deploys a component as a new app.
    pub async fn deploy_component(&self, app: &str, component: Vec<u8>, manifest: &str) {
        self.store.create_app(app, "").await.expect("a new app");
        self.add_version(app, component, manifest).await;
    }

    async fn add_version(&self, app: &str, component: Vec<u8>, manifest: &str) {
        let manifest = Manifest::parse(manifest).expect("the test's manifest is right");
        let inspection = sandbox().inspect(component.clone()).await.expect("the guest is an app");
        let policy = manifest.retry.map(|retry| retry.to_policy().expect("in range"));
        let upload =
            Upload { digest: inspection.digest, component, settings: manifest.settings(), policy, ..Upload::default() };
        self.store.add_version(app, upload).await.expect("a new version");
    }

    /// Starts a run of `app`.
    pub async fn start(&self, app: &str, input: serde_json::Value, parameters: &[(&str, &str)]) -> Run {
        let parameters: BTreeMap<_, _> = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let input = if input.is_null() { vec![] } else { input.to_string().into_bytes() };
        self.start_new(NewRun { app: app.to_owned(), input, parameters, ..NewRun::default() }).await
    }

    /// Starts a run that is asked for in all its parts.
    pub async fn start_new(&self, new: NewRun) -> Run {
        self.store.start_run(new).await.expect("the run starts").run
    }

    /// Writes entries into the journal of a run that no worker had yet, as a worker that was then drained would have.
    pub async fn begin_with(&self, run: &Run, entries: &[JournalEntry]) {
        let session = self.store.open_session("first", 4, Duration::from_secs(60)).await.expect("a session");
        let claimed = self.store.claim_runs(&session, 1, &[], &[]).await.expect("a claim");
        let [Assignment { lease, .. }] = claimed.as_slice() else {
            panic!("one run waits, and these came: {claimed:?}")
        };
        assert_eq!(lease.run_id, run.run_id);
        for entry in entries {
            let written = self.store.append_journal(&[(*lease, entry.clone())]).await.expect("it is written");
            assert!(written[0].is_some());
        }
        self.store.close_session(&session).await.expect("the run is given back");
    }

    /// Waits until `condition` says so of the run.
    pub async fn wait_until(&self, run: &Run, condition: impl Fn(&Run) -> bool) -> Run {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The database may be down for a while in a test.
            if let Ok(now) = self.store.find_run(&run.app, run.number).await {
                if condition(&now) {
                    return now;
                }
                assert!(Instant::now() < deadline, "the run is still {now:?}");
            }
            assert!(Instant::now() < deadline, "the database is away");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the run is parked, and the last entry of its journal as `condition` says.
    pub async fn parked(&self, run: &Run, condition: impl Fn(&JournalEntry) -> bool) -> (Run, JournalEntry) {
        loop {
            let entry = self.last_entry(run, &condition).await;
            let now = self.wait_until(run, |run| run.waiting_on.is_some() || !run.status.is_active()).await;
            let last = self.store.load_journal(run.run_id).await.expect("its journal").pop();
            assert!(now.waiting_on.is_some(), "the run does not wait any more: {now:?}");
            if last.as_ref() == Some(&entry) {
                return (now, entry);
            }
        }
    }

    /// Waits until the last entry of the run's journal is as `condition` says.
    pub async fn last_entry(&self, run: &Run, condition: impl Fn(&JournalEntry) -> bool) -> JournalEntry {
        self.wait_for("an entry as it is asked for", async || {
            let last = self.store.load_journal(run.run_id).await.expect("its journal").pop();
            last.filter(|entry| condition(entry))
        })
        .await
    }

    /// Waits until Relume has said `words` about the run, in its log.
    pub async fn wait_for_setup_line(&self, run: &Run, words: &str) {
        let filter = LogFilter { limit: 1_000, ..LogFilter::default() };
        self.wait_for(words, async || {
            let log = self.store.list_logs(run.run_id, filter).await.ok()?;
            log.iter().any(|l| l.channel == store::Channel::Setup && l.content.contains(words)).then_some(())
        })
        .await;
    }

    /// Waits until the run's only attempt went on `times` in another place.
    pub async fn wait_until_recovered(&self, run: &Run, times: u32) {
        self.wait_for("a recovery", async || {
            let attempts = self.store.list_attempts(run.run_id).await.ok()?;
            (attempts[0].recoveries == times).then_some(())
        })
        .await;
    }

    /// Looks until there is something to see.
    async fn wait_for<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(Instant::now() < deadline, "there is still not: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the run is final.
    pub async fn finished(&self, run: &Run) -> Finished {
        let run = self.wait_until(run, |run| !run.status.is_active()).await;
        let filter = LogFilter { limit: 1_000_000, ..LogFilter::default() };
        let output = self.store.load_run_io(run.run_id).await.expect("its payloads").output;
        Finished {
            attempts: self.store.list_attempts(run.run_id).await.expect("its attempts"),
            journal: self.store.load_journal(run.run_id).await.expect("its journal"),
            log: self.store.list_logs(run.run_id, filter).await.expect("its log"),
            output: output.map(|json| serde_json::from_slice(&json).expect("the output is JSON")),
            run,
        }
    }

    /// Deploys a guest, runs it once and waits for its end. A worker has to be there.
    pub async fn run_guest(&self, guest: &str, manifest: &str, input: serde_json::Value) -> Finished {
        let app = self.deploy(guest, manifest).await;
        let run = self.start(&app, input, &[]).await;
        self.finished(&run).await
    }

    /// Starts a worker in this process, with four slots.
    pub fn worker(&self) -> Worker {
        self.worker_with(sandbox())
    }

    /// Starts a worker that has its own sandbox, with what that has in memory.
    pub fn worker_with(&self, sandbox: Sandbox) -> Worker {
        let shutdown = Shutdown::new();
        let options = WorkerOptions {
            name: "test".to_owned(),
            slots: 4,
            lease: Duration::from_secs(15),
            isolation: Isolation::None,
        };
        let task = tokio::spawn(work(self.store.clone(), sandbox, vault(), options, shutdown.clone()));
        Worker { shutdown, task }
    }

    /// Runs a statement beside the store.
    pub async fn sql(&self, statement: &str) {
        sql::run(&self.url, statement).await;
    }

    /// What the run waits for is due, by its journal and by its row.
    pub async fn let_be_due(&self, run: &Run) {
        let Run { app, number, .. } = run;
        let is_it = format!("app = '{app}' and number = {number} and available_at is not null");
        self.sql(&format!(
            "update journal set due_at = 1 where due_at is not null and run_id in (select run_id from runs where {is_it});
             update runs set available_at = 1 where {is_it}"
        ))
        .await;
    }

    /// The worker dies, and its death is noticed by the next one that looks.
    pub async fn lose(&self, worker: Worker) {
        worker.abort().await;
        self.sql("delete from workers").await;
    }

    /// Everything that waits for its time is due.
    pub async fn let_all_be_due(&self) {
        self.sql("update runs set available_at = 1 where available_at is not null").await;
    }
}

/// A worker in this process. Dropped, it stops.
pub struct Worker {
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Worker {
    /// Tells the worker to drain: no new step begins from now on.
    pub fn start_draining(&self) {
        self.shutdown.drain();
    }

    /// Ends the worker without a word: its session and its runs stay as they are.
    async fn abort(mut self) {
        self.task.abort();
        (&mut self.task).await.expect_err("it is aborted");
    }

    /// Stops the worker at once, whatever it is about, and waits for its end.
    pub async fn stop(mut self) {
        self.shutdown.stop();
        (&mut self.task).await.expect("the worker does not panic").expect("it ends well");
    }

    /// Drains the worker and waits for its end.
    pub async fn drain(mut self) {
        self.start_draining();
        (&mut self.task).await.expect("the worker does not panic").expect("it ends well");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}

/// The sandbox of this process; what it compiles stays for later ones.
pub fn sandbox() -> Sandbox {
    static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| sandbox_in(&compiled()));
    SANDBOX.clone()
}

/// A sandbox that keeps what it compiles in `folder`, and whose programs may reach this machine if they name it.
pub fn sandbox_in(folder: &Path) -> Sandbox {
    let mut policy = Policy::default();
    policy.egress.allowed_networks = LOOPBACK.iter().map(|network| network.parse().expect("a network")).collect();
    Sandbox::new(SandboxOptions::new(folder, binary()).policy(policy)).expect("a sandbox")
}

/// The vault of this process, and of the servers that it starts.
pub fn vault() -> Arc<Vault> {
    Arc::new(Vault::with_file(&data_dir().join("secrets.key")).expect("a vault"))
}

/// Where compiled guests are kept.
pub fn compiled() -> PathBuf {
    guests::workspace().join("target/tmp/compiled")
}
