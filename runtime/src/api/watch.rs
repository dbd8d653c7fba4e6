//! What changes, as it changes? Streams of server-sent events, each with the newest state: of one run, of a list of runs,
//! of the workers. The database is asked again and again, the less often the less happens.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Extension, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::auth::Caller;
use super::extract::{MAX_SEQ, QueryParams, RunRef};
use super::wire::{self, ChangedSteps, ProblemBody, RunState, RunsState, StateEvent, Step, words};
use super::{Api, Problem, explain, logs, runs, stats, workers};
use crate::store::{JournalEntry, RunFilter};

/// How long a client that reads nothing stays one.
const SEND_TIME: Duration = Duration::from_secs(30);
/// How often the database is asked: soon after a change, then ever less often.
const MIN_POLL: Duration = Duration::from_millis(200);
const MAX_POLL: Duration = Duration::from_secs(2);
/// And how much longer than it took to answer it is left alone: a list that is dear to make is made rarely.
const REST_FOR_EACH: u32 = 9;
/// How old the numbers beside a list may be which has not changed itself.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Entries of a journal that are sent at once.
const ENTRIES: u32 = 500;

/// A thing whose changes are told.
#[async_trait]
trait Watched: Send + 'static {
    /// What has changed since the last look. Nothing more is asked once it says that it is over.
    async fn look(&mut self, api: &Api) -> Result<Looked, Problem>;
}

#[derive(Default)]
struct Looked {
    events: Vec<Event>,
    is_over: bool,
}

/// The newest state, told if it is another than the last time.
#[derive(Default)]
struct Told(String);

impl Told {
    fn is_new(&mut self, state: &impl Serialize) -> bool {
        // These structs have string keys only, so they always serialise.
        let text = serde_json::to_string(state).unwrap_or_default();
        let is_new = text != self.0;
        self.0 = text;
        is_new
    }

    fn event(&mut self, name: &'static str, state: &impl Serialize) -> Option<Event> {
        self.is_new(state).then(|| Event::default().event(name).data(&self.0))
    }
}

fn stream(api: Api, mut watched: impl Watched) -> Result<Response, Problem> {
    let slot = logs::slot(&api)?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        let _slot = slot;
        let mut pause = MIN_POLL;
        loop {
            let begun = Instant::now();
            let looked = match watched.look(&api).await {
                Ok(looked) => looked,
                // The client connects again, and is told then what is the matter.
                Err(problem) => return tracing::debug!(?problem, "a watcher was sent away"),
            };
            let took = begun.elapsed();
            pause = if looked.events.is_empty() { (pause * 2).min(MAX_POLL) } else { MIN_POLL };
            for event in looked.events {
                if sender.send_timeout(event, SEND_TIME).await.is_err() {
                    return;
                }
            }
            if looked.is_over {
                return;
            }
            tokio::select! {
                () = sleep(pause.max(took * REST_FOR_EACH)) => {}
                () = api.closing.cancelled() => return,
                () = sender.closed() => return,
            }
        }
    });
    let events = ReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// Follow a run
///
/// Server-sent events: `state` with the `run` and the `reasons` why it is where it is, whenever that changes; `steps` with the
/// entries of its journal that stand behind the entry `after` now; `end` when the run is over and all was told.
#[utoipa::path(get, path = "/apps/{app}/runs/{number}/stream", operation_id = "stream_run", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1),
        ("after" = Option<u32>, Query, description = "Only entries with a higher `seq`")),
    responses((status = 200, body = StateEvent, content_type = "text/event-stream"), (status = 404, body = ProblemBody), (status = 429, body = ProblemBody)))]
pub async fn run(State(api): State<Api>, at: RunRef, mut query: QueryParams) -> Result<Response, Problem> {
    let after = query.number("after", 0, MAX_SEQ)?.unwrap_or(0);
    query.finish()?;
    api.store.find_run(&at.app, at.number).await?;
    stream(api, WatchedRun { at, after, state: Told::default(), tail: Vec::new() })
}

struct WatchedRun {
    at: RunRef,
    /// Entries up to this one are final, and were told.
    after: u32,
    state: Told,
    /// Those behind it, as they were told.
    tail: Vec<JournalEntry>,
}

