//! Runs, as a caller sees them.

use async_trait::async_trait;
use sqlx::query_as;
use uuid::Uuid;

use super::{Backend, Db, counted, one};
use crate::run::Status;
use crate::store::model::*;
use crate::store::params::{big, containing, int, json, limits, listed, policy, text, whole_seconds, words};
use crate::store::rows::*;
use crate::store::{Apps, PAGE_BYTES, Result, Runs, Store, StoreError, Work};

#[async_trait]
impl Runs for Backend {
    async fn start_run(&self, new: NewRun) -> Result<Started> {
        self.start(new, None).await
    }

    async fn find_run(&self, app: &str, number: i64) -> Result<Run> {
        let query = query_as::<Db, RunRow>(self.statements().find_run).bind(text(app)).bind(number);
        one(self.read(query).await?, || format!("run `{app}#{number}`"))
    }

    async fn list_runs(&self, filter: &RunFilter) -> Result<Vec<Run>> {
        let query = match &filter.app {
            Some(app) => query_as::<Db, RunRow>(self.statements().list_runs_of_app).bind(text(app)),
            None => query_as::<Db, RunRow>(self.statements().list_runs),
        };
        let query = query
            .bind(words(&filter.statuses))
            .bind(filter.created_from.map(|at| at.as_millisecond()))
            .bind(filter.created_until.map(|at| at.as_millisecond()))
            .bind(filter.before)
            .bind(i64::from(filter.limit))
            .bind(i64::from(filter.offset));
        let query = match (&filter.app, &filter.among) {
            (None, among) => query.bind(among.as_deref().map(listed)),
            _ => query,
        };
        decode_all(self.read(query.bind(filter.query.as_deref().map(containing))).await?)
    }

    async fn sample_runs(&self, filter: &RunFilter) -> Result<Vec<RunTimes>> {
        let query = match &filter.app {
            Some(app) => query_as::<Db, RunTimesRow>(self.statements().sample_runs_of_app).bind(text(app)),
            None => query_as::<Db, RunTimesRow>(self.statements().sample_runs),
        };
        let query = query
            .bind(filter.created_from.map(|at| at.as_millisecond()))
            .bind(filter.created_until.map(|at| at.as_millisecond()))
            .bind(filter.query.as_deref().map(containing))
            .bind(i64::from(filter.limit));
        let query = match (&filter.app, &filter.among) {
            (None, among) => query.bind(among.as_deref().map(listed)),
            _ => query,
        };
        decode_all(self.read(query).await?)
    }

    async fn count_runs(&self, filter: &RunFilter) -> Result<u64> {
        let query = match &filter.app {
            Some(app) => query_as::<Db, (i64,)>(self.statements().count_runs_of_app).bind(text(app)),
            None => query_as::<Db, (i64,)>(self.statements().count_runs),
        };
        let query = query
            .bind(words(&filter.statuses))
            .bind(filter.created_from.map(|at| at.as_millisecond()))
            .bind(filter.created_until.map(|at| at.as_millisecond()));
        let query = match (&filter.app, &filter.among) {
            (None, among) => query.bind(among.as_deref().map(listed)),
            _ => query,
        };
        let query = query.bind(filter.query.as_deref().map(containing));
        Ok(counted(&self.read(query).await?))
    }

    async fn list_attempts(&self, run_id: Uuid) -> Result<Vec<Attempt>> {
        decode_all(self.read(query_as::<Db, AttemptRow>(self.statements().list_attempts).bind(run_id)).await?)
    }

    async fn load_run_io(&self, run_id: Uuid) -> Result<RunIo> {
        let query = query_as::<Db, RunIoRow>(self.statements().load_run_io).bind(run_id);
        one(self.read(query).await?, || format!("run {run_id}"))
    }

    async fn cancel_run(&self, app: &str, number: i64) -> Result<Run> {
        let query = query_as::<Db, (Uuid, Option<Uuid>)>(self.statements().cancel_run).bind(text(app)).bind(number);
        let cancelled = self.write(query).await?.pop();
        if let Some((run_id, parent)) = cancelled {
            self.hint_everyone();
            self.wake_parent(parent, run_id).await;
            if let Err(error) = self.cancel_orphans().await {
                tracing::debug!(%error, %run_id, "the children of a cancelled run are left to the next look");
            }
        }
        let run = self.find_run(app, number).await?;
        if cancelled.is_some() {
            return Ok(run);
        }
        Err(StoreError::Conflict(format!("run `{app}#{number}` is already {}", run.status.as_str())))
    }

    async fn describe_queue(&self, run_id: Uuid) -> Result<Queue> {
        let query = query_as::<Db, QueueRow>(self.statements().describe_queue).bind(run_id);
        one(self.read(query).await?, || format!("run {run_id}"))
    }

