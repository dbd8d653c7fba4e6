//! Runs: started, listed, looked at, cancelled.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::apps::{MAX_PENDING_SECONDS, MAX_RUNNING_SECONDS};
use super::auth::Caller;
use super::extract::{
    A_TIME, AppName, JsonBody, MAX_ENTRY_BYTES, MAX_SEQ, QueryParams, RunRef, check_environment, check_seconds,
    idempotency_key, parse_time, too_large,
};
use super::page::{MAX_PAGE, PAGE, Page};
use super::wire::{
    self, CancelledRun, Links, Pages, ProblemBody, RunList, RunOnly, RunWithLinks, StartRun, Step, Steps, time, words,
};
use super::{Api, Problem, tower};
use crate::manifest::{Asked, InvalidField, SomeLimits};
use crate::run::Status;
use crate::store::{JournalEntry, NewRun, PAGE_BYTES, RunFilter, StartKey, StoreError, Timeouts};

/// The longest text that runs are looked for with.
const MAX_QUERY_CHARS: usize = 200;
const STEPS_PAGE: u32 = 100;
const MAX_STEPS_PAGE: u32 = 1000;

/// The answer to a start that was made before with the same `Idempotency-Key`.
const REPEATED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Start a run
///
/// Answers when the run is committed. Sent again with the same `Idempotency-Key` and body, it
/// answers with the run that the first one started.
#[utoipa::path(post, path = "/apps/{app}/runs", operation_id = "run_app", tag = "runs", request_body = StartRun,
    params(("app" = words::AppName, Path), ("Idempotency-Key" = inline(Option<words::IdempotencyKey>), Header)),
    responses((status = 201, body = RunOnly, headers(("Idempotency-Replayed" = String))),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn start(
    State(api): State<Api>,
    AppName(app): AppName,
    headers: HeaderMap,
    JsonBody(mut body): JsonBody<StartRun>,
) -> Result<(StatusCode, HeaderMap, Json<RunOnly>), Problem> {
    let key = start_key(&headers, &mut body)?;
    let new = NewRun { key, ..new_run(app.clone(), body)? };
    new.limits.check_under(&api.sandbox.policy().limits)?;
    if let Some(deadline_at) = new.deadline_at {
        let earliest = api.store.now().await?.max(new.scheduled_at.unwrap_or(Timestamp::MIN));
        if deadline_at <= earliest {
            let detail = format!("`deadline_at` is later than the start, which is {} at the earliest", time(earliest));
            return Err(Problem::invalid("deadline_at", detail));
        }
    }
    let started = match api.store.start_run(new).await {
        Ok(started) => started,
        Err(StoreError::Conflict(detail)) => return Err(refused_start(&api, &app, detail).await),
        Err(error) => return Err(error.into()),
    };
    let mut headers = HeaderMap::new();
    if started.is_repeated {
        headers.insert(REPEATED, HeaderValue::from_static("true"));
    }
    Ok((StatusCode::CREATED, headers, Json(RunOnly { run: started.run.into() })))
}

/// Why an app starts no runs at the moment.
async fn refused_start(api: &Api, app: &str, detail: String) -> Problem {
    match api.store.find_app(app).await {
        Ok(found) if found.disabled => Problem::app_disabled(app, detail),
        Ok(_) => Problem::new(StatusCode::CONFLICT, "no_version", detail)
            .hint(format!("upload one: relume deploy app.wasm --name {app}")),
        Err(error) => error.into(),
    }
}

/// The key, and what was asked for with it: the body as we understand it, so that spaces and the
/// order of fields make no difference. Nor does the deadline, which who asks again counts from then.
fn start_key(headers: &HeaderMap, body: &mut StartRun) -> Result<Option<StartKey>, Problem> {
    let Some(key) = idempotency_key(headers)? else { return Ok(None) };
    let deadline_at = body.deadline_at.take();
    // This struct has string keys only, so it always serialises.
    let request_hash = Sha256::digest(serde_json::to_vec(body).unwrap_or_default()).to_vec();
    body.deadline_at = deadline_at;
    Ok(Some(StartKey { key, request_hash }))
}

fn new_run(app: String, body: StartRun) -> Result<NewRun, Problem> {
    let version = body.version.map(|version| version.number()).transpose()?;
    check_environment(body.environment)?;
    if body.parent_run_id.is_some() {
        return Err(Problem::invalid("parent_run_id", "runs have no parents here yet: leave it out"));
    }
    let moment = |field: &str, text: Option<String>| {
        let wrong = |text: &str| Problem::invalid(field, format!("`{text}` is not {A_TIME}"));
        text.map(|text| parse_time(&text).ok_or_else(|| wrong(&text))).transpose()
    };
    let timeouts = Timeouts {
        pending: check_seconds("pending_timeout", body.pending_timeout, 1, MAX_PENDING_SECONDS)?,
        running: check_seconds("running_timeout", body.running_timeout, 1, MAX_RUNNING_SECONDS)?,
    };
    let initiator = body.initiator.map(|initiator| checked_initiator(initiator.kind)).transpose()?;
    check_parameters(&body.parameters)?;
    let policy = body.retry_policy.map(|policy| policy.to_policy()).transpose()?;
    let input = body.input.map(|input| Box::<str>::from(input).into_string().into_bytes()).unwrap_or_default();
    if input.len() > MAX_ENTRY_BYTES {
        return Err(too_large("the input", MAX_ENTRY_BYTES).field("input"));
    }
    let limits = body.limits.unwrap_or_default().over(&SomeLimits::default())?;
    Ok(NewRun {
        app,
        version,
        input,
        parameters: body.parameters,
        policy,
        timeouts,
        scheduled_at: moment("scheduled_at", body.scheduled_at)?,
        initiator,
        key: None,
        deadline_at: moment("deadline_at", body.deadline_at)?,
        limits,
    })
}

fn checked_initiator(kind: String) -> Result<String, Problem> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if (1..=63).contains(&kind.len()) && kind.chars().all(allowed) {
        return Ok(kind);
    }
    let detail = format!("`{kind}` is no kind of client: use 1 to 63 lower-case letters, digits and underscores");
    Err(Problem::invalid("initiator.type", detail))
}

