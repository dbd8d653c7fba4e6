//! The one engine: which WebAssembly is accepted, how it is compiled and interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Config, Engine, Strategy, WasmBacktraceDetails};

/// How often a running guest yields to others. Source: SECURITY, "Engine".
const TICK: Duration = Duration::from_millis(10);
/// A guest's stack. Source: SECURITY, "Engine".
const WASM_STACK_BYTES: usize = 512 * 1024;
/// The stack its host calls share with it. Source: SECURITY, "Engine".
const ASYNC_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Each line is a row of SECURITY's "Engine".
pub fn config() -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.wasm_component_model(true);
    config.wasm_threads(false);
    config.wasm_shared_everything_threads(false);
    config.shared_memory(false);
    config.wasm_memory64(false);
    config.wasm_gc(false);
    config.wasm_function_references(false);
    config.wasm_exceptions(false);
    config.wasm_relaxed_simd(false);
    config.wasm_custom_page_sizes(false);
    config.wasm_wide_arithmetic(false);
    config.cranelift_nan_canonicalization(true);
    config.consume_fuel(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(ASYNC_STACK_BYTES);
    config.async_stack_zeroing(true);
    // Names of functions are enough to find a fault; line tables would slow every trap.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Counts the engine's epoch up every 10 ms while a guest runs, and sleeps otherwise.
#[derive(Clone)]
pub struct Ticker {
    running: Arc<AtomicUsize>,
    thread: Thread,
}

impl Ticker {
    /// Starts the thread; it ends when the engine is dropped.
    pub fn start(engine: &Engine) -> std::io::Result<Ticker> {
        let running = Arc::new(AtomicUsize::new(0));
        let (engine, seen) = (engine.weak(), running.clone());
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            loop {
                if seen.load(Ordering::Acquire) == 0 {
                    std::thread::park();
                    continue;
                }
                std::thread::sleep(TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(Ticker { running, thread: thread.thread().clone() })
    }

    /// Keeps the ticker awake until the answer is dropped.
    pub fn wake(&self) -> Awake {
        if self.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Awake { running: self.running.clone() }
    }
}

/// A guest runs.
pub struct Awake {
    running: Arc<AtomicUsize>,
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}
