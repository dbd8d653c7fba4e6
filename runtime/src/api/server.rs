//! How are connections held? One task for each, with a limit of their number, a time for the
//! request's head, and an end that lets open requests finish. Source: V22.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::Api;
use super::router::router;

/// Open connections; more wait to be accepted. Each holds at most [`MAX_HEAD_BYTES`] while idle.
const MAX_CONNECTIONS: usize = 10_000;
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long a client may take to send a request's head, the idle time before it included.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long open requests have to finish when the server ends.
const CLOSING_TIME: Duration = Duration::from_secs(10);
/// Accepting fails when the process is out of file descriptors: others are closed meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests until the api is closing.
pub async fn serve(listener: TcpListener, api: Api) {
    let closing = api.closing.clone();
    let router = router(api);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = closing.cancelled() => break,
        };
        let Some((stream, slot)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(MAX_HEAD_BYTES);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // What goes wrong on a connection is the client's: it left, or was too slow.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(CLOSING_TIME, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off: they did not finish in time");
    }
}

type Slot = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(tokio::net::TcpStream, Slot)> {
    // The semaphore is never closed.
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small and waited for; a refusal of the option changes nothing else.
            let _ = stream.set_nodelay(true);
            Some((stream, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            None
        }
    }
}
