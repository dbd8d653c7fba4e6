//! What starts, or is given up, at its time? Each server runs [`watch`]: it starts the runs of
//! schedules whose tick has come, cancels runs for which no worker came in time, and sees to it that
//! parents and children hear of each other's end. Any number of servers may do so at once: the store
//! lets one of them win. Ticks that were missed while no server ran become one run.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cron::Ticks;
use crate::store::{Schedule, Store, StoreError};

/// How late a tick may be, if the schedule was made or changed on another server.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches the clock until `closing`.
pub async fn watch(store: Arc<dyn Store>, closing: CancellationToken) {
    loop {
        let wait = match look(&*store).await {
            Ok(next) => next.map_or(LOOK_EVERY, |next| next.min(LOOK_EVERY)),
            Err(error) => {
                tracing::warn!(%error, "schedules could not be looked at; trying again");
                LOOK_EVERY
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = closing.cancelled() => return,
        }
    }
}

/// Does what is due. Returns how long to wait until the next tick.
async fn look(store: &dyn Store) -> Result<Option<Duration>, StoreError> {
    let expired = store.expire_pending_runs().await?;
    if expired > 0 {
        tracing::info!(runs = expired, "runs were cancelled: no worker came in time");
    }
    let orphans = store.cancel_orphans().await?;
    if orphans > 0 {
        tracing::info!(runs = orphans, "runs were cancelled: the run that started them was");
    }
    let parents = store.wake_parents().await?;
    if parents > 0 {
        tracing::info!(runs = parents, "runs were woken: a run that they waited for has ended");
    }
    let next = store.next_tick_in().await?;
    if !next.is_some_and(|next| next.is_zero()) {
        return Ok(next);
    }
    let mut failed = false;
    for schedule in store.list_due_schedules().await? {
        match fire(store, &schedule).await {
            Ok(()) => {}
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            // The others are to tick all the same.
            Err(error) => {
                tracing::error!(schedule = schedule.name, %error, "a schedule did not tick; trying again");
                failed = true;
            }
        }
    }
    if failed { Ok(Some(LOOK_EVERY)) } else { store.next_tick_in().await }
}

async fn fire(store: &dyn Store, schedule: &Schedule) -> Result<(), StoreError> {
    let ticks = Ticks::parse(&schedule.settings.cron, &schedule.settings.timezone);
    let next = ticks.map_err(|error| error.to_string());
    let now = store.now().await?;
    match next.and_then(|ticks| ticks.after(now).ok_or_else(|| "there is no tick after this one".into())) {
        Ok(next) => {
            if store.fire_schedule(schedule, next).await? {
                tracing::info!(schedule = schedule.name, app = schedule.app, "a run was started by its schedule");
            }
            Ok(())
        }
        // It was checked when it was kept, by a build that may have known more time zones.
        Err(error) => {
            tracing::error!(schedule = schedule.name, error, "a schedule ticks no more: it is paused");
            let settings = crate::store::ScheduleSettings { is_paused: true, ..schedule.settings.clone() };
            store.update_schedule(schedule.schedule_id, &schedule.name, &settings, schedule.next_tick_at).await?;
            Ok(())
        }
    }
}