/// Together they are told with every run of a list, so they are small; what is large is an input. Source: V22.
pub const MAX_PARAMETERS_BYTES: usize = 64 << 10;

/// Parameters as they may be given to a run.
pub fn check_parameters(parameters: &BTreeMap<String, String>) -> Result<(), InvalidField> {
    for (name, value) in parameters {
        check_parameter(name, value)?;
    }
    let bytes: usize = parameters.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
    if bytes <= MAX_PARAMETERS_BYTES {
        return Ok(());
    }
    let message = format!(
        "the parameters have {bytes} bytes, their names included; the most is {MAX_PARAMETERS_BYTES}: give the rest as input"
    );
    Err(InvalidField::new("parameters", message))
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

/// List an app's runs, newest first
#[utoipa::path(get, path = "/apps/{app}/runs", operation_id = "list_runs", tag = "runs",
    params(("app" = words::AppName, Path), words::RunsParams, words::PageParams),
    responses((status = 200, body = RunList), (status = 404, body = ProblemBody)))]
pub async fn list(State(api): State<Api>, AppName(app): AppName, query: QueryParams) -> Result<Json<RunList>, Problem> {
    let part = part_of_runs(Some(app.clone()), query)?;
    api.store.find_app(&app).await?;
    list_part(&api, part).await
}

/// List the runs of all apps, newest first
#[utoipa::path(get, path = "/runs", operation_id = "search_runs", tag = "runs",
    params(words::RunsParams, words::PageParams),
    responses((status = 200, body = RunList)))]
pub async fn list_all(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    query: QueryParams,
) -> Result<Json<RunList>, Problem> {
    let (filter, page) = part_of_runs(None, query)?;
    list_part(&api, (RunFilter { among: caller.apps(), ..filter }, page)).await
}

/// Which runs, and their page where it was asked for by number.
pub fn part_of_runs(app: Option<String>, mut query: QueryParams) -> Result<(RunFilter, Option<Page>), Problem> {
    let statuses = query.take_all("status", "a status, e.g. `running` or `crashed`", Status::from_word)?;
    let (created_from, created_until) = (query.time("start_at")?, query.time("end_at")?);
    let before = query.take("cursor", "a cursor that an earlier page named", |text| Uuid::parse_str(text).ok())?;
    let limit = query.number("limit", 1, MAX_PAGE)?;
    let text = query.take("query", "a text of at most 200 characters", |text| {
        (text.chars().count() <= MAX_QUERY_CHARS).then(|| text.to_owned())
    })?;
    check_environment(query.text("environment")?)?;
    let filter = RunFilter { app, statuses, created_from, created_until, query: text, before, ..RunFilter::default() };
    let part = match (before, limit) {
        (None, None) => {
            let page = Page::take(&mut query)?;
            (RunFilter { limit: page.limit(), offset: page.offset(), ..filter }, Some(page))
        }
        (_, limit) => (RunFilter { limit: limit.unwrap_or(PAGE), ..filter }, None),
    };
    query.finish()?;
    Ok(part)
}

