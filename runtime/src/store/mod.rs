//! What is on disk, and how is it changed? One trait, [`Store`], and two implementations that
//! pass one conformance suite: [`Postgres`], the product's, and [`Sqlite`], the embedded
//! default. All SQL is in `queries/`, one statement a file (SQLite has no writing CTEs, so its
//! variants are scripts of a few statements that run in one transaction).
//!
//! The store decides nothing: what follows from an outcome is `run`'s, when to ask is
//! `worker`'s. The clock is the database's; callers pass lengths of time.

mod errors;
mod model;
pub mod moments;
mod params;
mod postgres;
mod rows;
mod sqlite;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::numbers::{Number, bytes, fixed, time};

pub use self::model::*;
pub use self::postgres::Postgres;
pub use self::sqlite::Sqlite;

/// How a store fails, in the kinds a caller chooses between.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing.
    #[error("{0} does not exist")]
    NotFound(String),
    /// It exists already, or is in a state that does not allow this.
    #[error("{0}")]
    Conflict(String),
    /// It was changed since the caller looked: nothing was written.
    #[error("{0} was changed meanwhile")]
    Outdated(String),
    /// The key was used for another request: nothing was written.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The run was taken away from this worker: nothing was written.
    #[error("the run was taken away from this worker")]
    LeaseLost,
    /// The database cannot be reached, or was lost before it answered: whether a write took
    /// place is unknown.
    #[error("the database cannot be reached: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The database refused, or what it holds makes no sense.
    #[error("the database failed: {0}")]
    Fault(#[source] anyhow::Error),
}

/// After so many bytes an answer of a list ends, whatever its limit: no more than this and one entry is in memory.
/// Source: V22.
pub const PAGE_BYTES: u64 = 8 << 20;

/// Short for this module.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Everything that is kept. Each method of the traits below is one statement (or one transaction,
/// on SQLite), unless it says otherwise, and can be dropped at any await without harm.
#[async_trait]
pub trait Store: Apps + Runs + Work + Schedules + Keys + 'static {
    /// Which database it is: `PostgreSQL` or `SQLite`.
    fn kind(&self) -> &'static str;
    /// Whether the database answers.
    async fn ping(&self) -> Result<()>;
    /// Now, by the database's clock.
    async fn now(&self) -> Result<Timestamp>;
}

/// Apps and their versions.
#[async_trait]
pub trait Apps: Send + Sync {
    /// Creates an app without a version. [`StoreError::Conflict`] if the name is taken.
    async fn create_app(&self, name: &str, description: &str) -> Result<App>;
    /// [`StoreError::NotFound`] if there is none.
    async fn find_app(&self, name: &str) -> Result<App>;
    async fn list_apps(&self, filter: &AppFilter) -> Result<Vec<App>>;
    /// How many apps the filter lets through; its limit and offset do not count.
    async fn count_apps(&self, filter: &AppFilter) -> Result<u64>;
    /// Changes an app if `revision` is still its own, or is not given. [`StoreError::Outdated`] if
    /// it is another. Runs that were started keep what they were started with.
    async fn update_app(&self, name: &str, revision: Option<i64>, change: AppChange) -> Result<App>;
    /// Deletes an app with its versions, schedules and runs; see [`Apps::update_app`] for
    /// `revision`. [`StoreError::Conflict`] while one of its runs is active.
    async fn delete_app(&self, name: &str, revision: Option<i64>) -> Result<()>;
    /// Stores an upload and makes it the app's active version; sets the app's retry policy if
    /// the upload brings one. The same upload as the active version changes nothing and
    /// returns that version.
    async fn add_version(&self, app: &str, upload: Upload) -> Result<Version>;
    /// An app's versions, newest first.
    async fn list_versions(&self, app: &str) -> Result<Vec<Version>>;
    /// The component with this digest.
    async fn load_artifact(&self, digest: &str) -> Result<Vec<u8>>;
}

