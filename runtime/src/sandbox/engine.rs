//! The one engine: which WebAssembly is accepted, how it is compiled and interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Config, Engine, Strategy, WasmBacktraceDetails};

/// How often a running guest yields to others. Source: SECURITY, "Engine".
pub const TICK: Duration = Duration::from_millis(10);
/// A guest's stack. Source: SECURITY, "Engine".
pub const WASM_STACK_BYTES: usize = 512 * 1024;
/// The stack its host calls share with it. Source: SECURITY, "Engine".
pub const ASYNC_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Each line is a row of SECURITY's "Engine". All that wasmtime has is named, on or off, so that
/// another version of it runs the same programs in the same way.
pub fn config() -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.wasm_component_model(true);
    config.wasm_bulk_memory(true);
    config.wasm_extended_const(true);
    config.wasm_multi_memory(true);
    config.wasm_multi_value(true);
    config.wasm_reference_types(true);
    config.wasm_simd(true);
    config.wasm_tail_call(true);
    config.concurrency_support(false); // the component model's async
    config.wasm_component_model_error_context(false);
    config.wasm_component_model_fixed_length_lists(false);
    config.wasm_component_model_gc(false);
    config.wasm_component_model_implements(false);
    config.wasm_component_model_map(false);
    config.wasm_component_model_memory64(false);
    config.wasm_threads(false);
    config.wasm_shared_everything_threads(false);
    config.shared_memory(false);
    config.wasm_memory64(false);
    config.wasm_gc(false);
    config.wasm_function_references(false);
    config.wasm_exceptions(false);
    config.wasm_relaxed_simd(false);
    config.wasm_stack_switching(false);
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

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::component::Component;
    use wasmtime::{Instance, Module, Store};

    fn engine() -> Engine {
        Engine::new(&config()).expect("the configuration is possible")
    }

    /// A module of these sections.
    fn module(sections: &[&[u8]]) -> Vec<u8> {
        [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat()
    }

    /// A module with a function that takes and returns nothing.
    fn function(body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).expect("it is short");
        let code = [&[10, length + 4, 1, length + 2, 0], body, &[0x0b]].concat();
        module(&[&[1, 4, 1, 0x60, 0, 0], &[3, 2, 1, 0], &code])
    }

    #[test] // V1
    fn proposals_that_are_off_do_not_compile() {
        let two_vectors = [[0xfd, 0x0c].as_slice(), &[0; 16], &[0xfd, 0x0c], &[0; 16]].concat();
        let swizzle = |opcode: &[u8]| function(&[&two_vectors, opcode, &[0x1a]].concat());
        let four_numbers = [0x42, 0, 0x42, 0, 0x42, 0, 0x42, 0];
        let engine = engine();
        for (name, code) in [
            ("an empty module", module(&[])),
            ("a memory", module(&[&[5, 3, 1, 0, 1]])),
            ("SIMD", swizzle(&[0xfd, 0x0e])),
            ("wrapping arithmetic", function(&[four_numbers.as_slice(), &[0x7c, 0x1a, 0x1a, 0x1a]].concat())),
        ] {
            Module::validate(&engine, &code).unwrap_or_else(|e| panic!("{name} is refused: {e:#}"));
        }
        for (name, code) in [
            ("threads must be enabled", module(&[&[5, 4, 1, 3, 1, 1]])),
            ("memory64 must be enabled", module(&[&[5, 3, 1, 4, 1]])),
            ("custom page sizes", module(&[&[5, 4, 1, 8, 1, 0]])),
            ("exceptions", module(&[&[1, 4, 1, 0x60, 0, 0], &[13, 3, 1, 0, 0]])),
            ("gc", module(&[&[1, 3, 1, 0x5f, 0]])),
            ("function references", module(&[&[1, 9, 2, 0x60, 0, 0, 0x60, 0, 1, 0x63, 0]])),
            ("stack switching", module(&[&[1, 6, 2, 0x60, 0, 0, 0x5d, 0]])),
            ("relaxed SIMD", swizzle(&[0xfd, 0x80, 0x02])),
            ("wide arithmetic", function(&[four_numbers.as_slice(), &[0xfc, 0x13, 0x1a, 0x1a]].concat())),
        ] {
            let refusal = Module::validate(&engine, &code).expect_err(name);
            assert!(format!("{refusal:#}").contains(name), "{name}: {refusal:#}");
        }
        for (name, intrinsic) in [("async", 0x05), ("error-context", 0x1e)] {
            let code = [b"\0asm\x0d\0\x01\0".as_slice(), &[8, 2, 1, intrinsic]].concat();
            let refusal = Component::from_binary(&engine, &code).expect_err(name);
            assert!(format!("{refusal:#}").contains(name), "{name}: {refusal:#}");
        }
    }

    #[test] // R40
    fn a_number_that_is_none_has_the_same_bits_whatever_it_came_from() {
        // The bits of one number divided by another.
        let divide = module(&[
            &[1, 7, 1, 0x60, 2, 0x7c, 0x7c, 1, 0x7e],
            &[3, 2, 1, 0],
            &[7, 5, 1, 1, b'f', 0, 0],
            &[10, 10, 1, 8, 0, 0x20, 0, 0x20, 1, 0xa3, 0xbd, 0x0b],
        ]);
        let engine = engine();
        let mut store = Store::new(&engine, ());
        store.set_fuel(1000).expect("fuel is on");
        store.set_epoch_deadline(1);
        let module = Module::from_binary(&engine, &divide).expect("a module");
        let instance = Instance::new(&mut store, &module, &[]).expect("it imports nothing");
        let divided = instance.get_typed_func::<(f64, f64), u64>(&mut store, "f").expect("it is exported");
        for (number, by) in [(0.0, 0.0), (-0.0, 0.0), (f64::INFINITY, f64::INFINITY), (f64::from_bits(u64::MAX), 1.0)] {
            let bits = divided.call(&mut store, (number, by)).expect("division does not trap");
            assert_eq!(bits, 0x7ff8_0000_0000_0000, "{number} by {by}: {bits:#x}");
        }
    }
}
