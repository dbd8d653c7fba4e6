//! Hints that something may have become due: to this process through a [`Notify`], to others
//! through `NOTIFY`, sent in a statement of its own that stands for all hints since the last.

use std::sync::{Arc, Once};
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::store::statements::POSTGRES_ONLY;

const CHANNEL: &str = "relume";
/// Polling finds what is missed meanwhile.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Hints {
    pool: PgPool,
    arrived: Arc<Notify>,
    to_send: Arc<Notify>,
    sender: AbortHandle,
    listener: std::sync::Mutex<Option<AbortHandle>>,
    listens: Once,
}

impl Hints {
    /// Sends hints from now on; listens once somebody waits for them.
    pub(super) fn start(pool: PgPool) -> Hints {
        let to_send = Arc::new(Notify::new());
        let sender = tokio::spawn(send(pool.clone(), to_send.clone())).abort_handle();
        let arrived = Arc::new(Notify::new());
        Hints { pool, arrived, to_send, sender, listener: std::sync::Mutex::new(None), listens: Once::new() }
    }

    pub(super) fn here(&self) {
        self.arrived.notify_one();
    }

    pub(super) fn everyone(&self) {
        self.arrived.notify_one();
        self.to_send.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.listens.call_once(|| {
            let task = tokio::spawn(listen(self.pool.clone(), self.arrived.clone()));
            *self.listener.lock().unwrap_or_else(|e| e.into_inner()) = Some(task.abort_handle());
        });
        self.arrived.notified().await;
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.sender.abort();
        if let Some(listener) = self.listener.lock().unwrap_or_else(|e| e.into_inner()).take() {
            listener.abort();
        }
    }
}

async fn send(pool: PgPool, to_send: Arc<Notify>) {
    loop {
        to_send.notified().await;
        if let Err(error) = sqlx::query(POSTGRES_ONLY.send_hint).execute(&pool).await {
            tracing::debug!(%error, "a hint to other processes was not sent");
        }
    }
}

async fn listen(pool: PgPool, arrived: Arc<Notify>) {
    loop {
        if let Err(error) = listen_until_it_fails(&pool, &arrived).await {
            tracing::debug!(%error, "hints of other processes do not arrive");
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

async fn listen_until_it_fails(pool: &PgPool, arrived: &Notify) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What was sent before we listened, and while we did not, is lost: hence one hint for
        // each connection, as `try_recv` returns when it has made a new one.
        arrived.notify_one();
        listener.try_recv().await?;
    }
}
