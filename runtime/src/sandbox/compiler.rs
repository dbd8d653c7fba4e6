//! Machine code is made in a child process, which may use so much time and memory and no more: what an
//! upload does to a compiler it does to a process that has nothing, and whose end is an answer. The child reads a component from
//! stdin and writes the code to stdout; [`compile_from_stdin`] is all it does. Source: V5.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use super::confine::{self, Bounds};
use super::engine;
use super::upload::{Cost, MAX_COMPONENT_BYTES, Refusal};
use crate::policy::CompilePolicy;

/// The command of `relume` that [`compile_from_stdin`] is.
pub const COMMAND: &str = "internal-compile";
/// The most machine code of one component: six times what comes of one made from Python.
pub const MAX_CODE_BYTES: usize = 256 * 1024 * 1024;
/// For a child that waits more than it computes: twice the time it may compute.
pub const MAX_TIME: Duration = Duration::from_secs(120);
/// What a child may say of why it fails.
const MAX_REASON_BYTES: u64 = 4096;
/// Threads of a child; each costs address space.
const THREADS: &str = "4";
/// How a child ends that was given what is no WebAssembly for us.
const DOES_NOT_COMPILE: u8 = 3;
/// How the standard library ends a process that panics.
const PANICKED: i32 = 101;

/// Compiles in children, so many at once and no more.
pub struct Compiler {
    program: PathBuf,
    policy: CompilePolicy,
    turns: Semaphore,
}

impl Compiler {
    /// A compiler whose children are `program`, which is `relume`.
    pub fn new(program: PathBuf, policy: CompilePolicy) -> Compiler {
        let turns = Semaphore::new(policy.at_once.max(1).into());
        Compiler { program, policy, turns }
    }

    /// The machine code of `component`. Dropping the future ends the child.
    pub async fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Refusal> {
        let _turn = self.turns.acquire().await.map_err(|error| Refusal::Host(error.into()))?;
        match tokio::time::timeout(MAX_TIME, self.run_child(component)).await {
            Ok(compiled) => compiled,
            Err(_) => Err(Refusal::TooCostly(Cost::Seconds(MAX_TIME.as_secs()))),
        }
    }

    async fn run_child(&self, component: &[u8]) -> Result<Vec<u8>, Refusal> {
        let host = |error: std::io::Error| Refusal::Host(anyhow!(error).context("the compiler's process is lost"));
        let CompilePolicy { cpu_seconds, memory_mib, .. } = self.policy;
        let mut command = Command::new(&self.program);
        command.arg0("relume").args([COMMAND, &cpu_seconds.to_string(), &memory_mib.to_string()]).env_clear();
        // Both are for the address space: an arena of malloc's, and so each thread, sets aside 64 MiB of it.
        command.env("MALLOC_ARENA_MAX", "2").env("RAYON_NUM_THREADS", THREADS);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(host)?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Refusal::Host(anyhow!("the compiler's process has no pipes")));
        };
        let give = async {
            // A child that has ended says why by how it ended.
            let _ = stdin.write_all(component).await;
            drop(stdin);
        };
        // Each pipe is closed when its limit is reached: a child that says more than that ends there.
        let take_code = async move { read_to_end(stdout, MAX_CODE_BYTES as u64 + 1).await };
        let take_reason = async move { read_to_end(stderr, MAX_REASON_BYTES).await };
        let ((), code, reason) = tokio::join!(give, take_code, take_reason);
        let (code, reason) = (code.map_err(host)?, reason.map_err(host)?);
        if code.len() > MAX_CODE_BYTES {
            return Err(Refusal::TooCostly(Cost::CodeMib(MAX_CODE_BYTES / (1024 * 1024))));
        }
        let status = child.wait().await.map_err(host)?;
        let reason = String::from_utf8_lossy(&reason);
        self.judge(status, reason.trim()).map(|()| code)
    }

    /// What the end of a child says of the component.
    fn judge(&self, status: ExitStatus, reason: &str) -> Result<(), Refusal> {
        let signal = status.signal().and_then(Signal::from_named_raw);
        match (status.code(), signal) {
            (Some(0), _) => Ok(()),
            (Some(code), _) if code == i32::from(DOES_NOT_COMPILE) => Err(Refusal::DoesNotCompile(reason.to_owned())),
            (Some(PANICKED), _) => {
                tracing::error!(reason, "the compiler panicked over an upload");
                Err(Refusal::DoesNotCompile("the compiler gave up on it".to_owned()))
            }
            (_, Some(Signal::XCPU)) => Err(Refusal::TooCostly(Cost::CpuSeconds(self.policy.cpu_seconds))),
            // How malloc and the guard of a stack end a process.
            (_, Some(Signal::ABORT | Signal::SEGV | Signal::BUS)) => {
                Err(Refusal::TooCostly(Cost::MemoryMib(self.policy.memory_mib)))
            }
            _ => Err(Refusal::Host(anyhow!("the compiler's process ended ({status}): {reason}"))),
        }
    }
}

async fn read_to_end(pipe: impl AsyncRead + Unpin, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// What the child does: limits itself, reads a component from stdin and writes its machine code to stdout.
pub fn compile_from_stdin(cpu_seconds: u32, memory_mib: u32) -> ExitCode {
    match compile(cpu_seconds, memory_mib) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(reason)) => {
            eprintln!("{}", reason.root_cause());
            ExitCode::from(DOES_NOT_COMPILE)
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compile(cpu_seconds: u32, memory_mib: u32) -> anyhow::Result<Result<(), wasmtime::Error>> {
    confine::close_inherited()?;
    let engine = Engine::new(&engine::config())?;
    let memory_bytes = u64::from(memory_mib) * 1024 * 1024;
    confine::compiler(Bounds { cpu_seconds: cpu_seconds.into(), memory_bytes })?;
    let mut component = Vec::new();
    let limit = MAX_COMPONENT_BYTES as u64;
    std::io::stdin().take(limit).read_to_end(&mut component).context("the component cannot be read")?;
    let code = match engine.precompile_component(&component) {
        Ok(code) => code,
        Err(error) => return Ok(Err(error)),
    };
    std::io::stdout().write_all(&code).context("the code cannot be written")?;
    Ok(Ok(()))
}
