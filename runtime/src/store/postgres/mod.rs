//! The store in Postgres, for any number of processes. Every write is one statement, sent
//! outside any transaction: a caller that goes away in the middle leaves nothing open.

mod batches;
mod hints;
mod sessions;
#[allow(clippy::duplicate_mod, reason = "compiled for each database, with its types")]
#[path = "../shared/mod.rs"]
mod shared;

use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, query_as};

use self::hints::Hints;
use self::sessions::Sessions;
use super::rows::moment;
use super::statements::{POSTGRES, Statements};
use super::{Result, StoreError};

use self::Postgres as Backend;
use sqlx::Postgres as Db;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Enough to keep a server of ordinary size busy, and a small part of the 100 connections that
/// it grants by default: several processes share it.
const MAX_CONNECTIONS: u32 = 16;
/// Longer than a failover within a data centre takes to show, shorter than a caller's patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is asked whether it still works before it is used, which
/// costs a round trip and saves a caller from a write of which nobody knows whether it took place.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// Source: V22.
pub(super) const STATEMENT_TIMEOUT: &str = "30s";
/// What each connection asks of the server. A statement takes milliseconds: one that takes half
/// a minute holds others up, and a client that cannot be reached holds its locks. The keepalives
/// find it within half a minute. Every table that grows is read along an index: a plan made while it
/// was empty, and kept, would read the whole of it, sort it, or compile code to do so. And every
/// statement is planned once for each connection: planning a claim takes twice as long as the claim.
const SERVER_SETTINGS: [(&str, &str); 10] = [
    ("statement_timeout", STATEMENT_TIMEOUT),
    ("idle_in_transaction_session_timeout", "30s"),
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// The store in Postgres.
pub struct Postgres {
    pool: PgPool,
    sessions: Sessions,
    hints: Hints,
}

impl Postgres {
    /// Connects to the database at `url` (`postgres://...`) and brings its schema up to date.
    /// [`StoreError::Unavailable`] after about five seconds if it cannot be reached.
    pub async fn open(url: &str) -> Result<Postgres> {
        let options: PgConnectOptions = url.parse().map_err(StoreError::Unavailable)?;
        let options = options.application_name("relume");
        migrate(&options).await?;
        let options = options.options(SERVER_SETTINGS);
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(CONNECT_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, usage| {
                Box::pin(async move {
                    if usage.idle_for > TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options.clone());
        Ok(Postgres { hints: Hints::start(pool.clone()), sessions: Sessions::new(options), pool })
    }

    fn statements(&self) -> &'static Statements {
        &POSTGRES
    }

    async fn read<O>(&self, query: QueryAs<'_, Db, O, PgArguments>) -> sqlx::Result<Vec<O>>
    where
        O: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        query.fetch_all(&self.pool).await
    }

    /// One statement commits or fails by itself.
    async fn write<O>(&self, query: QueryAs<'_, Db, O, PgArguments>) -> sqlx::Result<Vec<O>>
    where
        O: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        query.fetch_all(&self.pool).await
    }

    fn hint_here(&self) {
        self.hints.here();
    }

    fn hint_everyone(&self) {
        self.hints.everyone();
    }

    async fn wait(&self) {
        self.hints.wait().await;
    }
}

/// See [`super::clock`].
pub(super) async fn clock(url: &str) -> Result<Timestamp> {
    let options: PgConnectOptions = url.parse().map_err(StoreError::Unavailable)?;
    let mut connection = connect(&options).await?;
    let (now,) = query_as::<Db, (i64,)>(POSTGRES.clock).fetch_one(&mut connection).await?;
    moment(now)
}

/// A connection outside the pool. Unlike the pool, it says at once why it cannot be made.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(StoreError::Unavailable),
        Err(_) => Err(timed_out("no answer while connecting")),
    }
}

fn timed_out(what: &str) -> StoreError {
    StoreError::Unavailable(std::io::Error::new(std::io::ErrorKind::TimedOut, what).into())
}

/// On a connection of its own, so that nothing is left open if the caller goes away. Processes
/// that start together wait for each other.
async fn migrate(options: &PgConnectOptions) -> Result<()> {
    let mut connection = connect(options).await?;
    match MIGRATIONS.run_direct(None, &mut connection, false).await {
        Ok(()) => {}
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => return Err(error.into()),
        Err(error) => return Err(StoreError::Fault(error.into())),
    }
    connection.close().await?;
    Ok(())
}
