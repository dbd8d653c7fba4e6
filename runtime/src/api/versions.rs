//! An app's versions: uploaded, looked at, and what the next run of one may use.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use tokio::time::timeout;

use super::extract::{AppName, PathPart, QueryParams, required, too_large, too_slow};
use super::wire::{
    AppLimits, AppVersion, DifferenceBody, ProblemBody, UploadParts, VersionList, VersionOnly, VersionRef,
    effective_limits, words,
};
use super::{Api, Problem};
use crate::capabilities::{Difference, capabilities};
use crate::manifest::{Asked, Manifest, ManifestError, SomeLimits};
use crate::numbers::{Number, bytes, fixed, time};
use crate::sandbox::{MAX_COMPONENT_BYTES, Refusal};
use crate::store::{StoreError, Upload, Version};
use crate::telemetry::UPLOADS;

const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// The whole of an upload; two more than the component, so that one that is just too large is
/// read to its end and its sender reads our answer.
pub const MAX_UPLOAD_BYTES: usize = MAX_COMPONENT_BYTES + (2 << 20);
/// How long a sender may pause, and how long it may take in all.
const PAUSE: Duration = Duration::from_secs(30);
const UPLOAD_TIME: Duration = Duration::from_secs(600);
/// How many of the capabilities that a version adds a problem lists.
const MAX_LISTED: usize = 50;

/// The numbers of uploads.
pub fn numbers() -> Vec<Number> {
    vec![
        fixed("V14", "an upload with all its parts", bytes(MAX_UPLOAD_BYTES)),
        fixed("V5", "a manifest", bytes(MAX_MANIFEST_BYTES)),
        fixed("V22", "a pause of who sends an upload", time(PAUSE)),
        fixed("V22", "the time in which an upload arrives", time(UPLOAD_TIME)),
    ]
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
    let version = find(&api, &name, &VersionRef::Name(version)).await?;
    Ok(Json(VersionOnly { version: version.into() }))
}

/// The version of an app that is referred to.
pub async fn find(api: &Api, app: &str, version: &VersionRef) -> Result<Version, Problem> {
    api.store.find_app(app).await?;
    let number = version.number()?;
    let found = api.store.list_versions(app).await?.into_iter().find(|version| version.number == number);
    Ok(found.ok_or_else(|| StoreError::NotFound(format!("version v{number} of app `{app}`")))?)
}

/// Show the limits of an app's next run, and where each comes from
#[utoipa::path(get, path = "/apps/{app}/limits", operation_id = "describe_app_limits", tag = "apps",
    params(("app" = words::AppName, Path)),
    responses((status = 200, body = AppLimits), (status = 404, body = ProblemBody)))]
