//! How does one guest run, and what may it touch? A [`Sandbox`] checks and compiles uploads,
//! keeps the compiled form, and executes one attempt at a time in a fresh store with limits on
//! fuel, memory, stack and time. It knows nothing of queues, leases or retries.

mod cache;
mod compiler;
mod confine;
mod derived;
mod durable;
mod effects;
mod egress;
mod engine;
mod library;
mod limits;
mod numbers;
mod secrets;
mod stdio;
mod turns;
mod upload;
mod verdict;
mod weigh;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use self::cache::Cache;
use self::compiler::Compiler;
use self::derived::Derived;
use self::durable::{Durable, DurableView};
use self::egress::{Asking, Egress, EgressLimits, EgressRules, Gateway, Traffic, WayOut};
use self::engine::Ticker;
use self::library::Library;
use self::limits::Limiter;
use self::stdio::Lines;
use self::turns::Turns;
use self::verdict::Remains;
use crate::journal::{Journal, JournalError, Parking};
use crate::log::{Log, Stream};
use crate::manifest::{Asked, Limit, Limits, Settings};
use crate::policy::Policy;
use crate::redact::Redactor;
use crate::run::{FailureKind, Outcome};
use crate::store::Usage;

pub use self::cache::hex;
pub use self::compiler::{COMMAND as COMPILE_COMMAND, compile_from_stdin};
pub use self::confine::{close_inherited, executor as confine_executor, probe as probe_confinement};
pub use self::effects::{Effect, Effects};
pub use self::egress::{Ask, AskedAnswer, AskedError, AskedRequest, Outlet};
pub use self::engine::config as engine_config;
pub use self::library::{Inspection, LoadError};
pub use self::numbers::numbers;
pub use self::secrets::{SecretError, hiding, open_secrets};
pub use self::upload::{Cost, MAX_COMPONENT_BYTES, Refusal, check as check_upload};
pub use self::verdict::panicked;

/// What host calls may allocate on a guest's behalf before it is refused: the largest journal
/// entry and its neighbours in flight.
const HOSTCALL_FUEL: usize = 16 * 1024 * 1024;
/// The most random bytes of one call.
const MAX_RANDOM_BYTES: u64 = 64 * 1024;

/// What a sandbox is made with.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    cache_folder: PathBuf,
    program: PathBuf,
    policy: Policy,
}

impl SandboxOptions {
    /// Keeps compiled components in `cache_folder`; `program` is `relume`, which is started to compile. The default
    /// policy.
    pub fn new(cache_folder: impl Into<PathBuf>, program: impl Into<PathBuf>) -> SandboxOptions {
        SandboxOptions { cache_folder: cache_folder.into(), program: program.into(), policy: Policy::default() }
    }

    /// With the operator's ceiling.
    #[must_use]
    pub fn policy(self, policy: Policy) -> SandboxOptions {
        SandboxOptions { policy, ..self }
    }
}

/// Runs guests. Clones share everything.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: Linker<Guest>,
    policy: Policy,
    ticker: Ticker,
    turns: Turns,
    network: Network,
    /// Not there in a process that executes one guest and no more.
    library: Option<Library>,
    /// Most recently used first.
    loaded: Mutex<Vec<(String, Code)>>,
    /// Components that are made ready: whoever else wants one of them waits for that.
    in_work: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// Where requests of guests go.
enum Network {
    Own(Arc<Gateway>),
    Asked(Arc<dyn Ask>),
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
    /// What is in force, see [`Sandbox::limits`].
    pub limits: Limits,
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
#[derive(Debug, Serialize, Deserialize)]
pub struct Execution {
    /// How the attempt ended, unless it is to go on.
    pub end: Result<Outcome, Interrupted>,
    pub usage: Usage,
    /// It used the network outside steps.
    pub used_loose_io: bool,
}

/// The attempt did not end: it is to go on elsewhere or later, or has been taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A sandbox as `options` say.
    pub fn new(options: SandboxOptions) -> anyhow::Result<Sandbox> {
        let SandboxOptions { cache_folder, program, policy } = options;
        let gateway = Arc::new(Gateway::new(&policy.egress)?);
        let cache = Cache::open(&cache_folder)
            .with_context(|| format!("the cache in {} could not be opened", cache_folder.display()))?;
        let compiler = Compiler::new(program.clone(), policy.compile);
        Sandbox::with(policy, Network::Own(gateway), Some(Library { program, cache, compiler }))
    }

