//! Who works, and what waits for them?

use axum::Json;
use axum::extract::State;
use tokio::time::Instant;

use super::extract::QueryParams;
use super::wire::{Database, DueRuns, WorkersState};
use super::{Api, Problem};

/// List the workers, what waits for them, and how the database is
#[utoipa::path(get, path = "/workers", operation_id = "list_workers", tag = "workers",
    responses((status = 200, body = WorkersState)))]
pub async fn list(State(api): State<Api>, query: QueryParams) -> Result<Json<WorkersState>, Problem> {
    query.finish()?;
    Ok(Json(state(&api).await?))
}

pub async fn state(api: &Api) -> Result<WorkersState, Problem> {
    let begun = Instant::now();
    api.store.ping().await?;
    let answers_in_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let workers = api.store.list_workers().await?;
    let due = api.store.count_due_runs().await?;
    let (slots, held) = workers.iter().fold((0, 0), |(slots, held), worker| (slots + worker.slots, held + worker.held));
    Ok(WorkersState {
        workers: workers.into_iter().map(Into::into).collect(),
        queue: DueRuns::new(due, slots, held),
        database: Database { kind: api.store.kind().to_owned(), answers_in_ms },
    })
}
