//! Which paths are there? All of them, in one list.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension, MatchedPath, OriginalUri, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::doors::Peer;
use super::extract::QueryParams;
use super::page::Page;
use super::wire::{Environment, EnvironmentList, words};
use super::{
    Api, Problem, again, apps, auth, calls, dashboard, drain, events, explain, extract, logs, openapi, runs, schedules,
    secrets, stats, tokens, tower, versions, watch, workers,
};
use crate::kill_point;
use crate::store::Store;
use crate::telemetry::{API_REQUEST_SECONDS, API_REQUESTS};

/// The service behind every connection.
pub fn router(api: Api) -> Router {
    let (v1, _) = routes().split_for_parts();
    let v1 = v1.fallback(unknown_path).method_not_allowed_fallback(wrong_method);
    let v1 = v1.layer(middleware::from_fn_with_state(api.clone(), auth::require_token));
    let open = Router::new()
        .route("/v1/openapi.json", get(openapi::describe))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .merge(dashboard::routes())
        .layer(middleware::from_fn_with_state(api.clone(), limit_anyone));
    Router::new()
        .nest("/v1", v1)
        .merge(open)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(extract::refuse_encoded))
        .layer(CatchPanicLayer::custom(Problem::from_panic))
        .layer(middleware::map_response(nothing_but_data))
        .layer(middleware::from_fn(drain::drain_refused))
        .layer(middleware::from_fn(count))
        .layer(TraceLayer::new_for_http().on_failure(()))
        .with_state(api)
}

/// The paths under `/v1`, each with what it says of itself.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(apps::list, apps::create))
        .routes(routes!(apps::describe, apps::put, apps::patch, apps::delete))
        .routes(routes!(versions::list_versions, versions::upload))
        .layer(DefaultBodyLimit::max(versions::MAX_UPLOAD_BYTES))
        .routes(routes!(versions::describe_version))
        .routes(routes!(versions::limits))
        .routes(routes!(runs::list_all))
        .routes(routes!(watch::list))
        .routes(routes!(stats::stats))
        .routes(routes!(runs::list, runs::start))
        // Tower's way to cancel: a POST to the run itself.
        .routes(routes!(runs::describe, runs::cancel))
        .routes(routes!(watch::run))
        .routes(routes!(again::retry))
        .routes(routes!(again::fork))
        .routes(routes!(events::list))
        .routes(routes!(events::send))
        .routes(routes!(runs::journal))
        .routes(routes!(calls::list))
        .routes(routes!(explain::explain))
        .routes(routes!(logs::list))
        .routes(routes!(logs::stream))
        .routes(routes!(schedules::list, schedules::create, schedules::delete))
        .routes(routes!(schedules::describe, schedules::update))
        .routes(routes!(schedules::activate))
        .routes(routes!(schedules::deactivate))
        .routes(routes!(secrets::list, secrets::create))
        .routes(routes!(secrets::key))
        .routes(routes!(secrets::update, secrets::delete))
        .routes(routes!(environments))
        .routes(routes!(workers::list))
        .routes(routes!(watch::workers))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
}

/// List the environments: there is one
#[utoipa::path(get, path = "/environments", operation_id = "list_environments", tag = "apps",
    params(words::PageParams),
    responses((status = 200, body = EnvironmentList)))]
async fn environments(mut query: QueryParams) -> Result<Json<EnvironmentList>, Problem> {
    kill_point::panic_if_asked("request");
    let page = Page::take(&mut query)?;
    query.finish()?;
    let all = [Environment { name: "default".into(), is_deletable: false }];
    let environments = all.into_iter().skip(page.offset() as usize).collect();
    Ok(Json(EnvironmentList { environments, pages: page.told(1) }))
}

/// The process is up.
pub async fn healthy() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// The database answers.
async fn ready(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    answers(api.store.as_ref()).await
}

/// Whether the database of a process answers.
pub async fn answers(store: &dyn Store) -> Result<Json<Value>, Problem> {
    store.ping().await?;
    Ok(Json(json!({"status": "ok"})))
}

/// What needs no token may not be asked for without end either.
async fn limit_anyone(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    api.rates.of_anyone(peer)?;
    Ok(next.run(request).await)
}

/// Counts requests by their route, of which there are few, and not by their path, which callers choose.
async fn count(path: Option<MatchedPath>, method: Method, request: Request, next: Next) -> Response {
    let route: Arc<str> = path.map_or_else(|| "unknown".into(), |path| path.as_str().into());
    let method = match method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => method.to_string(),
        _ => "other".to_owned(),
    };
    let begun = tokio::time::Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!(API_REQUEST_SECONDS, "route" => route.clone()).record(begun.elapsed());
    metrics::counter!(API_REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
    response
}

async fn unknown_path(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path")
        .hint(tower::instead_of(uri.path()).unwrap_or("`GET /v1/openapi.json` lists the paths"))
}

async fn wrong_method(OriginalUri(uri): OriginalUri) -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
        .hint(tower::instead_of(uri.path()).unwrap_or("the `Allow` header lists those it takes"))
}

/// What guests print must not be taken for a page, and as one could do nothing; the dashboard says itself what it may.
/// Source: V18.
pub async fn nothing_but_data(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    response
}
