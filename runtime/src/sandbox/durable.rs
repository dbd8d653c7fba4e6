//! What a durable program may ask of the host beyond WASI: `relume:durable`, as
//! `wit/durable.wit` describes it. A whole program that uses it is `examples/order-pipeline`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;
use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use self::bindings::relume::durable::journal::{
    BeginOutcome, FailOutcome, Host as _, HostStep as _, Recorded, StepError,
};
use self::bindings::relume::durable::{context, events, journal, runs, time};
use super::derived::Derived;
use super::egress::{OpenKey, Traffic};
use super::limits::Limiter;
use super::verdict::{HostFault, ProgramError, Refused};
use crate::journal::{
    Begun, ChildStart, Failed, Journal, JournalError, LiveStep, Sleep, Spent, StepFailure, StepOptions,
};
use crate::kill_point;
use crate::log::Log;
use crate::redact::Redactor;
use crate::retry::{Delays, StepPolicy};
use crate::store::Usage;

/// How much of a program's explanation of its failure is kept.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "durable",
        imports: {
            "relume:durable/journal.begin": async | trappable,
            "relume:durable/journal.[static]step.finish": async | trappable,
            "relume:durable/journal.[static]step.fail": async | trappable,
            "relume:durable/time.now": async | trappable,
            "relume:durable/time.sleep": async | trappable,
            "relume:durable/time.sleep-until": async | trappable,
            "relume:durable/events.await": async | trappable,
            "relume:durable/runs.start": async | trappable,
            "relume:durable/runs.await": async | trappable,
            default: trappable,
        },
        with: { "relume:durable/journal.step": super::OpenStep },
    });
}

/// What the host keeps for one attempt.
pub struct Durable {
    pub run_id: Uuid,
    pub app: String,
    pub run: String,
    pub attempt: u32,
    pub input: Vec<u8>,
    pub parameters: BTreeMap<String, String>,
    pub journal: Journal,
    pub log: Log,
    /// What may show nowhere.
    pub secrets: Redactor,
    pub derived: Derived,
    pub traffic: Traffic,
    /// What the program set, if it did.
    pub output: Option<Vec<u8>>,
    /// Why the program gives up, if it said so.
    pub error: Option<ProgramError>,
    /// The program said that another attempt makes no sense.
    pub not_retryable: bool,
    /// While a step is executed.
    pub open_step: Option<OpenKey>,
    /// The name of the step that began last.
    pub last_step: String,
    /// How often a step was executed.
    pub executions: u64,
    /// The fuel that is left, as of the last call.
    pub fuel_left: u64,
    /// The largest output. Source: V9.
    pub max_output_bytes: usize,
}

impl Durable {
    /// Once, when the journal comes to be half full. Source: V9.
    pub fn say_if_half_full(&mut self) {
        if let Some(warning) = self.journal.take_warning() {
            self.log.setup(&warning);
        }
    }
}

/// The guest's handle of a step that is being executed, and what was used up when it began.
pub struct OpenStep {
    step: LiveStep,
    began_with: Usage,
}

/// The state, the table of handles and the account of memory, borrowed for one call.
pub struct DurableView<'a> {
    pub durable: &'a mut Durable,
    pub table: &'a mut ResourceTable,
    pub limiter: &'a mut Limiter,
}

struct HasDurable;

impl HasData for HasDurable {
    type Data<'a> = DurableView<'a>;
}

