//! Which paths are there? All of them, in one list.

use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::QueryParams;
use super::page::Page;
use super::wire::{Environment, EnvironmentList, words};
use super::{
    Api, Problem, again, apps, auth, drain, events, explain, logs, openapi, runs, schedules, secrets, tokens, tower,
};

/// The service behind every connection.
pub fn router(api: Api) -> Router {
    let (v1, _) = routes().split_for_parts();
    let v1 = v1.fallback(unknown_path).method_not_allowed_fallback(wrong_method);
    let v1 = v1.layer(middleware::from_fn_with_state(api.clone(), auth::require_token));
    Router::new()
        .nest("/v1", v1)
        .route("/v1/openapi.json", get(openapi::describe))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(Problem::from_panic))
        .layer(middleware::map_response(no_sniffing))
        .layer(middleware::from_fn(drain::drain_refused))
        .layer(TraceLayer::new_for_http().on_failure(()))
        .with_state(api)
}

/// The paths under `/v1`, each with what it says of itself.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(apps::list, apps::create))
        .routes(routes!(apps::describe, apps::put, apps::patch, apps::delete))
        .routes(routes!(apps::list_versions, apps::upload))
        .layer(DefaultBodyLimit::max(apps::MAX_UPLOAD_BYTES))
        .routes(routes!(apps::describe_version))
        .routes(routes!(runs::list_all))
        .routes(routes!(runs::list, runs::start))
        // Tower's way to cancel: a POST to the run itself.
        .routes(routes!(runs::describe, runs::cancel))
        .routes(routes!(again::retry))
        .routes(routes!(again::fork))
        .routes(routes!(events::list))
        .routes(routes!(events::send))
        .routes(routes!(runs::journal))
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
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
}

/// List the environments: there is one
#[utoipa::path(get, path = "/environments", operation_id = "list_environments", tag = "apps",
    params(words::PageParams),
    responses((status = 200, body = EnvironmentList)))]
async fn environments(mut query: QueryParams) -> Result<Json<EnvironmentList>, Problem> {
    let page = Page::take(&mut query)?;
    query.finish()?;
    let all = [Environment { name: "default".into(), is_deletable: false }];
    let environments = all.into_iter().skip(page.offset() as usize).collect();
    Ok(Json(EnvironmentList { environments, pages: page.told(1) }))
}

/// The process is up.
async fn healthy() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// The database answers.
async fn ready(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    api.store.ping().await?;
    Ok(Json(json!({"status": "ok"})))
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

/// What guests print must not be taken for a page.
async fn no_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
