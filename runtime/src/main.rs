//! The program `relume`.

use std::process::ExitCode;

use relume::cli::{self, Cli};

/// What is larger is a mapping of its own, and goes back to the system as soon as it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_MAPPING_BYTES: libc::c_int = 128 * 1024;

fn main() -> ExitCode {
    return_freed_memory();
    cli::run(Cli::from_args())
}

/// By itself the allocator raises its limit for mappings to 32 MiB the first time one is freed, and a worker keeps what
/// was needed for the largest inputs and outputs it ever saw.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn return_freed_memory() {
    // SAFETY: there is one thread yet, and a refusal changes nothing.
    #[allow(unsafe_code, reason = "the allocator can be told in no other way")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn return_freed_memory() {}