impl DurableView<'_> {
    /// Refuses a call from inside a step: what it recorded would not be there when the step is skipped.
    fn outside_steps(&self, what: &str) -> wasmtime::Result<()> {
        if self.durable.open_step.is_none() {
            return Ok(());
        }
        let message = format!("{what} inside a step: steps do not nest, so give each its own turn");
        Err(Refused(message).into())
    }

    /// An entry was met, or the journal gave up: clock, chance and log follow.
    fn met(&mut self) {
        let (seq, at) = self.durable.journal.last_met();
        self.durable.derived.reached(seq, at);
        self.durable.say_if_half_full();
        if !self.durable.journal.is_replaying() {
            self.durable.log.mute(false);
        }
    }

    /// What the attempt has used up so far, the fuel counted backwards.
    fn account(&self) -> Usage {
        let (bytes_in, bytes_out) = self.durable.traffic.bytes();
        let peak_memory_bytes = self.limiter.step_peak_bytes();
        Usage { fuel: self.durable.fuel_left, peak_memory_bytes, bytes_in, bytes_out }
    }

    fn open(&mut self, step: LiveStep) -> wasmtime::Result<Resource<OpenStep>> {
        self.durable.executions += 1;
        let key = format!("{}-{}", self.durable.run_id, step.seq());
        step.name().clone_into(&mut self.durable.last_step);
        self.durable.open_step = Some(OpenKey { key, seq: step.seq(), execution: self.durable.executions });
        self.durable.log.mute(false);
        self.durable.log.enter_step(Some(step.seq()));
        self.durable.derived.enter_step();
        self.limiter.begin_step();
        let began_with = self.account();
        Ok(self.table.push(OpenStep { step, began_with })?)
    }

    fn close(&mut self, step: Resource<OpenStep>) -> wasmtime::Result<(LiveStep, Usage)> {
        let now = self.account();
        self.durable.open_step = None;
        self.durable.log.enter_step(None);
        self.durable.derived.leave_step();
        let OpenStep { step, began_with } = self.table.delete(step)?;
        let usage = Usage {
            fuel: began_with.fuel.saturating_sub(now.fuel),
            peak_memory_bytes: now.peak_memory_bytes,
            bytes_in: now.bytes_in.saturating_sub(began_with.bytes_in),
            bytes_out: now.bytes_out.saturating_sub(began_with.bytes_out),
        };
        Ok((step, usage))
    }
}

impl journal::Host for DurableView<'_> {
    async fn begin(&mut self, name: String, options: journal::StepOptions) -> wasmtime::Result<BeginOutcome> {
        self.outside_steps(&format!("step `{name}` begins"))?;
        let begun = self.durable.journal.begin(name.clone(), step_options(options)).await.map_err(fault)?;
        let outcome = match begun {
            Begun::Replayed(output, seeds) => BeginOutcome::Replayed(Recorded { output, seeds }),
            Begun::Failed(failed) => BeginOutcome::Failed(step_error(name, failed)),
            Begun::Live(step) => return Ok(BeginOutcome::Live(self.open(step)?)),
        };
        self.met();
        Ok(outcome)
    }
}

impl journal::HostStep for DurableView<'_> {
    async fn finish(&mut self, this: Resource<OpenStep>, output: Vec<u8>, seeds: u32) -> wasmtime::Result<()> {
        let (step, usage) = self.close(this)?;
        let Durable { journal, log, .. } = &mut *self.durable;
        // What was printed before is stored at the same time: a replay prints none of it again.
        let (recorded, ()) = tokio::join!(journal.succeed(step, Spent { usage, seeds }, output), log.store_lines());
        recorded.map_err(fault)?;
        self.met();
        Ok(())
    }

    async fn fail(&mut self, this: Resource<OpenStep>, error: journal::Failure) -> wasmtime::Result<FailOutcome> {
        let (step, usage) = self.close(this)?;
        let spent = Spent { usage, seeds: error.seeds };
        let name = step.name().to_owned();
        let failure = StepFailure {
            message: shortened(self.durable.log.hidden(&error.message)),
            is_retryable: error.retryable,
            retry_after: error.retry_after_ms.map(Duration::from_millis),
        };
        let Durable { journal, log, .. } = &mut *self.durable;
        let (failed, ()) = tokio::join!(journal.fail(step, failure, spent), log.store_lines());
        match failed.map_err(fault)? {
            Ok(step) => Ok(FailOutcome::Again(self.open(step)?)),
            Err(failed) => {
                self.met();
                Ok(FailOutcome::Exhausted(step_error(name, failed)))
            }
        }
    }

    fn drop(&mut self, step: Resource<OpenStep>) -> wasmtime::Result<()> {
        self.close(step)?;
        Ok(())
    }
}

