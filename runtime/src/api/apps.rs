//! Apps and their versions.

use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use tokio::time::timeout;

use super::extract::{AppName, JsonBody, QueryParams, required, too_large, too_slow};
use super::wire::{self, AppList, AppOnly, AppVersion, AppWithRuns, CreateApp, Pages, VersionList, VersionOnly};
use super::{Api, Problem};
use crate::manifest::{Manifest, ManifestError, check_app_name};
use crate::sandbox::{MAX_COMPONENT_BYTES, Refusal};
use crate::store::{RunFilter, StoreError, Upload};

const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// The whole of an upload; two more than the component, so that one that is just too large is
/// read to its end and its sender reads our answer.
pub const MAX_UPLOAD_BYTES: usize = MAX_COMPONENT_BYTES + (2 << 20);
/// How long a sender may pause, and how long it may take in all.
const PAUSE: Duration = Duration::from_secs(30);
const UPLOAD_TIME: Duration = Duration::from_secs(600);
/// Runs that are told with an app, unless `?runs=` asks for another number.
const RUNS_OF_AN_APP: u32 = 20;

pub async fn create(
    State(api): State<Api>,
    JsonBody(body): JsonBody<CreateApp>,
) -> Result<(StatusCode, Json<AppOnly>), Problem> {
    let name = required("name", body.name)?;
    check_app_name("name", &name)?;
    let app = api.store.create_app(&name).await?;
    Ok((StatusCode::CREATED, Json(AppOnly { app: app.into() })))
}

/// All apps, without their runs.
pub async fn list(State(api): State<Api>, query: QueryParams) -> Result<Json<AppList>, Problem> {
    query.finish()?;
    let apps = api.store.list_apps().await?;
    let apps: Vec<_> = apps.into_iter().map(|app| AppWithRuns { app: app.into(), runs: Vec::new() }).collect();
    let pages = Pages { page_size: apps.len().try_into().unwrap_or(u32::MAX), next_cursor: None };
    Ok(Json(AppList { apps, pages }))
}

pub async fn describe(
    State(api): State<Api>,
    AppName(name): AppName,
    mut query: QueryParams,
) -> Result<Json<AppWithRuns>, Problem> {
    let limit = query.number("runs", 0, 100)?.unwrap_or(RUNS_OF_AN_APP);
    query.finish()?;
    let app = api.store.find_app(&name).await?;
    let filter = RunFilter { app: Some(name), limit, ..RunFilter::default() };
    let runs = if limit == 0 { Vec::new() } else { api.store.list_runs(filter).await? };
    Ok(Json(AppWithRuns { app: app.into(), runs: runs.into_iter().map(wire::Run::from).collect() }))
}

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

/// `multipart/form-data` with the parts `component` and, if there is one, `manifest`. With
/// `?create=true` the app is created if there is none, once the upload has proved to be one.
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
        match api.store.create_app(&name).await {
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
