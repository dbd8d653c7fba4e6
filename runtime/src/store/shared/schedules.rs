//! Schedules and their ticks.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::query_as;
use uuid::Uuid;

use super::{Backend, Db, counted, one, time_left};
use crate::store::errors::{is_orphan, is_taken};
use crate::store::model::*;
use crate::store::params::{json, listed, text};
use crate::store::rows::*;
use crate::store::{Result, Schedules, StoreError};

#[async_trait]
impl Schedules for Backend {
    async fn create_schedule(
        &self,
        app: &str,
        name: &str,
        settings: &ScheduleSettings,
        next_tick_at: Timestamp,
    ) -> Result<Schedule> {
        let schedule_id = Uuid::now_v7();
        let query = query_as::<Db, (Uuid,)>(self.statements().create_schedule)
            .bind(schedule_id)
            .bind(text(app))
            .bind(text(name))
            .bind(text(&settings.cron))
            .bind(text(&settings.timezone))
            .bind(settings.skips_overlap)
            .bind(settings.is_paused)
            .bind(json(&settings.parameters)?)
            .bind(next_tick_at.as_millisecond());
        let row = match self.write(query).await {
            Err(error) if is_orphan(&error) => None,
            answer => answer.map_err(|error| taken(name, error))?.pop(),
        };
        row.ok_or_else(|| StoreError::NotFound(format!("app `{app}`")))?;
        self.find_schedule(&schedule_id.to_string()).await
    }

    async fn find_schedule(&self, id_or_name: &str) -> Result<Schedule> {
        let query = query_as::<Db, ScheduleRow>(self.statements().find_schedule)
            .bind(Uuid::parse_str(id_or_name).ok())
            .bind(text(id_or_name));
        one(self.read(query).await?, || format!("schedule `{id_or_name}`"))
    }

    async fn list_schedules(
        &self,
        app: Option<&str>,
        among: Option<&[String]>,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<Schedule>> {
        let query = query_as::<Db, ScheduleRow>(self.statements().list_schedules)
            .bind(app.map(text))
            .bind(i64::from(limit))
            .bind(i64::from(offset))
            .bind(among.map(listed));
        decode_all(self.read(query).await?)
    }

    async fn count_schedules(&self, app: Option<&str>, among: Option<&[String]>) -> Result<u64> {
        let query = query_as::<Db, (i64,)>(self.statements().count_schedules).bind(app.map(text));
        let query = query.bind(among.map(listed));
        Ok(counted(&self.read(query).await?))
    }

    async fn update_schedule(
        &self,
        schedule_id: Uuid,
        name: &str,
        settings: &ScheduleSettings,
        next_tick_at: Timestamp,
    ) -> Result<Schedule> {
        let query = query_as::<Db, (Uuid,)>(self.statements().update_schedule)
            .bind(schedule_id)
            .bind(text(name))
            .bind(text(&settings.cron))
            .bind(text(&settings.timezone))
            .bind(settings.skips_overlap)
            .bind(settings.is_paused)
            .bind(json(&settings.parameters)?)
            .bind(next_tick_at.as_millisecond());
        self.write(query).await.map_err(|error| taken(name, error))?;
        self.find_schedule(&schedule_id.to_string()).await
    }

    async fn delete_schedule(&self, schedule_id: Uuid) -> Result<()> {
        let row = self.write(query_as::<Db, (Uuid,)>(self.statements().delete_schedule).bind(schedule_id)).await?.pop();
        row.map(drop).ok_or_else(|| StoreError::NotFound(format!("schedule `{schedule_id}`")))
    }

    async fn next_tick_in(&self) -> Result<Option<Duration>> {
        Ok(time_left(&self.read(query_as::<Db, (Option<i64>,)>(self.statements().next_tick_in)).await?))
    }

    async fn list_due_schedules(&self) -> Result<Vec<Schedule>> {
        decode_all(self.read(query_as::<Db, ScheduleRow>(self.statements().list_due_schedules)).await?)
    }

    async fn fire_schedule(&self, schedule: &Schedule, next_tick_at: Timestamp) -> Result<bool> {
        let query = query_as::<Db, (bool,)>(self.statements().fire_schedule)
            .bind(Uuid::now_v7())
            .bind(schedule.schedule_id)
            .bind(schedule.next_tick_at.as_millisecond())
            .bind(next_tick_at.as_millisecond());
        let is_started = self.write(query).await?.pop().is_some_and(|(is_started,)| is_started);
        if is_started {
            self.hint_everyone();
        }
        Ok(is_started)
    }
}

fn taken(name: &str, error: sqlx::Error) -> StoreError {
    match is_taken(&error) {
        true => StoreError::Conflict(format!("schedule `{name}` exists already")),
        false => error.into(),
    }
}
