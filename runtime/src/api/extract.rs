//! What is in a request? Bodies, paths and queries, each refused with the field at fault.

use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, OriginalUri, Query, RawPathParams, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::wire::{MAX_KEY_BYTES, is_idempotency_key};
use super::{Problem, tower};
use crate::manifest::{InvalidField, check_app_name, in_range};
use crate::numbers::{Number, bytes, fixed, time};

/// The longest input, and the longest payload of an event. Source: V9.
pub const MAX_ENTRY_BYTES: usize = 4 << 20;
/// An input, and room for what is around it.
const MAX_JSON_BYTES: usize = MAX_ENTRY_BYTES + (64 << 10);
/// A sender of JSON that is slower than this only holds a connection. Source: V22.
const JSON_BODY_TIME: Duration = Duration::from_secs(30);

/// The numbers of bodies.
pub fn numbers() -> Vec<Number> {
    vec![
        fixed("V9", "the input of a run, and the payload of an event", bytes(MAX_ENTRY_BYTES)),
        fixed("V22", "a JSON body", bytes(MAX_JSON_BYTES)),
        fixed("V22", "the time in which a JSON body arrives", time(JSON_BODY_TIME)),
        fixed("V17", "an idempotency key", bytes(MAX_KEY_BYTES)),
    ]
}

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<JsonBody<T>, Problem> {
        let bytes = read_json(request, MAX_JSON_BYTES).await?;
        parse_json(&bytes).map(JsonBody)
    }
}

/// A body that is JSON of any kind, as it was sent, up to the limit of a journal entry (V9); `null` if it is empty.
pub struct AnyJson(pub Box<RawValue>);

impl<S: Send + Sync> FromRequest<S> for AnyJson {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<AnyJson, Problem> {
        let bytes = read_json(request, MAX_ENTRY_BYTES).await?;
        if bytes.is_empty() {
            return Ok(AnyJson(RawValue::NULL.to_owned()));
        }
        serde_json::from_slice(&bytes).map(AnyJson).map_err(|error| invalid_json(&error))
    }
}

/// As it was sent, whichever router has a part of it now.
fn path(request: &Request) -> &str {
    request.extensions().get::<OriginalUri>().map_or(request.uri(), |original| &original.0).path()
}

/// Refuses a body that is compressed: what it would unpack to is not known before. Source: V14.
pub async fn refuse_encoded(request: Request, next: Next) -> Result<Response, Problem> {
    for (header, as_it_is) in [(CONTENT_ENCODING, "identity"), (TRANSFER_ENCODING, "chunked")] {
        for value in request.headers().get_all(&header) {
            let encoding = value.to_str().unwrap_or("?").trim();
            if !encoding.is_empty() && !encoding.eq_ignore_ascii_case(as_it_is) {
                let detail = format!("the body is encoded as `{encoding}`, and is taken only as it is");
                let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail);
                let instead = tower::instead_of(path(&request));
                let hint = instead.unwrap_or("send it uncompressed, without this header");
                return Err(problem.field(header.as_str()).hint(hint));
            }
        }
    }
    Ok(next.run(request).await)
}

/// The bytes of a body that does not say it is something else than JSON.
async fn read_json(request: Request, limit_bytes: usize) -> Result<Vec<u8>, Problem> {
    if let Some(kind) = request.headers().get(CONTENT_TYPE) {
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = format!("the body is `{kind}`, and this path takes JSON");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
                .hint("send `Content-Type: application/json`"));
        }
    }
    let read = tokio::time::timeout(JSON_BODY_TIME, read_body(request.into_body(), limit_bytes));
    read.await.map_err(|_| too_slow())?
}

fn invalid_json(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is not valid JSON: {error}"))
}

/// The problem of a body that does not arrive.
pub fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not arrive in time")
}

