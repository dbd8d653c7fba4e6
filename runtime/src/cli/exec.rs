//! `exec`: a component executed here, without a server. Its journal is in memory.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::local::{Local, LocalArgs};
use super::output::Output;
use super::show;
use crate::api::wire::{FailureBody, payload};
use crate::journal::Tape;
use crate::log::Log;
use crate::run::Outcome;
use crate::sandbox::Execution;
use crate::store::Usage;

#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    program: LocalArgs,
}

/// Prints what the program prints, and its output.
pub async fn exec(options: Exec, output: Output) -> Result<ExitCode, Failure> {
    let program = options.program.component.display().to_string();
    let what = format!("`{program}` cannot be executed");
    let local = Local::load(options.program, &what).await?;
    let Execution { end, usage, .. } =
        local.execute(Duration::ZERO, Vec::new(), Tape::default(), Log::to_terminal(), None).await;
    let outcome = end.map_err(|_| Failure::new(&what).because("it was interrupted"))?;
    Ok(print(&program, outcome, usage, output))
}

fn print(program: &str, outcome: Outcome, usage: Usage, output: Output) -> ExitCode {
    let status = outcome.verdict().status();
    let (bytes, failure, exit_code) = match outcome {
        Outcome::Exited { output } => (output, None, Some(0)),
        Outcome::Failed { failure, exit_code } | Outcome::NotRetryable { failure, exit_code } => {
            (None, Some(failure), exit_code)
        }
    };
    if output.json {
        let (value, base64) = payload(bytes);
        let told = json!({
            "status": status.as_str(), "exit_code": exit_code, "failure": failure.map(FailureBody::from),
            "output": value, "output_base64": base64,
            "fuel_used": usage.fuel, "peak_memory_bytes": usage.peak_memory_bytes,
        });
        output.data(&told.to_string());
        return ExitCode::from(show::exit_code(status));
    }
    if let Some(bytes) = bytes {
        output.data(&String::from_utf8_lossy(&bytes));
    }
    if let Some(failure) = failure {
        show::print_failure(&format!("`{program}` {}", status.as_str()), &failure.into(), output);
    }
    ExitCode::from(show::exit_code(status))
}
