//! One attempt from claim to settlement: load the code and the journal, run the guest, write what
//! follows. Nothing here decides what follows: that is `run::settle`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::held::Holding;
use super::refused::Refused;
use crate::executor::Executor;
use crate::journal::{Journal, JournalLimits, JournalWriter, Parking, Terms};
use crate::kill_point;
use crate::log::{Log, LogLimits, LogWriter};
use crate::manifest::{Asked, Limits, OnWorkerLoss};
use crate::run::{self, AfterInterruption, FailureKind, Outcome};
use crate::sandbox::{
    self, Code, Execution, Interrupted, LoadError, Refusal, Sandbox, SecretError, Task, open_secrets,
};
use crate::store::{Assignment, EntryKind, Lease, Park, Settlement, Store, StoreError, Usage};
use crate::telemetry::ATTEMPTS_ENDED;
use crate::vault::Vault;

/// How long to wait before a settlement that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What an attempt is executed with.
#[derive(Clone)]
pub struct Context {
    pub store: Arc<dyn Store>,
    pub sandbox: Sandbox,
    pub executor: Executor,
    pub vault: Arc<Vault>,
    pub journal: JournalWriter,
    pub logs: LogWriter,
    pub refused: Arc<Refused>,
    /// Cancelled when the worker is drained: no new step begins then.
    pub pause: CancellationToken,
}

/// What becomes of a claimed run.
enum Next {
    /// The attempt came to its end.
    Settle(Ended),
    /// It goes on when there is something to go on with.
    Park(Park),
    /// Another worker goes on with it.
    GiveBack,
    /// Another worker has to begin it.
    HandBack,
    /// It is another worker's already.
    Nothing,
}

/// An attempt that came to its end.
struct Ended {
    outcome: Outcome,
    usage: Usage,
    used_loose_io: bool,
}

/// Executes the attempt of a claimed run, and leaves the run settled, parked or given back; or does
/// nothing more once the run was taken away.
pub async fn execute(context: Context, assignment: Assignment, holding: Holding) {
    let Assignment { lease, attempt, policy, until_deadline, is_recovery, .. } = assignment;
    let claimed = Instant::now();
    let next = tokio::select! {
        next = run_guest(&context, assignment) => next.unwrap_or_else(|next| next),
        () = holding.taken.cancelled() => {
            tracing::info!("a run was taken away or cancelled: its guest is stopped");
            return;
        }
    };
    // From here on the fence alone decides: a run that is settled is not this worker's any more, and what follows its
    // end, such as its parent's wake, is still to be done.
    let store = context.store.as_ref();
    match next {
        Next::Settle(ended) => {
            let until_deadline = until_deadline.map(|left| left.saturating_sub(claimed.elapsed()));
            settle(store, lease, run::State { attempt, policy, until_deadline }, ended).await;
        }
        Next::Park(park) => until_written("a run could not be parked", || store.park_run(lease, park.clone())).await,
        Next::GiveBack => {
            kill_point::reach("before_give_back");
            until_written("a run could not be given back", || store.give_back(lease)).await;
        }
        Next::HandBack => until_written("a run could not be handed back", || store.hand_back(lease, is_recovery)).await,
        Next::Nothing => {}
    }
}

/// Writes, however long the database is away. What was written already is refused by the fence.
async fn until_written<W: Future<Output = Result<(), StoreError>>>(what: &str, mut write: impl FnMut() -> W) {
    loop {
        match write().await {
            Ok(()) | Err(StoreError::LeaseLost) => return,
            Err(error) => tracing::warn!(%error, "{what}; trying again"),
        }
        sleep(RETRY_AFTER).await;
    }
}