impl time::Host for DurableView<'_> {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        self.outside_steps("the recorded clock is read")?;
        let now = self.durable.journal.read_clock().await.map_err(fault)?;
        self.met();
        Ok(milliseconds(now))
    }

    async fn sleep(&mut self, length_ms: u64) -> wasmtime::Result<()> {
        self.sleep_as(Sleep::For(Duration::from_millis(length_ms))).await
    }

    async fn sleep_until(&mut self, at_ms: u64) -> wasmtime::Result<()> {
        self.sleep_as(Sleep::Until(at_ms)).await
    }
}

impl DurableView<'_> {
    async fn sleep_as(&mut self, length: Sleep) -> wasmtime::Result<()> {
        self.outside_steps("a sleep begins")?;
        let Durable { journal, log, .. } = &mut *self.durable;
        let (slept, ()) = tokio::join!(journal.sleep(length), log.store_lines());
        slept.map_err(fault)?;
        self.met();
        Ok(())
    }
}

impl events::Host for DurableView<'_> {
    async fn await_(&mut self, name: String, timeout_ms: Option<u64>) -> wasmtime::Result<Option<Vec<u8>>> {
        self.outside_steps(&format!("event `{name}` is waited for"))?;
        let timeout = timeout_ms.map(Duration::from_millis);
        let Durable { journal, log, .. } = &mut *self.durable;
        let (event, ()) = tokio::join!(journal.await_event(name, timeout), log.store_lines());
        let event = event.map_err(fault)?;
        self.met();
        Ok(event)
    }
}

impl runs::Host for DurableView<'_> {
    async fn start(
        &mut self,
        app: String,
        input: Vec<u8>,
        options: runs::StartOptions,
    ) -> wasmtime::Result<Result<runs::Child, String>> {
        self.outside_steps(&format!("a run of `{app}` is started"))?;
        let parameters = options.parameters.into_iter().collect();
        let child = ChildStart { app, input, version: options.version, parameters };
        let started = self.durable.journal.start_child(child).await.map_err(fault)?;
        self.met();
        Ok(started.map(|child| runs::Child { run_id: child.run_id.to_string(), run: child.run }))
    }

    async fn await_(&mut self, run_id: String) -> wasmtime::Result<Result<Option<Vec<u8>>, runs::Failure>> {
        self.outside_steps("the end of a run is waited for")?;
        let Durable { journal, log, .. } = &mut *self.durable;
        let (ended, ()) = tokio::join!(journal.await_child(&run_id), log.store_lines());
        let (run, ended) = ended.map_err(fault)?;
        self.met();
        Ok(ended.map_err(|failure| runs::Failure { run, status: failure.status, message: failure.message }))
    }
}

impl context::Host for DurableView<'_> {
    fn app(&mut self) -> wasmtime::Result<String> {
        kill_point::panic_if_asked("host_call");
        Ok(self.durable.app.clone())
    }

    fn run(&mut self) -> wasmtime::Result<String> {
        Ok(self.durable.run.clone())
    }

    fn attempt(&mut self) -> wasmtime::Result<u32> {
        Ok(self.durable.attempt)
    }

    fn input(&mut self) -> wasmtime::Result<Vec<u8>> {
        Ok(self.durable.input.clone())
    }

    fn parameters(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.durable.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn idempotency_key(&mut self) -> wasmtime::Result<String> {
        let step = self.durable.open_step.as_ref().map(|step| step.key.clone());
        Ok(step.unwrap_or_else(|| self.durable.run_id.to_string()))
    }

    fn set_output(&mut self, output: Vec<u8>) -> wasmtime::Result<()> {
        let (size, most) = (output.len(), self.durable.max_output_bytes);
        if size > most {
            let message = format!("the output has {size} bytes; the most is {most} (`limits.journal_entry_mib`)");
            return Err(Refused(message).into());
        }
        if let Some(secret) = self.durable.secrets.find(&output) {
            let text = format!(
                "the output shows the secret `{secret}`, and outputs are shown to whoever may read runs: return what you \
                 did with it instead"
            );
            return Err(Refused(text).into());
        }
        self.durable.output = Some(output);
        Ok(())
    }

    fn set_error(&mut self, error: context::Failure) -> wasmtime::Result<()> {
        let step_exhausted = error.step.is_some();
        let message = shortened(self.durable.log.hidden(&error.message));
        self.durable.error = Some(ProgramError { message, step_exhausted });
        Ok(())
    }

    fn set_not_retryable(&mut self) -> wasmtime::Result<()> {
        self.durable.not_retryable = true;
        Ok(())
    }
}

