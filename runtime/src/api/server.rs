//! How are connections held? One task for each, with a limit of their number, a time for the
//! request's head, and an end that lets open requests finish. Source: V22.

use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::Api;
use super::doors::{Doors, Guest, Peer};
use super::patience::Patient;
use super::router::router;
use crate::numbers::{Number, bytes, count, fixed, time};
use crate::telemetry::{API_CONNECTIONS, API_LIMITED};

/// The head of a request, of at most [`MAX_HEADERS`].
pub const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// How long a client may take to send a request's head, the idle time before it included.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long open requests have to finish when the server ends.
const CLOSING_TIME: Duration = Duration::from_secs(10);
/// Accepting fails when the process is out of file descriptors: others are closed meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The numbers of connections.
pub fn numbers() -> Vec<Number> {
    vec![
        fixed("V22", "the head of a request", bytes(MAX_HEAD_BYTES)),
        fixed("V22", "headers of a request", count(MAX_HEADERS)),
        fixed("V22", "the time in which the head of a request arrives", time(HEAD_TIME)),
    ]
}

/// Answers requests until the api is closing.
pub async fn serve(listener: TcpListener, api: Api) {
    let (doors, closing) = (api.doors.clone(), api.closing.clone());
    answer(listener, router(api), doors, closing).await;
}

/// Has `router` answer whom `doors` let in, until `closing`. Each request knows its [`Peer`].
pub async fn answer(listener: TcpListener, router: Router, doors: Doors, closing: CancellationToken) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &doors) => accepted,
            () = closing.cancelled() => break,
        };
        let Some((stream, guest)) = accepted else { continue };
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(MAX_HEAD_BYTES);
        builder.max_headers(MAX_HEADERS);
        let (peer, service) = (guest.peer(), TowerToHyperService::new(router.clone()));
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            service.call(request)
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(Patient::new(stream)), service));
        tokio::spawn(async move {
            metrics::gauge!(API_CONNECTIONS).increment(1.0);
            // What goes wrong on a connection is the client's: it left, or was too slow.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            metrics::gauge!(API_CONNECTIONS).decrement(1.0);
            drop(guest);
        });
    }
    drop(listener);
    if tokio::time::timeout(CLOSING_TIME, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off: they did not finish in time");
    }
}

/// The next connection that is let in; `None` if this one was not.
async fn accept(listener: &TcpListener, doors: &Doors) -> Option<(TcpStream, Guest)> {
    let room = doors.room().await?;
    match listener.accept().await {
        Ok((stream, address)) => {
            let Some(guest) = doors.admit(Peer::at(address.ip()), room) else {
                tracing::debug!(%address, "a connection was not let in: its address has too many");
                metrics::counter!(API_LIMITED, "limit" => "connections").increment(1);
                return None;
            };
            // Answers are small and waited for; a refusal of the option changes nothing else.
            let _ = stream.set_nodelay(true);
            Some((stream, guest))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
