//! How is a run executed once more? A failed one gets another attempt; any other is forked, into a new run with the
//! first entries of its journal.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{JsonBody, MAX_SEQ, RunRef, required};
use super::wire::{ForkRun, ProblemBody, RetryRun, RunOnly, VersionRef, words};
use super::{Api, Problem, replay};
use crate::manifest::{InvalidField, in_range};
use crate::store::StoreError;

/// Retry a failed run
///
/// Opens another attempt of a run that crashed or errored, whatever its policy says: what is recorded stays recorded,
/// and the step whose failure ended the run is executed again, with all its tries. Another version is first tried on what
/// is recorded, and refused if it would take another way.
#[utoipa::path(post, path = "/apps/{app}/runs/{number}/retry", operation_id = "retry_run", tag = "runs",
    request_body = RetryRun, params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1)),
    responses((status = 200, body = RunOnly), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn retry(
    State(api): State<Api>,
    at: RunRef,
    JsonBody(body): JsonBody<RetryRun>,
) -> Result<Json<RunOnly>, Problem> {
    let version = number(body.version)?;
    if let Some(version) = version {
        let run = api.store.find_run(&at.app, at.number).await?;
        replay::check(&api, &run, version, None).await?;
    }
    match api.store.retry_run(&at.app, at.number, version).await {
        Ok(run) => Ok(Json(RunOnly { run: run.into() })),
        Err(error) => {
            Err(refused(&api, &at, error, "`relume runs fork` starts a new run that keeps what is recorded").await)
        }
    }
}

/// Fork a run
///
/// Starts a new run with the input, parameters and policy of this one, and with the entries of its journal before
/// `from_step`: those are not executed again. Another version is first tried on them, and refused if it would take another
/// way.
#[utoipa::path(post, path = "/apps/{app}/runs/{number}/fork", operation_id = "fork_run", tag = "runs",
    request_body = ForkRun, params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1)),
    responses((status = 201, body = RunOnly), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn fork(
    State(api): State<Api>,
    at: RunRef,
    JsonBody(body): JsonBody<ForkRun>,
) -> Result<(StatusCode, Json<RunOnly>), Problem> {
    let from_step = required("from_step", body.from_step)?;
    in_range("from_step", from_step.into(), 1, MAX_SEQ.into())?;
    let version = number(body.version)?;
    if let Some(version) = version {
        let run = api.store.find_run(&at.app, at.number).await?;
        replay::check(&api, &run, version, Some(from_step)).await?;
    }
    match api.store.fork_run(&at.app, at.number, from_step, version).await {
        Ok(run) => Ok((StatusCode::CREATED, Json(RunOnly { run: run.into() }))),
        Err(error) => {
            Err(refused(&api, &at, error, "fork it from an earlier entry, or wait until that one is final").await)
        }
    }
}

fn number(version: Option<VersionRef>) -> Result<Option<u32>, InvalidField> {
    version.map(|version| version.number()).transpose()
}

/// Why there is no further attempt or run; `hint` says what else to do where the app is not the reason.
async fn refused(api: &Api, at: &RunRef, error: StoreError, hint: &str) -> Problem {
    let StoreError::Conflict(detail) = error else { return error.into() };
    match api.store.find_app(&at.app).await {
        Ok(app) if app.disabled => Problem::app_disabled(&at.app, detail),
        Ok(_) => Problem::from(StoreError::Conflict(detail)).hint(hint),
        Err(error) => error.into(),
    }
}
