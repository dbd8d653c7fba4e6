//! Sessions of workers. Each holds an advisory lock on a connection of its own, so that the
//! death of the process or of its connection is noticed at once; the lease decides when the
//! machine or the network is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{query, query_as};
use uuid::Uuid;

use super::{CONNECT_TIMEOUT, Postgres, connect, timed_out};
use crate::store::params::{int, milliseconds};
use crate::store::statements::{POSTGRES, POSTGRES_ONLY};
use crate::store::{Result, StoreError, WorkerSession};

/// The connection that holds a session's lock; `None` once it broke.
type Slot = Arc<tokio::sync::Mutex<Option<PgConnection>>>;

pub(super) struct Sessions {
    options: PgConnectOptions,
    slots: Mutex<BTreeMap<Uuid, Slot>>,
}

impl Sessions {
    pub(super) fn new(options: PgConnectOptions) -> Sessions {
        Sessions { options, slots: Mutex::new(BTreeMap::new()) }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<Uuid, Slot>> {
        self.slots.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// First the lock, then the row: the worker never looks dead.
pub(super) async fn open(store: &Postgres, session: &WorkerSession, name: &str, slots: u32) -> Result<()> {
    let mut connection = connect_and_lock(store, session).await?;
    query(POSTGRES.open_session)
        .bind(session.worker_id)
        .bind(name)
        .bind(milliseconds(session.lease))
        .bind(int(slots))
        .bind(lock_key(session.worker_id))
        .execute(&mut connection)
        .await?;
    let slot = Arc::new(tokio::sync::Mutex::new(Some(connection)));
    store.sessions.slots().insert(session.worker_id, slot);
    Ok(())
}

/// Over the connection that holds the lock, which so is known to be alive. If it broke, the lock
/// is taken again first, and then the row tells whether anyone noticed.
pub(super) async fn renew(store: &Postgres, session: &WorkerSession) -> Result<()> {
    let slot = store.sessions.slots().get(&session.worker_id).cloned().ok_or(StoreError::LeaseLost)?;
    let mut slot = slot.lock().await;
    if let Some(connection) = slot.as_mut() {
        match renew_over(connection, session).await {
            Err(StoreError::Unavailable(error)) => {
                tracing::debug!(%error, "the connection of the worker's session broke");
                *slot = None;
            }
            Err(StoreError::LeaseLost) => {
                forget(store, session.worker_id);
                return Err(StoreError::LeaseLost);
            }
            answer => return answer,
        }
    }
    let connection = slot.insert(connect_and_lock(store, session).await?);
    renew_over(connection, session).await
}

/// The lock ends with the connection.
pub(super) fn forget(store: &Postgres, worker_id: Uuid) {
    store.sessions.slots().remove(&worker_id);
}

/// Ends the sessions that are lost. The locks of this process's sessions are safe from it: they
/// are held by other connections than the one that asks.
pub(super) async fn end_lost(store: &Postgres) -> Result<()> {
    let ended = store.write(query_as::<_, (Uuid,)>(POSTGRES_ONLY.end_lost_sessions)).await?;
    for (worker_id,) in ended {
        tracing::info!(%worker_id, "a worker was lost");
    }
    Ok(())
}

async fn connect_and_lock(store: &Postgres, session: &WorkerSession) -> Result<PgConnection> {
    let mut connection = connect(&store.sessions.options).await?;
    query(POSTGRES_ONLY.lock_session).bind(lock_key(session.worker_id)).execute(&mut connection).await?;
    Ok(connection)
}

async fn renew_over(connection: &mut PgConnection, session: &WorkerSession) -> Result<()> {
    let query = query_as::<_, (Uuid,)>(POSTGRES.renew_session)
        .bind(session.worker_id)
        .bind(milliseconds(session.lease))
        .fetch_optional(connection);
    match tokio::time::timeout(CONNECT_TIMEOUT, query).await {
        Ok(row) => row?.map(drop).ok_or(StoreError::LeaseLost),
        Err(_) => Err(timed_out("no answer to the renewal of the session")),
    }
}

/// The last 8 bytes of a version 7 id are random.
fn lock_key(worker_id: Uuid) -> i64 {
    worker_id.as_u64_pair().1.cast_signed()
}
