//! Apps and their versions.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderName};
use jiff::Timestamp;

use super::auth::Caller;
use super::extract::{
    AppName, IfMatch, JsonBody, QueryParams, check_environment, check_seconds, is_disabled, required,
};
use super::page::Page;
use super::wire::{
    self, AppList, AppOnly, AppWithRuns, CreateApp, LimitsBody, ProblemBody, UpdateApp, UpdatedApp, words,
};
use super::{Api, Problem, versions};
use crate::manifest::{InvalidField, SomeLimits, check_app_name};
use crate::retry::RetryPolicy;
use crate::store::{App, AppChange, AppFilter, AppSort, OnlyApps, PAGE_BYTES, RunFilter, StoreError};

/// Runs that are told with an app, unless `?runs=` asks for another number.
const RUNS_OF_AN_APP: u32 = 20;
const MAX_DESCRIPTION_CHARS: usize = 1000;
/// 30 days.
pub const MAX_PENDING_SECONDS: u64 = 2_592_000;
/// The most that a version may ask for.
pub const MAX_RUNNING_SECONDS: u64 = 86_400;

/// An answer about one app, with its revision for `If-Match`.
type Tagged<T> = ([(HeaderName, String); 1], Json<T>);

fn tagged<T>(revision: i64, body: T) -> Tagged<T> {
    ([(ETAG, format!("\"{revision}\""))], Json(body))
}

/// Create an app without a version
#[utoipa::path(post, path = "/apps", operation_id = "create_app", tag = "apps", request_body = CreateApp,
    responses((status = 201, body = AppOnly, headers(("ETag" = String))), (status = 409, body = ProblemBody)))]
pub async fn create(
    State(api): State<Api>,
    JsonBody(body): JsonBody<CreateApp>,
) -> Result<(StatusCode, Tagged<AppOnly>), Problem> {
    let name = required("name", body.name)?;
    check_app_name("name", &name)?;
    check_not_on_the_web(body.is_externally_accessible, body.subdomain)?;
    if body.slug.is_some_and(|slug| slug != name) {
        return Err(Problem::invalid("slug", "an app has one name: leave it out"));
    }
    let description = checked_description("short_description", body.short_description)?.unwrap_or_default();
    let app = api.store.create_app(&name, &description).await?;
    Ok((StatusCode::CREATED, tagged(app.revision, AppOnly { app: app.into() })))
}

/// List apps, each with its latest runs
#[utoipa::path(get, path = "/apps", operation_id = "list_apps", tag = "apps",
    params(words::PageParams,
        ("query" = Option<String>, Query, description = "Part of the name"),
        ("num_runs" = Option<u32>, Query, maximum = 20),
        ("sort" = inline(Option<words::AppOrder>), Query),
        ("filter" = inline(Option<words::WhichApps>), Query),
        ("environment" = Option<words::OnlyEnvironment>, Query)),
    responses((status = 200, body = AppList)))]
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    mut query: QueryParams,
) -> Result<Json<AppList>, Problem> {
    let page = Page::take(&mut query)?;
    let limit = query.number("num_runs", 0, RUNS_OF_AN_APP)?.unwrap_or(RUNS_OF_AN_APP);
    let sort = query.take("sort", "`a_to_z`, `created_at`, `updated_at` or `most_recent_run`", |word| match word {
        "a_to_z" => Some(AppSort::Name),
        "created_at" => Some(AppSort::CreatedAt),
        "updated_at" => Some(AppSort::UpdatedAt),
        "most_recent_run" => Some(AppSort::MostRecentRun),
        _ => None,
    })?;
    let filter = "`healthy`, `disabled`, `running`, `scheduled` or `withWarning`";
    let filter = query.take("filter", filter, |word| match word {
        "healthy" => Some(Some(OnlyApps::Enabled)),
        "disabled" => Some(Some(OnlyApps::Disabled)),
        "running" => Some(Some(OnlyApps::Running)),
        "scheduled" => Some(Some(OnlyApps::Scheduled)),
        // No app has warnings.
        "withWarning" => Some(None),
        _ => None,
    })?;
    let part = query.text("query")?.filter(|part| !part.is_empty());
    check_environment(query.text("environment")?)?;
    query.finish()?;
    if filter == Some(None) {
        return Ok(Json(AppList { apps: Vec::new(), pages: page.told(0) }));
    }
    let sort = sort.unwrap_or_default();
    let (only, among) = (filter.flatten(), caller.apps());
    let filter = AppFilter { query: part, only, among, sort, limit: page.limit(), offset: page.offset() };
    let (mut apps, mut bytes) = (Vec::new(), 0);
    for app in api.store.list_apps(&filter).await? {
        // Its apps are the answer; the runs are there as far as they have room.
        let limit = if bytes < PAGE_BYTES { limit } else { 0 };
        let runs = latest_runs(&api, &app.name, limit, None, None).await?;
        bytes += runs.iter().map(wire::Run::weight).sum::<u64>();
        apps.push(AppWithRuns { app: app.into(), runs });
    }
    let pages = page.told(api.store.count_apps(&filter).await?);
    Ok(Json(AppList { apps, pages }))
}

