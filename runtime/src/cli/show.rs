//! How is a run shown? Its facts and attempts, and at the end of one that was followed, how it ended.

use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::Output;
use super::retries::written;
use super::run_id::RunId;
use super::span::moment;
use crate::api::wire::{Attempt, FailureBody, Initiator, Run, RunWithLinks};
use crate::run::Status;

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
    Ok(())
}

fn facts(run: &Run) -> Vec<(&str, String)> {
    let mut facts = vec![("run", name(run)), ("status", run.status.clone()), ("version", run.app_version.clone())];
    facts.extend(started_by(&run.initiator).map(|who| ("started by", who)));
    facts.push(("created", run.created_at.clone()));
    let is_over = Status::from_word(&run.status).is_some_and(|status| !status.is_active());
    // What is still to come is counted down.
    let to_come = |at: &String| if is_over { at.clone() } else { moment(at) };
    if run.scheduled_at > run.created_at {
        let is_due = run.status != "scheduled";
        facts.push(("scheduled", if is_due { run.scheduled_at.clone() } else { moment(&run.scheduled_at) }));
    }
    facts.extend(run.pending_until.as_ref().filter(|_| !is_over).map(|at| ("expires", moment(at))));
    facts.extend(run.started_at.clone().map(|at| ("started", at)));
    facts.extend(run.ended_at.clone().map(|at| ("ended", at)));
    if run.retry_policy.max_retries > 0 {
        facts.push(("retries", written(&run.retry_policy)));
    }
    facts.extend(run.next_attempt_at.as_ref().map(|at| ("next attempt", to_come(at))));
    facts.extend(run.retry_skipped_reason.clone().map(|reason| ("not retried", reason)));
    facts.extend(run.cancelled_reason.clone().map(|reason| ("cancelled by", reason)));
    if run.running_timeout > 0 {
        facts.push(("timeout", format!("{} s", run.running_timeout)));
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
        facts.extend(failure.backtrace.as_ref().map(|trace| ("backtrace", format!("\n{trace}"))));
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

/// Prints how a followed run ended: its output on stdout, its failure on stderr.
pub fn print_end(answer: &Answer<RunWithLinks>, output: Output) -> Result<ExitCode, Failure> {
    let run = &answer.body.run;
    if output.json {
        output.data(&answer.text);
    } else if let Some(base64) = &run.output_base64 {
        let bytes = BASE64.decode(base64).map_err(|e| Failure::new("the output cannot be read").because(e))?;
        output.bytes(&bytes);
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
    output.note(&format!("error: {what} ({})\ncause: {}", failure.kind, failure.message));
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
