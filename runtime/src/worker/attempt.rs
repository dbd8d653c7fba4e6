//! One attempt from claim to settlement: load the code and the journal, run the guest, write what
//! follows. Nothing here decides what follows: that is `run::settle`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::held::Holding;
use crate::journal::{Journal, JournalWriter};
use crate::kill_point;
use crate::log::{Log, LogWriter};
use crate::run::{self, FailureKind, Outcome};
use crate::sandbox::{Code, Ended, Interrupted, LoadError, Refusal, Sandbox, Task};
use crate::store::{Assignment, Lease, Settlement, Store, StoreError};
use crate::vault::Vault;

/// How long to wait before a settlement that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What an attempt is executed with.
#[derive(Clone)]
pub struct Context {
    pub store: Arc<dyn Store>,
    pub sandbox: Sandbox,
    pub vault: Arc<Vault>,
    pub journal: JournalWriter,
    pub logs: LogWriter,
    /// Cancelled when the worker is drained: no new step begins then.
    pub pause: CancellationToken,
}

/// Executes the attempt of a claimed run, and leaves the run settled or given back; or does
/// nothing more once the run was taken away.
pub async fn execute(context: Context, assignment: Assignment, holding: Holding) {
    tokio::select! {
        () = run_and_settle(&context, assignment) => {}
        () = holding.taken.cancelled() => tracing::info!("a run was taken away or cancelled: its guest is stopped"),
    }
}

async fn run_and_settle(context: &Context, assignment: Assignment) {
    let lease = assignment.lease;
    let state = run::State { attempt: assignment.attempt, policy: assignment.policy };
    match run_guest(context, assignment).await {
        Ok(ended) => settle(context.store.as_ref(), lease, state, ended).await,
        Err(Interrupted::LeaseLost) => {}
        Err(Interrupted::StoreUnavailable | Interrupted::Paused) => give_back(context.store.as_ref(), lease).await,
    }
}

async fn run_guest(context: &Context, assignment: Assignment) -> Result<Ended, Interrupted> {
    let Assignment { lease, app, number, attempt, input, parameters, settings, last_line_num, .. } = assignment;
    let code = match load_code(context, &assignment.digest).await? {
        Ok(code) => code,
        Err(ended) => return Ok(ended),
    };
    if assignment.is_starting
        && let Err(error) = context.store.begin_running(lease).await
    {
        return failed_by_store("the start of an attempt could not be written", error);
    }
    let secrets = match open_secrets(context, &settings.secrets).await? {
        Ok(secrets) => secrets,
        Err(ended) => return Ok(ended),
    };
    let recorded = match context.store.load_journal(lease.run_id).await {
        Ok(recorded) => recorded,
        Err(error) => return failed_by_store("the journal could not be read", error),
    };
    kill_point::reach("after_load");
    let log = Log::new(lease, attempt, last_line_num, context.logs.clone());
    if assignment.recoveries > 0 || !recorded.is_empty() {
        let steps = if recorded.len() == 1 { "step" } else { "steps" };
        log.setup(&format!("resumed after {} recorded {steps}", recorded.len()));
    }
    let journal = Journal::new(lease, attempt, recorded, context.journal.clone(), context.pause.clone());
    let task = Task {
        run_id: lease.run_id,
        run: format!("{app}#{number}"),
        app,
        attempt,
        args: vec![],
        input,
        parameters,
        secrets,
        settings,
        running_timeout: assignment.running_timeout,
        journal,
        log: log.clone(),
    };
    let ended = context.sandbox.execute(&code, task).await;
    log.finish().await;
    ended
}

/// The run's code; or how the attempt ends without it.
async fn load_code(context: &Context, digest: &str) -> Result<Result<Code, Ended>, Interrupted> {
    let (message, error) = match context.sandbox.load(digest, || context.store.load_artifact(digest)).await {
        Ok(code) => return Ok(Ok(code)),
        Err(LoadError::Store(StoreError::NotFound(_))) => ("the app's code is missing".to_owned(), None),
        Err(LoadError::Store(error)) => return failed_by_store("the app's code could not be read", error).map(Err),
        Err(LoadError::Refused(Refusal::Host(error))) => {
            ("the app's code could not be made ready".to_owned(), Some(error))
        }
        Err(LoadError::Refused(refusal)) => (format!("the app's code cannot be run here: {refusal}"), None),
    };
    tracing::error!(digest, error = error.map(tracing::field::display), "{message}");
    Ok(Err(ended(Outcome::failed(FailureKind::Artifact, message))))
}

