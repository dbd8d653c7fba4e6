//! How does one guest run, and what may it touch? A [`Sandbox`] checks and compiles uploads,
//! keeps the compiled form, and executes one attempt at a time in a fresh store with limits on
//! fuel, memory, stack and time. It knows nothing of queues, leases or retries.

mod cache;
mod durable;
mod egress;
mod engine;
mod limits;
mod stdio;
mod upload;
mod verdict;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use self::cache::Cache;
use self::durable::{Durable, DurableView};
use self::egress::Egress;
use self::engine::Ticker;
use self::limits::Limiter;
use self::stdio::Lines;
use self::verdict::Remains;
use crate::journal::Journal;
use crate::log::{Log, Stream};
use crate::manifest::Settings;
use crate::run::{FailureKind, Outcome};
use crate::store::StoreError;

pub use self::cache::hex;
pub use self::engine::config as engine_config;
pub use self::upload::{MAX_COMPONENT_BYTES, Refusal};

/// Handles a guest may hold. Source: V3.
const MAX_HANDLES: usize = 4096;
/// What host calls may allocate on a guest's behalf before it is refused: the largest journal
/// entry and its neighbours in flight.
const HOSTCALL_FUEL: usize = 16 * 1024 * 1024;
/// The most random bytes of one call.
const MAX_RANDOM_BYTES: u64 = 64 * 1024;
/// Compiled components that stay in memory.
const MAX_LOADED: usize = 32;

/// Runs guests. Clones share everything.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
    cache: Cache,
    /// Most recently used first.
    loaded: Mutex<Vec<(String, Code)>>,
    /// One compilation at a time: it uses every core by itself.
    compiling: tokio::sync::Mutex<()>,
}

/// A compiled component, ready to be instantiated.
#[derive(Clone)]
pub struct Code {
    command: CommandPre<Guest>,
}

/// What is known of an upload that is an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Its sha256 in lower-case hexadecimal.
    pub digest: String,
    /// Whether it uses the journal.
    pub durable: bool,
    /// The interfaces it imports.
    pub imports: Vec<String>,
}

/// Why a component could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read from the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was stored, but cannot be compiled here.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// One attempt to execute.
pub struct Task {
    pub run_id: Uuid,
    pub app: String,
    /// As people write it: `app#7`.
    pub run: String,
    pub attempt: u32,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// What the program finds on stdin, and as its input.
    pub input: Vec<u8>,
    /// What the program finds in its environment, over the manifest's variables.
    pub parameters: BTreeMap<String, String>,
    /// What it finds there over all of these.
    pub secrets: Vec<(String, String)>,
    pub settings: Settings,
    /// How long it may run, if that is less than its version may.
    pub running_timeout: Option<Duration>,
    pub journal: Journal,
    pub log: Log,
}

/// An attempt that came to its end.
#[derive(Debug)]
pub struct Ended {
    pub outcome: Outcome,
    pub fuel_used: u64,
    pub peak_memory_bytes: u64,
}

/// The attempt did not end: it is to go on elsewhere, or has been taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// Another worker has the run now.
    LeaseLost,
    /// Whether the last step was recorded is unknown until the database is back.
    StoreUnavailable,
    /// The worker is being drained; the last step is recorded.
    Paused,
}