    async fn list_workers(&self) -> Result<Vec<LiveWorker>> {
        decode_all(self.read(query_as::<Db, LiveWorkerRow>(self.statements().list_workers)).await?)
    }

    async fn count_due_runs(&self) -> Result<DueRuns> {
        one(self.read(query_as::<Db, DueRunsRow>(self.statements().count_due_runs)).await?, || "the queue".to_owned())
    }

    async fn expire_pending_runs(&self) -> Result<u64> {
        Ok(self.write(query_as::<Db, (Uuid,)>(self.statements().expire_pending_runs)).await?.len() as u64)
    }

    async fn cancel_orphans(&self) -> Result<u64> {
        let mut cancelled = 0;
        loop {
            match self.write(query_as::<Db, (Uuid,)>(self.statements().cancel_orphans)).await?.len() as u64 {
                0 => break,
                count => cancelled += count,
            }
        }
        if cancelled > 0 {
            self.hint_everyone();
        }
        Ok(cancelled)
    }

    async fn wake_parents(&self) -> Result<u64> {
        let woken = self.write(query_as::<Db, (Uuid,)>(self.statements().wake_parents)).await?.len() as u64;
        if woken > 0 {
            self.hint_everyone();
        }
        Ok(woken)
    }

    async fn send_event(&self, app: &str, number: i64, event: NewEvent) -> Result<Event> {
        let key = event.key.as_deref().map(text);
        loop {
            let query = query_as::<Db, EventRow>(self.statements().send_event)
                .bind(text(app))
                .bind(number)
                .bind(Uuid::now_v7())
                .bind(text(&event.name))
                .bind(&event.payload)
                .bind(&key);
            if let Some(row) = self.write(query).await?.pop() {
                self.hint_everyone();
                return row.decode();
            }
            if let Some(key) = &key {
                let query =
                    query_as::<Db, EventRow>(self.statements().find_event).bind(text(app)).bind(number).bind(key);
                if let Some(row) = self.read(query).await?.pop() {
                    return row.decode();
                }
            }
            let run = self.find_run(app, number).await?;
            if !run.status.is_active() {
                return Err(StoreError::Conflict(format!("run `{app}#{number}` is already {}", run.status.as_str())));
            }
            // Somebody asked for another attempt of it meanwhile: ask again.
        }
    }

    async fn list_events(&self, run_id: Uuid, after: Option<Uuid>, limit: u32) -> Result<Vec<Event>> {
        let query = query_as::<Db, EventRow>(self.statements().list_events)
            .bind(run_id)
            .bind(after)
            .bind(i64::from(limit))
            .bind(big(PAGE_BYTES));
        decode_all(self.read(query).await?)
    }

    async fn retry_run(&self, app: &str, number: i64, version: Option<u32>) -> Result<Run> {
        loop {
            let query = query_as::<Db, (Uuid,)>(self.statements().retry_run)
                .bind(text(app))
                .bind(number)
                .bind(version.map(int));
            if self.write(query).await?.pop().is_some() {
                self.hint_everyone();
                return self.find_run(app, number).await;
            }
            let run = self.find_run(app, number).await?;
            self.check_app(app, version).await?;
            if !matches!(run.status, Status::Crashed | Status::Errored) {
                let status = run.status.as_str();
                let text = format!("run `{app}#{number}` is {status}; only one that crashed or errored can be retried");
                return Err(StoreError::Conflict(text));
            }
            if let Some(parent) = &run.parent
                && self.find_run(&parent.app, parent.number).await?.status == Status::Cancelled
            {
                let (app, number) = (&parent.app, parent.number);
                let text =
                    format!("run `{}#{}` is a child of `{app}#{number}`, which was cancelled", run.app, run.number);
                return Err(StoreError::Conflict(text));
            }
            let now = self.now().await?;
            if let Some(deadline_at) = run.deadline_at.filter(|deadline_at| *deadline_at <= now) {
                let text = format!("the deadline of run `{app}#{number}` has passed: it was {deadline_at}");
                return Err(StoreError::Conflict(text));
            }
            // It was none of this when the statement looked: ask again.
        }
    }

