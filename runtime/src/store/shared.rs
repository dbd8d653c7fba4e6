//! What both databases do in the same way. This file is compiled twice, once inside
//! `postgres` and once inside `sqlite`: each provides the names of the next line, and reads and
//! writes in its own manner. So every line below has plain types, and none is written twice.

use super::{Backend, Db, batches, sessions};

use std::time::Duration;

use async_trait::async_trait;
use sqlx::query_as;
use uuid::Uuid;

use crate::run::{Change, Status};
use crate::store::errors::is_taken;
use crate::store::model::*;
use crate::store::params::{big, int, json, milliseconds, policy, text};
use crate::store::rows::*;
use crate::store::{Result, Store, StoreError};

#[async_trait]
impl Store for Backend {
    async fn create_app(&self, name: &str) -> Result<App> {
        let query = query_as::<Db, AppRow>(self.statements().create_app).bind(text(name));
        match self.write(query).await {
            Ok(rows) => one(rows, || format!("app `{name}`")),
            Err(error) if is_taken(&error) => Err(StoreError::Conflict(format!("app `{name}` exists already"))),
            Err(error) => Err(error.into()),
        }
    }

    async fn find_app(&self, name: &str) -> Result<App> {
        let query = query_as::<Db, AppRow>(self.statements().find_app).bind(text(name));
        one(self.read(query).await?, || format!("app `{name}`"))
    }

    async fn list_apps(&self) -> Result<Vec<App>> {
        decode_all(self.read(query_as::<Db, AppRow>(self.statements().list_apps)).await?)
    }

    async fn add_version(&self, app: &str, upload: Upload) -> Result<Version> {
        let policy = policy(upload.policy);
        let settings = json(&upload.settings)?;
        loop {
            let query = query_as::<Db, VersionRow>(self.statements().add_version)
                .bind(text(app))
                .bind(upload.digest.clone())
                .bind(upload.component.clone())
                .bind(settings.clone())
                .bind(policy.max_retries)
                .bind(policy.retry_delay_ms)
                .bind(policy.exponential);
            if let Some(row) = self.write(query).await?.pop() {
                return row.decode();
            }
            // Either there is no such app, or another upload came first and it is our turn now.
            self.find_app(app).await?;
        }
    }

    async fn list_versions(&self, app: &str) -> Result<Vec<Version>> {
        let query = query_as::<Db, VersionRow>(self.statements().list_versions).bind(text(app));
        decode_all(self.read(query).await?)
    }

    async fn load_artifact(&self, digest: &str) -> Result<Vec<u8>> {
        let query = query_as::<Db, (Vec<u8>,)>(self.statements().load_artifact).bind(text(digest));
        let row = self.read(query).await?.pop();
        row.map(|(component,)| component).ok_or_else(|| StoreError::NotFound(format!("artifact {digest}")))
    }

    async fn start_run(&self, new: NewRun) -> Result<Run> {
        let policy = policy(new.policy);
        let query = query_as::<Db, RunRow>(self.statements().start_run)
            .bind(Uuid::now_v7())
            .bind(text(&new.app))
            .bind(new.version.map(int))
            .bind(new.input)
            .bind(json(&new.parameters)?)
            .bind(policy.max_retries)
            .bind(policy.retry_delay_ms)
            .bind(policy.exponential);
        if let Some(row) = self.write(query).await?.pop() {
            self.hint_everyone();
            return row.decode();
        }
        let app = self.find_app(&new.app).await?;
        match new.version {
            Some(version) => Err(StoreError::NotFound(format!("version v{version} of app `{}`", app.name))),
            None => Err(StoreError::Conflict(format!("app `{}` has no version yet", app.name))),
        }
    }

    async fn find_run(&self, app: &str, number: i64) -> Result<Run> {
        let query = query_as::<Db, RunRow>(self.statements().find_run).bind(text(app)).bind(number);
        one(self.read(query).await?, || format!("run `{app}#{number}`"))
    }