/// The secrets that the app's manifest names; or how the attempt ends without them.
async fn open_secrets(
    context: &Context,
    names: &[String],
) -> Result<Result<Vec<(String, String)>, Ended>, Interrupted> {
    let mut secrets = Vec::with_capacity(names.len());
    for name in names {
        let sealed = match context.store.load_secret(name).await {
            Ok(sealed) => sealed,
            Err(StoreError::NotFound(_)) => {
                let message =
                    format!("the manifest names the secret `{name}`, which is not set: relume secrets set {name}");
                return Ok(Err(ended(Outcome::failed(FailureKind::Error, message))));
            }
            Err(error) => return failed_by_store("a secret could not be read", error).map(Err),
        };
        let secret = context.vault.open(name, &sealed).map_err(|error| error.to_string());
        match secret.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())) {
            Ok(secret) => secrets.push((name.clone(), secret)),
            Err(cause) => {
                tracing::error!(secret = name, cause, "a secret could not be opened");
                let message = format!("the secret `{name}` could not be opened on this worker: {cause}");
                return Ok(Err(ended(Outcome::failed(FailureKind::Host, message))));
            }
        }
    }
    Ok(Ok(secrets))
}

fn failed_by_store(what: &str, error: StoreError) -> Result<Ended, Interrupted> {
    match error {
        StoreError::Unavailable(_) => Err(Interrupted::StoreUnavailable),
        StoreError::LeaseLost => Err(Interrupted::LeaseLost),
        error => {
            tracing::error!(%error, "{what}");
            Ok(ended(Outcome::failed(FailureKind::Host, format!("{what}: {error}"))))
        }
    }
}

/// The end of an attempt in which no program ran.
fn ended(outcome: Outcome) -> Ended {
    Ended { outcome, fuel_used: 0, peak_memory_bytes: 0 }
}

/// Writes how the attempt ended, however long the database is away: the fence refuses a second
/// writing of what was written already.
async fn settle(store: &dyn Store, lease: Lease, state: run::State, how: Ended) {
    let mut settlement = settlement(state, how);
    loop {
        kill_point::reach("before_settle");
        match store.settle_run(lease, settlement.clone()).await {
            Ok(()) => break,
            Err(StoreError::LeaseLost) => {
                tracing::warn!("the end of an attempt was refused: its run was taken away, or it is written already");
                return;
            }
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(%error, "the end of an attempt waits for the database")
            }
            Err(error) => {
                tracing::error!(%error, "the end of an attempt could not be written");
                settlement = self::settlement(state, ended(Outcome::failed(FailureKind::Host, error.to_string())));
            }
        }
        sleep(RETRY_AFTER).await;
    }
    kill_point::reach("after_settle");
}

fn settlement(state: run::State, ended: Ended) -> Settlement {
    let Ended { outcome, fuel_used, peak_memory_bytes } = ended;
    let (change, verdict) = (run::settle(state, &outcome), outcome.verdict());
    let (exit_code, failure, output) = match outcome {
        Outcome::Exited { output } => (Some(0), None, output),
        Outcome::Failed { failure, exit_code } | Outcome::NotRetryable { failure, exit_code } => {
            (exit_code, Some(failure), None)
        }
    };
    Settlement { verdict, change, exit_code, failure, output, fuel_used, peak_memory_bytes }
}

async fn give_back(store: &dyn Store, lease: Lease) {
    loop {
        kill_point::reach("before_give_back");
        match store.give_back(lease).await {
            Ok(()) | Err(StoreError::LeaseLost) => return,
            Err(error) => tracing::warn!(%error, "a run could not be given back; trying again"),
        }
        sleep(RETRY_AFTER).await;
    }
}
