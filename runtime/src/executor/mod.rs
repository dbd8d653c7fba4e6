//! In which process does a guest run? In this one, or in a child of its own that has no database, no secrets but the
//! run's own, no files and no network: should a guest ever leave its sandbox, it is there, and can ask for what its
//! run may do. Which of the two it is makes no difference to whoever has a task to execute.

mod child;
mod parent;
mod wire;

pub use self::child::execute_from_stdin;
use crate::sandbox::{Code, Execution, Sandbox, Task, probe_confinement};

/// The command of `relume` that [`execute_from_stdin`] is.
pub const COMMAND: &str = "internal-execute";

/// Where guests run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// In this process.
    #[default]
    None,
    /// Each attempt in a process of its own.
    Process,
}

/// Executes tasks.
#[derive(Clone)]
pub struct Executor {
    sandbox: Sandbox,
    isolation: Isolation,
}

impl Executor {
    /// Executes what `sandbox` made ready.
    pub fn new(sandbox: Sandbox, isolation: Isolation) -> Executor {
        Executor { sandbox, isolation }
    }

    /// Whether this system can do it.
    pub fn is_possible(isolation: Isolation) -> bool {
        let has_filter = cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));
        isolation == Isolation::None || has_filter
    }

    /// Executes one attempt. Dropping the future ends the guest.
    pub async fn execute(&self, code: &Code, task: Task) -> Execution {
        match self.isolation {
            Isolation::None => self.sandbox.execute(code, task).await,
            Isolation::Process => parent::execute(&self.sandbox, code, task).await,
        }
    }
}

/// What a process can do that is confined as a child is: for tests, which expect nothing.
pub fn probe() -> anyhow::Result<Vec<&'static str>> {
    crate::sandbox::confine_executor()?;
    Ok(probe_confinement())
}