    /// A sandbox for one guest in a process that has neither network nor files: whoever started it answers.
    pub fn asking(ask: Arc<dyn Ask>) -> anyhow::Result<Sandbox> {
        Sandbox::with(Policy::default(), Network::Asked(ask), None)
    }

    fn with(policy: Policy, network: Network, library: Option<Library>) -> anyhow::Result<Sandbox> {
        // A guest may read an error of its streams as text, which would hold our own stack where RUST_BACKTRACE is set.
        wasmtime::error::disable_backtrace();
        let engine = Engine::new(&engine::config())?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        durable::add_to_linker(&mut linker, Guest::durable)?;
        let ticker = Ticker::start(&engine).context("the engine's clock could not be started")?;
        let (turns, loaded, in_work) = (Turns::new(), Mutex::default(), Mutex::default());
        let inner = Inner { engine, linker, policy, ticker, turns, network, library, loaded, in_work };
        Ok(Sandbox { inner: Arc::new(inner) })
    }

    /// What the operator allows.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// The limits in force here for what was asked for.
    pub fn limits(&self, asked: &Asked) -> Limits {
        Limits::in_force(asked, &self.inner.policy.limits)
    }

    /// The way out for an attempt that is executed in a process without a network. `None` where there is none here.
    pub fn outlet(&self, code: &Code, task: &Task) -> Option<Outlet> {
        let Network::Own(gateway) = &self.inner.network else { return None };
        let rules = EgressRules {
            gateway: gateway.clone(),
            limits: EgressLimits::from(&task.limits),
            run_id: task.run_id,
            attempt: task.attempt,
            allowed_hosts: &task.settings.allowed_hosts,
            in_steps_only: code.is_durable,
            loose_io: task.settings.loose_io,
            effects: task.effects.clone(),
        };
        let (traffic, log) = (Traffic::default(), task.log.clone());
        let egress = Egress::new(rules, traffic.clone(), log.clone());
        Some(Outlet { egress, traffic, log })
    }

    /// Executes one attempt in a store of its own. Dropping the future ends the guest.
    pub async fn execute(&self, code: &Code, mut task: Task) -> Execution {
        let hidden = Redactor::new(&task.secrets);
        task.log.hide(hidden.clone());
        task.journal.guard(hidden.clone());
        let Execution { end, usage, used_loose_io } = self.execute_guarded(code, task, &hidden).await;
        Execution { end: end.map(|outcome| hiding(&hidden, outcome)), usage, used_loose_io }
    }