/// Runs, as a caller sees them.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Starts a run of `new.app`: committed as `pending` or `scheduled` when this returns. Wakes a
    /// worker. A key that was used before starts nothing and returns the run it started, or is a
    /// [`StoreError::KeyReused`] if the request was another. [`StoreError::NotFound`] for the app or
    /// the version, [`StoreError::Conflict`] if the app is disabled or has no version yet.
    async fn start_run(&self, new: NewRun) -> Result<Started>;
    /// The run `app#number`.
    async fn find_run(&self, app: &str, number: i64) -> Result<Run>;
    /// Runs, newest first.
    async fn list_runs(&self, filter: &RunFilter) -> Result<Vec<Run>>;
    /// How many runs the filter lets through; its limit, offset and `before` do not count.
    async fn count_runs(&self, filter: &RunFilter) -> Result<u64>;
    /// How the newest runs fared that the filter lets through, newest first; its statuses, `before` and offset do not count.
    async fn sample_runs(&self, filter: &RunFilter) -> Result<Vec<RunTimes>>;
    /// A run's ended and running attempts, by `seq`.
    async fn list_attempts(&self, run_id: Uuid) -> Result<Vec<Attempt>>;
    /// A run's input and output.
    async fn load_run_io(&self, run_id: Uuid) -> Result<RunIo>;
    /// Cancels an active run: one conditional write that takes it from its worker and ends its
    /// open attempt. [`StoreError::Conflict`] if the run is final already. Wakes the workers. In statements
    /// of their own it then wakes the run's parent and cancels its children; [`Runs::wake_parents`] and
    /// [`Runs::cancel_orphans`] get to what these do not. Source: R12, R43.
    async fn cancel_run(&self, app: &str, number: i64) -> Result<Run>;
    /// Who could take the run, and who stands before it.
    async fn describe_queue(&self, run_id: Uuid) -> Result<Queue>;
    /// The workers that live, the oldest first.
    async fn list_workers(&self) -> Result<Vec<LiveWorker>>;
    /// What waits for them.
    async fn count_due_runs(&self) -> Result<DueRuns>;
    /// Cancels the runs for which no worker came in time. Returns how many.
    async fn expire_pending_runs(&self) -> Result<u64>;
    /// Cancels the active children of cancelled runs. Returns how many. Source: R43.
    async fn cancel_orphans(&self) -> Result<u64>;
    /// Makes the runs due that are parked until a child ends which has ended: what [`Work::settle_run`] did not
    /// get to. Returns how many. Source: R43.
    async fn wake_parents(&self) -> Result<u64>;
    /// Tells an active run something: committed when this returns, and delivered once. Wakes the run if it is
    /// parked until an event of that name. An event with a key that was used for the run before is not
    /// sent again; the first one is returned. [`StoreError::Conflict`] if the run is final.
    async fn send_event(&self, app: &str, number: i64, event: NewEvent) -> Result<Event>;
    /// What a run was told, the first first, after the event `after` unless `None`: up to `limit` events and about
    /// [`PAGE_BYTES`] of payloads.
    async fn list_events(&self, run_id: Uuid, after: Option<Uuid>, limit: u32) -> Result<Vec<Event>>;
    /// Opens another attempt of a run that crashed or errored, at once, on `version` if given: `retrying` when this
    /// returns. If the last entry of its journal is a failure, that is reopened: a step is executed again, with
    /// all its tries, and another call is made anew. [`StoreError::NotFound`] for the run or the version,
    /// [`StoreError::Conflict`] if it is in another status or past its deadline, its parent was cancelled, or the app
    /// is disabled. Source: R31.
    async fn retry_run(&self, app: &str, number: i64, version: Option<u32>) -> Result<Run>;
    /// Starts a new run with the input, parameters and policy of a run, on `version` or else the version it ran on,
    /// that has the entries of its journal below `from_seq`. [`StoreError::Conflict`] if one of those entries is not
    /// final, or the app is disabled; [`StoreError::NotFound`] for the run, the version, or an entry `from_seq - 1`.
    /// Source: R31.
    async fn fork_run(&self, app: &str, number: i64, from_seq: u32, version: Option<u32>) -> Result<Run>;
}

/// What is written of an attempt while it is executed.
#[async_trait]
pub trait Record: Send + Sync {
    /// Writes entries of any runs under their leases in one commit: new ones, and those that are not final yet
    /// anew. The answer says of each, in the order given, when it was written: `None` is a lost lease. A `seq` whose
    /// entry is final is a [`StoreError::Fault`], and nothing of the batch is written.
    async fn append_journal(&self, entries: &[(Lease, JournalEntry)]) -> Result<Vec<Option<Recorded>>>;
    /// Delivers the first event `name` that was not delivered yet, if there is one, to the entry `seq`, which waits for
    /// it: `Finished` with its payload. Source: R42.
    async fn take_event(&self, lease: Lease, seq: u32, name: &str) -> Result<Inbox>;
    /// Starts a child: once for each `seq` of the parent's journal, however often it is asked for. Beside
    /// what [`Runs::start_run`] returns, [`StoreError::LeaseLost`]. Source: R43.
    async fn start_child(&self, parent: Lease, seq: u32, new: NewRun) -> Result<RunName>;
    /// A child of the run. [`StoreError::NotFound`] if it is not one. Source: R43.
    async fn find_child(&self, parent: Lease, child: Uuid) -> Result<ChildState>;
    /// Appends log lines of any runs under their leases in one commit. Lines of a lost lease
    /// are dropped; the answer counts the lines written.
    async fn append_logs(&self, lines: &[(Lease, LogLine)]) -> Result<u64>;
    /// Appends calls of any runs under their leases in one commit. Those of a lost lease are dropped; the answer
    /// counts the calls written. Source: V11.
    async fn append_calls(&self, calls: &[(Lease, Call)]) -> Result<u64>;
}

