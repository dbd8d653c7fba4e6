//! The operator's own address, which each process that stays may have.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::api::{Admin, serve_admin};
use crate::store::Store;
use crate::telemetry::Metrics;

#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Where to tell the operator, who needs no token, how the process does: /healthz, /readyz, /metrics
    #[arg(long, env = "RELUME_ADMIN_LISTEN", value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

impl AdminArgs {
    /// Answers there until `closing`, if there is such an address. What happens before this is not counted.
    pub async fn start(&self, store: Arc<dyn Store>, closing: CancellationToken) -> Result<(), Failure> {
        let Some(address) = self.admin_listen else { return Ok(()) };
        let cannot_listen = |e| {
            let failure = Failure::new(format!("cannot listen on {address}")).because(e);
            failure.hint("name another address with --admin-listen, e.g. --admin-listen 127.0.0.1:0 for a free port")
        };
        let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
        let bound = listener.local_addr().map_err(cannot_listen)?;
        let metrics = Metrics::start()?;
        tokio::spawn(serve_admin(listener, Admin { store, metrics }, closing));
        eprintln!("admin address http://{bound}");
        Ok(())
    }
}
