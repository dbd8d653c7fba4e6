//! A store with an empty database of its own, a second way into that database, and the few
//! calls with which most cases begin.

use std::sync::Arc;
use std::time::Duration;

use relume::run::{Change, Failure, FailureKind, Verdict};
use relume::store::*;
use relume_tests::postgres::Postgres;
use relume_tests::sql;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub struct Bed {
    pub store: Arc<dyn Store>,
    pub url: String,
}

pub fn on_sqlite(case: impl AsyncFn(&Bed)) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let url = format!("sqlite:{}", folder.path().join("relume.db").display());
    block_on(async { case(&Bed::open(url).await).await });
}

/// A failed case leaves its database behind, for a look at it while the process lives.
pub fn on_postgres(case: impl AsyncFn(&Bed)) {
    /// On a machine with many cores the cases would use up the server's connections.
    static PLACES: Semaphore = Semaphore::const_new(4);
    block_on(async {
        let _place = PLACES.acquire().await;
        let url = Postgres::shared().database();
        case(&Bed::open(url.clone()).await).await;
        let name = url.rsplit('/').next().unwrap_or_default();
        Postgres::shared().sql("postgres", &format!("drop database {name} with (force)"));
    });
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(future);
}

impl Bed {
    async fn open(url: String) -> Bed {
        Bed { store: open(&url).await.expect("an empty database can be opened"), url }
    }

    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    /// Another process's store, as far as one process can have it.
    pub async fn another(&self) -> Arc<dyn Store> {
        open(&self.url).await.expect("the database can be opened twice")
    }

    /// Runs a statement beside the store.
    pub async fn sql(&self, sql: &str) {
        sql::run(&self.url, sql).await;
    }

    /// Runs a statement beside the store that the database may refuse; then the answer is why.
    pub async fn try_sql(&self, sql: &str) -> Result<(), String> {
        sql::try_run(&self.url, sql).await
    }

    /// The lines that a query beside the store returns, one text column each.
    pub async fn lines(&self, sql: &str) -> Vec<String> {
        sql::lines(&self.url, sql).await
    }

    /// Everything that waits for its time is due.
    pub async fn let_all_be_due(&self) {
        self.sql("update runs set available_at = 1 where available_at is not null").await;
    }

    /// Every session's lease has run out.
    pub async fn let_sessions_expire(&self) {
        self.sql("update workers set expires_at = 1").await;
    }

    /// The app `greet` with one version, if it is not there yet, and a run of it.
    pub async fn start(&self) -> Run {
        if self.store.find_app("greet").await.is_err() {
            self.store.create_app("greet", "").await.expect("the name is free");
            self.store.add_version("greet", upload(1)).await.expect("the app is there");
        }
        self.store.start_run(new_run("greet")).await.expect("the app has a version").run
    }

    /// A worker's session, with a lease that outlives the test.
    pub async fn worker(&self) -> WorkerSession {
        self.store.open_session("tester", 4, Duration::from_secs(600)).await.expect("a session can be opened")
    }

    /// A new run of `greet`, and a worker that has it.
    pub async fn start_and_claim(&self) -> (Run, WorkerSession, Lease) {
        let run = self.start().await;
        let worker = self.worker().await;
        let lease = self.claim(&worker).await.lease;
        assert_eq!(lease.run_id, run.run_id);
        (run, worker, lease)
    }

    /// The one run that is due, whatever it waited for.
    pub async fn claim(&self, worker: &WorkerSession) -> Assignment {
        self.let_all_be_due().await;
        let mut claimed = self.store.claim_runs(worker, 10, &loaded(), &[]).await.expect("the session is valid");
        assert_eq!(claimed.len(), 1, "one run is due");
        claimed.remove(0)
    }

    /// The runs that are due, and were not made due.
    pub async fn claim_due(&self, worker: &WorkerSession) -> Vec<Assignment> {
        self.store.claim_runs(worker, 10, &loaded(), &[]).await.expect("the session is valid")
    }

    /// Writes an entry. Panics if the lease is lost.
    pub async fn write(&self, lease: Lease, entry: JournalEntry) -> Recorded {
        let answers = self.store.append_journal(&[(lease, entry)]).await.expect("the database answers");
        answers[0].expect("the lease is valid")
    }

    pub async fn journal(&self, run: &Run) -> Vec<JournalEntry> {
        self.store.load_journal(run.run_id).await.expect("the journal can be read")
    }

    /// Every worker dies.
    pub async fn lose_workers(&self) {
        self.let_sessions_expire().await;
        self.store.reap_sessions().await.expect("the database answers");
    }

    /// The run as it is now.
    pub async fn look(&self, run: &Run) -> Run {
        self.store.find_run(&run.app, run.number).await.expect("the run is there")
    }

