//! Apps and their versions.

use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderName};
use jiff::Timestamp;
use tokio::time::timeout;

use super::extract::{
    AppName, IfMatch, JsonBody, PathPart, QueryParams, check_environment, check_seconds, is_disabled, required,
    too_large, too_slow,
};
use super::page::Page;
use super::wire::{
    self, AppList, AppOnly, AppVersion, AppWithRuns, CreateApp, ProblemBody, UpdateApp, UpdatedApp, UploadParts,
    VersionList, VersionOnly, VersionRef, words,
};
use super::{Api, Problem};
use crate::manifest::{InvalidField, Manifest, ManifestError, check_app_name};
use crate::retry::RetryPolicy;
use crate::sandbox::{MAX_COMPONENT_BYTES, Refusal};
use crate::store::{AppChange, AppFilter, AppSort, OnlyApps, RunFilter, StoreError, Upload};

const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// The whole of an upload; two more than the component, so that one that is just too large is
/// read to its end and its sender reads our answer.
pub const MAX_UPLOAD_BYTES: usize = MAX_COMPONENT_BYTES + (2 << 20);
/// How long a sender may pause, and how long it may take in all.
const PAUSE: Duration = Duration::from_secs(30);
const UPLOAD_TIME: Duration = Duration::from_secs(600);
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
pub async fn list(State(api): State<Api>, mut query: QueryParams) -> Result<Json<AppList>, Problem> {
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
    let filter = AppFilter { query: part, only: filter.flatten(), sort, limit: page.limit(), offset: page.offset() };
    let mut apps = Vec::new();
    for app in api.store.list_apps(&filter).await? {
        let runs = latest_runs(&api, &app.name, limit, None, None).await?;
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
    let change = AppChange {
        description: checked_description("description", body.description)?,
        disabled: body.status.as_deref().map(is_disabled).transpose()?,
        policy,
        pending_timeout: timeout("pending_timeout", body.pending_timeout, MAX_PENDING_SECONDS)?,
        running_timeout: timeout("running_timeout", body.running_timeout, MAX_RUNNING_SECONDS)?,
    };
    let app = api.store.update_app(&name, revision, change).await?;
    let revision = app.revision;
    let app = wire::App::from(app);
    Ok(tagged(revision, UpdatedApp { app: app.clone(), app_again: app }))
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

/// Show a version
#[utoipa::path(get, path = "/apps/{app}/versions/{version}", operation_id = "describe_app_version", tag = "apps",
    params(("app" = words::AppName, Path), ("version" = words::VersionName, Path)),
    responses((status = 200, body = VersionOnly), (status = 404, body = ProblemBody)))]
pub async fn describe_version(
    State(api): State<Api>,
    AppName(name): AppName,
    PathPart(version): PathPart,
    query: QueryParams,
) -> Result<Json<VersionOnly>, Problem> {
    query.finish()?;
    api.store.find_app(&name).await?;
    let number = VersionRef::Name(version).number()?;
    let found = api.store.list_versions(&name).await?.into_iter().find(|version| version.number == number);
    let version = found.ok_or_else(|| StoreError::NotFound(format!("version v{number} of app `{name}`")))?;
    Ok(Json(VersionOnly { version: version.into() }))
}

/// List an app's versions, newest first
#[utoipa::path(get, path = "/apps/{app}/versions", operation_id = "list_app_versions", tag = "apps", params(("app" = words::AppName, Path)),
    responses((status = 200, body = VersionList), (status = 404, body = ProblemBody)))]
pub async fn list_versions(
    State(api): State<Api>,
    AppName(name): AppName,
    query: QueryParams,
) -> Result<Json<VersionList>, Problem> {
    query.finish()?;
    api.store.find_app(&name).await?;
    let versions = api.store.list_versions(&name).await?;
    Ok(Json(VersionList { versions: versions.into_iter().map(AppVersion::from).collect() }))
}

/// Upload a version
///
/// `multipart/form-data` with the parts `component` and, if there is one, `manifest`. With
/// `?create=true` the app is created if there is none, once the upload has proved to be one.
#[utoipa::path(post, path = "/apps/{app}/versions", operation_id = "upload_app_version", tag = "apps",
    params(("app" = words::AppName, Path), ("create" = Option<bool>, Query)),
    request_body(content = UploadParts, content_type = "multipart/form-data"),
    responses((status = 201, body = VersionOnly), (status = 404, body = ProblemBody)))]