async fn latest_runs(
    api: &Api,
    app: &str,
    limit: u32,
    created_from: Option<Timestamp>,
    created_until: Option<Timestamp>,
) -> Result<Vec<wire::Run>, Problem> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let filter = RunFilter { app: Some(app.to_owned()), created_from, created_until, limit, ..RunFilter::default() };
    Ok(api.store.list_runs(&filter).await?.into_iter().map(wire::Run::from).collect())
}

/// Show an app and its latest runs
#[utoipa::path(get, path = "/apps/{app}", operation_id = "describe_app", tag = "apps",
    params(("app" = words::AppName, Path), ("runs" = Option<u32>, Query, maximum = 100),
        ("start_at" = Option<String>, Query, format = DateTime, description = "Only runs created from then on"),
        ("end_at" = Option<String>, Query, format = DateTime, description = "Only runs created before"),
        ("timezone" = Option<String>, Query, description = "Of no effect: times are told in UTC"),
        ("environment" = Option<words::OnlyEnvironment>, Query)),
    responses((status = 200, body = AppWithRuns, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
pub async fn describe(
    State(api): State<Api>,
    AppName(name): AppName,
    mut query: QueryParams,
) -> Result<Tagged<AppWithRuns>, Problem> {
    let limit = query.number("runs", 0, 100)?.unwrap_or(RUNS_OF_AN_APP);
    let (from, until) = (query.time("start_at")?, query.time("end_at")?);
    query.text("timezone")?;
    check_environment(query.text("environment")?)?;
    query.finish()?;
    let app = api.store.find_app(&name).await?;
    let runs = latest_runs(&api, &name, limit, from, until).await?;
    Ok(tagged(app.revision, AppWithRuns { app: app.into(), runs }))
}

/// Change an app
#[utoipa::path(patch, path = "/apps/{app}", operation_id = "change_app", tag = "apps", request_body = UpdateApp,
    params(("app" = words::AppName, Path), ("If-Match" = inline(Option<words::Revision>), Header)),
    responses((status = 200, body = UpdatedApp, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody)))]
