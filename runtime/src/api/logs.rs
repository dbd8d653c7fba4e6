//! What did a run print? Pages of lines, and a stream that follows a run to its end.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::extract::{MAX_SEQ, QueryParams, RunRef};
use super::wire::{LogEvent, LogLine, LogLines, ProblemBody, StreamNotice, time, words};
use super::{Api, Problem, tower};
use crate::store::{self, LogFilter, PAGE_BYTES, StoreError};
use crate::telemetry::API_LIMITED;

const MAX_PAGE: u32 = 1000;
/// Lines that are read at once.
const BATCH: u32 = 200;
/// How much of them, so that a client which reads slowly costs little.
const BATCH_BYTES: u64 = 64 << 10;
/// How long a follower that reads nothing stays one.
const SEND_TIME: Duration = Duration::from_secs(30);
/// How often a follower asks: soon after a line, then ever less often.
const MIN_POLL: Duration = Duration::from_millis(100);
const MAX_POLL: Duration = Duration::from_secs(1);

/// List what a run printed
///
/// All of it, or a page of `limit` lines, or less where they are long: `next_after` says whether there may be more. With `format=text` the lines alone, as a download.
#[utoipa::path(get, path = "/apps/{app}/runs/{number}/logs", operation_id = "describe_run_logs", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1),
        ("attempt" = Option<u32>, Query, minimum = 1),
        ("step" = Option<u32>, Query, minimum = 1, description = "Only lines printed in the step of this journal entry"),
        ("after" = Option<i64>, Query, minimum = 0, description = "Only lines with a higher `line_num`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000),
        ("start_at" = Option<String>, Query, format = DateTime, description = "Only lines reported from then on"),
        ("format" = inline(Option<words::LogFormat>), Query)),
    responses((status = 200, content((LogLines = "application/json"), (String = "text/plain"))),
        (status = 404, body = ProblemBody)))]
pub async fn list(State(api): State<Api>, at: RunRef, mut query: QueryParams) -> Result<Response, Problem> {
    let attempt = query.number("attempt", 1, MAX_SEQ)?;
    let seq = query.number("step", 1, MAX_SEQ)?;
    let after_line = query.number("after", 0, i64::MAX)?.unwrap_or(0);
    let limit = query.number("limit", 1, MAX_PAGE)?;
    let reported_from = query.time("start_at")?;
    let is_text = query.take("format", "`json` or `text`", |word| match word {
        "json" => Some(false),
        "text" => Some(true),
        _ => None,
    })?;
    query.finish()?;
    let run_id = api.store.find_run(&at.app, at.number).await?.run_id;
    let max_bytes = Some(if limit.is_some() { PAGE_BYTES } else { BATCH_BYTES });
    let filter = LogFilter { attempt, after_line, seq, reported_from, limit: limit.unwrap_or(BATCH), max_bytes };
    let first = api.store.list_logs(run_id, filter).await?;
    if is_text == Some(true) {
        return Ok(download(&at, body(api, run_id, filter, first, limit.is_none(), Format::Text)));
    }
    if limit.is_some() {
        let is_full = filter.is_full(&first);
        let next_after = first.last().filter(|_| is_full).map(|line| line.line_num);
        let log_lines = first.into_iter().map(|line| LogLine::new(run_id, line)).collect();
        return Ok(Json(LogLines { log_lines, next_after }).into_response());
    }
    let body = body(api, run_id, filter, first, true, Format::Json);
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// One [`LogLines`].
    Json,
    /// The lines.
    Text,
}

fn download(at: &RunRef, body: Body) -> Response {
    let name = format!("attachment; filename=\"{}-{}.log\"", at.app, at.number);
    ([(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)], body).into_response()
}

