//! How is a run shown? Its facts and attempts, and at the end of one that was followed, how it ended.

use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;

use super::amounts::{bytes, count};
use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::{Output, indented};
use super::retries::written;
use super::run_id::RunId;
use super::span::moment;
use crate::api::wire::{Attempt, FailureBody, Initiator, Run, RunWithLinks, WaitingOn};
use crate::run::Status;

/// How many attempts it may have: more than its policy allows where somebody asked for them.
pub fn attempts(run: &Run) -> u32 {
    run.num_attempts.max(run.retry_policy.max_retries.saturating_add(1))
}

/// What a parked run waits for, in words.
pub fn waited_for(waiting: &WaitingOn) -> String {
    match waiting.kind.as_str() {
        "step_retry" => format!("the next try of the step {}", waiting.name),
        "event" => format!("the event {}", waiting.name),
        "child" => format!("the end of {}", waiting.name),
        _ => "a moment".into(),
    }
}

/// How people name a run.
pub fn name(run: &Run) -> String {
    format!("{}#{}", run.app_name, run.number)
}

pub async fn show(at: &RunId, client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get::<RunWithLinks>(&format!("{at} cannot be shown"), &at.path()).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let run = &answer.body.run;
    output.facts(&facts(run));
    output.data("");
    let rows: Vec<_> = run.attempts.iter().flatten().map(attempt_row).collect();
    output.table(&["ATTEMPT", "STATUS", "STARTED", "ENDED", "EXIT", "RECOVERIES", "FAILURE"], &rows);
    let rows: Vec<_> = run.attempts.iter().flatten().filter_map(ledger_row).collect();
    if !rows.is_empty() {
        output.data("");
        output.table(&["ATTEMPT", "TOOK", "FUEL", "MEMORY", "RECEIVED", "SENT"], &rows);
    }
    Ok(())
}

fn facts(run: &Run) -> Vec<(&str, String)> {
    let mut facts = vec![("run", name(run)), ("status", run.status.clone()), ("version", run.app_version.clone())];
    facts.extend(started_by(&run.initiator).map(|who| ("started by", who)));
    facts.extend(run.parent.as_ref().map(|parent| ("parent", parent.run.clone())));
    facts
        .extend(run.forked_from.as_ref().map(|fork| ("forked from", format!("{}, step {}", fork.run, fork.from_step))));
    facts.push(("created", run.created_at.clone()));
    let is_over = Status::from_word(&run.status).is_some_and(|status| !status.is_active());
    // What is still to come is counted down.
    let to_come = |at: &String| if is_over { at.clone() } else { moment(at) };
    if run.scheduled_at > run.created_at {
        let is_due = run.status != "scheduled";
        facts.push(("scheduled", if is_due { run.scheduled_at.clone() } else { moment(&run.scheduled_at) }));
    }
    facts.extend(run.pending_until.as_ref().filter(|_| !is_over).map(|at| ("expires", moment(at))));
    facts.extend(run.deadline_at.as_ref().map(|at| ("deadline", to_come(at))));
    facts.extend(run.started_at.clone().map(|at| ("started", at)));
    facts.extend(run.ended_at.clone().map(|at| ("ended", at)));
    if run.retry_policy.max_retries > 0 {
        facts.push(("retries", written(&run.retry_policy)));
    }
    facts.extend(run.waiting_on.as_ref().map(|waiting| {
        let until = waiting.until.as_deref().map(|at| format!(" until {}", moment(at))).unwrap_or_default();
        ("waits for", format!("{}{until}", waited_for(waiting)))
    }));
    facts.extend(run.next_attempt_at.as_ref().map(|at| ("next attempt", to_come(at))));
    facts.extend(run.retry_skipped_reason.clone().map(|reason| ("not retried", reason)));
    facts.extend(run.cancelled_reason.clone().map(|reason| ("cancelled by", reason)));
    if run.running_timeout > 0 {
        facts.push(("timeout", format!("{} s", run.running_timeout)));
    }
    facts.extend(run.limits.iter().map(|(limit, value)| ("limit", format!("{} = {value}", limit.spec().name))));
    if run.used_loose_io {
        facts.push(("loose io", "it used the network outside steps: a replay may take another way".into()));
    }
    facts.extend(run.exit_code.map(|code| ("exit code", code.to_string())));
    for parameter in &run.parameters {
        facts.push(("parameter", format!("{}={}", parameter.name, parameter.value)));
    }
    facts.extend(run.input.as_ref().map(|input| ("input", input.get().to_owned())));
    facts.extend(run.output.as_ref().map(|output| ("output", output.get().to_owned())));
    facts.extend(run.output_base64.as_ref().map(|text| ("output", format!("{text} (base64)"))));
    if let Some(failure) = &run.failure {
        facts.push(("failure", format!("{}: {}", failure.kind, failure.message)));
        facts.extend(failure.backtrace.as_ref().map(|trace| ("backtrace", trace.trim_end().to_owned())));
    }
    facts
}