    async fn execute_guarded(&self, code: &Code, task: Task, hidden: &Redactor) -> Execution {
        let limits = task.limits.clone();
        let running_time = limits.running_time().min(task.running_timeout.unwrap_or(Duration::MAX));
        let until_deadline = task.journal.terms().until_deadline.unwrap_or(Duration::MAX);
        if until_deadline.is_zero() {
            // A program that only waits would be put aside again before it is stopped.
            return Execution { end: Ok(verdict::past_deadline()), usage: Usage::default(), used_loose_io: false };
        }
        let fuel = limits.fuel().saturating_sub(task.fuel_used);
        let log = task.log.clone();
        let mut store = match self.store_for(code, task, fuel, hidden) {
            Ok(store) => store,
            Err(error) => return broken(&error),
        };
        let _awake = self.inner.ticker.wake();
        let interrupted = Arc::new(AtomicBool::new(false));
        let seen = interrupted.clone();
        store.epoch_deadline_callback(move |_| {
            seen.store(true, Ordering::Relaxed);
            Ok(UpdateDeadline::Yield(1))
        });
        let running = AssertUnwindSafe(run_main(code, &mut store, fuel, &limits)).catch_unwind();
        let running = self.inner.turns.share(&interrupted, running);
        let end = tokio::time::timeout(running_time.min(until_deadline), running).await;

        let fuel_left = store.get_fuel().unwrap_or(0);
        let guest = store.data_mut();
        guest.durable.say_if_half_full();
        let (bytes_in, bytes_out) = guest.durable.traffic.bytes();
        let peak_memory_bytes = guest.limiter.peak_bytes();
        let usage = Usage { fuel: fuel.saturating_sub(fuel_left), peak_memory_bytes, bytes_in, bytes_out };
        let used_loose_io = guest.egress.used_loose_io();
        guest.egress.close();
        let end = match end {
            Err(_elapsed) if until_deadline <= running_time => Ok(verdict::past_deadline()),
            Err(_elapsed) => Ok(verdict::out_of_time(running_time, &limits)),
            Ok(Err(panic)) => Ok(panicked(panic)),
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
        let end = match guest.durable.open_step {
            Some(_) => end.map(|outcome| verdict::in_step(&guest.durable.last_step, outcome)),
            None => end,
        };
        Execution { end, usage, used_loose_io }
    }

    fn store_for(&self, code: &Code, task: Task, fuel: u64, hidden: &Redactor) -> wasmtime::Result<Store<Guest>> {
        let Task {
            run_id,
            app,
            run,
            attempt,
            args,
            input,
            parameters,
            secrets,
            settings,
            limits,
            journal,
            log,
            effects,
            ..
        } = task;
        let mut wasi = WasiCtx::builder();
        wasi.arg(&app).args(&args).stdin(MemoryInputPipe::new(input.clone()));
        wasi.stdout(Lines::new(log.clone(), Stream::Stdout));
        wasi.stderr(Lines::new(log.clone(), Stream::Stderr));
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
        let egress = match &self.inner.network {
            Network::Own(gateway) => {
                let rules = EgressRules {
                    gateway: gateway.clone(),
                    limits: EgressLimits::from(&limits),
                    run_id,
                    attempt,
                    allowed_hosts: &settings.allowed_hosts,
                    in_steps_only: code.is_durable,
                    loose_io: settings.loose_io,
                    effects,
                };
                WayOut::Own(Box::new(Egress::new(rules, traffic.clone(), log.clone())))
            }
            Network::Asked(ask) => WayOut::Asking(Asking { ask: ask.clone(), log: log.clone(), step: None }),
        };
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.count(Limit::Handles));
        log.mute(journal.is_replaying());
        let guest = Guest {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            egress,
            table,
            limiter: Limiter::new(&limits),
            durable: Durable {
                run_id,
                app,
                run,
                attempt,
                input,
                parameters,
                journal,
                log,
                secrets: hidden.clone(),
                derived,
                traffic,
                output: None,
                error: None,
                not_retryable: false,
                open_step: None,
                last_step: String::new(),
                executions: 0,
                fuel_left: fuel,
                max_output_bytes: limits.bytes(Limit::JournalEntryMib),
            },
        };
        let mut store = Store::new(&self.inner.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(limits.count(Limit::Handles));
        store.set_epoch_deadline(1);
        store.set_fuel(fuel)?;
        Ok(store)
    }
}

/// Instantiates the program and calls its `main`. What instantiation burnt is given back, so that
/// the limit is the program's own; an endless loop in it still meets the limit.
async fn run_main(
    code: &Code,
    store: &mut Store<Guest>,
    fuel: u64,
    limits: &Limits,
) -> wasmtime::Result<Result<(), ()>> {
    let command = code.command.instantiate_async(&mut *store).await;
    let command = command.map_err(|error| verdict::not_instantiated(error, limits))?;
    store.set_fuel(fuel)?;
    command.wasi_cli_run().call_run(store).await
}

/// A store that cannot be made: nothing of the guest has run.
fn broken(error: &wasmtime::Error) -> Execution {
    tracing::error!(%error, "a store for a guest could not be made");
    Execution::without_program(Outcome::failed(FailureKind::Host, "Relume could not prepare the sandbox"))
}

/// What the host keeps for one guest.
struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: WayOut,
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
        let hooks = self.egress.hooks(&self.durable.open_step);
        WasiHttpCtxView { hooks, table: &mut self.table, ctx: &mut self.http }
    }
}
