//! Which paths are there? All of them, in one list.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use super::{Api, Problem, apps, auth, drain, logs, runs, tokens};

/// The service behind every connection.
pub fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/apps", get(apps::list).post(apps::create))
        .route("/apps/{app}", get(apps::describe))
        .route("/apps/{app}/versions", get(apps::list_versions).post(apps::upload))
        .layer(DefaultBodyLimit::max(apps::MAX_UPLOAD_BYTES))
        .route("/runs", get(runs::list_all))
        .route("/apps/{app}/runs", get(runs::list).post(runs::start))
        // Tower's way to cancel: a POST to the run itself.
        .route("/apps/{app}/runs/{number}", get(runs::describe).post(runs::cancel))
        .route("/apps/{app}/runs/{number}/journal", get(runs::journal))
        .route("/apps/{app}/runs/{number}/logs", get(logs::list))
        .route("/apps/{app}/runs/{number}/logs/stream", get(logs::stream))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}", delete(tokens::revoke))
        .route_layer(middleware::from_fn_with_state(api.clone(), auth::require_token));
    Router::new()
        .nest("/v1", v1)
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

/// The process is up.
async fn healthy() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// The database answers.
async fn ready(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    api.store.ping().await?;
    Ok(Json(json!({"status": "ok"})))
}

async fn unknown_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path").hint("paths begin with /v1")
}

async fn wrong_method() -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail).hint("the `Allow` header lists those it takes")
}

/// What guests print must not be taken for a page.
async fn no_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