/// The answer is in either case what becomes of the run: an error only ends this early.
async fn run_guest(context: &Context, assignment: Assignment) -> Result<Next, Next> {
    let Assignment { lease, attempt, .. } = assignment;
    let limits = limits(context, &assignment);
    let Assignment { last_line_num, last_call_num, .. } = assignment;
    let log = Log::new(lease, attempt, last_line_num, last_call_num, context.logs.clone(), LogLimits::from(&limits));
    if let Some(cut) = limits.cut() {
        log.setup(&cut);
    }
    // One that would end the task would leave the run without an end: it would be given to a worker again and again.
    let next = AssertUnwindSafe(run_logged(context, assignment, limits, &log)).catch_unwind().await;
    let next = next.unwrap_or_else(|panic| Err(settled(sandbox::panicked(panic))));
    log.finish().await;
    next
}

/// What is in force in this worker.
fn limits(context: &Context, assignment: &Assignment) -> Limits {
    context.sandbox.limits(&Asked {
        manifest: assignment.settings.limits.clone(),
        app: assignment.app_limits.clone(),
        run: assignment.limits.clone(),
    })
}

async fn run_logged(context: &Context, assignment: Assignment, limits: Limits, log: &Log) -> Result<Next, Next> {
    let claimed = Instant::now();
    let Assignment { lease, app, number, attempt, input, parameters, settings, .. } = assignment;
    let code = load_code(context, &assignment.digest, log).await?;
    let begins_once = match settings.on_worker_loss {
        Some(on_loss) => on_loss == OnWorkerLoss::Fail,
        None => !code.is_durable(),
    };
    if assignment.is_recovery && run::after_interruption(assignment.losses, begins_once) == AfterInterruption::Fail {
        return Err(settled(Outcome::failed(FailureKind::WorkerLost, lost(assignment.losses, begins_once))));
    }
    if assignment.is_starting
        && let Err(error) = context.store.begin_running(lease).await
    {
        return Err(failed_by_store("the start of an attempt could not be written", error));
    }
    let secrets =
        open_secrets(context.store.as_ref(), &context.vault, &settings.secrets).await.map_err(without_secrets)?;
    let recorded = context.store.load_journal(lease.run_id).await;
    let recorded = recorded.map_err(|error| failed_by_store("the journal could not be read", error))?;
    kill_point::reach("after_load");
    kill_point::panic_if_asked("attempt");
    if assignment.is_recovery {
        let steps = recorded.iter().filter(|entry| entry.kind == EntryKind::Step && entry.state.is_final()).count();
        log.setup(&format!("resumed after {steps} recorded {}", if steps == 1 { "step" } else { "steps" }));
    }
    let terms = Terms {
        attempt,
        version: assignment.version,
        limits: JournalLimits::from(&limits),
        origin_run_id: assignment.origin_run_id,
        origin_at: assignment.origin_at,
        now: assignment.now.saturating_add(claimed.elapsed()).unwrap_or(assignment.now),
        until_deadline: assignment.until_deadline.map(|left| left.saturating_sub(claimed.elapsed())),
        signals: assignment.signals,
    };
    let journal = Journal::new(lease, terms, recorded, context.journal.clone(), context.pause.clone());
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
        limits,
        running_timeout: assignment.running_timeout,
        fuel_used: assignment.fuel_used,
        journal,
        log: log.clone(),
        effects: None,
    };
    let Execution { end, usage, used_loose_io } = context.executor.execute(&code, task).await;
    Ok(match end {
        Ok(outcome) => Next::Settle(Ended { outcome, usage, used_loose_io }),
        Err(Interrupted::Parked(parking)) => {
            let Parking { waiting_on, child, signals } = *parking;
            Next::Park(Park { waiting_on, child, signals, usage, used_loose_io })
        }
        Err(Interrupted::LeaseLost) => Next::Nothing,
        Err(Interrupted::StoreUnavailable | Interrupted::Paused) => Next::GiveBack,
        Err(Interrupted::Replayed | Interrupted::Crashed) => {
            settled(Outcome::failed(FailureKind::Host, "the program was ended as if in a test"))
        }
    })
}