/// The lines from `first` on, read while they are sent: a log may be larger than memory should be.
/// A database that fails in the middle ends the answer before its end, which a client notices.
fn body(api: Api, run_id: Uuid, filter: LogFilter, first: Vec<store::LogLine>, goes_on: bool, format: Format) -> Body {
    let (sender, receiver) = mpsc::channel::<Result<String, StoreError>>(2);
    tokio::spawn(async move {
        let (mut lines, mut filter) = (first, filter);
        let mut text = if format == Format::Json { "{\"log_lines\":[".to_owned() } else { String::new() };
        let mut is_first = true;
        loop {
            let is_last = !goes_on || !filter.is_full(&lines);
            filter.after_line = lines.last().map_or(filter.after_line, |line| line.line_num);
            for line in lines {
                match format {
                    Format::Text => text.push_str(&format!("{}\n", line.content)),
                    Format::Json => {
                        text.push_str(if is_first { "" } else { "," });
                        // This struct has string keys only, so it always serialises.
                        text.push_str(&serde_json::to_string(&LogLine::new(run_id, line)).unwrap_or_default());
                    }
                }
                is_first = false;
            }
            if is_last {
                text.push_str(if format == Format::Json { "],\"next_after\":null}" } else { "" });
            }
            // A client that left needs no more.
            if sender.send(Ok(std::mem::take(&mut text))).await.is_err() || is_last {
                return;
            }
            lines = match api.store.list_logs(run_id, filter).await {
                Ok(lines) => lines,
                Err(error) => {
                    tracing::warn!(%error, "a log broke off");
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            };
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}

/// Follow what a run prints
///
/// Server-sent events: a `log` for each line, its id the line's number; at the end of the run a
/// `warning` that says so. Goes on after `Last-Event-ID`.
#[utoipa::path(get, path = "/apps/{app}/runs/{number}/logs/stream", operation_id = "stream_run_logs", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1),
        ("attempt" = Option<u32>, Query, minimum = 1), ("after" = Option<i64>, Query, minimum = 0),
        ("Last-Event-ID" = Option<String>, Header)),
    responses((status = 200, body = LogEvent, content_type = "text/event-stream"), (status = 404, body = ProblemBody), (status = 429, body = ProblemBody)))]
pub async fn stream(
    State(api): State<Api>,
    at: RunRef,
    headers: HeaderMap,
    mut query: QueryParams,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let attempt = query.number("attempt", 1, MAX_SEQ)?;
    let after = query.number("after", 0, i64::MAX)?;
    query.finish()?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let run_id = api.store.find_run(&at.app, at.number).await?.run_id;
    let slot = slot(&api)?;
    // A few events ahead of a client that reads slowly, each a line of 16 KiB at most.
    let (sender, receiver) = mpsc::channel(2);
    let lingers = tower::is_asking(&headers);
    let after_line = seen.or(after).unwrap_or(0);
    let follower = Follower { api, at, run_id, attempt, after_line, lingers, sender, _slot: slot };
    tokio::spawn(follower.follow());
    let events = tokio_stream::StreamExt::map(ReceiverStream::new(receiver), Ok);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// The right to be told what comes, of which there are some.
pub fn slot(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    api.followers.clone().try_acquire_owned().map_err(|_| {
        metrics::counter!(API_LIMITED, "limit" => "followers").increment(1);
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_followers", "too many streams are followed at once")
            .hint("ask without `/stream` instead, or try again later")
    })
}

struct Follower {
    api: Api,
    at: RunRef,
    run_id: Uuid,
    attempt: Option<u32>,
    after_line: i64,
    /// Whether the client has to find out by itself that the run is over.
    lingers: bool,
    sender: mpsc::Sender<Event>,
    _slot: OwnedSemaphorePermit,
}

/// Why a follower stops before the end of the run.
enum Stop {
    Gone,
    Store(StoreError),
}

impl Follower {
    async fn follow(mut self) {
        let closing = self.api.closing.clone();
        let gone = self.sender.clone();
        let end = tokio::select! {
            end = self.send_all() => end,
            () = closing.cancelled() => return,
            () = gone.closed() => return,
        };
        let notice = match end {
            Ok(()) if self.lingers => return tokio::time::sleep(tower::FOLLOWS_FOR).await,
            Ok(()) => notice("the run is over, and these were all lines", true),
            Err(Stop::Gone) => return,
            Err(Stop::Store(error)) => {
                tracing::warn!(%error, "a follower of logs was sent away");
                notice("the server cannot read the log at the moment; connect again", false)
            }
        };
        // A client that is gone needs no farewell.
        let _ = self.sender.send(notice).await;
    }

    async fn send_all(&mut self) -> Result<(), Stop> {
        let mut pause = MIN_POLL;
        loop {
            // Asked before the lines are read: a run that is over prints no more.
            let run = self.api.store.find_run(&self.at.app, self.at.number).await.map_err(Stop::Store)?;
            let sent = self.send_new_lines().await?;
            if !run.status.is_active() {
                return Ok(());
            }
            pause = if sent { MIN_POLL } else { (pause * 2).min(MAX_POLL) };
            tokio::time::sleep(pause).await;
        }
    }

    async fn send_new_lines(&mut self) -> Result<bool, Stop> {
        let mut sent = false;
        loop {
            let (attempt, after_line, max_bytes) = (self.attempt, self.after_line, Some(BATCH_BYTES));
            let filter = LogFilter { attempt, after_line, limit: BATCH, max_bytes, ..LogFilter::default() };
            let lines = self.api.store.list_logs(self.run_id, filter).await.map_err(Stop::Store)?;
            let is_last = !filter.is_full(&lines);
            for line in lines {
                self.after_line = line.line_num;
                let event = event("log", &LogLine::new(self.run_id, line)).id(self.after_line.to_string());
                self.sender.send_timeout(event, SEND_TIME).await.map_err(|_| Stop::Gone)?;
                sent = true;
            }
            if is_last {
                return Ok(sent);
            }
        }
    }
}

fn notice(content: &str, end_of_stream: bool) -> Event {
    let reported_at = time(Timestamp::now());
    event("warning", &StreamNotice { content: content.into(), reported_at, end_of_stream })
}

fn event(name: &str, data: &impl serde::Serialize) -> Event {
    // These structs have string keys only, so they always serialise.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