/// Lets `linker` answer `relume:durable`.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> DurableView<'_>,
) -> wasmtime::Result<()> {
    journal::add_to_linker::<T, HasDurable>(linker, view)?;
    account_for_steps(linker, view)?;
    time::add_to_linker::<T, HasDurable>(linker, view)?;
    events::add_to_linker::<T, HasDurable>(linker, view)?;
    runs::add_to_linker::<T, HasDurable>(linker, view)?;
    context::add_to_linker::<T, HasDurable>(linker, view)
}

/// Takes the place of what `bindgen!` made of the functions at a step's ends, which do not get to see how much fuel is left.
fn account_for_steps<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> DurableView<'_>,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut functions = linker.instance("relume:durable/journal@0.2.0")?;
    functions.func_wrap_async("begin", move |mut store, (name, options): (String, journal::StepOptions)| {
        Box::new(async move { Ok((view_with_fuel(&mut store, view)?.begin(name, options).await?,)) })
    })?;
    functions.func_wrap_async(
        "[static]step.finish",
        move |mut store, (step, output, seeds): (Resource<OpenStep>, Vec<u8>, u32)| {
            Box::new(async move { view_with_fuel(&mut store, view)?.finish(step, output, seeds).await })
        },
    )?;
    functions.func_wrap_async(
        "[static]step.fail",
        move |mut store, (step, error): (Resource<OpenStep>, journal::Failure)| {
            Box::new(async move { Ok((view_with_fuel(&mut store, view)?.fail(step, error).await?,)) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn view_with_fuel<'a, T: 'static>(
    store: &'a mut StoreContextMut<'_, T>,
    view: fn(&mut T) -> DurableView<'_>,
) -> wasmtime::Result<DurableView<'a>> {
    let fuel_left = store.get_fuel()?;
    let view = view(store.data_mut());
    view.durable.fuel_left = fuel_left;
    Ok(view)
}

fn step_options(options: journal::StepOptions) -> StepOptions {
    let delays = match options.delays {
        journal::Delays::Exponential(delays) => Delays::Exponential {
            initial: Duration::from_millis(delays.initial_ms),
            coefficient: delays.coefficient,
            maximum: Duration::from_millis(delays.maximum_ms),
        },
        journal::Delays::Linear(delays) => Delays::Linear {
            first: Duration::from_millis(delays.first_ms),
            last: Duration::from_millis(delays.last_ms),
        },
        journal::Delays::Fixed(wait_ms) => Delays::Fixed(Duration::from_millis(wait_ms)),
    };
    StepOptions {
        policy: StepPolicy { maximum_attempts: options.maximum_attempts, delays },
        at_most_once: options.at_most_once,
        given: options.given.unwrap_or_default(),
    }
}

fn step_error(step: String, failed: Failed) -> StepError {
    StepError { step, message: failed.message, indeterminate: failed.is_indeterminate, seeds: failed.seeds }
}

fn milliseconds(moment: Timestamp) -> u64 {
    moment.as_millisecond().try_into().unwrap_or(0)
}

/// What ends the guest when the journal does not answer.
pub fn fault(error: JournalError) -> wasmtime::Error {
    match error {
        JournalError::Divergence(divergence) => (*divergence).into(),
        JournalError::Refused(message) => Refused(message).into(),
        error @ JournalError::StepLimit(_) => error.into(),
        JournalError::Paused => HostFault::Paused.into(),
        JournalError::Parked(parking) => HostFault::Parked(parking).into(),
        JournalError::Replayed => HostFault::Replayed.into(),
        JournalError::Crashed => HostFault::Crashed.into(),
        JournalError::Store(error) => HostFault::Store(error).into(),
    }
}

/// As much of an explanation as is kept: it may name what a program made up. Source: V9.
pub fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push_str(" [cut]");
    }
    message
}