/// Why an attempt does not go on after the loss of its worker.
fn lost(losses: u32, begins_once: bool) -> String {
    if begins_once {
        return "its worker was lost or stopped, and a program that may be begun only once is not begun again (`on_worker_loss`)"
            .to_owned();
    }
    format!("its worker was lost {losses} times in a row, and no journal entry came in between")
}

/// The run's code.
async fn load_code(context: &Context, digest: &str, log: &Log) -> Result<Code, Next> {
    let cause = match context.sandbox.load(digest, || context.store.load_artifact(digest)).await {
        Ok(code) => {
            context.refused.remove(digest);
            return Ok(code);
        }
        Err(LoadError::Store(StoreError::NotFound(_))) => "the app's code is missing".to_owned(),
        Err(LoadError::Refused(refusal @ Refusal::UnknownImports(_))) => refusal.to_string(),
        Err(LoadError::Store(error)) => return Err(failed_by_store("the app's code could not be read", error)),
        Err(LoadError::Refused(refusal)) => {
            let (message, error) = match refusal {
                Refusal::Host(error) => ("the app's code could not be made ready".to_owned(), Some(error)),
                refusal => (format!("the app's code cannot be run here: {refusal}"), None),
            };
            tracing::error!(digest, error = error.map(tracing::field::display), "{message}");
            return Err(settled(Outcome::failed(FailureKind::Artifact, message)));
        }
    };
    let wait = context.refused.add(digest);
    tracing::warn!(digest, cause, ?wait, "this worker cannot run an app's code, and leaves it to others");
    log.setup(&format!("handed back by a worker that cannot run this version: {cause}"));
    Err(Next::HandBack)
}

/// What becomes of a run whose app cannot be given its secrets.
fn without_secrets(error: SecretError) -> Next {
    match error {
        SecretError::Store(error) => failed_by_store("a secret could not be read", error),
        SecretError::NotSet(_) => settled(Outcome::failed(FailureKind::Error, error.to_string())),
        SecretError::Sealed { .. } => {
            tracing::error!(%error, "an app cannot be given its secrets");
            settled(Outcome::failed(FailureKind::Host, error.to_string()))
        }
    }
}

fn failed_by_store(what: &str, error: StoreError) -> Next {
    match error {
        StoreError::Unavailable(_) => Next::GiveBack,
        StoreError::LeaseLost => Next::Nothing,
        error => {
            tracing::error!(%error, "{what}");
            settled(Outcome::failed(FailureKind::Host, format!("{what}: {error}")))
        }
    }
}

/// The end of an attempt in which no program ran.
fn settled(outcome: Outcome) -> Next {
    Next::Settle(Ended { outcome, usage: Usage::default(), used_loose_io: false })
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
                let outcome = Outcome::failed(FailureKind::Host, error.to_string());
                let (usage, used_loose_io) = (settlement.usage, settlement.used_loose_io);
                settlement = self::settlement(state, Ended { outcome, usage, used_loose_io });
            }
        }
        sleep(RETRY_AFTER).await;
    }
    kill_point::reach("after_settle");
    let kind = settlement.failure.as_ref().map_or("none", |failure| failure.kind.as_str());
    let verdict = settlement.verdict.status().as_str();
    metrics::counter!(ATTEMPTS_ENDED, "verdict" => verdict, "kind" => kind).increment(1);
}

fn settlement(state: run::State, ended: Ended) -> Settlement {
    let Ended { outcome, usage, used_loose_io } = ended;
    let (change, verdict) = (run::settle(state, &outcome), outcome.verdict());
    let (exit_code, failure, output) = match outcome {
        Outcome::Exited { output } => (Some(0), None, output),
        Outcome::Failed { failure, exit_code } | Outcome::NotRetryable { failure, exit_code } => {
            (exit_code, Some(failure), None)
        }
    };
    Settlement { verdict, change, exit_code, failure, output, usage, used_loose_io }
}
