//! How does one guest run, and what may it touch? A [`Sandbox`] checks and compiles uploads,
//! keeps the compiled form, and executes one attempt at a time in a fresh store with limits on
//! fuel, memory, stack and time. It knows nothing of queues, leases or retries.

mod cache;
mod derived;
mod durable;
mod effects;
mod egress;
mod engine;
mod limits;
mod secrets;
mod stdio;
mod traffic;
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
use self::derived::Derived;
use self::durable::{Durable, DurableView};
use self::egress::{Egress, EgressRules};
use self::engine::Ticker;
use self::limits::Limiter;
use self::stdio::Lines;
use self::traffic::Traffic;
use self::verdict::Remains;
use crate::journal::{Journal, JournalError, Parking};
use crate::log::{Log, Stream};
use crate::manifest::Settings;
use crate::run::{FailureKind, Outcome};
use crate::store::{StoreError, Usage};

pub use self::cache::hex;
pub use self::effects::{Effect, Effects};
pub use self::engine::config as engine_config;
pub use self::secrets::{SecretError, open_secrets};
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
    is_durable: bool,
}

impl Code {
    /// Whether it uses the journal.
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }
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
    /// What the attempt used up before it was put aside: there is one tank for all of it.
    pub fuel_used: u64,
    pub journal: Journal,
    pub log: Log,
    /// Where its requests are written down, if they are.
    pub effects: Option<Effects>,
}

/// An execution that came to an end, be it the attempt's or not.
#[derive(Debug)]
pub struct Execution {
    /// How the attempt ended, unless it is to go on.
    pub end: Result<Outcome, Interrupted>,
    pub usage: Usage,
    /// It used the network outside steps.
    pub used_loose_io: bool,
}

/// The attempt did not end: it is to go on elsewhere or later, or has been taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupted {
    /// Another worker has the run now.
    LeaseLost,
    /// Whether the last step was recorded is unknown until the database is back.
    StoreUnavailable,
    /// The worker is being drained; the last step is recorded.
    Paused,
    /// It waits for something.
    Parked(Box<Parking>),
    /// The journal was only to be checked, and the program made the calls that it holds.
    Replayed,
    /// A test wants the program to end here.
    Crashed,
}

impl Execution {
    /// The end of an attempt in which no program ran.
    pub fn without_program(outcome: Outcome) -> Execution {
        Execution { end: Ok(outcome), usage: Usage::default(), used_loose_io: false }
    }
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
        Ok(Inspection { digest, durable: imports.iter().any(|name| upload::is_of_durable(name)), imports })
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
    pub async fn execute(&self, code: &Code, task: Task) -> Execution {
        let limits = task.settings.limits.clone();
        let running_time = limits.running_time().min(task.running_timeout.unwrap_or(Duration::MAX));
        let until_deadline = task.journal.terms().until_deadline.unwrap_or(Duration::MAX);
        if until_deadline.is_zero() {
            // A program that only waits would be put aside again before it is stopped.
            return Execution { end: Ok(verdict::past_deadline()), usage: Usage::default(), used_loose_io: false };
        }
        let fuel = limits.fuel.saturating_sub(task.fuel_used);
        let log = task.log.clone();
        let mut store = match self.store_for(code, task, fuel) {
            Ok(store) => store,
            Err(error) => return broken(&error),
        };
        let _awake = self.inner.ticker.wake();
        let running = AssertUnwindSafe(run_main(code, &mut store, fuel)).catch_unwind();
        let end = tokio::time::timeout(running_time.min(until_deadline), running).await;

        let fuel_left = store.get_fuel().unwrap_or(0);
        let guest = store.data_mut();
        let (bytes_in, bytes_out) = guest.durable.traffic.bytes();
        let peak_memory_bytes = guest.limiter.peak_bytes();
        let usage = Usage { fuel: fuel.saturating_sub(fuel_left), peak_memory_bytes, bytes_in, bytes_out };
        let used_loose_io = guest.egress.used_loose_io();
        let end = match end {
            Err(_elapsed) if until_deadline <= running_time => Ok(verdict::past_deadline()),
            Err(_elapsed) => Ok(verdict::out_of_time(running_time, &limits)),
            Ok(Err(panic)) => Ok(verdict::panicked(panic)),
            Ok(Ok(end)) => {
                let durable = &mut guest.durable;
                let left_over = match durable.journal.end() {
                    Err(JournalError::Divergence(divergence)) => Some(*divergence),
                    _ => None,
                };
                let (output, error, not_retryable) =
                    (durable.output.take(), durable.error.take(), durable.not_retryable);
                let last_words = log.last_words();
                verdict::verdict(Remains { end, output, error, not_retryable, left_over, last_words }, &limits)
            }
        };
        Execution { end, usage, used_loose_io }
    }

    fn store_for(&self, code: &Code, task: Task, fuel: u64) -> wasmtime::Result<Store<Guest>> {
        let Task {
            run_id, app, run, attempt, args, input, parameters, secrets, settings, journal, log, effects, ..
        } = task;
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
        let derived = match (code.is_durable, journal.terms()) {
            (true, terms) => Derived::durable(terms.origin_run_id, terms.origin_at, terms.now),
            (false, _) => Derived::real(),
        };
        derived.set(&mut wasi);
        let traffic = Traffic::default();
        let rules = EgressRules {
            allowed_hosts: &settings.allowed_hosts,
            in_steps_only: code.is_durable,
            loose_io: settings.loose_io,
            effects,
        };
        let egress = Egress::new(rules, traffic.clone(), log.clone());
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        log.mute(journal.is_replaying());
        let guest = Guest {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            egress,
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
                derived,
                traffic,
                output: None,
                error: None,
                not_retryable: false,
                open_step: None,
                executions: 0,
                fuel_left: fuel,
            },
        };
        let mut store = Store::new(&self.inner.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_fuel(fuel)?;
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
fn broken(error: &wasmtime::Error) -> Execution {
    tracing::error!(%error, "a store for a guest could not be made");
    Execution::without_program(Outcome::failed(FailureKind::Host, "Relume could not prepare the sandbox"))
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
        let does_not_link = |error: wasmtime::Error| Refusal::UnknownImports(vec![format!("{error:#}")]);
        let code = self.link(&component).map_err(does_not_link)?;
        let serialized = component.serialize().map_err(|error| Refusal::Host(error.into()))?;
        if let Err(error) = self.cache.store(&self.engine, digest, &serialized) {
            tracing::warn!(%error, digest, "a compiled component could not be kept on disk");
        }
        Ok(code)
    }

    fn link(&self, component: &Component) -> wasmtime::Result<Code> {
        let imports = component.component_type();
        let is_durable = imports.imports(&self.engine).any(|(name, _)| upload::is_of_durable(name));
        Ok(Code { command: CommandPre::new(self.linker.instantiate_pre(component)?)?, is_durable })
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
        DurableView { durable: &mut self.durable, table: &mut self.table, limiter: &mut self.limiter }
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
