//! Is this upload an app we can run? Everything that can be told without compiling it.

use std::fmt;

use wasmparser::Parser;
use wasmtime::Engine;

use super::weigh::{MAX_EXPORTS, MAX_IMPORTS, weigh};

/// The largest upload. Source: V5.
pub const MAX_COMPONENT_BYTES: usize = 64 * 1024 * 1024;
/// The longest name of an import or export. Source: V6.
pub const MAX_NAME_BYTES: usize = 256;
/// What a component must export to be started.
const ENTRY: &str = "wasi:cli/run";
/// The packages whose interfaces we link. Some of them refuse when they are called: components
/// made from Python or JavaScript import sockets and files whether they use them or not.
const PACKAGES: [&str; 8] = [
    "relume:durable",
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:http",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the file is empty")]
    Empty,
    #[error("the component has {0} bytes; the most is {MAX_COMPONENT_BYTES}")]
    TooLarge(usize),
    #[error("the file is not WebAssembly")]
    NotWasm,
    #[error("the file is precompiled machine code, which is never accepted")]
    Precompiled,
    #[error("the file is a core module, not a component")]
    CoreModule,
    #[error("the component is damaged or cut short: {0}")]
    Malformed(String),
    #[error("the component imports what Relume does not offer: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    #[error("the component has {0} imports; the most is {MAX_IMPORTS}")]
    TooManyImports(usize),
    #[error("the component has {0} exports; the most is {MAX_EXPORTS}")]
    TooManyExports(usize),
    #[error("the component has an import or export whose name has {0} bytes; the most is {MAX_NAME_BYTES}")]
    NameTooLong(usize),
    /// Counted up to where it is too much.
    #[error("the component has {found} {what}, or more; the most is {most}")]
    TooMany { what: &'static str, found: u64, most: u64 },
    #[error("the component exports no `{ENTRY}`, so there is nothing to start")]
    NoEntry,
    #[error("the component does not compile: {0}")]
    DoesNotCompile(String),
    #[error("the component costs too much to compile: it takes more than {0}")]
    TooCostly(Cost),
    /// Our fault, not the upload's.
    #[error("the component could not be checked: {0}")]
    Host(#[source] anyhow::Error),
}

/// What compiling may cost. Source: V5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Of the processor's time.
    CpuSeconds(u32),
    Seconds(u64),
    MemoryMib(u32),
    /// Machine code that came of it.
    CodeMib(usize),
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Cost::CpuSeconds(seconds) => write!(f, "{seconds} s of the processor's time"),
            Cost::Seconds(seconds) => write!(f, "{seconds} s"),
            Cost::MemoryMib(mib) => write!(f, "{mib} MiB of memory, or too deep a stack"),
            Cost::CodeMib(mib) => write!(f, "{mib} MiB of machine code"),
        }
    }
}

impl Refusal {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Empty => "component_empty",
            Refusal::TooLarge(_) => "component_too_large",
            Refusal::NotWasm => "not_wasm",
            Refusal::Precompiled => "component_precompiled",
            Refusal::CoreModule => "not_a_component",
            Refusal::Malformed(_) => "component_malformed",
            Refusal::UnknownImports(_) => "unknown_imports",
            Refusal::TooManyImports(_) => "too_many_imports",
            Refusal::TooManyExports(_) => "too_many_exports",
            Refusal::NameTooLong(_) => "name_too_long",
            Refusal::TooMany { .. } => "component_too_complex",
            Refusal::NoEntry => "no_entry",
            Refusal::DoesNotCompile(_) => "component_does_not_compile",
            Refusal::TooCostly(_) => "component_too_costly",
            Refusal::Host(_) => "host",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Refusal::Empty | Refusal::NotWasm | Refusal::CoreModule | Refusal::NoEntry => {
                "build a program with `cargo build --release --target wasm32-wasip2` and upload the .wasm it makes"
            }
            Refusal::TooLarge(_) => "strip debug information, e.g. `strip = true` in the release profile",
            Refusal::Precompiled => "upload the .wasm component it was made from",
            Refusal::Malformed(_) => "build or copy the file again",
            Refusal::UnknownImports(_)
            | Refusal::TooManyImports(_)
            | Refusal::TooManyExports(_)
            | Refusal::NameTooLong(_) => {
                "an app may import WASI 0.2 and relume:durable: target `wasm32-wasip2` and remove other imports"
            }
            Refusal::TooMany { .. } | Refusal::TooCostly(_) => {
                "make it smaller: optimise for size, leave out what is not used, and split the largest functions"
            }
            Refusal::DoesNotCompile(_) => "build it without the WebAssembly proposal that the error names",
            Refusal::Host(_) => "try again; if it persists, see the server's log",
        }
    }
}

/// Checks what can be told from the outside, and returns the names of the imports.
pub fn check(component: &[u8]) -> Result<Vec<String>, Refusal> {
    if component.is_empty() {
        return Err(Refusal::Empty);
    }
    if component.len() > MAX_COMPONENT_BYTES {
        return Err(Refusal::TooLarge(component.len()));
    }
    if Engine::detect_precompiled(component).is_some() {
        return Err(Refusal::Precompiled);
    }
    if !component.starts_with(b"\0asm") {
        return Err(Refusal::NotWasm);
    }
    if Parser::is_core_wasm(component) {
        return Err(Refusal::CoreModule);
    }
    let (imports, exports) = weigh(component)?;
    if let Some(name) = imports.iter().chain(&exports).find(|name| name.len() > MAX_NAME_BYTES) {
        return Err(Refusal::NameTooLong(name.len()));
    }
    let unknown: Vec<String> =
        imports.iter().filter(|name| !is_ours(name)).map(|name| name.escape_debug().to_string()).collect();
    if !unknown.is_empty() {
        return Err(Refusal::UnknownImports(unknown));
    }
    if !exports.iter().any(|name| name.split('@').next() == Some(ENTRY)) {
        return Err(Refusal::NoEntry);
    }
    Ok(imports)
}

/// Whether an app that imports this uses the journal.
pub fn is_of_durable(import: &str) -> bool {
    import.starts_with("relume:durable/")
}

fn is_ours(import: &str) -> bool {
    import.split_once('/').is_some_and(|(package, _)| PACKAGES.contains(&package))
}
