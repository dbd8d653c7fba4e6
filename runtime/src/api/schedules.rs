//! Schedules: made, listed, changed, paused. `scheduler` starts their runs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use uuid::Uuid;

use super::auth::Caller;
use super::extract::{JsonBody, PathPart, QueryParams, check_environment, is_disabled, required};
use super::page::Page;
use super::runs::check_parameters;
use super::wire::{
    CreateSchedule, ParameterBody, ProblemBody, Schedule, ScheduleBatch, ScheduleIds, ScheduleList, ScheduleOnly,
    UpdateSchedule, words,
};
use super::{Api, Problem};
use crate::cron::Ticks;
use crate::manifest::check_app_name;
use crate::store::{self, ScheduleSettings, StoreError};

const MAX_NAME_CHARS: usize = 100;
/// Schedules that one request changes.
const MAX_IDS: usize = 100;

/// List schedules
#[utoipa::path(get, path = "/schedules", operation_id = "list_schedules", tag = "schedules",
    params(words::PageParams,
        ("app" = Option<String>, Query), ("environment" = Option<words::OnlyEnvironment>, Query)),
    responses((status = 200, body = ScheduleList)))]
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    mut query: QueryParams,
) -> Result<Json<ScheduleList>, Problem> {
    let page = Page::take(&mut query)?;
    let app = query.text("app")?;
    check_environment(query.text("environment")?)?;
    query.finish()?;
    let (app, among) = (app.as_deref(), caller.apps());
    let schedules = api.store.list_schedules(app, among.as_deref(), page.limit(), page.offset()).await?;
    let pages = page.told(api.store.count_schedules(app, among.as_deref()).await?);
    Ok(Json(ScheduleList { schedules: schedules.into_iter().map(Schedule::from).collect(), pages }))
}

/// Make a schedule
#[utoipa::path(post, path = "/schedules", operation_id = "create_schedule", tag = "schedules", request_body = CreateSchedule,
    responses((status = 201, body = ScheduleOnly), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody<CreateSchedule>,
) -> Result<(StatusCode, Json<ScheduleOnly>), Problem> {
    let app = required("app_name", body.app_name)?;
    check_app_name("app_name", &app)?;
    caller.check_app(&app)?;
    check_environment(body.environment)?;
    check_no_version(body.app_version)?;
    let settings = ScheduleSettings {
        cron: required("cron", body.cron)?,
        timezone: body.timezone.unwrap_or_else(|| "UTC".into()),
        skips_overlap: body.overlap_policy.map(|word| overlap(&word)).transpose()?.unwrap_or(false),
        is_paused: body.status.as_deref().map(is_disabled).transpose()?.unwrap_or(false),
        parameters: parameters(body.parameters)?,
    };
    let ticks = Ticks::parse(&settings.cron, &settings.timezone)?;
    let name = body.name.map_or_else(|| Ok(generated_name(&app)), checked_name)?;
    let schedule = api.store.create_schedule(&app, &name, &settings, next(&api, &ticks).await?).await?;
    Ok((StatusCode::CREATED, Json(ScheduleOnly { schedule: schedule.into() })))
}

/// Show a schedule
#[utoipa::path(get, path = "/schedules/{id_or_name}", operation_id = "describe_schedule", tag = "schedules", params(("id_or_name" = String, Path)),
    responses((status = 200, body = ScheduleOnly), (status = 404, body = ProblemBody)))]
pub async fn describe(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathPart(id_or_name): PathPart,
    query: QueryParams,
) -> Result<Json<ScheduleOnly>, Problem> {
    query.finish()?;
    let schedule = api.store.find_schedule(&id_or_name).await?;
    caller.check_app(&schedule.app)?;
    Ok(Json(ScheduleOnly { schedule: schedule.into() }))
}

/// Change a schedule
#[utoipa::path(put, path = "/schedules/{id_or_name}", operation_id = "update_schedule", tag = "schedules", params(("id_or_name" = String, Path)),
    request_body = UpdateSchedule,
    responses((status = 200, body = ScheduleOnly), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn update(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathPart(id_or_name): PathPart,
    JsonBody(body): JsonBody<UpdateSchedule>,
) -> Result<Json<ScheduleOnly>, Problem> {
    check_environment(body.environment)?;
    check_no_version(body.app_version)?;
    let old = api.store.find_schedule(&id_or_name).await?;
    caller.check_app(&old.app)?;
    let name = body.name.map_or(Ok(old.name), checked_name)?;
    let settings = ScheduleSettings {
        cron: body.cron.unwrap_or(old.settings.cron),
        timezone: body.timezone.unwrap_or(old.settings.timezone),
        skips_overlap: body.overlap_policy.map_or(Ok(old.settings.skips_overlap), |word| overlap(&word))?,
        is_paused: body.status.as_deref().map_or(Ok(old.settings.is_paused), is_disabled)?,
        parameters: body.parameters.map_or(Ok(old.settings.parameters), parameters)?,
    };
    let ticks = Ticks::parse(&settings.cron, &settings.timezone)?;
    let schedule = api.store.update_schedule(old.schedule_id, &name, &settings, next(&api, &ticks).await?).await?;
    Ok(Json(ScheduleOnly { schedule: schedule.into() }))
}

/// Delete schedules
#[utoipa::path(delete, path = "/schedules", operation_id = "delete_schedules", tag = "schedules", request_body = ScheduleIds,
    responses((status = 200, body = ScheduleBatch), (status = 404, body = ProblemBody)))]
