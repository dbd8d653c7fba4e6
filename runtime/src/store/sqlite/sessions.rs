//! Sessions of workers. Each holds the lock of a file beside the database, which the operating
//! system releases when the process dies, so that this is noticed at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use sqlx::query_as;
use uuid::Uuid;

use super::Sqlite;
use crate::store::params::{int, milliseconds};
use crate::store::statements::{SQLITE, SQLITE_ONLY};
use crate::store::{Result, StoreError, WorkerSession};

pub(super) struct Sessions {
    /// `<database>.workers`, with one file for each session.
    folder: PathBuf,
    locks: Mutex<BTreeMap<Uuid, File>>,
}

impl Sessions {
    pub(super) fn new(database: &Path) -> Sessions {
        let mut folder = OsString::from(database);
        folder.push(".workers");
        Sessions { folder: folder.into(), locks: Mutex::new(BTreeMap::new()) }
    }

    fn path(&self, worker_id: Uuid) -> PathBuf {
        self.folder.join(format!("{worker_id}.lock"))
    }

    fn locks(&self) -> MutexGuard<'_, BTreeMap<Uuid, File>> {
        self.locks.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn lock(&self, worker_id: Uuid) -> io::Result<File> {
        std::fs::create_dir_all(&self.folder)?;
        let file = File::create(self.path(worker_id))?;
        file.try_lock()?;
        Ok(file)
    }

    /// Whether nobody holds the lock any more.
    fn is_dead(&self, worker_id: Uuid) -> io::Result<bool> {
        match File::open(self.path(worker_id)) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// First the lock, then the row: the worker never looks dead.
pub(super) async fn open(store: &Sqlite, session: &WorkerSession, name: &str, slots: u32) -> Result<()> {
    let file = store.sessions.lock(session.worker_id).map_err(|e| StoreError::Fault(e.into()))?;
    let query = query_as::<_, (Uuid,)>(SQLITE.open_session)
        .bind(session.worker_id)
        .bind(name)
        .bind(milliseconds(session.lease))
        .bind(int(slots));
    store.write(query).await?;
    store.sessions.locks().insert(session.worker_id, file);
    Ok(())
}

pub(super) async fn renew(store: &Sqlite, session: &WorkerSession) -> Result<()> {
    let query = query_as::<_, (Uuid,)>(SQLITE.renew_session).bind(session.worker_id).bind(milliseconds(session.lease));
    match store.write(query).await?.pop() {
        Some(_) => Ok(()),
        None => {
            forget(store, session.worker_id);
            Err(StoreError::LeaseLost)
        }
    }
}

/// Releases the lock and removes its file.
pub(super) fn forget(store: &Sqlite, worker_id: Uuid) {
    store.sessions.locks().remove(&worker_id);
    if let Err(error) = std::fs::remove_file(store.sessions.path(worker_id))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, %worker_id, "the lock file of a session stays");
    }
}

/// Ends the sessions that are lost. The locks of this process's sessions are safe from it: a file
/// that is opened twice is locked against itself.
pub(super) async fn end_lost(store: &Sqlite) -> Result<()> {
    let sessions = store.read(query_as::<_, (Uuid, bool)>(SQLITE_ONLY.list_sessions)).await?;
    for (worker_id, expired) in sessions {
        if expired || store.sessions.is_dead(worker_id).map_err(|e| StoreError::Fault(e.into()))? {
            store.write(query_as::<_, (Uuid,)>(SQLITE_ONLY.end_session).bind(worker_id)).await?;
            forget(store, worker_id);
            tracing::info!(%worker_id, "a worker was lost");
        }
    }
    Ok(())
}
