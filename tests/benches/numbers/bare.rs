//! The baseline: the same guests in plain wasmtime, under the same settings and limits, with the least that
//! `relume:durable` can be. No errors, no verdicts, no log: whatever goes wrong is a panic.

use std::path::Path;
use std::time::Duration;

use relume::manifest::{Limit, Limits};
use relume::sandbox::engine_config;
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use self::bindings::relume::durable::journal::{BeginOutcome, FailOutcome, Failure, Recorded, StepOptions};
use self::bindings::relume::durable::{context, journal};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "durable",
        with: { "relume:durable/journal.step": super::OpenStep },
    });
}

/// As the sandbox's.
const TICK: Duration = Duration::from_millis(10);
/// As the sandbox's.
const HOSTCALL_FUEL: usize = 16 * 1024 * 1024;
/// More than these guests print.
const CAPTURED_BYTES: usize = 64 * 1024;

/// An engine and a linker.
pub struct Bare {
    engine: Engine,
    linker: Linker<Guest>,
}

pub struct OpenStep;

pub struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
    input: Vec<u8>,
    output: Option<Vec<u8>>,
    recorded: std::vec::IntoIter<Vec<u8>>,
}

impl Bare {
    /// With the sandbox's settings, and a clock that ticks.
    pub fn new() -> Bare {
        let engine = Engine::new(&engine_config()).expect("an engine");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI");
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).expect("wasi:http");
        journal::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("the journal");
        context::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).expect("the context");
        let ticking = engine.weak();
        std::thread::spawn(move || {
            while let Some(engine) = ticking.upgrade() {
                engine.increment_epoch();
                std::thread::sleep(TICK);
            }
        });
        Bare { engine, linker }
    }

    /// Compiles a component.
    pub fn load(&self, component: &Path) -> CommandPre<Guest> {
        let component = Component::from_file(&self.engine, component).expect("it compiles");
        CommandPre::new(self.linker.instantiate_pre(&component).expect("it links")).expect("it is a command")
    }

    /// Runs a program whose steps have these results, and returns its output.
    pub async fn run(&self, code: &CommandPre<Guest>, input: Vec<u8>, recorded: Vec<Vec<u8>>) -> Option<Vec<u8>> {
        let limits = Limits::default();
        let mut wasi = WasiCtx::builder();
        wasi.arg("app").stdin(MemoryInputPipe::new(input.clone()));
        wasi.stdout(MemoryOutputPipe::new(CAPTURED_BYTES)).stderr(MemoryOutputPipe::new(CAPTURED_BYTES));
        let guest = Guest {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            limits: StoreLimitsBuilder::new().memory_size(limits.bytes(Limit::MemoryMib)).build(),
            input,
            output: None,
            recorded: recorded.into_iter(),
        };
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(limits.count(Limit::Handles));
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_fuel(limits.fuel()).expect("fuel is counted");
        let command = code.instantiate_async(&mut store).await.expect("it starts");
        command.wasi_cli_run().call_run(&mut store).await.expect("it ends").expect("it succeeds");
        store.into_data().output
    }
}

impl journal::Host for Guest {
    fn begin(&mut self, _name: String, _options: StepOptions) -> BeginOutcome {
        match self.recorded.next() {
            Some(output) => BeginOutcome::Replayed(Recorded { output, seeds: 0 }),
            None => BeginOutcome::Live(self.table.push(OpenStep).expect("there is room")),
        }
    }
}

impl journal::HostStep for Guest {
    fn finish(&mut self, this: Resource<OpenStep>, _output: Vec<u8>, _seeds: u32) {
        self.table.delete(this).expect("it is open");
    }

    fn fail(&mut self, _this: Resource<OpenStep>, error: Failure) -> FailOutcome {
        panic!("a step failed: {}", error.message)
    }

    fn drop(&mut self, step: Resource<OpenStep>) -> wasmtime::Result<()> {
        self.table.delete(step)?;
        Ok(())
    }
}

impl context::Host for Guest {
    fn app(&mut self) -> String {
        "app".to_owned()
    }

    fn run(&mut self) -> String {
        "app#1".to_owned()
    }

    fn attempt(&mut self) -> u32 {
        1
    }

    fn input(&mut self) -> Vec<u8> {
        self.input.clone()
    }

    fn parameters(&mut self) -> Vec<(String, String)> {
        vec![]
    }

    fn idempotency_key(&mut self) -> String {
        "key".to_owned()
    }

    fn set_output(&mut self, output: Vec<u8>) {
        self.output = Some(output);
    }

    fn set_error(&mut self, error: context::Failure) {
        panic!("the program failed: {}", error.message)
    }

    fn set_not_retryable(&mut self) {}
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        unreachable!("these guests send no requests")
    }
}