fn started_by(initiator: &Initiator) -> Option<String> {
    let schedule = initiator.details.get("schedule_name").map(|name| format!("the schedule {name}"));
    schedule.or_else(|| initiator.kind.clone())
}

fn attempt_row(attempt: &Attempt) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        attempt.seq.to_string(),
        attempt.status.clone(),
        or_dash(attempt.started_at.clone()),
        or_dash(attempt.ended_at.clone()),
        or_dash(attempt.exit_code.map(|code| code.to_string())),
        attempt.recoveries.to_string(),
        or_dash(attempt.failure.as_ref().map(|failure| failure.kind.clone())),
    ]
}

/// What an attempt used up, once that is known.
fn ledger_row(attempt: &Attempt) -> Option<Vec<String>> {
    let fuel = attempt.fuel_used?;
    let moment = |text: &Option<String>| text.as_deref()?.parse::<Timestamp>().ok();
    let took = moment(&attempt.started_at).zip(moment(&attempt.ended_at)).map(|(start, end)| end.duration_since(start));
    let took_ms = took.and_then(|took| u64::try_from(took.as_millis()).ok());
    Some(vec![
        attempt.seq.to_string(),
        took_ms.map_or_else(|| "-".into(), |took_ms| format!("{took_ms} ms")),
        count(fuel),
        bytes(attempt.peak_memory_bytes.unwrap_or(0)),
        bytes(attempt.bytes_in.unwrap_or(0)),
        bytes(attempt.bytes_out.unwrap_or(0)),
    ])
}

/// Prints how a followed run ended: its output on stdout, its failure on stderr.
pub fn print_end(answer: &Answer<RunWithLinks>, output: Output) -> Result<ExitCode, Failure> {
    let run = &answer.body.run;
    if output.json {
        output.data(&answer.text);
    } else if let Some(base64) = &run.output_base64 {
        let decoded = BASE64.decode(base64).map_err(|e| Failure::new("the output cannot be read").because(e))?;
        output.bytes(&decoded);
    } else if let Some(value) = &run.output {
        output.data(value.get());
    }
    match (&run.failure, run.status.as_str()) {
        (Some(failure), status) => {
            print_failure(&format!("{} {status}", name(run)), failure, output);
            output.note(&format!("hint: see its attempts with `relume runs show {}`", name(run)));
        }
        (None, "exited") => {}
        (None, status) => {
            output.note(&format!("error: {} was {status}", name(run)));
            if let Some(reason) = &run.cancelled_reason {
                output.note(&format!("cause: {reason}"));
            }
        }
    }
    Ok(ExitCode::from(Status::from_word(&run.status).map_or(1, exit_code)))
}

/// Prints why a run failed.
pub fn print_failure(what: &str, failure: &FailureBody, output: Output) {
    output.note(&format!("error: {what} ({})\ncause: {}", failure.kind, indented(&failure.message, 7)));
    if let Some(backtrace) = &failure.backtrace {
        output.note(backtrace.trim_end());
    }
}

/// The program's exit code for the status of a run.
pub fn exit_code(status: Status) -> u8 {
    match status {
        Status::Exited => 0,
        Status::Crashed => 3,
        Status::Errored => 4,
        Status::Cancelled => 5,
        Status::Scheduled | Status::Pending | Status::Starting | Status::Running | Status::Retrying => 1,
    }
}