impl Sandbox {
    /// A sandbox that keeps compiled components in `cache_folder`.
    pub fn new(cache_folder: &Path) -> anyhow::Result<Sandbox> {
        let engine = Engine::new(&engine::config())?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        durable::add_to_linker(&mut linker, Guest::durable)?;
        let ticker = Ticker::start(&engine).context("the engine's clock could not be started")?;
        let cache = Cache::open(cache_folder)
            .with_context(|| format!("the cache in {} could not be opened", cache_folder.display()))?;
        let (loaded, compiling) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Sandbox { inner: Arc::new(Inner { engine, linker, ticker, cache, loaded, compiling }) })
    }

    /// Checks an upload and compiles it, so that its first run finds it ready.
    pub async fn inspect(&self, component: Vec<u8>) -> Result<Inspection, Refusal> {
        let imports = upload::check(&component)?;
        let digest = hex(&Sha256::digest(&component));
        if self.loaded(&digest).is_none() {
            self.make_ready(&digest, async || Ok::<_, Refusal>(component)).await?;
        }
        Ok(Inspection { digest, durable: upload::is_durable(&imports), imports })
    }

    /// The compiled component `digest`: from memory, from disk, or compiled from what
    /// `component` returns.
    pub async fn load(
        &self,
        digest: &str,
        component: impl AsyncFnOnce() -> Result<Vec<u8>, StoreError>,
    ) -> Result<Code, LoadError> {
        match self.loaded(digest) {
            Some(code) => Ok(code),
            None => self.make_ready(digest, async || Ok::<_, LoadError>(component().await?)).await,
        }
    }

    async fn make_ready<E: From<Refusal>>(
        &self,
        digest: &str,
        component: impl AsyncFnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Code, E> {
        let _one_at_a_time = self.inner.compiling.lock().await;
        if let Some(code) = self.loaded(digest) {
            return Ok(code);
        }
        let inner = self.inner.clone();
        let name = digest.to_owned();
        let code = match spawn_blocking(move || inner.load_cached(&name)).await {
            Ok(Some(code)) => code,
            Ok(None) => {
                let component = component().await?;
                let (inner, name) = (self.inner.clone(), digest.to_owned());
                spawn_blocking(move || inner.compile(&name, &component)).await.and_then(|code| code)?
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(0, (digest.to_owned(), code.clone()));
        loaded.truncate(MAX_LOADED);
        Ok(code)
    }

    /// The components that [`Sandbox::load`] returns at once.
    pub fn loaded_digests(&self) -> Vec<String> {
        let loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.iter().map(|(digest, _)| digest.clone()).collect()
    }

    fn loaded(&self, digest: &str) -> Option<Code> {
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let position = loaded.iter().position(|(name, _)| name == digest)?;
        loaded[..=position].rotate_right(1);
        Some(loaded[0].1.clone())
    }

    /// Executes one attempt in a store of its own. Dropping the future ends the guest.
    pub async fn execute(&self, code: &Code, task: Task) -> Result<Ended, Interrupted> {
        let limits = task.settings.limits.clone();
        let running_time = limits.running_time().min(task.running_timeout.unwrap_or(Duration::MAX));
        let log = task.log.clone();
        let mut store = match self.store_for(task) {
            Ok(store) => store,
            Err(error) => return Ok(broken(&error)),
        };
        let _awake = self.inner.ticker.wake();
        let running = AssertUnwindSafe(run_main(code, &mut store, limits.fuel)).catch_unwind();
        let end = tokio::time::timeout(running_time, running).await;

        let fuel_used = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let guest = store.data_mut();
        let peak_memory_bytes = guest.limiter.peak_bytes();
        let outcome = match end {
            Err(_elapsed) => verdict::out_of_time(running_time, &limits),
            Ok(Err(panic)) => verdict::panicked(panic),
            Ok(Ok(end)) => {
                let (output, error) = (guest.durable.output.take(), guest.durable.error.take());
                let not_retryable = guest.durable.not_retryable;
                verdict::verdict(Remains { end, output, error, not_retryable, last_words: log.last_words() }, &limits)?
            }
        };
        Ok(Ended { outcome, fuel_used, peak_memory_bytes })
    }

    fn store_for(&self, task: Task) -> wasmtime::Result<Store<Guest>> {
        let Task { run_id, app, run, attempt, args, input, parameters, secrets, settings, journal, log, .. } = task;
        let mut wasi = WasiCtx::builder();
        wasi.arg(&app).args(&args).stdin(MemoryInputPipe::new(input.clone()));
        wasi.stdout(Lines { log: log.clone(), stream: Stream::Stdout });
        wasi.stderr(Lines { log: log.clone(), stream: Stream::Stderr });
        wasi.max_random_size(MAX_RANDOM_BYTES).allow_tcp(false).allow_udp(false);
        let mut environment: BTreeMap<&str, &str> = BTreeMap::new();
        environment.extend(settings.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        environment.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        environment.extend(secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        for (name, value) in environment {
            wasi.env(name, value);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        log.mute(journal.is_replaying());
        let guest = Guest {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            egress: Egress::new(&settings.allowed_hosts, log.clone()),
            table,
            limiter: Limiter::new(settings.limits.memory_bytes()),
            durable: Durable {
                run_id,
                app,
                run,
                attempt,
                input,
                parameters,
                journal,
                log,
                output: None,
                error: None,
                not_retryable: false,
                open_step: None,
            },
        };
        let mut store = Store::new(&self.inner.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_fuel(settings.limits.fuel)?;
        Ok(store)
    }
}

/// Instantiates the program and calls its `main`. What instantiation burnt is given back, so that
/// the limit is the program's own; an endless loop in it still meets the limit.
async fn run_main(code: &Code, store: &mut Store<Guest>, fuel: u64) -> wasmtime::Result<Result<(), ()>> {
    let command = code.command.instantiate_async(&mut *store).await?;
    store.set_fuel(fuel)?;
    command.wasi_cli_run().call_run(store).await
}

/// A store that cannot be made: nothing of the guest has run.
fn broken(error: &wasmtime::Error) -> Ended {
    tracing::error!(%error, "a store for a guest could not be made");
    let outcome = Outcome::failed(FailureKind::Host, "Relume could not prepare the sandbox");
    Ended { outcome, fuel_used: 0, peak_memory_bytes: 0 }
}

async fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Host(error.into()))
}

impl Inner {
    fn load_cached(&self, digest: &str) -> Option<Code> {
        let code = self.cache.load(&self.engine, digest)?;
        // SAFETY: the bytes carry our MAC for this component and engine, so they are what
        // `Component::serialize` made on this machine.
        #[allow(unsafe_code, reason = "the one place where machine code is loaded")]
        let component = unsafe { Component::deserialize(&self.engine, code) };
        let code = component.and_then(|component| self.link(&component));
        code.inspect_err(|error| tracing::warn!(%error, digest, "a compiled component is compiled again")).ok()
    }

    fn compile(&self, digest: &str, bytes: &[u8]) -> Result<Code, Refusal> {
        upload::check(bytes)?;
        let does_not_compile = |error: wasmtime::Error| Refusal::DoesNotCompile(error.root_cause().to_string());
        let component = Component::from_binary(&self.engine, bytes).map_err(does_not_compile)?;
        let code = self.link(&component).map_err(does_not_compile)?;
        let serialized = component.serialize().map_err(|error| Refusal::Host(error.into()))?;
        if let Err(error) = self.cache.store(&self.engine, digest, &serialized) {
            tracing::warn!(%error, digest, "a compiled component could not be kept on disk");
        }
        Ok(code)
    }

    fn link(&self, component: &Component) -> wasmtime::Result<Code> {
        Ok(Code { command: CommandPre::new(self.linker.instantiate_pre(component)?)? })
    }
}

/// What the host keeps for one guest.
struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: Egress,
    table: ResourceTable,
    limiter: Limiter,
    durable: Durable,
}

impl Guest {
    fn durable(&mut self) -> DurableView<'_> {
        DurableView { durable: &mut self.durable, table: &mut self.table }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.egress.step.clone_from(&self.durable.open_step);
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}
