//! What a durable program may ask of the host beyond WASI: `relume:durable`, as
//! `wit/durable.wit` describes it. A whole program that uses it is `examples/order-pipeline`.

use std::collections::BTreeMap;

use uuid::Uuid;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use self::bindings::relume::durable::journal::{BeginOutcome, StepError};
use self::bindings::relume::durable::{context, journal};
use super::verdict::{HostFault, ProgramError, Refused};
use crate::journal::{Begun, Journal, JournalError, LiveStep};
use crate::log::Log;
use crate::store::StepOutcome;

/// The largest output of a run. Source: V9.
const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;
/// How much of a program's explanation of its failure is kept.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "durable",
        imports: {
            "relume:durable/journal.[static]step.finish": async | trappable,
            "relume:durable/journal.[static]step.fail": async | trappable,
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
    /// What the program set, if it did.
    pub output: Option<Vec<u8>>,
    /// Why the program gives up, if it said so.
    pub error: Option<ProgramError>,
    /// The program said that another attempt makes no sense.
    pub not_retryable: bool,
    /// While a step is executed: a key that is the same whenever it is. Source: R44.
    pub open_step: Option<String>,
}

/// The guest's handle of a step that is being executed.
pub struct OpenStep {
    step: LiveStep,
}

/// The state and the table of handles, borrowed for one call.
pub struct DurableView<'a> {
    pub durable: &'a mut Durable,
    pub table: &'a mut ResourceTable,
}

struct HasDurable;

impl HasData for HasDurable {
    type Data<'a> = DurableView<'a>;
}

impl DurableView<'_> {
    fn close(&mut self, step: Resource<OpenStep>) -> wasmtime::Result<LiveStep> {
        self.durable.open_step = None;
        Ok(self.table.delete(step)?.step)
    }

    /// Records how a step ended and, at the same time, stores what was printed before: a replay
    /// prints none of it again.
    async fn record(&mut self, step: LiveStep, outcome: StepOutcome) -> wasmtime::Result<()> {
        let Durable { journal, log, .. } = &mut *self.durable;
        let (recorded, ()) = tokio::join!(journal.record(step, outcome), log.store_lines());
        recorded.map_err(fault)
    }
}

impl journal::Host for DurableView<'_> {
    fn begin(&mut self, name: String) -> wasmtime::Result<BeginOutcome> {
        if self.durable.open_step.is_some() {
            let message =
                format!("step `{name}` begins inside another step: steps do not nest, so give each its own turn");
            return Err(Refused(message).into());
        }
        let begun = self.durable.journal.begin(name.clone()).map_err(fault)?;
        if !self.durable.journal.is_replaying() {
            self.durable.log.mute(false);
        }
        Ok(match begun {
            Begun::Replayed(output) => BeginOutcome::Replayed(output),
            Begun::Failed(message) => BeginOutcome::Failed(StepError { step: name, message }),
            Begun::Live(step) => {
                self.durable.open_step = Some(format!("{}-{}", self.durable.run_id, step.seq()));
                let step = self.table.push(OpenStep { step })?;
                BeginOutcome::Live(step)
            }
        })
    }
}

impl journal::HostStep for DurableView<'_> {
    async fn finish(&mut self, this: Resource<OpenStep>, output: Vec<u8>) -> wasmtime::Result<()> {
        let step = self.close(this)?;
        self.record(step, StepOutcome::Finished(output)).await
    }

    async fn fail(&mut self, this: Resource<OpenStep>, error: journal::Failure) -> wasmtime::Result<StepError> {
        let step = self.close(this)?;
        let (name, message) = (step.name().to_owned(), shortened(error.message));
        self.record(step, StepOutcome::Failed(message.clone())).await?;
        Ok(StepError { step: name, message })
    }

    fn drop(&mut self, step: Resource<OpenStep>) -> wasmtime::Result<()> {
        self.close(step)?;
        Ok(())
    }
}

impl context::Host for DurableView<'_> {
    fn app(&mut self) -> wasmtime::Result<String> {
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

    fn set_output(&mut self, output: Vec<u8>) -> wasmtime::Result<()> {
        if output.len() > MAX_OUTPUT_BYTES {
            let size = output.len();
            return Err(Refused(format!("the output has {size} bytes; the most is {MAX_OUTPUT_BYTES}")).into());
        }
        self.durable.output = Some(output);
        Ok(())
    }

    fn set_error(&mut self, error: context::Failure) -> wasmtime::Result<()> {
        let step_exhausted = error.step.is_some();
        self.durable.error = Some(ProgramError { message: shortened(error.message), step_exhausted });
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
    context::add_to_linker::<T, HasDurable>(linker, view)
}

/// What ends the guest when the journal does not answer.
fn fault(error: JournalError) -> wasmtime::Error {
    match error {
        JournalError::Divergence(divergence) => divergence.into(),
        JournalError::Refused(message) => Refused(message).into(),
        JournalError::Paused => HostFault::Paused.into(),
        JournalError::Store(error) => HostFault::Store(error).into(),
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push_str(" [cut]");
    }
    message
}
