//! What did a run ask of other hosts? Each request it made or was refused, in pages.

use axum::Json;
use axum::extract::State;

use super::extract::{QueryParams, RunRef};
use super::wire::{Call, Calls, ProblemBody, words};
use super::{Api, Problem};

const PAGE: u32 = 100;
/// Calls of about 4 KiB at most.
const MAX_PAGE: u32 = 1000;

/// List a run's HTTP requests
///
/// Those that were refused too, with the reason. A call is listed once it is over.
#[utoipa::path(get, path = "/apps/{app}/runs/{number}/calls", operation_id = "list_calls", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1),
        ("after" = Option<i64>, Query, minimum = 0, description = "Only calls with a higher `call_num`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = Calls), (status = 404, body = ProblemBody)))]
pub async fn list(State(api): State<Api>, at: RunRef, mut query: QueryParams) -> Result<Json<Calls>, Problem> {
    let after = query.number("after", 0, i64::MAX)?.unwrap_or(0);
    let limit = query.number("limit", 1, MAX_PAGE)?.unwrap_or(PAGE);
    query.finish()?;
    let run_id = api.store.find_run(&at.app, at.number).await?.run_id;
    let mut calls = api.store.list_calls(run_id, after, limit + 1).await?;
    let is_more = calls.len() > limit as usize;
    calls.truncate(limit as usize);
    let next_after = calls.last().filter(|_| is_more).map(|call| call.call_num);
    Ok(Json(Calls { calls: calls.into_iter().map(Call::from).collect(), next_after }))
}