    async fn list_runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        let query = match filter.app {
            Some(app) => query_as::<Db, RunRow>(self.statements().list_runs_of_app).bind(text(&app)),
            None => query_as::<Db, RunRow>(self.statements().list_runs),
        };
        let query = query.bind(filter.status.map(Status::as_str)).bind(filter.before).bind(i64::from(filter.limit));
        decode_all(self.read(query).await?)
    }

    async fn list_attempts(&self, run_id: Uuid) -> Result<Vec<Attempt>> {
        decode_all(self.read(query_as::<Db, AttemptRow>(self.statements().list_attempts).bind(run_id)).await?)
    }

    async fn load_run_io(&self, run_id: Uuid) -> Result<RunIo> {
        let query = query_as::<Db, RunIoRow>(self.statements().load_run_io).bind(run_id);
        one(self.read(query).await?, || format!("run {run_id}"))
    }

    async fn cancel_run(&self, app: &str, number: i64) -> Result<Run> {
        let query = query_as::<Db, RunRow>(self.statements().cancel_run).bind(text(app)).bind(number);
        if let Some(row) = self.write(query).await?.pop() {
            self.hint_everyone();
            return row.decode();
        }
        let run = self.find_run(app, number).await?;
        Err(StoreError::Conflict(format!("run `{app}#{number}` is already {}", run.status.as_str())))
    }

    async fn open_session(&self, name: &str, lease: Duration) -> Result<WorkerSession> {
        let session = WorkerSession { worker_id: Uuid::now_v7(), lease };
        sessions::open(self, &session, name).await?;
        Ok(session)
    }

    async fn renew_session(&self, session: &WorkerSession) -> Result<()> {
        sessions::renew(self, session).await
    }

    async fn close_session(&self, session: &WorkerSession) -> Result<()> {
        let query = query_as::<Db, (Uuid,)>(self.statements().close_session).bind(session.worker_id);
        if !self.write(query).await?.is_empty() {
            self.hint_everyone();
        }
        sessions::forget(self, session.worker_id);
        Ok(())
    }

    async fn claim_runs(&self, session: &WorkerSession, limit: u32) -> Result<Vec<Assignment>> {
        let query =
            query_as::<Db, AssignmentRow>(self.statements().claim_runs).bind(session.worker_id).bind(i64::from(limit));
        decode_all(self.write(query).await?)
    }

    async fn list_held(&self, session: &WorkerSession) -> Result<Vec<Lease>> {
        decode_all(self.read(query_as::<Db, LeaseRow>(self.statements().list_held).bind(session.worker_id)).await?)
    }

    async fn give_back(&self, lease: Lease) -> Result<()> {
        let query = query_as::<Db, (Uuid,)>(self.statements().give_back).bind(lease.run_id).bind(lease.fence);
        self.write(query).await?.pop().ok_or(StoreError::LeaseLost)?;
        self.hint_everyone();
        Ok(())
    }

    async fn settle_run(&self, lease: Lease, settlement: Settlement) -> Result<()> {
        let (status, delay_ms, forget_failed_step) = match settlement.change {
            Change::Finish(status) => (status, None, false),
            Change::Retry { after, forget_failed_step } => {
                (Status::Retrying, Some(milliseconds(after)), forget_failed_step)
            }
        };
        let failure = settlement.failure.as_ref();
        let query = query_as::<Db, (Uuid,)>(self.statements().settle_run)
            .bind(lease.run_id)
            .bind(lease.fence)
            .bind(status.as_str())
            .bind(delay_ms)
            .bind(forget_failed_step)
            .bind(settlement.status.as_str())
            .bind(settlement.exit_code)
            .bind(failure.map(|failure| failure.kind.as_str()))
            .bind(failure.map(|failure| text(&failure.message)))
            .bind(failure.and_then(|failure| failure.backtrace.as_deref()).map(text))
            .bind(big(settlement.fuel_used))
            .bind(big(settlement.peak_memory_bytes))
            .bind(settlement.output);
        self.write(query).await?.pop().ok_or(StoreError::LeaseLost)?;
        if delay_ms.is_some() {
            self.hint_here();
        }
        Ok(())
    }

    async fn reap_sessions(&self) -> Result<u64> {
        sessions::end_lost(self).await?;
        let taken = self.write(query_as::<Db, (Uuid,)>(self.statements().take_away_runs)).await?;
        if !taken.is_empty() {
            self.hint_everyone();
        }
        Ok(taken.len() as u64)
    }

    async fn next_due_in(&self) -> Result<Option<Duration>> {
        let row = self.read(query_as::<Db, (Option<i64>,)>(self.statements().next_due_in)).await?.pop();
        let milliseconds = row.and_then(|(milliseconds,)| milliseconds);
        Ok(milliseconds.map(|milliseconds| Duration::from_millis(milliseconds.try_into().unwrap_or(0))))
    }

    async fn wait_for_hint(&self) {
        self.wait().await;
    }

    async fn load_journal(&self, run_id: Uuid) -> Result<Vec<JournalEntry>> {
        decode_all(self.read(query_as::<Db, JournalRow>(self.statements().load_journal).bind(run_id)).await?)
    }

    async fn append_journal(&self, entries: &[(Lease, JournalEntry)]) -> Result<Vec<bool>> {
        batches::append_journal(self, entries).await
    }

    async fn append_logs(&self, lines: &[(Lease, LogLine)]) -> Result<u64> {
        batches::append_logs(self, lines).await
    }

    async fn list_logs(&self, run_id: Uuid, filter: LogFilter) -> Result<Vec<LogLine>> {
        let query = query_as::<Db, LogRow>(self.statements().list_logs)
            .bind(run_id)
            .bind(filter.after_line)
            .bind(filter.attempt.map(int))
            .bind(i64::from(filter.limit));
        decode_all(self.read(query).await?)
    }

    async fn create_token(&self, token: NewToken) -> Result<Token> {
        let query = query_as::<Db, TokenRow>(self.statements().create_token)
            .bind(text(&token.token_id))
            .bind(text(&token.name))
            .bind(token.secret_hash);
        match self.write(query).await {
            Ok(rows) => Ok(one(rows, || format!("token `{}`", token.token_id))?.1),
            Err(error) if is_taken(&error) => {
                Err(StoreError::Conflict(format!("token `{}` exists already", token.token_id)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn find_token(&self, token_id: &str) -> Result<(Vec<u8>, Token)> {
        let query = query_as::<Db, TokenRow>(self.statements().find_token).bind(text(token_id));
        one(self.read(query).await?, || format!("token `{token_id}`"))
    }

    async fn list_tokens(&self) -> Result<Vec<Token>> {
        let tokens = decode_all(self.read(query_as::<Db, TokenRow>(self.statements().list_tokens)).await?)?;
        Ok(tokens.into_iter().map(|(_, token)| token).collect())
    }

    async fn revoke_token(&self, token_id: &str) -> Result<()> {
        let query = query_as::<Db, (String,)>(self.statements().revoke_token).bind(text(token_id));
        let row = self.write(query).await?.pop();
        row.map(drop).ok_or_else(|| StoreError::NotFound(format!("token `{token_id}`")))
    }

    async fn ping(&self) -> Result<()> {
        self.read(query_as::<Db, (i32,)>(self.statements().ping)).await?;
        Ok(())
    }
}

fn one<R: Row>(mut rows: Vec<R>, what: impl FnOnce() -> String) -> Result<R::Value> {
    rows.pop().ok_or_else(|| StoreError::NotFound(what()))?.decode()
}
