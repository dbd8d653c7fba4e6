//! `runs`: list, show, logs, steps, cancel.

use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, Subcommand};

use super::client::{Answer, Client};
use super::failure::{Failure, not_an_app};
use super::follow::follow;
use super::output::Output;
use super::run_id::RunId;
use crate::api::wire::{CancelledRun, FailureBody, LogLine, LogLines, Run, RunList, RunWithLinks, Steps};
use crate::manifest::check_app_name;
use crate::run::Status;

#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, newest first
    List(List),
    /// Show a run and its attempts
    Show(Named),
    /// Show what a run printed
    Logs(Logs),
    /// Show the recorded steps of a run
    Steps(Named),
    /// Cancel a run
    Cancel(Named),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only runs of this app
    app: Option<String>,
    /// Only runs in this status
    #[arg(long)]
    status: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
    /// Go on where an earlier list ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub struct Named {
    /// The run, e.g. greet#7 or greet 7
    #[arg(required = true, num_args = 1..=2, value_name = "RUN")]
    run: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    named: Named,
    /// Wait for more until the run is over
    #[arg(long, short)]
    follow: bool,
    /// Only lines of this attempt
    #[arg(long)]
    attempt: Option<u32>,
}

impl Named {
    fn id(&self) -> Result<RunId, Failure> {
        RunId::parse(&self.run)
    }
}