/// What a worker does beside that: sessions, claims, and how attempts end.
#[async_trait]
pub trait Work: Record {
    /// Opens a session: until it ends, runs claimed under its id are this worker's. The session
    /// is lost `lease` after its last renewal, and at once when the process or its connection
    /// dies.
    async fn open_session(&self, name: &str, slots: u32, lease: Duration) -> Result<WorkerSession>;
    /// Renews the session for another lease; [`StoreError::LeaseLost`] if it was lost meanwhile.
    async fn renew_session(&self, session: &WorkerSession) -> Result<()>;
    /// Ends the session; runs it still holds are given back.
    async fn close_session(&self, session: &WorkerSession) -> Result<()>;
    /// Hands up to `limit` due runs, those that have waited longest, to the session's worker,
    /// and opens or goes on with their attempts. None if the session is lost. A run whose code is
    /// not among the digests in `loaded` becomes `starting`, the others `running`; one whose code is among those in
    /// `refused`, which this worker cannot run, is left to others. A due retry of a
    /// disabled app is not handed out: its run ends as its last attempt did. Source: R1, R8, R29.
    async fn claim_runs(
        &self,
        session: &WorkerSession,
        limit: u32,
        loaded: &[String],
        refused: &[String],
    ) -> Result<Vec<Assignment>>;
    /// The code of a `starting` run is ready.
    async fn begin_running(&self, lease: Lease) -> Result<()>;
    /// The leases the database thinks this session holds. For the worker to compare with what
    /// it executes: a run it does not find here was taken away; a run it does not know was
    /// claimed in an answer that got lost.
    async fn list_held(&self, session: &WorkerSession) -> Result<Vec<Lease>>;
    /// Gives a run back unfinished: another worker goes on with the same attempt at once.
    async fn give_back(&self, lease: Lease) -> Result<()>;
    /// Puts the run aside, still `running`, until what it waits for is due or there, and ends the lease. At once due,
    /// if it was told something since it looked. Never later than its deadline. Source: R24.
    async fn park_run(&self, lease: Lease, park: Park) -> Result<()>;
    /// Hands back a run whose code this worker cannot run: neither an attempt nor a recovery. The next claim is of a
    /// recovery if this one was: what may be begun only once is not begun again. Source: R29, R41.
    async fn hand_back(&self, lease: Lease, is_recovery: bool) -> Result<()>;
    /// Writes what follows from the end of an attempt: the attempt's row, the run's, its output
    /// and, if asked, that the last entry of its journal is reopened, as by [`Runs::retry_run`]. Ends the lease.
    /// A retry of a disabled app does not happen: the run ends. Wakes a parent that waits for it, in a statement of its
    /// own. Source: R6, R8, R43.
    async fn settle_run(&self, lease: Lease, settlement: Settlement) -> Result<()>;
    /// Takes the runs away from workers whose session is lost, so that others go on with them.
    /// Returns how many. Any number of processes may call this.
    async fn reap_sessions(&self) -> Result<u64>;
    /// How long until a run that waits for its time is due: `None` if none waits.
    async fn next_due_in(&self) -> Result<Option<Duration>>;
    /// Waits until something may have become due: a hint, which may be missed or be wrong. It
    /// wakes one who waits in each process; without one it is kept for the next.
    async fn wait_for_hint(&self);
    /// The journal of a run, by `seq`.
    async fn load_journal(&self, run_id: Uuid) -> Result<Vec<JournalEntry>>;
    /// A part of it: up to `limit` entries after `after`, and about [`PAGE_BYTES`] of what they hold.
    async fn list_journal(&self, run_id: Uuid, after: u32, limit: u32) -> Result<Vec<JournalEntry>>;
    /// A run's log lines by `line_num`, from after `filter.after_line`.
    async fn list_logs(&self, run_id: Uuid, filter: LogFilter) -> Result<Vec<LogLine>>;
    /// Up to `limit` calls of a run by `call_num`, from after `after`.
    async fn list_calls(&self, run_id: Uuid, after: i64, limit: u32) -> Result<Vec<Call>>;
}