pub async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody<ScheduleIds>,
) -> Result<Json<ScheduleBatch>, Problem> {
    let schedules = find_all(&api, &caller, body.ids).await?;
    for schedule in &schedules {
        match api.store.delete_schedule(schedule.schedule_id).await {
            // Somebody else was faster: it is gone.
            Ok(()) | Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(ScheduleBatch { schedules: schedules.into_iter().map(Schedule::from).collect() }))
}

/// Let schedules tick
#[utoipa::path(patch, path = "/schedules/activate", operation_id = "activate_schedules", tag = "schedules", request_body = ScheduleIds,
    responses((status = 200, body = ScheduleBatch), (status = 404, body = ProblemBody)))]
pub async fn activate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody<ScheduleIds>,
) -> Result<Json<ScheduleBatch>, Problem> {
    set_paused(&api, &caller, body.ids, false).await
}

/// Pause schedules
#[utoipa::path(patch, path = "/schedules/deactivate", operation_id = "deactivate_schedules", tag = "schedules", request_body = ScheduleIds,
    responses((status = 200, body = ScheduleBatch), (status = 404, body = ProblemBody)))]
pub async fn deactivate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody<ScheduleIds>,
) -> Result<Json<ScheduleBatch>, Problem> {
    set_paused(&api, &caller, body.ids, true).await
}

async fn set_paused(
    api: &Api,
    caller: &Caller,
    ids: Option<Vec<String>>,
    is_paused: bool,
) -> Result<Json<ScheduleBatch>, Problem> {
    let mut changed = Vec::new();
    for old in find_all(api, caller, ids).await? {
        let settings = ScheduleSettings { is_paused, ..old.settings };
        let ticks = Ticks::parse(&settings.cron, &settings.timezone)?;
        let schedule =
            api.store.update_schedule(old.schedule_id, &old.name, &settings, next(api, &ticks).await?).await?;
        changed.push(schedule.into());
    }
    Ok(Json(ScheduleBatch { schedules: changed }))
}

/// All of them, or the problem of the first that is not there: nothing is changed then.
async fn find_all(api: &Api, caller: &Caller, ids: Option<Vec<String>>) -> Result<Vec<store::Schedule>, Problem> {
    let ids = required("ids", ids)?;
    if ids.is_empty() || ids.len() > MAX_IDS {
        return Err(Problem::invalid("ids", format!("{} ids are named: it is 1 to {MAX_IDS}", ids.len())));
    }
    let mut schedules = Vec::with_capacity(ids.len());
    for id in ids {
        let schedule = api.store.find_schedule(&id).await?;
        caller.check_app(&schedule.app)?;
        schedules.push(schedule);
    }
    Ok(schedules)
}

async fn next(api: &Api, ticks: &Ticks) -> Result<jiff::Timestamp, Problem> {
    let next = ticks.after(api.store.now().await?);
    next.ok_or_else(|| Problem::invalid("cron", "it names no moment that is still to come"))
}

fn overlap(word: &str) -> Result<bool, Problem> {
    match word {
        "allow" => Ok(false),
        "skip" => Ok(true),
        _ => Err(Problem::invalid("overlap_policy", format!("`{word}` is not `allow` or `skip`"))),
    }
}

fn parameters(list: Vec<ParameterBody>) -> Result<BTreeMap<String, String>, Problem> {
    let mut parameters = BTreeMap::new();
    for ParameterBody { name, value, .. } in list {
        if parameters.contains_key(&name) {
            return Err(Problem::invalid(format!("parameters.{name}"), format!("`{name}` is there twice")));
        }
        parameters.insert(name, value);
    }
    check_parameters(&parameters)?;
    Ok(parameters)
}

fn check_no_version(version: Option<String>) -> Result<(), Problem> {
    match version {
        None => Ok(()),
        Some(_) => Err(Problem::invalid("app_version", "a schedule runs the app's active version: leave it out")),
    }
}

fn checked_name(name: String) -> Result<String, Problem> {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.contains(char::is_control);
    // A path that names a schedule could mean either.
    let is_taken = Uuid::parse_str(&name).is_ok() || matches!(name.as_str(), "activate" | "deactivate");
    if fits && !is_taken {
        return Ok(name);
    }
    let detail = format!(
        "a schedule's name is 1 to {MAX_NAME_CHARS} characters without control characters, no UUID, and neither \
         `activate` nor `deactivate`"
    );
    Err(Problem::invalid("name", detail))
}

fn generated_name(app: &str) -> String {
    format!("{app}-{:08x}", Uuid::now_v7().as_u64_pair().1 as u32)
}
