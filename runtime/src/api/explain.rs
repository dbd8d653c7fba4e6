//! Why is a run where it is? What it waits for, or how it ended, the most important reason first.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::extract::{QueryParams, RunRef};
use super::wire::{Explanation, ProblemBody, Reason, time, words};
use super::{Api, Problem};
use crate::run::{EndedBecause, Status};
use crate::store::{App, Queue, Run, WaitKind, WaitingOn};

/// Why a run is where it is
#[utoipa::path(get, path = "/apps/{app}/runs/{number}/explain", operation_id = "explain_run", tag = "runs",
    params(("app" = words::AppName, Path), ("number" = i64, Path, minimum = 1)),
    responses((status = 200, body = Explanation), (status = 404, body = ProblemBody)))]
pub async fn explain(State(api): State<Api>, at: RunRef, query: QueryParams) -> Result<Json<Explanation>, Problem> {
    query.finish()?;
    let run = api.store.find_run(&at.app, at.number).await?;
    let (reasons, queue) = look(&api, &run).await?;
    Ok(Json(Explanation { status: run.status.as_str().into(), reasons, queue: queue.into() }))
}

/// Why the run is where it is, the most important reason first.
pub async fn explained(api: &Api, run: &Run) -> Result<Vec<Reason>, Problem> {
    Ok(look(api, run).await?.0)
}

async fn look(api: &Api, run: &Run) -> Result<(Vec<Reason>, Queue), Problem> {
    let app = api.store.find_app(&run.app).await?;
    let queue = api.store.describe_queue(run.run_id).await?;
    let now = api.store.now().await?;
    Ok((reasons(run, &app, queue, now), queue))
}

fn reasons(run: &Run, app: &App, queue: Queue, now: Timestamp) -> Vec<Reason> {
    let mut reasons = reasons_of_status(run, app, queue, now);
    if let Some(at) = run.deadline_at.filter(|_| run.status.is_active()) {
        reasons.push(until("deadline", "it is stopped unless it ends before its deadline", at));
    }
    reasons
}

fn reasons_of_status(run: &Run, app: &App, queue: Queue, now: Timestamp) -> Vec<Reason> {
    // More than its policy allows where somebody asked for them.
    let attempts = run.num_attempts.max(run.policy.max_retries.saturating_add(1));
    let attempt = format!("attempt {} of {attempts}", run.num_attempts);
    match run.status {
        Status::Scheduled => vec![until("scheduled", "it waits for its start time", run.scheduled_at)],
        Status::Pending => waiting(run, queue),
        Status::Starting => vec![reason("preparing", format!("{attempt}: a worker fetches or compiles its code"))],
        Status::Running if queue.is_held => vec![reason("running", format!("{attempt} runs"))],
        Status::Running if run.waiting_on.is_some() => parked(run, queue, now),
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

/// What a run waits for that is in no worker's memory.
fn parked(run: &Run, queue: Queue, now: Timestamp) -> Vec<Reason> {
    let Some(WaitingOn { kind, name, until: due_at }) = &run.waiting_on else { return Vec::new() };
    let (code, message) = match kind {
        WaitKind::StepRetry => ("waiting_for_step_retry", format!("it waits for the next try of the step `{name}`")),
        WaitKind::Sleep => ("sleeping", "it sleeps".into()),
        WaitKind::Event => {
            ("waiting_for_event", format!("it waits for the event `{name}` (`relume events send` sends one)"))
        }
        WaitKind::Child => {
            ("waiting_for_child", format!("it waits for the end of `{name}`: `relume runs explain {name}` says more"))
        }
    };
    let mut reasons = vec![match due_at {
        Some(at) => until(code, &format!("{message} until"), *at),
        None => reason(code, message),
    }];
    if due_at.is_some_and(|at| at <= now) {
        reasons.extend(waiting(run, queue));
    } else if queue.workers == 0 {
        reasons.push(no_worker());
    }
    reasons
}

fn no_worker() -> Reason {
    reason("no_worker", "no worker is there: start one with `relume worker`")
}

/// Why no worker has taken a run that is due.
fn waiting(run: &Run, queue: Queue) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if queue.workers == 0 {
        reasons.push(no_worker());
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
        reasons.push(no_worker());
    }
    reasons
}

fn failed(run: &Run, attempt: &str) -> Vec<Reason> {
    let failure = run.failure.as_ref().map_or("failed", |failure| failure.message.as_str());
    let mut reasons = vec![reason(run.status.as_str(), format!("{attempt}: {failure}"))];
    reasons.push(match run.ended_because {
        Some(EndedBecause::AppDisabled) => reason("app_disabled", "it was not retried: the app was disabled"),
        Some(EndedBecause::NotRetryable) => reason("not_retryable", "it was not retried: the program said so"),
        Some(EndedBecause::Deadline) => reason("deadline", "it was not retried: its deadline comes first"),
        Some(EndedBecause::StepLimit) => {
            reason("step_limit", "it was not retried: its steps were executed as often as they may (`step_attempts`)")
        }
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
