//! `runs steps`: what a run's journal holds, and what each entry took.

use jiff::Timestamp;
use serde_json::Value;

use super::amounts::{bytes, count};
use super::client::Client;
use super::failure::Failure;
use super::output::{Output, shortened};
use super::run_id::RunId;
use super::span::countdown;
use crate::api::wire::{Step, Steps};

const HEADING: [&str; 12] =
    ["SEQ", "KIND", "NAME", "STATUS", "ATTEMPT", "TRIES", "TOOK", "FUEL", "MEMORY", "RECEIVED", "SENT", "RESULT"];

pub async fn steps(at: &RunId, client: &Client, output: Output) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut after = Some(0);
    while let Some(last) = after {
        let path = format!("{}/journal?after={last}", at.path());
        let answer = client.get::<Steps>(&format!("the steps of {at} cannot be read"), &path).await?;
        if output.json {
            output.data(&answer.text);
        }
        after = answer.body.next_after;
        rows.extend(answer.body.steps.iter().map(row));
    }
    if !output.json {
        output.table(&HEADING, &rows);
    }
    Ok(())
}

fn row(step: &Step) -> Vec<String> {
    let name = shortened(&step.name);
    let name = if step.occurrence > 1 { format!("{name} ({})", step.occurrence) } else { name };
    // What the run's last attempt did not do itself.
    let attempt = format!("{}{}", step.attempt_seq, if step.is_replayed { ", replayed" } else { "" });
    let mut row = vec![step.seq.to_string(), step.kind.clone(), name, step.status.clone(), attempt];
    if step.kind == "step" {
        row.extend([step.tries.to_string(), format!("{} ms", step.took_ms), count(step.fuel_used)]);
        row.extend([step.peak_memory_bytes, step.bytes_in, step.bytes_out].map(bytes));
    } else {
        row.extend(std::iter::repeat_n("-".to_owned(), 6));
    }
    row.push(result(step));
    row
}

/// What came of the call, or when it goes on.
fn result(step: &Step) -> String {
    let due = step.due_at.as_deref().map(|at| match countdown(at, Timestamp::now()) {
        Some(left) if left != "now" => format!("{at}, {left}"),
        _ => at.to_owned(),
    });
    let error = step.error.as_deref().map(shortened);
    match (step.kind.as_str(), step.status.as_str(), error, due) {
        ("now", ..) => step.recorded_at.clone(),
        ("step", "again", Some(error), Some(due)) => format!("{error}; again at {due}"),
        ("sleep", _, _, Some(due)) | (_, "waiting", _, Some(due)) => format!("until {due}"),
        (_, "begun" | "waiting" | "indeterminate", ..) => "-".into(),
        (_, _, Some(error), _) => error,
        ("child", ..) => child(step.output.get()),
        _ => shortened(step.output_base64.as_deref().unwrap_or(step.output.get())),
    }
}

/// The run that was started: `app#7`.
fn child(output: &str) -> String {
    let output: Result<Value, _> = serde_json::from_str(output);
    output.ok().and_then(|output| Some(output.get("run")?.as_str()?.to_owned())).unwrap_or_else(|| "-".into())
}
