//! Apps and their versions.

use async_trait::async_trait;
use sqlx::query_as;

use super::{Backend, Db, counted, one};
use crate::run::Status;
use crate::store::errors::{is_orphan, is_taken};
use crate::store::model::*;
use crate::store::params::{containing, int, json, limits, listed, only, policy, sort, text, whole_seconds};
use crate::store::rows::*;
use crate::store::{Apps, Result, Runs, StoreError};

#[async_trait]
impl Apps for Backend {
    async fn create_app(&self, name: &str, description: &str) -> Result<App> {
        let query = query_as::<Db, AppRow>(self.statements().create_app).bind(text(name)).bind(text(description));
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

    async fn list_apps(&self, filter: &AppFilter) -> Result<Vec<App>> {
        let query = query_as::<Db, AppRow>(self.statements().list_apps)
            .bind(filter.query.as_deref().map(containing))
            .bind(filter.only.map(only))
            .bind(sort(filter.sort))
            .bind(i64::from(filter.limit))
            .bind(i64::from(filter.offset))
            .bind(filter.among.as_deref().map(listed));
        decode_all(self.read(query).await?)
    }

    async fn count_apps(&self, filter: &AppFilter) -> Result<u64> {
        let query = query_as::<Db, (i64,)>(self.statements().count_apps)
            .bind(filter.query.as_deref().map(containing))
            .bind(filter.only.map(only))
            .bind(filter.among.as_deref().map(listed));
        Ok(counted(&self.read(query).await?))
    }

    async fn update_app(&self, name: &str, revision: Option<i64>, change: AppChange) -> Result<App> {
        let policy = policy(change.policy);
        let query = query_as::<Db, (String,)>(self.statements().update_app)
            .bind(text(name))
            .bind(revision)
            .bind(change.description.as_deref().map(text))
            .bind(change.disabled)
            .bind(policy.max_retries)
            .bind(policy.retry_delay_ms)
            .bind(policy.exponential)
            .bind(change.pending_timeout.is_some())
            .bind(change.pending_timeout.flatten().map(whole_seconds))
            .bind(change.running_timeout.is_some())
            .bind(change.running_timeout.flatten().map(whole_seconds))
            .bind(change.limits.is_some())
            .bind(change.limits.as_ref().map(limits).transpose()?.flatten())
            .bind(change.active_version.map(int));
        let changed = self.write(query).await?.pop();
        let app = self.find_app(name).await?;
        changed.map(|_| app).ok_or_else(|| StoreError::Outdated(format!("app `{name}`")))
    }

    async fn delete_app(&self, name: &str, revision: Option<i64>) -> Result<()> {
        loop {
            let query = query_as::<Db, (String,)>(self.statements().delete_app).bind(text(name)).bind(revision);
            match self.write(query).await {
                // One of its runs is active again: somebody asked for another attempt.
                Err(error) if is_orphan(&error) => {}
                answer => {
                    if answer?.pop().is_some() {
                        return Ok(());
                    }
                }
            }
            let app = self.find_app(name).await?;
            if revision.is_some_and(|revision| revision != app.revision) {
                return Err(StoreError::Outdated(format!("app `{name}`")));
            }
            let active =
                RunFilter { app: Some(name.to_owned()), statuses: Status::ACTIVE.to_vec(), ..RunFilter::default() };
            match self.count_runs(&active).await? {
                // A run was started, and is over, since the statement began.
                0 => {}
                1 => return Err(StoreError::Conflict(format!("app `{name}` has an active run"))),
                count => return Err(StoreError::Conflict(format!("app `{name}` has {count} active runs"))),
            }
        }
    }

    async fn add_version(&self, app: &str, upload: Upload) -> Result<Version> {
        let policy = policy(upload.policy);
        let (settings, imports) = (json(&upload.settings)?, json(&upload.imports)?);
        loop {
            let query = query_as::<Db, VersionRow>(self.statements().add_version)
                .bind(text(app))
                .bind(upload.digest.clone())
                .bind(upload.component.clone())
                .bind(settings.clone())
                .bind(policy.max_retries)
                .bind(policy.retry_delay_ms)
                .bind(policy.exponential)
                .bind(imports.clone())
                .bind(upload.only_over.map(int));
            if let Some(row) = self.write(query).await?.pop() {
                return row.decode();
            }
            // Either there is no such app, or another upload came first and it is our turn now.
            let found = self.find_app(app).await?;
            if upload.only_over.is_some_and(|over| over != found.active_version.unwrap_or(0)) {
                return Err(StoreError::Outdated(format!("app `{app}`")));
            }
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
}