    async fn fork_run(&self, app: &str, number: i64, from_seq: u32, version: Option<u32>) -> Result<Run> {
        let Some(kept) = from_seq.checked_sub(1) else {
            return Err(StoreError::Conflict("the entries of a journal count from 1".into()));
        };
        loop {
            let query = query_as::<Db, (i64,)>(self.statements().fork_run)
                .bind(Uuid::now_v7())
                .bind(text(app))
                .bind(number)
                .bind(int(from_seq))
                .bind(version.map(int));
            if let Some((fork,)) = self.write(query).await?.pop() {
                self.hint_everyone();
                return self.find_run(app, fork).await;
            }
            let run = self.find_run(app, number).await?;
            self.check_app(app, version).await?;
            let journal = self.load_journal(run.run_id).await?;
            if journal.last().map_or(0, |last| last.seq) < kept {
                return Err(StoreError::NotFound(format!("entry {kept} of run `{app}#{number}`")));
            }
            if let Some(entry) = journal.iter().find(|entry| entry.seq < from_seq && !entry.state.is_final()) {
                let (seq, kind, name) = (entry.seq, entry.kind.as_str(), &entry.name);
                let text = format!("entry {seq} of run `{app}#{number}` ({kind} `{name}`) is not final yet");
                return Err(StoreError::Conflict(text));
            }
            // It was none of this when the statement looked: ask again.
        }
    }
}

impl Backend {
    /// Starts a run, as the child of a run that is held under this lease if there is one.
    pub(super) async fn start(&self, new: NewRun, parent: Option<Lease>) -> Result<Started> {
        let policy = policy(new.policy);
        let (key, request_hash) = new.key.map(|key| (key.key, key.request_hash)).unzip();
        let (parameters, limits) = (json(&new.parameters)?, limits(&new.limits)?);
        loop {
            let query = query_as::<Db, RunRow>(self.statements().start_run)
                .bind(Uuid::now_v7())
                .bind(text(&new.app))
                .bind(new.version.map(int))
                .bind(&new.input)
                .bind(&parameters)
                .bind(policy.max_retries)
                .bind(policy.retry_delay_ms)
                .bind(policy.exponential)
                .bind(new.timeouts.pending.map(whole_seconds))
                .bind(new.timeouts.running.map(whole_seconds))
                .bind(new.scheduled_at.map(|at| at.as_millisecond()))
                .bind(new.initiator.as_deref().map(text))
                .bind(key.as_deref().map(text))
                .bind(&request_hash)
                .bind(new.deadline_at.map(|at| at.as_millisecond()))
                .bind(parent.map(|lease| lease.run_id))
                .bind(parent.map(|lease| lease.fence))
                .bind(&limits);
            if let Some(row) = self.write(query).await?.pop() {
                self.hint_everyone();
                return Ok(Started { run: row.decode()?, is_repeated: false });
            }
            if let Some(lease) = parent {
                let query = query_as::<Db, (Uuid,)>(self.statements().check_lease).bind(lease.run_id).bind(lease.fence);
                self.read(query).await?.pop().ok_or(StoreError::LeaseLost)?;
            }
            if let (Some(key), Some(request_hash)) = (&key, &request_hash) {
                let query = query_as::<Db, StartRow>(self.statements().find_start).bind(text(&new.app)).bind(text(key));
                match self.read(query).await?.pop().map(Row::decode).transpose()? {
                    Some((_, hash)) if hash != *request_hash => return Err(StoreError::KeyReused),
                    Some((run, _)) => return Ok(Started { run, is_repeated: true }),
                    None => {}
                }
            }
            let app = self.check_app(&new.app, new.version).await?;
            if new.version.is_none() && app.active_version.is_none() {
                return Err(StoreError::Conflict(format!("app `{}` has no version yet", app.name)));
            }
            // While the statement waited for the app's row, the active version changed, or the app was enabled: ask
            // again.
        }
    }

    /// Says why an app starts and retries nothing, if that is so, and whether there is such a version.
    async fn check_app(&self, app: &str, version: Option<u32>) -> Result<App> {
        let app = self.find_app(app).await?;
        if app.disabled {
            return Err(StoreError::Conflict(format!("app `{}` is disabled", app.name)));
        }
        match version {
            Some(version) if self.list_versions(&app.name).await?.iter().all(|known| known.number != version) => {
                Err(StoreError::NotFound(format!("version v{version} of app `{}`", app.name)))
            }
            _ => Ok(app),
        }
    }

    /// Tells a run's parent, if it has one, that the run has ended. If this fails, [`Runs::wake_parents`] gets to it. A
    /// statement of its own, because others lock the parent first.
    pub(super) async fn wake_parent(&self, parent: Option<Uuid>, run_id: Uuid) {
        let Some(parent) = parent else { return };
        let query = query_as::<Db, (Uuid,)>(self.statements().wake_parent).bind(parent).bind(run_id);
        match self.write(query).await {
            Ok(_) => self.hint_everyone(),
            Err(error) => tracing::debug!(%error, %run_id, "the parent of a run is left to the next look"),
        }
    }
}