pub async fn runs(runs: Runs, client: &Client, output: Output) -> Result<ExitCode, Failure> {
    match runs {
        Runs::List(options) => list(options, client, output).await?,
        Runs::Show(named) => show(&named.id()?, client, output).await?,
        Runs::Logs(options) => logs(&options, client, output).await?,
        Runs::Steps(named) => steps(&named.id()?, client, output).await?,
        Runs::Cancel(named) => cancel(&named.id()?, client, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(options: List, client: &Client, output: Output) -> Result<(), Failure> {
    let mut path = match &options.app {
        Some(app) => format!("/apps/{app}/runs?limit={}", options.limit),
        None => format!("/runs?limit={}", options.limit),
    };
    if let Some(app) = &options.app {
        check_app_name("app", app).map_err(|e| not_an_app("that is not an app", e))?;
    }
    if let Some(status) = &options.status {
        let known = Status::from_word(status).ok_or_else(|| {
            let words: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
            Failure::new(format!("`{status}` is not a status"))
                .because(format!("it is one of: {}", words.join(", ")))
                .hint("e.g. --status crashed")
                .usage()
        })?;
        path += &format!("&status={}", known.as_str());
    }
    if let Some(cursor) = &options.cursor {
        let cursor = uuid::Uuid::parse_str(cursor);
        let cursor = cursor.map_err(|e| {
            let failure = Failure::new("that is not a cursor").because(e);
            failure.hint("leave out --cursor; a list that goes on names the next one").usage()
        })?;
        path += &format!("&cursor={cursor}");
    }
    let answer = client.get::<RunList>("the runs cannot be listed", &path).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let row = |run: &Run| {
        let attempts = format!("{}/{}", run.num_attempts, u64::from(run.retry_policy.max_retries) + 1);
        vec![name(run), run.status.clone(), run.app_version.clone(), attempts, run.created_at.clone()]
    };
    let rows: Vec<_> = answer.body.runs.iter().map(row).collect();
    output.table(&["RUN", "STATUS", "VERSION", "ATTEMPT", "CREATED"], &rows);
    if let Some(cursor) = answer.body.pages.next_cursor {
        output.note(&format!("more: --cursor {cursor}"));
    }
    Ok(())
}

fn name(run: &Run) -> String {
    format!("{}#{}", run.app_name, run.number)
}

async fn show(at: &RunId, client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get::<RunWithLinks>(&format!("{at} cannot be shown"), &at.path()).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let run = &answer.body.run;
    let mut lines = vec![("run", name(run)), ("status", run.status.clone()), ("version", run.app_version.clone())];
    lines.push(("created", run.created_at.clone()));
    let times = [("started", &run.started_at), ("ended", &run.ended_at), ("next attempt", &run.next_attempt_at)];
    lines.extend(times.into_iter().filter_map(|(label, at)| Some((label, at.clone()?))));
    lines.extend(run.exit_code.map(|code| ("exit code", code.to_string())));
    for parameter in run.parameters.iter().flatten() {
        lines.push(("parameter", format!("{}={}", parameter.name, parameter.value)));
    }
    lines.extend(run.input.as_ref().map(|input| ("input", input.get().to_owned())));
    lines.extend(run.output.as_ref().map(|output| ("output", output.get().to_owned())));
    lines.extend(run.output_base64.as_ref().map(|text| ("output", format!("{text} (base64)"))));
    if let Some(failure) = &run.failure {
        lines.push(("failure", format!("{}: {}", failure.kind, failure.message)));
        lines.extend(failure.backtrace.as_ref().map(|trace| ("backtrace", format!("\n{trace}"))));
    }
    for (label, text) in lines {
        output.data(&format!("{label:<13} {text}"));
    }
    let rows: Vec<_> = run
        .attempts
        .iter()
        .flatten()
        .map(|attempt| {
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
        })
        .collect();
    output.data("");
    output.table(&["ATTEMPT", "STATUS", "STARTED", "ENDED", "EXIT", "RECOVERIES", "FAILURE"], &rows);
    Ok(())
}

async fn logs(options: &Logs, client: &Client, output: Output) -> Result<(), Failure> {
    let at = options.named.id()?;
    let print = |line: &LogLine| match (output.json, serde_json::to_string(line)) {
        (true, Ok(text)) => output.data(&text),
        _ => output.data(&line.content),
    };
    if options.follow {
        return follow(client, &at, options.attempt, print).await;
    }
    let attempt = options.attempt.map(|attempt| format!("&attempt={attempt}")).unwrap_or_default();
    let mut after = Some(0);
    while let Some(last_line) = after {
        let path = format!("{}/logs?after={last_line}{attempt}", at.path());
        let answer = client.get::<LogLines>(&format!("the log of {at} cannot be read"), &path).await?;
        if output.json {
            output.data(&answer.text);
        } else {
            answer.body.log_lines.iter().for_each(print);
        }
        after = answer.body.next_after;
    }
    Ok(())
}

async fn steps(at: &RunId, client: &Client, output: Output) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut after = Some(0);
    while let Some(last) = after {
        let path = format!("{}/journal?after={last}", at.path());
        let answer = client.get::<Steps>(&format!("the steps of {at} cannot be read"), &path).await?;
        if output.json {
            output.data(&answer.text);
        }
        after = answer.body.next_after;
        rows.extend(answer.body.steps.into_iter().map(|step| {
            let took = format!("{} ms", step.took_ms);
            let result = step.error.or(step.output_base64).unwrap_or_else(|| step.output.get().to_owned());
            let name = if step.occurrence > 1 { format!("{} ({})", step.name, step.occurrence) } else { step.name };
            vec![step.seq.to_string(), name, step.status, step.attempt_seq.to_string(), took, shortened(&result)]
        }));
    }
    if !output.json {
        output.table(&["SEQ", "STEP", "STATUS", "ATTEMPT", "TOOK", "RESULT"], &rows);
    }
    Ok(())
}

/// One line of a table.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 60 && line.len() == text.len() {
        return line.to_owned();
    }
    line.chars().take(60).chain("...".chars()).collect()
}

async fn cancel(at: &RunId, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("{at} cannot be cancelled");
    let answer = client.post::<CancelledRun>(&what, &at.path(), &serde_json::json!({})).await?;
    if output.json {
        output.data(&answer.text);
    } else {
        output.data(&format!("{at} {}", answer.body.run.status));
    }
    Ok(())
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
        (None, status) => output.note(&format!("error: {} was {status}", name(run))),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: Option<(&str, i64)>) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let expected = expected.map(|(app, number)| RunId { app: app.into(), number });
        assert_eq!(RunId::parse(&words).ok(), expected, "{words:?}");
    }

    #[test]
    fn a_run_is_named_in_two_ways() {
        check(&["greet#7"], Some(("greet", 7)));
        check(&["greet", "7"], Some(("greet", 7)));
        check(&["greet"], None);
        check(&["greet#0"], None);
        check(&["../x", "1"], None);
    }

    #[test]
    fn a_result_fits_a_row() {
        assert_eq!(shortened("ok"), "ok");
        assert_eq!(shortened("a\nb"), "a...");
        assert_eq!(shortened(&"ä".repeat(61)).chars().count(), 63);
    }
}
