//! A component made ready to be executed here, without a server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use uuid::Uuid;

use super::deploy::{ManifestFile, read_component};
use super::failure::Failure;
use super::policy::PolicyArgs;
use super::{DATA_DIR, Given, this_program};
use crate::journal::{Journal, JournalLimits, Tape, Terms};
use crate::log::Log;
use crate::manifest::{Asked, Settings};
use crate::sandbox::{Code, Effects, Execution, Sandbox, SandboxOptions, Task};
use crate::store::JournalEntry;

/// What is executed, and with what.
#[derive(Debug, Args)]
pub struct LocalArgs {
    /// The component
    pub component: PathBuf,
    #[command(flatten)]
    given: Given,
    /// The manifest; without it, relume.toml beside the component or in this folder
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Arguments of the program
    #[arg(last = true)]
    args: Vec<String>,
}

/// A component that is ready.
pub struct Local {
    sandbox: Sandbox,
    code: Code,
    run_id: Uuid,
    created_at: Timestamp,
    app: String,
    args: Vec<String>,
    input: Vec<u8>,
    parameters: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
    settings: Settings,
}

impl Local {
    /// Reads, checks and compiles it; `what` says what cannot be done otherwise.
    pub async fn load(options: LocalArgs, what: &str) -> Result<Local, Failure> {
        let manifest = ManifestFile::find(options.manifest.as_deref(), Some(&options.component))?;
        let settings = manifest.map(|file| file.manifest.settings()).unwrap_or_default();
        // Those that the manifest names, and this shell has.
        let secrets = settings.secrets.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
        let secrets = secrets.collect();
        let component = read_component(&options.component).await?;
        let input = options.given.read_input().await?.unwrap_or_default();
        let wrong = |cause: String| Failure::new(what).because(cause);

        let sandbox_options = SandboxOptions::new(cache_folder(), this_program()?).policy(options.policy.read()?);
        let sandbox = Sandbox::new(sandbox_options).map_err(|e| wrong(format!("{e:#}")))?;
        let inspected = sandbox.inspect(component.clone()).await;
        let inspection = inspected.map_err(|e| wrong(e.to_string()).hint(e.hint()).usage())?;
        let code = sandbox.load(&inspection.digest, async || Ok(component)).await.map_err(|e| wrong(e.to_string()))?;
        let app = options.component.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (run_id, created_at, parameters) = (Uuid::now_v7(), Timestamp::now(), options.given.parameters);
        Ok(Local { sandbox, code, run_id, created_at, app, args: options.args, input, parameters, secrets, settings })
    }

    /// Executes it: always the same run, `later` than now, from the entries `recorded` on; what is recorded then is on
    /// `tape`.
    pub async fn execute(
        &self,
        later: Duration,
        recorded: Vec<JournalEntry>,
        tape: Tape,
        log: Log,
        effects: Option<Effects>,
    ) -> Execution {
        let asked = Asked { manifest: self.settings.limits.clone(), ..Asked::default() };
        let limits = self.sandbox.limits(&asked);
        let terms = Terms {
            attempt: 1,
            version: 1,
            limits: JournalLimits::from(&limits),
            origin_run_id: self.run_id,
            origin_at: self.created_at,
            now: Timestamp::now().saturating_add(later).unwrap_or(Timestamp::MAX),
            until_deadline: None,
            signals: 0,
        };
        let task = Task {
            run_id: self.run_id,
            app: self.app.clone(),
            run: format!("{}#1", self.app),
            attempt: 1,
            args: self.args.clone(),
            input: self.input.clone(),
            parameters: self.parameters.iter().cloned().collect(),
            secrets: self.secrets.clone(),
            settings: self.settings.clone(),
            limits,
            running_timeout: None,
            fuel_used: 0,
            journal: Journal::on_tape(terms, recorded, tape),
            log: log.clone(),
            effects,
        };
        let execution = self.sandbox.execute(&self.code, task).await;
        log.finish().await;
        execution
    }
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