/// Schedules and their ticks. Source: R45.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// [`StoreError::NotFound`] for the app, [`StoreError::Conflict`] if the name is taken.
    async fn create_schedule(
        &self,
        app: &str,
        name: &str,
        settings: &ScheduleSettings,
        next_tick_at: Timestamp,
    ) -> Result<Schedule>;
    /// The schedule with this id, or of this name.
    async fn find_schedule(&self, id_or_name: &str) -> Result<Schedule>;
    /// Schedules by name, of one app unless `None`, and of those in `among` unless `None`.
    async fn list_schedules(
        &self,
        app: Option<&str>,
        among: Option<&[String]>,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<Schedule>>;
    /// How many there are.
    async fn count_schedules(&self, app: Option<&str>, among: Option<&[String]>) -> Result<u64>;
    /// Changes a schedule as a whole. [`StoreError::Conflict`] if the name is taken.
    async fn update_schedule(
        &self,
        schedule_id: Uuid,
        name: &str,
        settings: &ScheduleSettings,
        next_tick_at: Timestamp,
    ) -> Result<Schedule>;
    /// Its runs stay.
    async fn delete_schedule(&self, schedule_id: Uuid) -> Result<()>;
    /// How long until a tick is due: `None` without an active schedule.
    async fn next_tick_in(&self) -> Result<Option<Duration>>;
    /// The active schedules whose tick is due.
    async fn list_due_schedules(&self) -> Result<Vec<Schedule>>;
    /// Starts the run of the tick that `schedule` waits for, and sets the tick after it. `false` if
    /// there is nothing to start: another server did, the app is disabled or has no version, or a
    /// run of an earlier tick is active and overlaps are skipped. Any number of processes may call
    /// this; one of them starts the run. Wakes a worker.
    async fn fire_schedule(&self, schedule: &Schedule, next_tick_at: Timestamp) -> Result<bool>;
}

/// Tokens and secrets.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Keeps a token, of which only the hash is known here.
    async fn create_token(&self, token: NewToken) -> Result<Token>;
    /// The hash and the token behind a public id; [`StoreError::NotFound`] if it is revoked or has
    /// expired.
    async fn find_token(&self, token_id: &str) -> Result<(Vec<u8>, Token)>;
    /// All tokens that are not revoked, expired ones too.
    async fn list_tokens(&self) -> Result<Vec<Token>>;
    /// Revokes a token at once.
    async fn revoke_token(&self, token_id: &str) -> Result<()>;
    /// Keeps a secret. [`StoreError::Conflict`] if there is one of that name.
    async fn create_secret(&self, secret: NewSecret) -> Result<Secret>;
    /// Replaces a secret.
    async fn update_secret(&self, secret: NewSecret) -> Result<Secret>;
    /// Secrets by name, without what they hold.
    async fn list_secrets(&self, limit: u32, offset: u32) -> Result<Vec<Secret>>;
    /// How many there are.
    async fn count_secrets(&self) -> Result<u64>;
    /// What the secret holds, encrypted.
    async fn load_secret(&self, name: &str) -> Result<Vec<u8>>;
    /// Returns what it was.
    async fn delete_secret(&self, name: &str) -> Result<Secret>;
    /// The key pair to which clients encrypt secrets, itself encrypted; `candidate` is kept if there
    /// is none yet, so that all servers have the same.
    async fn keep_key_pair(&self, candidate: Option<Vec<u8>>) -> Result<Option<Vec<u8>>>;
}

/// Now, by the clock of the database that `url` names, which is neither made nor brought up to date.
pub async fn clock(url: &str) -> Result<Timestamp> {
    match url.strip_prefix("sqlite:") {
        Some(path) => sqlite::clock(path.trim_start_matches("//")).await,
        None => postgres::clock(url).await,
    }
}

/// The numbers of the databases.
pub fn numbers() -> Vec<Number> {
    vec![
        fixed("V22", "a statement on Postgres", postgres::STATEMENT_TIMEOUT.replace('s', " s")),
        fixed("V22", "the bytes of a list that one answer holds", bytes(PAGE_BYTES)),
        fixed("V22", "waiting for the lock of an SQLite file", time(sqlite::BUSY_TIMEOUT)),
    ]
}

/// Opens the store that `url` names and brings its schema up to date: `postgres://...`, or
/// `sqlite:PATH` (the file and its folder are created).
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(Postgres::open(url).await?));
    }
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Ok(Arc::new(Sqlite::open(path.trim_start_matches("//")).await?));
    }
    // The URL may hold a password, so it is not repeated.
    Err(StoreError::Fault(anyhow::anyhow!("the URL names no database: use postgres://... or sqlite:PATH")))
}
