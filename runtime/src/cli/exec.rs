//! `exec`: a component executed here, without a server. Its journal is in memory.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::deploy::{ManifestFile, read_component};
use super::failure::Failure;
use super::output::Output;
use super::{DATA_DIR, Given, show};
use crate::api::wire::{FailureBody, payload};
use crate::journal::Journal;
use crate::log::Log;
use crate::run::Outcome;
use crate::sandbox::{Ended, Sandbox, Task};

#[derive(Debug, Args)]
pub struct Exec {
    /// The component
    component: PathBuf,
    #[command(flatten)]
    given: Given,
    /// The manifest; without it, relume.toml beside the component or in this folder
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Arguments of the program
    #[arg(last = true)]
    args: Vec<String>,
}

/// Prints what the program prints, and its output.
pub async fn exec(options: Exec, output: Output) -> Result<ExitCode, Failure> {
    let manifest = ManifestFile::find(options.manifest.as_deref(), Some(&options.component))?;
    let settings = manifest.map(|file| file.manifest.settings()).unwrap_or_default();
    // Those that the manifest names, and this shell has.
    let secrets = settings.secrets.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect();
    let component = read_component(&options.component).await?;
    let input = options.given.read_input().await?.unwrap_or_default();
    let what = format!("`{}` cannot be executed", options.component.display());
    let wrong = |cause: String| Failure::new(&what).because(cause);

    let sandbox = Sandbox::new(&cache_folder()).map_err(|e| wrong(format!("{e:#}")))?;
    let inspected = sandbox.inspect(component.clone()).await;
    let inspection = inspected.map_err(|e| wrong(e.to_string()).hint(e.hint()).usage())?;
    let code = sandbox.load(&inspection.digest, async || Ok(component)).await.map_err(|e| wrong(e.to_string()))?;
    let app = options.component.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let log = Log::to_terminal();
    let task = Task {
        run_id: Uuid::now_v7(),
        run: format!("{app}#1"),
        app,
        attempt: 1,
        args: options.args,
        input,
        parameters: options.given.parameters.into_iter().collect(),
        secrets,
        settings,
        running_timeout: None,
        journal: Journal::in_memory(Vec::new()),
        log: log.clone(),
    };
    let ended = sandbox.execute(&code, task).await.map_err(|_| wrong("it was interrupted".into()))?;
    log.finish().await;
    Ok(print(&options.component.display().to_string(), ended, output))
}

fn print(program: &str, ended: Ended, output: Output) -> ExitCode {
    let status = ended.outcome.verdict().status();
    let (bytes, failure, exit_code) = match ended.outcome {
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
            "fuel_used": ended.fuel_used, "peak_memory_bytes": ended.peak_memory_bytes,
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

/// The cache of this folder's `relume dev`, or else the user's.
fn cache_folder() -> PathBuf {
    let local = PathBuf::from(DATA_DIR).join("cache");
    if local.is_dir() {
        return local;
    }
    let from = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("relume")
}
