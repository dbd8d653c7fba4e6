//! The store in one SQLite file, for one machine. A server and a worker may be two processes on
//! it: every write is a transaction that locks the file when it begins.

mod batches;
mod sessions;
#[allow(clippy::duplicate_mod, reason = "compiled for each database, with its types")]
#[path = "../shared/mod.rs"]
mod shared;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::query::QueryAs;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, FromRow, Transaction, query_as};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::sessions::Sessions;
use super::rows::moment;
use super::statements::{SQLITE, Statements};
use super::{Result, StoreError};

use self::Sqlite as Backend;
use sqlx::Sqlite as Db;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for the lock of another process, which has it for milliseconds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Reads are fast and on one disk.
const MAX_READERS: u32 = 4;

/// The store in one SQLite file.
pub struct Sqlite {
    /// One connection: SQLite has one writer at a time, and so they queue here.
    writer: SqlitePool,
    readers: SqlitePool,
    sessions: Sessions,
    hint: Notify,
}

impl Sqlite {
    /// Opens the database at `path`, creates it and its folder if need be, and brings its schema
    /// up to date.
    pub async fn open(path: &str) -> Result<Sqlite> {
        let path = PathBuf::from(path);
        create_folder_of(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("temp_store", "memory")
            .optimize_on_close(false, None);
        // Connections are kept for ever: opening a file anew makes nothing fresher.
        let pool = || SqlitePoolOptions::new().idle_timeout(None).max_lifetime(None).acquire_timeout(BUSY_TIMEOUT * 3);
        let writer = pool().max_connections(1).connect_lazy_with(options.clone());
        migrate(&writer).await?;
        let readers = pool().max_connections(MAX_READERS).connect_lazy_with(options.pragma("query_only", "on"));
        Ok(Sqlite { writer, readers, sessions: Sessions::new(&path), hint: Notify::new() })
    }

    fn statements(&self) -> &'static Statements {
        &SQLITE
    }

    async fn read<O>(&self, query: QueryAs<'_, Db, O, SqliteArguments>) -> sqlx::Result<Vec<O>>
    where
        O: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        query.fetch_all(&self.readers).await
    }

    /// The statements of the text see the same parameters; the rows are those of all of them.
    async fn write<O>(&self, query: QueryAs<'_, Db, O, SqliteArguments>) -> sqlx::Result<Vec<O>>
    where
        O: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut transaction = begin(&self.writer).await?;
        let rows = query.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    fn hint_here(&self) {
        self.hint.notify_one();
    }

    /// Other processes on the same file poll.
    fn hint_everyone(&self) {
        self.hint.notify_one();
    }

    async fn wait(&self) {
        self.hint.notified().await;
    }
}

/// See [`super::clock`].
pub(super) async fn clock(path: &str) -> Result<Timestamp> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await?;
    let (now,) = query_as::<Db, (i64,)>(SQLITE.clock).fetch_one(&mut connection).await?;
    moment(now)
}

/// Locks the file for writing at once: a transaction that reads first and then wants to write
/// cannot wait for its turn. Rolled back if it is dropped.
async fn begin(writer: &SqlitePool) -> sqlx::Result<Transaction<'static, Db>> {
    writer.begin_with("begin immediate").await
}

/// Two processes that open a new file at once can refuse each other the change to WAL without
/// waiting, so it is tried until it works.
async fn migrate(writer: &SqlitePool) -> Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match try_migrate(writer).await {
            Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer => return answer,
        }
    }
}

async fn try_migrate(writer: &SqlitePool) -> Result<()> {
    let mut transaction = begin(writer).await?;
    match MIGRATIONS.run_direct(None, &mut *transaction, false).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(error.into()),
        Err(error) => Err(StoreError::Fault(error.into())),
    }
}

fn create_folder_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|e| StoreError::Unavailable(e.into())),
        None => Ok(()),
    }
}