/// Asks for one run more than the page holds, to know whether there is another page.
pub async fn list_part(api: &Api, (filter, page): (RunFilter, Option<Page>)) -> Result<Json<RunList>, Problem> {
    let page_size = filter.limit;
    let (mut runs, mut bytes, mut is_more): (Vec<wire::Run>, _, _) = (Vec::new(), 0, true);
    // The whole list at once is read in parts, and ends where the answer would be too large.
    while is_more && runs.len() < page_size as usize && bytes < PAGE_BYTES {
        let left = page_size - runs.len() as u32;
        let (part, before) = (left.min(MAX_PAGE), runs.last().map(|run| run.run_id).or(filter.before));
        let offset = if runs.is_empty() { filter.offset } else { 0 };
        let found = api.store.list_runs(&RunFilter { limit: part + 1, before, offset, ..filter.clone() }).await?;
        is_more = found.len() > part as usize;
        runs.extend(found.into_iter().take(part as usize).map(wire::Run::from));
        bytes = runs.iter().map(wire::Run::weight).sum();
    }
    let next_cursor = runs.last().filter(|_| is_more).map(|run| run.run_id.to_string());
    let pages = match page {
        Some(page) => page.told(api.store.count_runs(&filter).await?),
        None => Pages { page_size, ..Pages::default() },
    };
    Ok(Json(RunList { runs, pages: Pages { next_cursor, ..pages } }))
}

/// Show a run with its attempts, input and output
#[utoipa::path(get, path = "/apps/{app}/runs/{number}", operation_id = "describe_run", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1)),
    responses((status = 200, body = RunWithLinks), (status = 404, body = ProblemBody)))]
pub async fn describe(
    State(api): State<Api>,
    at: RunRef,
    headers: HeaderMap,
    query: QueryParams,
) -> Result<Json<RunWithLinks>, Problem> {
    query.finish()?;
    let mut run = api.store.find_run(&at.app, at.number).await?;
    if tower::is_asking(&headers) {
        run = tower::as_told(run, api.store.now().await?);
    }
    let attempts = api.store.list_attempts(run.run_id).await?;
    let io = api.store.load_run_io(run.run_id).await?;
    let links = links(&api, &at).await?;
    let versions = api.store.list_versions(&at.app).await?;
    let version = versions.into_iter().find(|version| version.number == run.version);
    let limits = api.sandbox.limits(&Asked {
        manifest: version.map(|version| version.settings.limits).unwrap_or_default(),
        app: run.app_limits.clone(),
        run: run.limits.clone(),
    });
    Ok(Json(RunWithLinks { run: wire::Run::from(run).with_details(attempts, io, &limits), links }))
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

/// Cancel a run
///
/// Durable once it is acknowledged. Its children are cancelled with it.
#[utoipa::path(post, path = "/apps/{app}/runs/{number}", operation_id = "cancel_run", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1)),
    responses((status = 200, body = CancelledRun), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn cancel(State(api): State<Api>, at: RunRef) -> Result<Json<CancelledRun>, Problem> {
    let run = api.store.cancel_run(&at.app, at.number).await?;
    // Those that are left, and their children, are found by the next look of a server.
    let cancelled = api.store.cancel_orphans().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the children of a cancelled run are cancelled later");
        0
    });
    Ok(Json(CancelledRun { run: run.into(), cancelled_child_runs: cancelled.try_into().unwrap_or(u32::MAX) }))
}

/// List the entries of the journal: steps, sleeps, events, children
///
/// A page of `limit` entries, or less where they are large: `next_after` says whether there may be more.
#[utoipa::path(get, path = "/apps/{app}/runs/{number}/journal", operation_id = "list_steps", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1),
        ("after" = Option<u32>, Query, description = "Only steps with a higher `seq`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = Steps), (status = 404, body = ProblemBody)))]
pub async fn journal(State(api): State<Api>, at: RunRef, mut query: QueryParams) -> Result<Json<Steps>, Problem> {
    let after = query.number("after", 0, MAX_SEQ)?.unwrap_or(0);
    let limit = query.number("limit", 1, MAX_STEPS_PAGE)?.unwrap_or(STEPS_PAGE);
    query.finish()?;
    let run = api.store.find_run(&at.app, at.number).await?;
    let mut entries = api.store.list_journal(run.run_id, after, limit + 1).await?;
    let bytes: u64 = entries.iter().map(JournalEntry::weight).sum();
    let is_more = entries.len() > limit as usize || bytes >= PAGE_BYTES;
    entries.truncate(limit as usize);
    let next_after = entries.last().filter(|_| is_more).map(|entry| entry.seq);
    Ok(Json(Steps { steps: entries.into_iter().map(|entry| Step::new(&run, entry)).collect(), next_after }))
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
