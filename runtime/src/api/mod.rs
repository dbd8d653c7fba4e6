//! What can a caller ask? HTTP over the [`Store`]: a request becomes a row, and a worker sees
//! the row; nothing here calls a worker.
//!
//! Paths and field names are Tower's where Tower has them. [`wire`] holds the shapes, `problem`
//! how a request is refused, `router` the list of paths.

mod again;
mod apps;
pub mod auth;
mod drain;
mod events;
mod explain;
mod extract;
mod logs;
mod openapi;
mod page;
mod problem;
mod replay;
mod router;
mod runs;
mod schedules;
mod secrets;
mod server;
mod tokens;
mod tower;
pub mod wire;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::vault::Vault;

pub use self::openapi::document as openapi_document;
pub use self::problem::Problem;
pub use self::server::serve;

/// Uploads that are in memory at the same time; each may be 64 MiB and is compiled. More wait.
const MAX_UPLOADS: usize = 4;
/// Followers of logs at the same time; each asks the store about once a second.
const MAX_FOLLOWERS: usize = 1000;

/// What every request may use.
#[derive(Clone)]
pub struct Api {
    store: Arc<dyn Store>,
    sandbox: Sandbox,
    vault: Arc<Vault>,
    uploads: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    /// Cancelled when the server is about to end: streams end then.
    closing: CancellationToken,
}

impl Api {
    /// The sandbox is there to inspect uploads, the vault to keep secrets; `closing` ends the server.
    pub fn new(store: Arc<dyn Store>, sandbox: Sandbox, vault: Arc<Vault>, closing: CancellationToken) -> Api {
        Api {
            store,
            sandbox,
            vault,
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            closing,
        }
    }
}
