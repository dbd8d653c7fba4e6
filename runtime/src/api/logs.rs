//! What did a run print? Pages of lines, and a stream that follows a run to its end.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::extract::{QueryParams, RunRef};
use super::wire::{LogLine, LogLines, StreamNotice, time};
use super::{Api, Problem};
use crate::store::{self, LogFilter};

/// Lines of 16 KiB at most (V8), so that a page is 16 MiB at worst.
const MAX_PAGE: u32 = 1000;
/// Lines that are read for a follower at once.
const BATCH: u32 = 200;
/// How often a follower asks: soon after a line, then ever less often.
const MIN_POLL: Duration = Duration::from_millis(100);
const MAX_POLL: Duration = Duration::from_secs(1);

pub async fn list(State(api): State<Api>, at: RunRef, mut query: QueryParams) -> Result<Json<LogLines>, Problem> {
    let attempt = query.number("attempt", 1, u32::MAX)?;
    let after_line = query.number("after", 0, i64::MAX)?.unwrap_or(0);
    let limit = query.number("limit", 1, MAX_PAGE)?.unwrap_or(MAX_PAGE);
    query.finish()?;
    let run_id = api.store.find_run(&at.app, at.number).await?.run_id;
    let lines = api.store.list_logs(run_id, LogFilter { attempt, after_line, limit }).await?;
    let is_full = lines.len() >= limit as usize;
    let next_after = lines.last().filter(|_| is_full).map(|line| line.line_num);
    Ok(Json(LogLines { log_lines: lines.into_iter().map(|line| LogLine::new(run_id, line)).collect(), next_after }))
}

/// Server-sent events: a `log` for each line, its id the line's number; at the end of the run a
/// `warning` that says so. Goes on after `Last-Event-ID`.
pub async fn stream(
    State(api): State<Api>,
    at: RunRef,
    headers: HeaderMap,
    mut query: QueryParams,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let attempt = query.number("attempt", 1, u32::MAX)?;
    let after = query.number("after", 0, i64::MAX)?;
    query.finish()?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let run_id = api.store.find_run(&at.app, at.number).await?.run_id;
    let slot = api.followers.clone().try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_followers", "too many logs are followed at once")
            .hint("read `/logs?after=` instead, or try again later")
    })?;
    // A few events ahead of a client that reads slowly.
    let (sender, receiver) = mpsc::channel(16);
    let follower = Follower { api, at, run_id, attempt, after_line: seen.or(after).unwrap_or(0), sender, _slot: slot };
    tokio::spawn(follower.follow());
    let events = tokio_stream::StreamExt::map(ReceiverStream::new(receiver), Ok);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Follower {
    api: Api,
    at: RunRef,
    run_id: Uuid,
    attempt: Option<u32>,
    after_line: i64,
    sender: mpsc::Sender<Event>,
    _slot: OwnedSemaphorePermit,
}

/// Why a follower stops before the end of the run.
enum Stop {
    Gone,
    Store(store::StoreError),
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
            let filter = LogFilter { attempt: self.attempt, after_line: self.after_line, limit: BATCH };
            let lines = self.api.store.list_logs(self.run_id, filter).await.map_err(Stop::Store)?;
            let is_last = lines.len() < BATCH as usize;
            for line in lines {
                self.after_line = line.line_num;
                let event = event("log", &LogLine::new(self.run_id, line)).id(self.after_line.to_string());
                self.sender.send(event).await.map_err(|_| Stop::Gone)?;
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
