//! Would another version of an app make the calls that a run's journal holds? The version is executed here, on
//! the record alone: without network, and only until it asks for something new. Source: R31.

use std::time::Duration;

use super::{Api, Problem};
use crate::journal::{Journal, JournalLimits, Terms};
use crate::log::Log;
use crate::manifest::Asked;
use crate::run::{FailureKind, Outcome};
use crate::sandbox::{Interrupted, LoadError, Task, open_secrets};
use crate::store::{EntryKind, EntryState, JournalEntry, Run, StoreError};
use axum::http::StatusCode;

/// A replay does no work of its own, so it takes no longer.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Refuses with 409 if the app's `version` would take another way than the run's entries before `before_seq`.
pub async fn check(api: &Api, run: &Run, version: u32, before_seq: Option<u32>) -> Result<(), Problem> {
    if version == run.version {
        return Ok(());
    }
    let versions = api.store.list_versions(&run.app).await?;
    let Some(version) = versions.into_iter().find(|known| known.number == version) else {
        return Err(StoreError::NotFound(format!("version v{version} of app `{}`", run.app)).into());
    };
    let mut recorded = api.store.load_journal(run.run_id).await?;
    recorded.retain(|entry| before_seq.is_none_or(|seq| entry.seq < seq));
    if before_seq.is_none() {
        recorded.pop_if(|last| is_failed_step(last));
    }
    if recorded.is_empty() {
        return Ok(());
    }
    let _one_of_few = api.uploads.acquire().await;
    let component = || api.store.load_artifact(&version.digest);
    let code = api.sandbox.load(&version.digest, component).await.map_err(|error| match error {
        LoadError::Store(error) => Problem::from(error),
        LoadError::Refused(refusal) => cannot_be_checked(version.number, &refusal.to_string()),
    })?;
    let mut settings = version.settings;
    settings.allowed_hosts.clear();
    let secrets = open_secrets(api.store.as_ref(), &api.vault, &settings.secrets).await;
    let secrets = secrets.map_err(|error| cannot_be_checked(version.number, &error.to_string()))?;
    let asked = Asked { manifest: settings.limits.clone(), app: run.app_limits.clone(), run: run.limits.clone() };
    let limits = api.sandbox.limits(&asked);
    let terms = Terms {
        attempt: run.num_attempts.saturating_add(1),
        version: version.number,
        limits: JournalLimits { step_attempts: u32::MAX, ..JournalLimits::from(&limits) },
        origin_run_id: run.origin_run_id,
        origin_at: run.origin_at,
        now: api.store.now().await?,
        until_deadline: None,
        signals: 0,
    };
    let task = Task {
        run_id: run.run_id,
        app: run.app.clone(),
        run: format!("{}#{}", run.app, run.number),
        attempt: terms.attempt,
        args: Vec::new(),
        input: api.store.load_run_io(run.run_id).await?.input,
        parameters: run.parameters.clone(),
        secrets,
        settings,
        limits,
        running_timeout: Some(MAX_TIME),
        fuel_used: 0,
        journal: Journal::check(terms, recorded),
        log: Log::to_nowhere(),
        effects: None,
    };
    match api.sandbox.execute(&code, task).await.end {
        Err(Interrupted::Replayed) | Ok(Outcome::Exited { .. }) => Ok(()),
        Ok(Outcome::Failed { failure, .. }) if failure.kind == FailureKind::Divergence => {
            let detail = format!("v{} does not fit what the run has done\n{}", version.number, failure.message);
            let problem = Problem::new(StatusCode::CONFLICT, "divergence", detail).field("version");
            Err(problem.hint("take another version, or none to stay with the run's own"))
        }
        Ok(Outcome::Failed { failure, .. } | Outcome::NotRetryable { failure, .. }) => {
            Err(cannot_be_checked(version.number, &failure.message))
        }
        Err(_) => Err(cannot_be_checked(version.number, "the check was interrupted")),
    }
}

/// What a retry executes again.
fn is_failed_step(entry: &JournalEntry) -> bool {
    entry.kind == EntryKind::Step && matches!(entry.state, EntryState::Failed(_) | EntryState::Indeterminate)
}

fn cannot_be_checked(version: u32, cause: &str) -> Problem {
    let detail = format!("whether v{version} fits what the run has done cannot be checked: {cause}");
    Problem::new(StatusCode::CONFLICT, "replay_failed", detail).field("version")
}
