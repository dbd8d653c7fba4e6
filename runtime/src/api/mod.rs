//! What can a caller ask? HTTP over the [`Store`]: a request becomes a row, and a worker sees
//! the row; nothing here calls a worker.
//!
//! Paths and field names are Tower's where Tower has them. [`wire`] holds the shapes, `problem`
//! how a request is refused, `router` the list of paths.

mod admin;
mod again;
mod apps;
pub mod auth;
mod calls;
mod dashboard;
mod doors;
mod drain;
mod events;
mod explain;
mod extract;
mod logs;
mod openapi;
mod page;
mod patience;
mod problem;
mod rates;
mod replay;
mod router;
mod runs;
mod schedules;
mod secrets;
mod server;
mod stats;
mod tokens;
mod tower;
mod versions;
mod watch;
pub mod wire;
mod workers;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::doors::Doors;
use self::rates::Rates;
use crate::numbers::{Number, count, fixed};
use crate::policy::{ApiPolicy, Policy};
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::vault::Vault;

pub use self::admin::{Admin, serve_admin};
pub use self::openapi::document as openapi_document;
pub use self::problem::Problem;
pub use self::server::serve;

/// Uploads that are in memory at the same time; each may be 64 MiB and is compiled. More wait.
const MAX_UPLOADS: usize = 4;
/// Open connections; more wait to be accepted. Each holds at most [`server::MAX_HEAD_BYTES`] while idle.
const MAX_CONNECTIONS: usize = 10_000;

/// The numbers of the API, under the operator's policy.
pub fn numbers(policy: &Policy) -> Vec<Number> {
    let mut all = vec![
        fixed("V22", "uploads in memory at once", count(MAX_UPLOADS)),
        fixed("V22", "connections open at once; more wait", count(MAX_CONNECTIONS)),
    ];
    let (now, usual) = (&policy.api, ApiPolicy::default());
    let mut settable = |about: &str, value: String, is_usual: bool| {
        let from = if is_usual { "default" } else { "operator's policy" }.to_owned();
        all.push(Number { from, ..fixed("V22", about, value) });
    };
    for (about, value, usual) in [
        ("requests of one token in a second, over time", now.requests_per_second, usual.requests_per_second),
        ("requests of one token at once", now.request_burst, usual.request_burst),
        ("refused requests of one address in a second, over time", now.refused_per_second, usual.refused_per_second),
    ] {
        settable(about, count(value.get()), value == usual);
    }
    for (about, value, usual) in [
        ("connections of one address at once", now.connections_per_address, usual.connections_per_address),
        ("followers of logs, runs and lists at once", now.followers, usual.followers),
    ] {
        settable(about, count(value), value == usual);
    }
    all.extend(auth::numbers());
    all.extend(extract::numbers());
    all.extend(versions::numbers());
    all.extend(server::numbers());
    all.extend(page::numbers());
    all
}

/// What every request may use.
#[derive(Clone)]
pub struct Api {
    store: Arc<dyn Store>,
    sandbox: Sandbox,
    vault: Arc<Vault>,
    uploads: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    rates: Arc<Rates>,
    doors: Doors,
    /// Cancelled when the server is about to end: streams end then.
    closing: CancellationToken,
}

impl Api {
    /// The sandbox is there to inspect uploads, the vault to keep secrets; `closing` ends the server.
    pub fn new(
        store: Arc<dyn Store>,
        sandbox: Sandbox,
        vault: Arc<Vault>,
        policy: &ApiPolicy,
        closing: CancellationToken,
    ) -> Api {
        Api {
            store,
            sandbox,
            vault,
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
            followers: Arc::new(Semaphore::new(policy.followers)),
            rates: Arc::new(Rates::new(policy)),
            doors: Doors::new(MAX_CONNECTIONS, policy.connections_per_address),
            closing,
        }
    }
}