#[async_trait]
impl Watched for WatchedRun {
    async fn look(&mut self, api: &Api) -> Result<Looked, Problem> {
        let mut events = Vec::new();
        // Read before the journal: a run that is over gets no more entries.
        let run = api.store.find_run(&self.at.app, self.at.number).await?;
        let attempts = api.store.list_attempts(run.run_id).await?;
        let reasons = explain::explained(api, &run).await?;
        let is_over = !run.status.is_active();
        let told = wire::Run::from(run.clone()).with_attempts(attempts);
        events.extend(self.state.event("state", &RunState { run: told, reasons }));
        loop {
            let entries = api.store.list_journal(run.run_id, self.after, ENTRIES).await?;
            let (is_last, after) = (entries.len() < ENTRIES as usize, self.after);
            if entries != self.tail {
                let first_open = entries.iter().position(|entry| !entry.state.is_final()).unwrap_or(entries.len());
                self.tail = entries[first_open..].to_vec();
                self.after = first_open.checked_sub(1).map_or(self.after, |last| entries[last].seq);
                let steps = entries.into_iter().map(|entry| Step::new(&run, entry)).collect();
                events.extend(Told::default().event("steps", &ChangedSteps { after, steps }));
            }
            // Behind an entry that is open there are no others, but for those of the next look.
            if is_last || self.after == after {
                break;
            }
        }
        if is_over {
            events.push(Event::default().event("end").data("{}"));
        }
        Ok(Looked { events, is_over })
    }
}

/// Follow a list of runs
///
/// Server-sent events: `state` with the `runs` and `pages` that `/runs` would answer with, and `counts`: how many runs of each
/// status there are among the newest 10,000; whenever that changes.
#[utoipa::path(get, path = "/runs/stream", operation_id = "stream_runs", tag = "runs",
    params(words::RunsParams, ("app" = inline(Option<words::AppName>), Query, description = "Only runs of this app")),
    responses((status = 200, body = StateEvent, content_type = "text/event-stream"), (status = 429, body = ProblemBody)))]
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    mut query: QueryParams,
) -> Result<Response, Problem> {
    let app = query.text("app")?;
    if let Some(app) = &app {
        caller.check_app(app)?;
    }
    let (filter, _) = runs::part_of_runs(app, query)?;
    let filter = RunFilter { among: caller.apps(), ..filter };
    stream(api, WatchedRuns { filter, list: Told::default(), state: Told::default(), counted: None })
}

struct WatchedRuns {
    filter: RunFilter,
    list: Told,
    state: Told,
    counted: Option<(Instant, BTreeMap<String, u64>)>,
}

#[async_trait]
impl Watched for WatchedRuns {
    async fn look(&mut self, api: &Api) -> Result<Looked, Problem> {
        let list = runs::list_part(api, (self.filter.clone(), None)).await?.0;
        let is_new = self.list.is_new(&list);
        let counts = match self.counted.take() {
            Some((at, counts)) if !is_new && at.elapsed() < COUNT_EVERY => (at, counts),
            _ => (Instant::now(), stats::counts(api, &self.filter).await?),
        };
        let counts = self.counted.insert(counts).1.clone();
        let event = self.state.event("state", &RunsState { runs: list.runs, pages: list.pages, counts });
        Ok(Looked { events: event.into_iter().collect(), is_over: false })
    }
}

/// Follow the workers
///
/// Server-sent events: `state` with what `/workers` would answer, whenever that changes.
#[utoipa::path(get, path = "/workers/stream", operation_id = "stream_workers", tag = "workers",
    responses((status = 200, body = StateEvent, content_type = "text/event-stream"), (status = 429, body = ProblemBody)))]
pub async fn workers(State(api): State<Api>, query: QueryParams) -> Result<Response, Problem> {
    query.finish()?;
    stream(api, WatchedWorkers { state: Told::default() })
}

struct WatchedWorkers {
    state: Told,
}

#[async_trait]
impl Watched for WatchedWorkers {
    async fn look(&mut self, api: &Api) -> Result<Looked, Problem> {
        let event = self.state.event("state", &workers::state(api).await?);
        Ok(Looked { events: event.into_iter().collect(), is_over: false })
    }
}