pub async fn limits(
    State(api): State<Api>,
    AppName(name): AppName,
    query: QueryParams,
) -> Result<Json<AppLimits>, Problem> {
    query.finish()?;
    let app = api.store.find_app(&name).await?;
    let versions = api.store.list_versions(&name).await?;
    let active = versions.into_iter().find(|version| Some(version.number) == app.active_version);
    let manifest = active.map(|version| version.settings.limits).unwrap_or_default();
    let limits = api.sandbox.limits(&Asked { manifest, app: app.limits, run: SomeLimits::default() });
    Ok(Json(AppLimits { limits: effective_limits(&limits) }))
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
/// `?create=true` the app is created if there is none, once the upload has proved to be one. What may do more than the
/// active version is refused with 409 `needs_approval` and a list, unless `?approve=true` says that it is meant.
#[utoipa::path(post, path = "/apps/{app}/versions", operation_id = "upload_app_version", tag = "apps",
    params(("app" = words::AppName, Path), ("create" = Option<bool>, Query), ("approve" = Option<bool>, Query)),
    request_body(content = UploadParts, content_type = "multipart/form-data"),
    responses((status = 201, body = VersionOnly), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub async fn upload(
    State(api): State<Api>,
    AppName(name): AppName,
    mut query: QueryParams,
    request: Request,
) -> Result<(StatusCode, Json<VersionOnly>), Problem> {
    let create = query.take("create", "`true` or `false`", |text| text.parse().ok())?.unwrap_or(false);
    let approve = query.take("approve", "`true` or `false`", |text| text.parse().ok())?.unwrap_or(false);
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
    manifest.limits.check_under(&api.sandbox.policy().limits)?;
    let policy = manifest.retry.map(|retry| retry.to_policy()).transpose()?;
    let component = required("component", parts.component)?;
    let inspection = api.sandbox.inspect(component.clone()).await.map_err(refused)?;
    if create {
        match api.store.create_app(&name, "").await {
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let approve = approve || parts.approve;
    let (digest, durable) = (inspection.digest, inspection.durable);
    let upload = Upload {
        digest,
        component,
        settings: manifest.settings(),
        policy,
        imports: inspection.imports,
        only_over: None,
    };
    let (version, difference) = add_version(&api, &name, upload, approve).await?;
    let (durable, difference) = (Some(durable), Some(DifferenceBody::from(&difference)));
    Ok((StatusCode::CREATED, Json(VersionOnly { version: AppVersion { durable, difference, ..version.into() } })))
}

/// Makes an upload the active version, unless it may do more than the one that is and nobody said that this is meant.
async fn add_version(api: &Api, app: &str, upload: Upload, approve: bool) -> Result<(Version, Difference), Problem> {
    let after = capabilities(Some(&upload.imports), &upload.settings);
    loop {
        let active = api.store.find_app(app).await?.active_version;
        let versions = api.store.list_versions(app).await?;
        let before = match versions.into_iter().find(|version| Some(version.number) == active) {
            None => BTreeSet::new(),
            // Where its imports were not kept, those of the upload are taken for them.
            Some(version) => capabilities(version.imports.as_deref().or(Some(&upload.imports)), &version.settings),
        };
        let difference = Difference::between(&before, &after);
        if let Some(active) = active
            && !approve
            && difference.to_approve().next().is_some()
        {
            return Err(needs_approval(active, &difference));
        }
        let only_over = Some(active.unwrap_or_default());
        match api.store.add_version(app, Upload { only_over, ..upload.clone() }).await {
            Ok(version) => {
                metrics::counter!(UPLOADS, "outcome" => "accepted").increment(1);
                return Ok((version, difference));
            }
            // Another upload came first: the difference is another one now.
            Err(StoreError::Outdated(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn needs_approval(active: u32, difference: &Difference) -> Problem {
    let mut detail = format!("this version may do more than v{active}, the active one:");
    let added: Vec<_> = difference.to_approve().collect();
    for capability in added.iter().take(MAX_LISTED) {
        detail.push_str(&format!("\n+ {capability}"));
    }
    if let Some(more) = added.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        detail.push_str(&format!("\n+ {more} more"));
    }
    Problem::new(StatusCode::CONFLICT, "needs_approval", detail)
        .hint("if that is meant, `relume deploy --approve`, or `?approve=true`")
}

fn refused(refusal: Refusal) -> Problem {
    metrics::counter!(UPLOADS, "outcome" => "refused").increment(1);
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
    approve: bool,
}

async fn read_parts(mut multipart: Multipart) -> Result<Parts, Problem> {
    let (mut parts, mut approve) = (Parts::default(), None);
    while let Some(mut field) = timeout(PAUSE, multipart.next_field()).await.map_err(|_| too_slow())?.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let (part, limit_bytes) = match name.as_str() {
            "component" => (&mut parts.component, MAX_COMPONENT_BYTES),
            "manifest" => (&mut parts.manifest, MAX_MANIFEST_BYTES),
            "approve" => (&mut approve, MAX_MANIFEST_BYTES),
            _ => {
                let problem = Problem::invalid(&name, format!("`{name}` is no part of an upload"));
                return Err(problem.hint("the parts are `component`, `manifest` and `approve`"));
            }
        };
        let bytes = read_part(&mut field, limit_bytes).await?;
        if part.replace(bytes).is_some() {
            return Err(Problem::invalid(&name, format!("the part `{name}` is there twice")));
        }
    }
    parts.approve = match approve.as_deref() {
        Some(b"true") => true,
        Some(b"false") | None => false,
        Some(_) => return Err(Problem::invalid("approve", "it is neither `true` nor `false`")),
    };
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
