//! Who runs what, when? [`work`] is one worker: it opens a session, claims runs as far as it has
//! free slots, keeps its right to them, executes them and writes how they ended. What it may
//! touch of the world it reaches through the store and the sandbox. When the session is lost, it
//! drops every guest and begins again with a new session.

mod attempt;
mod held;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::attempt::Context;
use self::held::Held;
use self::refused::Refused;
use crate::executor::{Executor, Isolation};
use crate::journal::JournalWriter;
use crate::kill_point;
use crate::log::LogWriter;
use crate::numbers::{Number, fixed, time};
use crate::sandbox::Sandbox;
use crate::store::{Store, StoreError, WorkerSession};
use crate::telemetry::{ATTEMPTS_RUNNING, CLAIM_SECONDS, RUNS_CLAIMED, SLOTS};
use crate::vault::Vault;

/// How long a worker that found nothing waits before it looks again, if no hint comes. Hints may
/// be missed, so this bounds the wait.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// A run that is due and was not claimed is being claimed by another worker, or left to others.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often a worker asks which runs it still has, if no hint comes: a cancelled guest is to stop within 1 s (R12).
const RECONCILE_EVERY: Duration = Duration::from_millis(500);
/// How often at most, if hints come all the time. A cancel is one, and its guest is to stop within 100 ms. Source: V1.
const RECONCILE_AT_MOST_EVERY: Duration = Duration::from_millis(50);
/// How often every worker looks for lost ones.
const REAP_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after the database failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// A third of the lease, so that two renewals may be lost before the runs are given to another.
const RENEWALS_PER_LEASE: u32 = 3;
/// How long a drained worker lets running guests come to an end, or to their next step.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// The numbers of workers.
pub fn numbers() -> Vec<Number> {
    vec![
        fixed("V1", "how often a worker asks which of its runs were cancelled", time(RECONCILE_EVERY)),
        fixed("V20", "what a drained worker waits for running programs", time(DRAIN_TIME)),
    ]
}

/// What a worker needs to know of itself.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// For people, as in `host:pid`.
    pub name: String,
    /// How many runs at once.
    pub slots: usize,
    /// How long a session lives without a renewal.
    pub lease: Duration,
    /// Where guests run.
    pub isolation: Isolation,
}

/// Tells a worker to end. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Shutdown {
    /// A switch that is off.
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// No new runs; running ones may end or come to their next step, for at most
    /// ten seconds; the rest is given back.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// At once: guests are dropped, and their runs given back.
    pub fn stop(&self) {
        self.drain.cancel();
        self.stop.cancel();
    }

    /// Returns when draining has been asked for.
    pub async fn drained(&self) {
        self.drain.cancelled().await;
    }
}

/// Runs one worker until it is drained or stopped.
pub async fn work(
    store: Arc<dyn Store>,
    sandbox: Sandbox,
    vault: Arc<Vault>,
    options: WorkerOptions,
    shutdown: Shutdown,
) -> Result<()> {
    let context = Context {
        journal: JournalWriter::start(store.clone()),
        logs: LogWriter::start(store.clone()),
        store: store.clone(),
        executor: Executor::new(sandbox.clone(), options.isolation),
        sandbox,
        vault,
        refused: Arc::new(Refused::default()),
        pause: shutdown.drain.clone(),
    };
    let mut worker = Worker {
        store,
        context,
        shutdown: shutdown.clone(),
        slots: Arc::new(Semaphore::new(options.slots)),
        held: Mutex::new(Held::default()),
        attempts: Mutex::new(JoinSet::new()),
        may_be_due: Notify::new(),
        may_be_taken: Notify::new(),
    };
    metrics::gauge!(SLOTS).set(options.slots as f64);
    while let Some(session) = worker.open_session(&options).await {
        tracing::info!(worker = options.name, slots = options.slots, "worker ready");
        match worker.serve(&session).await {
            End::Lost => {
                tracing::warn!("the session was lost: its runs go on elsewhere");
                worker.drop_guests().await;
            }
            End::Drained => {
                worker.drop_guests().await;
                if let Err(error) = worker.store.close_session(&session).await {
                    tracing::warn!(%error, "the session could not be closed; it will be reaped");
                }
                break;
            }
        }
    }
    Ok(())
}

struct Worker {
    store: Arc<dyn Store>,
    context: Context,
    shutdown: Shutdown,
    slots: Arc<Semaphore>,
    /// The runs that are executed here. Locked while runs are claimed, so that a claim's answer
    /// and the comparison with the database never cross.
    held: Mutex<Held>,
    attempts: Mutex<JoinSet<()>>,
    /// A hint came: there may be runs to claim.
    may_be_due: Notify,
    /// A hint came: a run of ours may have been cancelled.
    may_be_taken: Notify,
}

/// An attempt that is counted until it is over, or dropped.
struct Running;

impl Running {
    fn new() -> Running {
        metrics::gauge!(ATTEMPTS_RUNNING).increment(1.0);
        Running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!(ATTEMPTS_RUNNING).decrement(1.0);
    }
}

enum End {
    Lost,
    Drained,
}

