//! What does the operator's own address tell? Whether the process is up, whether its database answers, and what it has
//! counted. It asks for no token, so it is off unless it is given, and not for the open network.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::middleware;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::doors::Doors;
use super::{Problem, router, server};
use crate::store::Store;
use crate::telemetry::Metrics;

/// A probe or two, and somebody who looks.
const MAX_CONNECTIONS: usize = 100;
/// How often what was measured is added up if nobody asks.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);

/// What such an address needs.
#[derive(Clone)]
pub struct Admin {
    pub store: Arc<dyn Store>,
    pub metrics: Metrics,
}

/// Answers on `listener` until `closing`.
pub async fn serve_admin(listener: TcpListener, admin: Admin, closing: CancellationToken) {
    let metrics = admin.metrics.clone();
    let add_up = async {
        loop {
            tokio::time::sleep(ADD_UP_EVERY).await;
            metrics.add_up();
        }
    };
    let service = Router::new()
        .route("/healthz", get(router::healthy))
        .route("/readyz", get(async |State(admin): State<Admin>| router::answers(admin.store.as_ref()).await))
        .route("/metrics", get(metrics_text))
        .fallback(unknown_path)
        .layer(middleware::map_response(router::nothing_but_data))
        .with_state(admin);
    tokio::select! {
        () = server::answer(listener, service, Doors::new(MAX_CONNECTIONS, MAX_CONNECTIONS), closing) => {}
        () = add_up => {}
    }
}

async fn metrics_text(State(admin): State<Admin>) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.text())
}

async fn unknown_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path")
        .hint("here are `/healthz`, `/readyz` and `/metrics`; the API has an address of its own")
}