pub async fn upload(
    State(api): State<Api>,
    AppName(name): AppName,
    mut query: QueryParams,
    request: Request,
) -> Result<(StatusCode, Json<VersionOnly>), Problem> {
    let create = query.take("create", "`true` or `false`", |text| text.parse().ok())?.unwrap_or(false);
    query.finish()?;
    if !create {
        api.store.find_app(&name).await?;
    }
    let _slot = api.uploads.acquire().await.map_err(|_| Problem::internal())?;
    let parts = Multipart::from_request(request, &()).await.map_err(|e| {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", e.body_text())
            .hint("send multipart/form-data, e.g. curl -F component=@app.wasm")
    })?;
    let parts = timeout(UPLOAD_TIME, read_parts(parts)).await.map_err(|_| too_slow())??;
    let manifest = read_manifest(&name, parts.manifest)?;
    let policy = manifest.retry.map(|retry| retry.to_policy()).transpose()?;
    let component = required("component", parts.component)?;
    let inspection = api.sandbox.inspect(component.clone()).await.map_err(refused)?;
    if create {
        match api.store.create_app(&name, "").await {
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let upload = Upload { digest: inspection.digest, component, settings: manifest.settings(), policy };
    let version = api.store.add_version(&name, upload).await?;
    let told = AppVersion { durable: Some(inspection.durable), imports: Some(inspection.imports), ..version.into() };
    Ok((StatusCode::CREATED, Json(VersionOnly { version: told })))
}

fn refused(refusal: Refusal) -> Problem {
    if let Refusal::Host(_) = refusal {
        tracing::error!(error = %refusal, "an upload could not be inspected");
        return Problem::internal();
    }
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.code(), refusal.to_string())
        .field("component")
        .hint(refusal.hint())
}

fn read_manifest(app: &str, text: Option<Vec<u8>>) -> Result<Manifest, Problem> {
    let Some(text) = text else { return Ok(Manifest::default()) };
    let text = String::from_utf8(text).map_err(|_| Problem::invalid("manifest", "the manifest is not UTF-8"))?;
    let manifest = Manifest::parse(&text).map_err(|error| match error {
        ManifestError::Syntax(error) => Problem::invalid("manifest", error.to_string().trim_end()),
        ManifestError::Field(error) => error.into(),
    })?;
    match &manifest.name {
        Some(name) if name != app => {
            let detail = format!("the manifest is of the app `{name}`, and the upload is for `{app}`");
            Err(Problem::invalid("name", detail).hint("upload to the app that the manifest names"))
        }
        _ => Ok(manifest),
    }
}

#[derive(Default)]
struct Parts {
    component: Option<Vec<u8>>,
    manifest: Option<Vec<u8>>,
}

async fn read_parts(mut multipart: Multipart) -> Result<Parts, Problem> {
    let mut parts = Parts::default();
    while let Some(mut field) = timeout(PAUSE, multipart.next_field()).await.map_err(|_| too_slow())?.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let (part, limit_bytes) = match name.as_str() {
            "component" => (&mut parts.component, MAX_COMPONENT_BYTES),
            "manifest" => (&mut parts.manifest, MAX_MANIFEST_BYTES),
            _ => {
                let problem = Problem::invalid(&name, format!("`{name}` is no part of an upload"));
                return Err(problem.hint("the parts are `component` and `manifest`"));
            }
        };
        let bytes = read_part(&mut field, limit_bytes).await?;
        if part.replace(bytes).is_some() {
            return Err(Problem::invalid(&name, format!("the part `{name}` is there twice")));
        }
    }
    Ok(parts)
}

/// Reads a part to its end even when it is too large, and keeps no more than `limit_bytes`.
async fn read_part(field: &mut Field<'_>, limit_bytes: usize) -> Result<Vec<u8>, Problem> {
    let name = field.name().unwrap_or_default().to_owned();
    let (mut bytes, mut received) = (Vec::new(), 0);
    while let Some(chunk) = timeout(PAUSE, field.chunk()).await.map_err(|_| too_slow())?.map_err(broken)? {
        received += chunk.len();
        if received <= limit_bytes {
            bytes.extend_from_slice(&chunk);
        } else {
            bytes = Vec::new();
        }
    }
    if received > limit_bytes { Err(too_large(&format!("the {name}"), limit_bytes).field(name)) } else { Ok(bytes) }
}

fn broken(error: MultipartError) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("the component", MAX_COMPONENT_BYTES).field("component"),
        _ => Problem::new(StatusCode::BAD_REQUEST, "invalid_multipart", error.body_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_another_app_is_refused() {
        assert!(read_manifest("greet", Some(b"name = \"order\"".to_vec())).is_err());
        assert!(read_manifest("greet", Some(b"name = \"greet\"".to_vec())).is_ok());
        assert!(read_manifest("greet", Some(vec![0xff])).is_err());
        assert!(read_manifest("greet", None).is_ok());
    }
}