impl Worker {
    /// Opens a session, however long the database is away. `None` once drained.
    async fn open_session(&self, options: &WorkerOptions) -> Option<WorkerSession> {
        let slots = options.slots.try_into().unwrap_or(u32::MAX);
        loop {
            let opened = tokio::select! {
                opened = self.store.open_session(&options.name, slots, options.lease) => opened,
                () = self.shutdown.drained() => return None,
            };
            match opened {
                Ok(session) => return Some(session),
                Err(error) => {
                    tracing::warn!(%error, "no session; trying again");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    async fn serve(&self, session: &WorkerSession) -> End {
        tokio::select! {
            end = self.claim_until_drained(session) => end,
            end = self.renew_until_lost(session) => end,
            () = self.reconcile_forever(session) => End::Lost,
            () = self.reap_forever() => End::Lost,
            () = self.hear_hints() => End::Lost,
        }
    }

    async fn claim_until_drained(&self, session: &WorkerSession) -> End {
        loop {
            let free = tokio::select! {
                biased;
                () = self.shutdown.drained() => break,
                // Waits for one slot, then counts them all.
                permit = self.slots.acquire() => permit.map_or(0, |_one| self.slots.available_permits() + 1),
            };
            let claimed = tokio::select! {
                claimed = self.claim(session, free) => claimed,
                () = self.shutdown.drained() => break,
            };
            match claimed {
                Ok(0) => self.wait_for_work().await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "no runs could be claimed; trying again");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
        let mut attempts = self.attempts.lock().await;
        while attempts.try_join_next().is_some() {}
        tracing::info!(running = attempts.len(), "draining: no new runs");
        let ended = async { while attempts.join_next().await.is_some() {} };
        tokio::select! {
            _ = timeout(DRAIN_TIME, ended) => {}
            () = self.shutdown.stop.cancelled() => {}
        }
        End::Drained
    }

    /// Claims up to `free` runs and starts them. Returns how many.
    async fn claim(&self, session: &WorkerSession, free: usize) -> Result<usize, StoreError> {
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        let loaded = self.context.sandbox.loaded_digests();
        let mut held = self.held.lock().await;
        let refused = self.context.refused.digests();
        let begun = Instant::now();
        let assignments = self.store.claim_runs(session, limit, &loaded, &refused).await?;
        let claimed = assignments.len();
        metrics::histogram!(CLAIM_SECONDS).record(begun.elapsed());
        metrics::counter!(RUNS_CLAIMED).increment(claimed as u64);
        let mut attempts = self.attempts.lock().await;
        while attempts.try_join_next().is_some() {}
        for assignment in assignments {
            kill_point::reach("after_claim");
            let Ok(slot) = self.slots.clone().try_acquire_owned() else {
                // Not reached: no more is claimed than is free, and only this loop takes slots.
                break;
            };
            let holding = held.add(assignment.lease);
            let context = self.context.clone();
            let attempt = async move {
                let _counted = Running::new();
                attempt::execute(context, assignment, holding).await;
                drop(slot);
            };
            attempts.spawn(attempt);
        }
        Ok(claimed)
    }

    async fn wait_for_work(&self) {
        let due = match self.store.next_due_in().await {
            Ok(Some(Duration::ZERO)) => LOOK_AGAIN,
            Ok(Some(due)) => due.min(POLL_EVERY),
            Ok(None) | Err(_) => POLL_EVERY,
        };
        tokio::select! {
            () = self.may_be_due.notified() => {}
            () = sleep(due) => {}
            () = self.shutdown.drained() => {}
        }
    }

    /// A hint is for all who wait for something here.
    async fn hear_hints(&self) {
        loop {
            self.store.wait_for_hint().await;
            self.may_be_due.notify_one();
            self.may_be_taken.notify_one();
        }
    }

    async fn renew_until_lost(&self, session: &WorkerSession) -> End {
        loop {
            sleep(session.lease / RENEWALS_PER_LEASE).await;
            kill_point::reach("before_renew");
            match self.store.renew_session(session).await {
                Ok(()) => {}
                Err(StoreError::LeaseLost) => return End::Lost,
                Err(error) => tracing::warn!(%error, "the session could not be renewed; trying again"),
            }
        }
    }

    /// Compares what is executed here with what the database says is ours: stops the guests of
    /// runs that were taken away or cancelled, and gives back runs whose claim's answer was lost.
    async fn reconcile_forever(&self, session: &WorkerSession) {
        loop {
            let hinted = async {
                sleep(RECONCILE_AT_MOST_EVERY).await;
                self.may_be_taken.notified().await;
            };
            // In either case it is time to look.
            let _ = timeout(RECONCILE_EVERY, hinted).await;
            let mut held = self.held.lock().await;
            let ours = match self.store.list_held(session).await {
                Ok(ours) => ours,
                Err(error) => {
                    tracing::warn!(%error, "the runs of this worker could not be compared; trying again");
                    continue;
                }
            };
            for lost in held.reconcile(&ours) {
                if let Err(error) = self.store.give_back(lost).await {
                    tracing::warn!(%error, "a run whose claim was lost could not be given back; trying again");
                }
            }
        }
    }

    async fn reap_forever(&self) {
        loop {
            match self.store.reap_sessions().await {
                Ok(0) => {}
                Ok(runs) => tracing::info!(runs, "runs were taken from lost workers"),
                Err(error) => tracing::warn!(%error, "lost workers could not be looked for; trying again"),
            }
            sleep(REAP_EVERY).await;
        }
    }

    /// Ends every guest that still runs.
    async fn drop_guests(&mut self) {
        self.attempts.get_mut().shutdown().await;
        self.held.get_mut().clear();
    }
}