/// The problem of a body that is larger than it may be.
pub fn too_large(what: &str, limit_bytes: usize) -> Problem {
    let detail = format!("{what} is larger than {} MiB", limit_bytes >> 20);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

/// Reads to the end even when the body is too large, at most as far again: a client that is
/// still sending does not read our answer.
async fn read_body(body: Body, limit_bytes: usize) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut received = 0;
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "incomplete_body", "the body broke off"))?;
        received += chunk.len();
        if received <= limit_bytes {
            bytes.extend_from_slice(&chunk);
        } else if received > 2 * limit_bytes {
            break;
        }
    }
    if received > limit_bytes { Err(too_large("the body", limit_bytes)) } else { Ok(bytes) }
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let problem = |field: Option<String>, error: &serde_json::Error| {
        if error.classify() != Category::Data {
            return invalid_json(error);
        }
        Problem { field, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", error.to_string()) }
    };
    // Serde would take an array for a struct.
    if !bytes.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", "the body is not a JSON object"));
    }
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        // The path of the body itself is `.`.
        let path = e.path().to_string();
        problem(Some(path).filter(|path| path != "."), e.inner())
    })?;
    reader.end().map_err(|e| problem(None, &e))?;
    Ok(value)
}

/// What a body must have.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::invalid(field, format!("`{field}` is missing")))
}

/// The app in the path.
pub struct AppName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for AppName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<AppName, Problem> {
        let name = path_part(parts, state, "app").await?;
        check_app_name("app", &name)?;
        Ok(AppName(name))
    }
}

/// The run in the path.
pub struct RunRef {
    pub app: String,
    pub number: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for RunRef {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<RunRef, Problem> {
        let AppName(app) = AppName::from_request_parts(parts, state).await?;
        let text = path_part(parts, state, "number").await?;
        match text.parse() {
            Ok(number) if number >= 1 => Ok(RunRef { app, number }),
            _ => {
                Err(Problem::invalid("number", format!("`{text}` is not the number of a run"))
                    .hint("runs count from 1"))
            }
        }
    }
}

/// What the path names last: a token's id, a secret's name, a schedule's name or id, a version.
pub struct PathPart(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathPart {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<PathPart, Problem> {
        let route = parts.extensions.get::<MatchedPath>().map(|route| route.as_str().to_owned()).unwrap_or_default();
        let name = route.rsplit('/').next().unwrap_or_default().trim_matches(['{', '}']);
        path_part(parts, &(), name).await.map(PathPart)
    }
}

/// The revision that `If-Match` names: `None` without that header, or for `*`.
pub struct IfMatch(pub Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IfMatch, Problem> {
        let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(IfMatch(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(IfMatch(None));
        }
        let revision =
            text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
        revision.map(|revision| IfMatch(Some(revision))).ok_or_else(|| {
            Problem::invalid("If-Match", "it is not what an `ETag` header of this app said")
                .hint("send it as it was said")
        })
    }
}

/// The header `Idempotency-Key`, if it is there.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let Some(key) = key.to_str().ok().filter(|key| is_idempotency_key(key)) else {
        let detail = format!("an idempotency key is 1 to {MAX_KEY_BYTES} visible ASCII characters");
        return Err(Problem::invalid("Idempotency-Key", detail));
    };
    Ok(Some(key.to_owned()))
}

/// Refuses another environment than the one there is.
pub fn check_environment(environment: Option<String>) -> Result<(), Problem> {
    match environment {
        Some(name) if name != "default" => {
            let detail = format!("there is no environment `{name}`: the only one is `default`");
            Err(Problem::invalid("environment", detail))
        }
        _ => Ok(()),
    }
}

/// Whether `status`, of an app or a schedule, is that of one which starts no runs.
pub fn is_disabled(status: &str) -> Result<bool, Problem> {
    match status {
        "active" => Ok(false),
        "disabled" => Ok(true),
        _ => Err(Problem::invalid("status", format!("`{status}` is not `active` or `disabled`"))),
    }
}

/// A length of time that is sent as `min` to `max` whole seconds.
pub fn check_seconds(field: &str, seconds: Option<u32>, min: u64, max: u64) -> Result<Option<Duration>, InvalidField> {
    let Some(seconds) = seconds else { return Ok(None) };
    in_range(field, seconds.into(), min, max)?;
    Ok(Some(Duration::from_secs(seconds.into())))
}

/// The highest number of an attempt or a step that can be asked for: what the document calls `int32`.
pub const MAX_SEQ: u32 = i32::MAX as u32;

/// A moment as people send it: RFC 3339, in UTC where it names no offset.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    // Years with a sign are older than what a database may keep.
    if text.starts_with(['+', '-']) {
        return None;
    }
    let in_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(in_utc)
}

