//! Runs, as a caller sees them.

use async_trait::async_trait;
use sqlx::query_as;
use uuid::Uuid;

use super::{Backend, Db, counted, one};
use crate::store::model::*;
use crate::store::params::{int, json, policy, text, whole_seconds, words};
use crate::store::rows::*;
use crate::store::{Apps, Result, Runs, StoreError};

#[async_trait]
impl Runs for Backend {
    async fn start_run(&self, new: NewRun) -> Result<Started> {
        let policy = policy(new.policy);
        let (key, request_hash) = new.key.map(|key| (key.key, key.request_hash)).unzip();
        let parameters = json(&new.parameters)?;
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
                .bind(&request_hash);
            if let Some(row) = self.write(query).await?.pop() {
                self.hint_everyone();
                return Ok(Started { run: row.decode()?, is_repeated: false });
            }
            if let (Some(key), Some(request_hash)) = (&key, &request_hash) {
                let query = query_as::<Db, StartRow>(self.statements().find_start).bind(text(&new.app)).bind(text(key));
                match self.read(query).await?.pop().map(Row::decode).transpose()? {
                    Some((_, hash)) if hash != *request_hash => return Err(StoreError::KeyReused),
                    Some((run, _)) => return Ok(Started { run, is_repeated: true }),
                    None => {}
                }
            }
            let app = self.find_app(&new.app).await?;
            if app.disabled {
                return Err(StoreError::Conflict(format!("app `{}` is disabled", app.name)));
            }
            match new.version {
                Some(version) if self.list_versions(&app.name).await?.iter().all(|known| known.number != version) => {
                    return Err(StoreError::NotFound(format!("version v{version} of app `{}`", app.name)));
                }
                None if app.active_version.is_none() => {
                    return Err(StoreError::Conflict(format!("app `{}` has no version yet", app.name)));
                }
                // While the statement waited for the app's row, the active version changed, or the app was enabled: ask
                // again.
                _ => {}
            }
        }
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
        let query = query_as::<Db, (Uuid,)>(self.statements().cancel_run).bind(text(app)).bind(number);
        let is_cancelled = self.write(query).await?.pop().is_some();
        if is_cancelled {
            self.hint_everyone();
        }
        let run = self.find_run(app, number).await?;
        if is_cancelled {
            return Ok(run);
        }
        Err(StoreError::Conflict(format!("run `{app}#{number}` is already {}", run.status.as_str())))
    }

    async fn describe_queue(&self, run_id: Uuid) -> Result<Queue> {
        let query = query_as::<Db, QueueRow>(self.statements().describe_queue).bind(run_id);
        one(self.read(query).await?, || format!("run {run_id}"))
    }

    async fn expire_pending_runs(&self) -> Result<u64> {
        Ok(self.write(query_as::<Db, (Uuid,)>(self.statements().expire_pending_runs)).await?.len() as u64)
    }
}
