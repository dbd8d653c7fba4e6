//! `run`: starts a run, and follows it if asked.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Given;
use super::client::Client;
use super::failure::{Failure, not_an_app};
use super::follow::follow;
use super::output::Output;
use super::progress::Progress;
use super::retries::Retries;
use super::run_id::RunId;
use super::show;
use super::span::{countdown, length};
use crate::api::wire::{
    InitiatorBody, MAX_KEY_BYTES, Run, RunOnly, RunWithLinks, StartRun, VersionRef, is_idempotency_key,
};
use crate::manifest::check_app_name;

/// How often a status line is brought up to date, and how often the server is asked for it.
const REDRAW: Duration = Duration::from_millis(250);
const ASK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Start {
    /// The app
    app: String,
    #[command(flatten)]
    given: Given,
    /// The version, e.g. v2; without it, the active one
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    retries: Retries,
    /// When to start, e.g. 2026-01-31T12:00:00Z; without it, at once
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// How many seconds an attempt may run; without it, the app's
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// How many seconds it may wait for a worker; without it, the app's
    #[arg(long, value_name = "SECONDS")]
    pending_timeout: Option<u32>,
    /// Start no second run with the same key
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    idempotency_key: Option<String>,
    /// Wait for the end: the log on stderr, the output on stdout
    #[arg(long, short)]
    follow: bool,
}

fn parse_key(text: &str) -> Result<String, String> {
    let wrong = || format!("a key is 1 to {MAX_KEY_BYTES} visible ASCII characters");
    is_idempotency_key(text).then(|| text.to_owned()).ok_or_else(wrong)
}

/// Prints `app#7`, or with `--follow` what the run prints and returns.
pub async fn start(options: Start, client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let app = &options.app;
    check_app_name("app", app).map_err(|e| not_an_app("that is not an app", e))?;
    let what = format!("no run of `{app}` was started");
    let body = StartRun {
        retry_policy: options.retries.of_run(&what)?,
        version: options.version.map(VersionRef::Name),
        input: options.given.read_input().await?.map(|bytes| as_json(app, bytes)).transpose()?,
        parameters: options.given.parameters.into_iter().collect(),
        scheduled_at: options.at,
        pending_timeout: options.pending_timeout,
        running_timeout: options.timeout,
        initiator: Some(InitiatorBody { kind: "relume_cli".into() }),
        ..StartRun::default()
    };
    let mut request = client.request(Method::POST, &format!("/apps/{app}/runs"))?.json(&body);
    if let Some(key) = &options.idempotency_key {
        request = request.header("Idempotency-Key", key);
    }
    let answer = client.answer::<RunOnly>(&what, request).await?;
    let at = RunId { app: app.clone(), number: answer.body.run.number };
    let is_repeated = answer.headers.contains_key("idempotency-replayed");
    if is_repeated {
        output.note(&format!("{at} was started before, with this key"));
    }
    if !options.follow {
        output.data(&if output.json { answer.text } else { at.to_string() });
        return Ok(ExitCode::SUCCESS);
    }
    if !is_repeated {
        output.note(&format!("{at} started"));
    }
    let progress = Progress::line(output);
    let print = |text: &str| progress.aside(|| output.note(&format!("{at} | {text}")));
    let followed = follow(client, &at, None, |line| {
        print(&line.content);
        ControlFlow::Continue(())
    });
    tokio::select! {
        followed = followed => followed?,
        never = keep_saying(&progress, client, &at, output) => match never {},
    }
    drop(progress);
    let answer = client.get::<RunWithLinks>(&format!("{at} cannot be read"), &at.path()).await?;
    show::print_end(&answer, output)
}

/// Keeps the status line true.
async fn keep_saying(progress: &Progress, client: &Client, at: &RunId, output: Output) -> Infallible {
    if !output.draws {
        return std::future::pending().await;
    }
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        // While the server is away, the line says what it last knew; who follows the log says so in the end.
        let Ok(answer) = client.get::<RunWithLinks>("", &at.path()).await else {
            tokio::time::sleep(ASK).await;
            continue;
        };
        while asked.elapsed() < ASK {
            progress.say(status_line(&answer.body.run, begun.elapsed(), Timestamp::now()));
            tokio::time::sleep(REDRAW).await;
        }
    }
}

/// How a run stands: `tea#3 retrying, attempt 2 of 3 in 1 s, 4 s so far`.
fn status_line(run: &Run, elapsed: Duration, now: Timestamp) -> String {
    let attempts = u64::from(run.retry_policy.max_retries) + 1;
    let due = match run.status.as_str() {
        "retrying" => run.next_attempt_at.as_deref(),
        "scheduled" => Some(run.scheduled_at.as_str()),
        _ => None,
    };
    let due = due.and_then(|at| countdown(at, now)).map(|left| format!(" {left}")).unwrap_or_default();
    let (name, number) = (show::name(run), run.num_attempts.max(1));
    format!("{name} {}, attempt {number} of {attempts}{due}, {} so far", run.status, length(elapsed))
}

fn as_json(app: &str, bytes: Vec<u8>) -> Result<Box<RawValue>, Failure> {
    serde_json::from_slice(&bytes).map_err(|e| {
        Failure::new(format!("the input for `{app}` is not valid JSON"))
            .because(e)
            .hint(r#"quote the whole input, e.g. --input '{"name": "Ada"}'"#)
            .usage()
    })
}