/// What [`parse_time`] reads, for a person.
pub const A_TIME: &str = "a time such as `2026-01-31T12:00:00Z`";

async fn path_part<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|_| Problem::invalid(name, "the path is not UTF-8"))?;
    let part = params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    part.ok_or_else(Problem::internal)
}

/// The query of a request. Each parameter is taken by name; then [`QueryParams::finish`] refuses
/// what is left.
pub struct QueryParams {
    left: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl<S: Send + Sync> FromRequestParts<S> for QueryParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<QueryParams, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Query(left) = pairs.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "invalid_query", e.body_text()))?;
        Ok(QueryParams { left, known: Vec::new() })
    }
}

impl QueryParams {
    /// The parameter `name`, read by `parse`, which is told to a caller as `expected`.
    pub fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let Some(at) = self.left.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, text) = self.left.remove(at);
        let value = parse(&text).ok_or_else(|| Problem::invalid(name, format!("`{text}` is not {expected}")))?;
        Ok(Some(value))
    }

    /// The whole number `name`, from `min` to `max`.
    pub fn number<T: FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &'static str,
        min: T,
        max: T,
    ) -> Result<Option<T>, Problem> {
        let expected = format!("a number from {min} to {max}");
        self.take(name, &expected, |text| text.parse().ok().filter(|number| (&min..=&max).contains(&number)))
    }

    /// The text `name`.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        self.take(name, "text", |text| Some(text.to_owned()))
    }

    /// The moment `name`.
    pub fn time(&mut self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        self.take(name, A_TIME, parse_time)
    }

    /// Every `name`, of which there may be many.
    pub fn take_all<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Problem> {
        let mut values = Vec::new();
        while let Some(value) = self.take(name, expected, &parse)? {
            values.push(value);
        }
        Ok(values)
    }

    /// Refuses a parameter that was not taken, or was there twice.
    pub fn finish(self) -> Result<(), Problem> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        if self.known.contains(&name.as_str()) {
            return Err(Problem::invalid(name, format!("`{name}` is there twice")));
        }
        let known = if self.known.is_empty() { "none".into() } else { self.known.join(", ") };
        Err(Problem::invalid(name, format!("`{name}` is no parameter of this path")).hint(format!("it takes: {known}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Uri;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        count: u32,
        input: Option<Box<RawValue>>,
    }

    fn check(body: &str, status: u16, field: Option<&str>) -> String {
        let problem = parse_json::<Sample>(body.as_bytes()).expect_err("this body is wrong");
        assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (status, field), "{problem:?}");
        problem.detail
    }

    #[test]
    fn bad_json_is_refused_with_its_place() {
        assert!(check("{\"count\": }", 400, None).contains("line 1 column 11"));
        check("", 400, None);
        check("{} {}", 400, None);
        check("[1,", 400, None);
    }

    #[test]
    fn a_field_at_fault_is_named() {
        check("{\"count\": \"x\"}", 422, Some("count"));
        check("{\"size\": 1}", 422, Some("size"));
        check("[1, null]", 422, None);
    }

    #[test]
    fn input_is_kept_as_it_was_sent() {
        let sample: Sample = parse_json(b"{\"input\": {\"b\": 1.50,  \"a\": []}}").expect("good JSON");
        assert_eq!(sample.count, 0);
        assert_eq!(sample.input.expect("it is there").get(), "{\"b\": 1.50,  \"a\": []}");
    }

    fn query(text: &str) -> QueryParams {
        let uri: Uri = format!("/?{text}").parse().expect("a path");
        let Query(left) = Query::try_from_uri(&uri).expect("a query");
        QueryParams { left, known: Vec::new() }
    }

    #[test]
    fn a_query_is_refused_by_parameter() {
        assert_eq!(query("limit=5").number("limit", 1, 10).expect("in range"), Some(5));
        assert_eq!(query("").number("limit", 1, 10).expect("absent"), None);
        let problem = query("limit=11").number("limit", 1, 10).expect_err("out of range");
        assert_eq!(problem.detail, "`11` is not a number from 1 to 10");
        assert!(query("stauts=x").finish().is_err());
    }
}