    pub async fn attempts(&self, run: &Run) -> Vec<Attempt> {
        self.store.list_attempts(run.run_id).await.expect("attempts can be listed")
    }
}

/// Asks until the answer is yes; for what another process does in its own time.
pub async fn eventually(what: &str, ask: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ask().await {
        assert!(Instant::now() < deadline, "in ten seconds it did not come true that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn new_run(app: &str) -> NewRun {
    NewRun { app: app.to_owned(), ..NewRun::default() }
}

/// The digests that a worker has ready: those of all uploads here.
pub fn loaded() -> Vec<String> {
    (0..10).map(|number| upload(number).digest).collect()
}

/// An upload that differs from those with another number.
pub fn upload(number: u8) -> Upload {
    let digest = format!("{number:064x}");
    Upload { digest, component: vec![0, 255, number], ..Upload::default() }
}

pub fn success() -> Settlement {
    let change = Change::Finish { because: None };
    Settlement {
        verdict: Verdict::Exited,
        change,
        exit_code: Some(0),
        failure: None,
        output: None,
        usage: Usage { fuel: 7, peak_memory_bytes: 8, bytes_in: 9, bytes_out: 10 },
        used_loose_io: false,
    }
}

pub fn crash(change: Change) -> Settlement {
    let failure = Failure::new(FailureKind::Exit, "exited with code 3");
    Settlement { verdict: Verdict::Crashed, change, exit_code: Some(3), failure: Some(failure), ..success() }
}

pub fn retry(after: Duration) -> Settlement {
    crash(Change::Retry { after, reopen_failed_step: false })
}

pub fn entry(seq: u32, state: EntryState) -> JournalEntry {
    JournalEntry {
        seq,
        attempt: 1,
        version: 1,
        kind: EntryKind::Step,
        name: "charge".into(),
        occurrence: seq,
        request: vec![],
        state,
        tries: 1,
        tries_before: 0,
        seeds: 0,
        due: None,
        took: Duration::from_micros(1234),
        usage: Usage { fuel: 1, peak_memory_bytes: 2, bytes_in: 3, bytes_out: 4 },
        recorded_at: jiff::Timestamp::MIN,
    }
}

pub fn finished(seq: u32) -> JournalEntry {
    entry(seq, EntryState::Finished(vec![seq as u8]))
}

pub fn failed(seq: u32) -> JournalEntry {
    entry(seq, EntryState::Failed("declined".into()))
}

/// A wait for the event `approve`, as the entry of a journal.
pub fn waiting(seq: u32) -> JournalEntry {
    JournalEntry { kind: EntryKind::Event, name: "approve".into(), tries: 0, ..entry(seq, EntryState::Waiting) }
}

/// Which entries of a batch were written.
pub fn written(answers: Vec<Option<Recorded>>) -> Vec<bool> {
    answers.iter().map(Option::is_some).collect()
}

/// To be put aside until an event `approve`, with nothing told so far.
pub fn park() -> Park {
    let waiting_on = WaitingOn { kind: WaitKind::Event, name: "approve".into(), until: None };
    Park { waiting_on, child: None, signals: 0, usage: success().usage, used_loose_io: false }
}

/// To be put aside until a moment.
pub fn sleep(until: jiff::Timestamp) -> Park {
    let waiting_on = WaitingOn { kind: WaitKind::Sleep, name: "sleep".into(), until: Some(until) };
    Park { waiting_on, ..park() }
}

/// To be put aside until a child ends.
pub fn await_child(child: &RunName, signals: i64) -> Park {
    let name = format!("{}#{}", child.app, child.number);
    let waiting_on = WaitingOn { kind: WaitKind::Child, name, until: None };
    Park { waiting_on, child: Some(child.run_id), signals, ..park() }
}

/// An event `approve`.
pub fn event(payload: &[u8]) -> NewEvent {
    NewEvent { name: "approve".into(), payload: payload.to_vec(), key: None }
}

pub fn line(line_num: i64, attempt: u32) -> LogLine {
    let content = format!("line {line_num}");
    LogLine { line_num, attempt, channel: Channel::Program, content, seq: None, reported_at: jiff::Timestamp::MIN }
}

#[track_caller]
pub fn is_lost<T: std::fmt::Debug>(answer: Result<T>) {
    assert!(matches!(answer, Err(StoreError::LeaseLost)), "the lease should be lost: {answer:?}");
}

#[track_caller]
pub fn refusal<T: std::fmt::Debug>(answer: Result<T>) -> String {
    match answer {
        Err(error @ (StoreError::NotFound(_) | StoreError::Conflict(_))) => error.to_string(),
        answer => panic!("this should be refused: {answer:?}"),
    }
}
