//! Why is a run where it is? What it waits for, or how it ended, the most important reason first.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::extract::{QueryParams, RunRef};
use super::wire::{Explanation, ProblemBody, Reason, time, words};
use super::{Api, Problem};
use crate::run::{EndedBecause, Status};
use crate::store::{App, Queue, Run};

/// Why a run is where it is
#[utoipa::path(get, path = "/apps/{app}/runs/{number}/explain", operation_id = "explain_run", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1)),
    responses((status = 200, body = Explanation), (status = 404, body = ProblemBody)))]
pub async fn explain(State(api): State<Api>, at: RunRef, query: QueryParams) -> Result<Json<Explanation>, Problem> {
    query.finish()?;
    let run = api.store.find_run(&at.app, at.number).await?;
    let app = api.store.find_app(&at.app).await?;
    let queue = api.store.describe_queue(run.run_id).await?;
    let (status, reasons) = (run.status.as_str().into(), reasons(&run, &app, queue));
    Ok(Json(Explanation { status, reasons, queue: queue.into() }))
}

fn reasons(run: &Run, app: &App, queue: Queue) -> Vec<Reason> {
    let attempt = format!("attempt {} of {}", run.num_attempts, run.policy.max_retries + 1);
    match run.status {
        Status::Scheduled => vec![until("scheduled", "it waits for its start time", run.scheduled_at)],
        Status::Pending => waiting(run, queue),
        Status::Starting => vec![reason("preparing", format!("{attempt}: a worker fetches or compiles its code"))],
        Status::Running if queue.is_held => vec![reason("running", format!("{attempt} runs"))],
        Status::Running => {
            let mut reasons =
                vec![reason("interrupted", format!("{attempt} was interrupted, and goes on where it was"))];
            reasons.extend(waiting(run, queue));
            reasons
        }
        Status::Retrying => retrying(run, app, queue, &attempt),
        Status::Exited => vec![reason("exited", format!("{attempt} ended well"))],
        Status::Crashed | Status::Errored => failed(run, &attempt),
        Status::Cancelled => match run.ended_because {
            Some(EndedBecause::PendingTimeout) => {
                vec![reason("pending_timeout", "no worker took it in the time that it may wait (`pending_timeout`)")]
            }
            _ => vec![reason("cancelled", "it was cancelled on request")],
        },
    }
}

/// Why no worker has taken a run that is due.
fn waiting(run: &Run, queue: Queue) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if queue.workers == 0 {
        reasons.push(reason("no_worker", "no worker is there: start one with `relume worker`"));
    } else if queue.held >= queue.slots {
        let message = format!("all {} slots of {} are taken", queue.slots, counted(queue.workers, "worker"));
        reasons.push(reason("no_slot", message));
    }
    if queue.ahead > 0 {
        reasons.push(reason("queued", format!("{} before it", counted(queue.ahead, "due run"))));
    }
    if reasons.is_empty() {
        reasons.push(reason("due", "it is due, and a worker with a free slot is about to take it"));
    }
    if let Some(at) = run.pending_until {
        reasons.push(until("expires", "it is cancelled unless a worker takes it before", at));
    }
    reasons
}

fn retrying(run: &Run, app: &App, queue: Queue, attempt: &str) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let due_at = run.next_attempt_at.unwrap_or(Timestamp::UNIX_EPOCH);
    if app.disabled {
        reasons.push(until("app_disabled", "the app is disabled: unless it is enabled, the run ends", due_at));
    }
    reasons.push(until("waiting_for_retry", &format!("the last attempt failed; {attempt} is due"), due_at));
    if queue.workers == 0 {
        reasons.push(reason("no_worker", "no worker is there: start one with `relume worker`"));
    }
    reasons
}

fn failed(run: &Run, attempt: &str) -> Vec<Reason> {
    let failure = run.failure.as_ref().map_or("failed", |failure| failure.message.as_str());
    let mut reasons = vec![reason(run.status.as_str(), format!("{attempt}: {failure}"))];
    reasons.push(match run.ended_because {
        Some(EndedBecause::AppDisabled) => reason("app_disabled", "it was not retried: the app was disabled"),
        Some(EndedBecause::NotRetryable) => reason("not_retryable", "it was not retried: the program said so"),
        _ if run.policy.max_retries == 0 => reason("no_retries", "it was not retried: its policy has no retries"),
        _ => reason("retries_used_up", format!("it was retried {}", counted(run.policy.max_retries.into(), "time"))),
    });
    reasons
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn reason(code: &str, message: impl Into<String>) -> Reason {
    Reason { code: code.into(), message: message.into(), until: None }
}

fn until(code: &str, message: &str, at: Timestamp) -> Reason {
    Reason { until: Some(time(at)), ..reason(code, message) }
}