pub async fn patch(
    State(api): State<Api>,
    AppName(name): AppName,
    IfMatch(revision): IfMatch,
    JsonBody(body): JsonBody<UpdateApp>,
) -> Result<Tagged<UpdatedApp>, Problem> {
    check_not_on_the_web(body.is_externally_accessible, body.subdomain)?;
    let policy = match body.retry_policy {
        None => None,
        Some(None) => Some(RetryPolicy::default()),
        Some(Some(policy)) => Some(policy.to_policy()?),
    };
    // 0 takes the timeout away.
    let timeout = |field, seconds, max| {
        let timeout = check_seconds(field, seconds, 0, max)?;
        Ok::<_, InvalidField>(timeout.map(|timeout| Some(timeout).filter(|timeout| !timeout.is_zero())))
    };
    let mut change = AppChange {
        description: checked_description("description", body.description)?,
        disabled: body.status.as_deref().map(is_disabled).transpose()?,
        policy,
        pending_timeout: timeout("pending_timeout", body.pending_timeout, MAX_PENDING_SECONDS)?,
        running_timeout: timeout("running_timeout", body.running_timeout, MAX_RUNNING_SECONDS)?,
        limits: None,
        active_version: match body.version {
            None => None,
            Some(version) => Some(versions::find(&api, &name, &version).await?.number),
        },
    };
    let app = match body.limits {
        None => api.store.update_app(&name, revision, change).await?,
        Some(None) => {
            change.limits = Some(SomeLimits::default());
            api.store.update_app(&name, revision, change).await?
        }
        Some(Some(limits)) => change_limits(&api, &name, revision, change, &limits).await?,
    };
    let revision = app.revision;
    let app = wire::App::from(app);
    Ok(tagged(revision, UpdatedApp { app: app.clone(), app_again: app }))
}

/// Changes an app and some of its limits; the others stay, whoever changes them meanwhile.
async fn change_limits(
    api: &Api,
    name: &str,
    revision: Option<i64>,
    change: AppChange,
    limits: &LimitsBody,
) -> Result<App, Problem> {
    loop {
        let before = api.store.find_app(name).await?;
        let limits = limits.over(&before.limits)?;
        limits.check_under(&api.sandbox.policy().limits)?;
        let change = AppChange { limits: Some(limits), ..change.clone() };
        let expected = revision.unwrap_or(before.revision);
        match api.store.update_app(name, Some(expected), change).await {
            Err(StoreError::Outdated(_)) if revision.is_none() => {}
            answer => return Ok(answer?),
        }
    }
}

/// Change an app, as Tower's clients do: the same as `PATCH`
#[utoipa::path(put, path = "/apps/{app}", operation_id = "update_app", tag = "apps", request_body = UpdateApp,
    params(("app" = words::AppName, Path), ("If-Match" = inline(Option<words::Revision>), Header)),
    responses((status = 200, body = UpdatedApp, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody)))]
pub async fn put(
    api: State<Api>,
    name: AppName,
    revision: IfMatch,
    body: JsonBody<UpdateApp>,
) -> Result<Tagged<UpdatedApp>, Problem> {
    patch(api, name, revision, body).await
}

/// Delete an app with its versions, schedules and runs
#[utoipa::path(delete, path = "/apps/{app}", operation_id = "delete_app", tag = "apps",
    params(("app" = words::AppName, Path), ("If-Match" = inline(Option<words::Revision>), Header)),
    responses((status = 200, body = AppOnly), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 412, body = ProblemBody)))]
pub async fn delete(
    State(api): State<Api>,
    AppName(name): AppName,
    IfMatch(revision): IfMatch,
) -> Result<Json<AppOnly>, Problem> {
    let app = api.store.find_app(&name).await?;
    api.store.delete_app(&name, revision).await.map_err(|error| match error {
        StoreError::Conflict(detail) => Problem::new(StatusCode::CONFLICT, "app_has_active_runs", detail)
            .hint("disable the app, and cancel its runs or wait for their end"),
        error => error.into(),
    })?;
    Ok(Json(AppOnly { app: app.into() }))
}

fn check_not_on_the_web(accessible: Option<bool>, subdomain: Option<String>) -> Result<(), Problem> {
    let field = match (accessible, subdomain) {
        (Some(true), _) => "is_externally_accessible",
        (_, Some(_)) => "subdomain",
        _ => return Ok(()),
    };
    Err(Problem::invalid(field, "apps are not reached from the web: they are run"))
}

fn checked_description(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().count() > MAX_DESCRIPTION_CHARS => {
            Err(Problem::invalid(field, format!("a description has at most {MAX_DESCRIPTION_CHARS} characters")))
        }
        Some(text) if text.contains('\0') => Err(Problem::invalid(field, "a description holds no NUL")),
        text => Ok(text),
    }
}
