//! Runs: started, listed, looked at, cancelled.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use super::extract::{AppName, JsonBody, QueryParams, RunRef};
use super::wire::{self, CancelledRun, Links, Pages, RunList, RunOnly, RunWithLinks, StartRun, Step, Steps};
use super::{Api, Problem};
use crate::manifest::InvalidField;
use crate::run::Status;
use crate::store::{NewRun, RunFilter, StoreError};

const PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;
/// Source: V9.
const MAX_INPUT_BYTES: usize = 4 << 20;
const STEPS_PAGE: u32 = 100;
const MAX_STEPS_PAGE: u32 = 1000;

/// Answers when the run is committed.
pub async fn start(
    State(api): State<Api>,
    AppName(app): AppName,
    JsonBody(body): JsonBody<StartRun>,
) -> Result<(StatusCode, Json<RunOnly>), Problem> {
    let new = new_run(app, body)?;
    let parameters = new.parameters.clone();
    let run = wire::Run::from(api.store.start_run(new).await?).with_parameters(parameters);
    Ok((StatusCode::CREATED, Json(RunOnly { run })))
}

fn new_run(app: String, body: StartRun) -> Result<NewRun, Problem> {
    let version = body.version.map(|version| version.number()).transpose()?;
    if let Some(environment) = body.environment.filter(|name| name != "default") {
        let detail = format!("there is no environment `{environment}`: the only one is `default`");
        return Err(Problem::invalid("environment", detail));
    }
    for (name, value) in &body.parameters {
        check_parameter(name, value)?;
    }
    let policy = body.retry_policy.map(|policy| policy.to_policy()).transpose()?;
    let input = body.input.map(|input| Box::<str>::from(input).into_string().into_bytes()).unwrap_or_default();
    if input.len() > MAX_INPUT_BYTES {
        return Err(super::extract::too_large("the input", MAX_INPUT_BYTES).field("input"));
    }
    Ok(NewRun { app, version, input, parameters: body.parameters, policy })
}

/// A parameter becomes a variable of the program's environment.
fn check_parameter(name: &str, value: &str) -> Result<(), InvalidField> {
    let field = || format!("parameters.{name}");
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(InvalidField::new(field(), "a parameter's name is not empty, and holds neither `=` nor NUL"));
    }
    if value.contains('\0') {
        return Err(InvalidField::new(field(), "a parameter's value holds no NUL"));
    }
    Ok(())
}

pub async fn list(State(api): State<Api>, AppName(app): AppName, query: QueryParams) -> Result<Json<RunList>, Problem> {
    let filter = filter(Some(app.clone()), query)?;
    api.store.find_app(&app).await?;
    page(&api, filter).await
}

pub async fn list_all(State(api): State<Api>, query: QueryParams) -> Result<Json<RunList>, Problem> {
    page(&api, filter(None, query)?).await
}

fn filter(app: Option<String>, mut query: QueryParams) -> Result<RunFilter, Problem> {
    let status = query.take("status", "a status, e.g. `running` or `crashed`", Status::from_word)?;
    let before = query.take("cursor", "a cursor that an earlier page named", |text| Uuid::parse_str(text).ok())?;
    let limit = query.number("limit", 1, MAX_PAGE)?.unwrap_or(PAGE);
    query.finish()?;
    Ok(RunFilter { app, status, before, limit })
}

/// Asks for one run more than the page holds, to know whether there is another page.
async fn page(api: &Api, filter: RunFilter) -> Result<Json<RunList>, Problem> {
    let page_size = filter.limit;
    let mut runs = api.store.list_runs(RunFilter { limit: page_size + 1, ..filter }).await?;
    let is_more = runs.len() > page_size as usize;
    runs.truncate(page_size as usize);
    let next_cursor = runs.last().filter(|_| is_more).map(|run| run.run_id.to_string());
    let runs = runs.into_iter().map(wire::Run::from).collect();
    Ok(Json(RunList { runs, pages: Pages { page_size, next_cursor } }))
}

/// A run with its attempts, input and output.
pub async fn describe(State(api): State<Api>, at: RunRef, query: QueryParams) -> Result<Json<RunWithLinks>, Problem> {
    query.finish()?;
    let run = api.store.find_run(&at.app, at.number).await?;
    let attempts = api.store.list_attempts(run.run_id).await?;
    let io = api.store.load_run_io(run.run_id).await?;
    let links = links(&api, &at).await?;
    Ok(Json(RunWithLinks { run: wire::Run::from(run).with_details(attempts, io), links }))
}

async fn links(api: &Api, at: &RunRef) -> Result<Links, Problem> {
    let path = |number: i64| format!("/v1/apps/{}/runs/{number}", at.app);
    let next_number = match at.number.checked_add(1) {
        None => None,
        Some(number) => match api.store.find_run(&at.app, number).await {
            Ok(_) => Some(number),
            Err(StoreError::NotFound(_)) => None,
            Err(e) => return Err(e.into()),
        },
    };
    let prev_number = Some(at.number - 1).filter(|number| *number >= 1);
    let (next, prev) = (next_number.map(path), prev_number.map(path));
    Ok(Links { this: path(at.number), next, next_number, prev, prev_number })
}

/// Durable once it is acknowledged. Source: R12.
pub async fn cancel(State(api): State<Api>, at: RunRef) -> Result<Json<CancelledRun>, Problem> {
    let run = api.store.cancel_run(&at.app, at.number).await?;
    let parameters = api.store.load_run_io(run.run_id).await?.parameters;
    Ok(Json(CancelledRun { run: wire::Run::from(run).with_parameters(parameters), cancelled_child_runs: 0 }))
}

/// The recorded steps.
pub async fn journal(State(api): State<Api>, at: RunRef, mut query: QueryParams) -> Result<Json<Steps>, Problem> {
    let after = query.number("after", 0, u32::MAX)?.unwrap_or(0);
    let limit = query.number("limit", 1, MAX_STEPS_PAGE)?.unwrap_or(STEPS_PAGE) as usize;
    query.finish()?;
    let run = api.store.find_run(&at.app, at.number).await?;
    let mut entries = api.store.load_journal(run.run_id).await?;
    entries.retain(|entry| entry.seq > after);
    let is_more = entries.len() > limit;
    entries.truncate(limit);
    let next_after = entries.last().filter(|_| is_more).map(|entry| entry.seq);
    Ok(Json(Steps { steps: entries.into_iter().map(Step::from).collect(), next_after }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> StartRun {
        serde_json::from_str(text).expect("good JSON")
    }

    #[test]
    fn the_input_is_the_text_that_was_sent() {
        let new = new_run("greet".into(), body("{\"input\": {\"b\": 1.0, \"a\": 2}, \"version\": \"v2\"}"));
        let new = new.expect("a good start");
        assert_eq!((new.input.as_slice(), new.version), (b"{\"b\": 1.0, \"a\": 2}".as_slice(), Some(2)));
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        for text in [
            "{\"version\": \"x\"}",
            "{\"environment\": \"prod\"}",
            "{\"parameters\": {\"\": \"x\"}}",
            "{\"parameters\": {\"A=B\": \"x\"}}",
            "{\"retry_policy\": {\"max_retries\": 1}}",
        ] {
            assert!(new_run("greet".into(), body(text)).is_err(), "{text}");
        }
    }
}
