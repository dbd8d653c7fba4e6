//! What is a run told? Events: sent by name, kept until the program asks for them, each delivered once.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::extract::{AnyJson, PathPart, QueryParams, RunRef, idempotency_key};
use super::wire::{EventList, EventOnly, ProblemBody, words};
use super::{Api, Problem};
use crate::store::{NewEvent, PAGE_BYTES, StoreError};

const MAX_NAME_BYTES: usize = 256;
const MAX_PAGE: u32 = 100;

/// Send an event to a run
///
/// Answers when the event is committed. It is delivered to the first call of the program that waits for an event of this
/// name, once, whether the program asks before or after. Sent again with the same `Idempotency-Key`, it is still one
/// event.
#[utoipa::path(post, path = "/apps/{app}/runs/{number}/events/{name}", operation_id = "send_event", tag = "runs",
    request_body(content = Option<serde_json::Value>, description = "The payload: any JSON; null if there is none"),
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1), ("name" = inline(words::EventName), Path),
        ("Idempotency-Key" = inline(Option<words::IdempotencyKey>), Header)),
    responses((status = 201, body = EventOnly), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub async fn send(
    State(api): State<Api>,
    at: RunRef,
    PathPart(name): PathPart,
    headers: HeaderMap,
    query: QueryParams,
    AnyJson(payload): AnyJson,
) -> Result<(StatusCode, Json<EventOnly>), Problem> {
    query.finish()?;
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || name.contains(char::is_control) {
        let detail = format!("an event's name is 1 to {MAX_NAME_BYTES} bytes without control characters");
        return Err(Problem::invalid("name", detail));
    }
    let payload = payload.get().as_bytes().to_vec();
    let new = NewEvent { name, payload, key: idempotency_key(&headers)? };
    let event = api.store.send_event(&at.app, at.number, new.clone()).await.map_err(|error| match error {
        StoreError::Conflict(_) => {
            let hint = format!("`relume runs show {}#{}` says how it ended", at.app, at.number);
            Problem::from(error).hint(hint)
        }
        error => error.into(),
    })?;
    if (&event.name, &event.payload) != (&new.name, &new.payload) {
        return Err(StoreError::KeyReused.into());
    }
    Ok((StatusCode::CREATED, Json(EventOnly { event: event.into() })))
}

/// List what a run was told
///
/// The first events that it was sent, or those after the event `after`, with the journal entries to which they were
/// delivered. `next_after` is there where there may be more.
#[utoipa::path(get, path = "/apps/{app}/runs/{number}/events", operation_id = "list_events", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1),
        ("after" = Option<Uuid>, Query, description = "Only events that were sent after this one"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, body = EventList), (status = 404, body = ProblemBody)))]
pub async fn list(State(api): State<Api>, at: RunRef, mut query: QueryParams) -> Result<Json<EventList>, Problem> {
    let limit = query.number("limit", 1, MAX_PAGE)?.unwrap_or(MAX_PAGE);
    let after = query.take("after", "the `event_id` of an event", |text| Uuid::parse_str(text).ok())?;
    query.finish()?;
    let run_id = api.store.find_run(&at.app, at.number).await?.run_id;
    let events = api.store.list_events(run_id, after, limit).await?;
    let bytes: u64 = events.iter().map(|event| event.payload.len() as u64).sum();
    let is_full = events.len() >= limit as usize || bytes >= PAGE_BYTES;
    let next_after = events.last().filter(|_| is_full).map(|event| event.event_id);
    Ok(Json(EventList { events: events.into_iter().map(Into::into).collect(), next_after }))
}
