//! `run`: starts a run, and follows it if asked.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::client::Client;
use super::failure::{Failure, not_an_app};
use super::follow::follow;
use super::output::Output;
use super::progress::Progress;
use super::retries::Retries;
use super::run_id::RunId;
use super::show;
use super::span::{countdown, length, parse_seconds};
use super::{Given, as_json, parse_key, parse_limit};
use crate::api::wire::{InitiatorBody, Run, RunOnly, RunWithLinks, StartRun, VersionRef, time};
use crate::manifest::{Limit, check_app_name};

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
    /// In what time it has to be over, e.g. 2h; what is not finished then is stopped
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    deadline: Option<u64>,
    /// A limit of this run alone, e.g. memory_mib=64
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = parse_limit)]
    limits: Vec<(Limit, Option<u64>)>,
    /// Start no second run with the same key
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    idempotency_key: Option<String>,
    /// Wait for the end: the log on stderr, the output on stdout
    #[arg(long, short)]
    follow: bool,
}

/// Prints `app#7`, or with `--follow` what the run prints and returns.
pub async fn start(options: Start, client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let app = &options.app;
    check_app_name("app", app).map_err(|e| not_an_app("that is not an app", e))?;
    let what = format!("no run of `{app}` was started");
    let body = StartRun {
        retry_policy: options.retries.of_run(&what)?,
        version: options.version.map(VersionRef::Name),
        input: options.given.read_input().await?.map(|bytes| input_for(app, &bytes)).transpose()?,
        parameters: options.given.parameters.into_iter().collect(),
        scheduled_at: options.at,
        pending_timeout: options.pending_timeout,
        running_timeout: options.timeout,
        limits: (!options.limits.is_empty()).then(|| options.limits.into_iter().collect()),
        deadline_at: options.deadline.map(deadline_at).transpose()?,
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
    follow_to_end(client, &at, None, output).await
}

/// Prints what the run prints until it is over, of one attempt unless `None`, and then how it ended.
pub async fn follow_to_end(
    client: &Client,
    at: &RunId,
    attempt: Option<u32>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let progress = Progress::line(output);
    let print = |text: &str| progress.aside(|| output.note(&format!("{at} | {text}")));
    let followed = follow(client, at, attempt, |line| {
        print(&line.content);
        ControlFlow::Continue(())
    });
    tokio::select! {
        followed = followed => followed?,
        never = keep_saying(&progress, client, at, output) => match never {},
    }
    drop(progress);
    let answer = client.get::<RunWithLinks>(&format!("{at} cannot be read"), &at.path()).await?;
    show::print_end(&answer, output)
}

/// The moment in so many seconds, by this machine's clock.
fn deadline_at(seconds: u64) -> Result<String, Failure> {
    let at = Timestamp::now().checked_add(SignedDuration::from_secs(seconds.try_into().unwrap_or(i64::MAX)));
    let wrong = |e| Failure::new("that is not a deadline").because(e).hint("e.g. --deadline 2h").usage();
    at.map(time).map_err(wrong)
}

fn input_for(app: &str, bytes: &[u8]) -> Result<Box<RawValue>, Failure> {
    let example = r#"quote the whole input, e.g. --input '{"name": "Ada"}'"#;
    as_json(&format!("input for `{app}`"), example, bytes)
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
    let due = match run.status.as_str() {
        "retrying" => run.next_attempt_at.as_deref(),
        "scheduled" => Some(run.scheduled_at.as_str()),
        _ => None,
    };
    let due = due.and_then(|at| countdown(at, now)).map(|left| format!(" {left}")).unwrap_or_default();
    let (name, number) = (show::name(run), run.num_attempts.max(1));
    if let Some(waiting) = &run.waiting_on {
        let until = waiting.until.as_deref().and_then(|at| countdown(at, now));
        let until = until.map(|left| format!(", at the latest {left}")).unwrap_or_default();
        return format!("{name} waits for {}{until}, {} so far", show::waited_for(waiting), length(elapsed));
    }
    let attempts = show::attempts(run);
    format!("{name} {}, attempt {number} of {attempts}{due}, {} so far", run.status, length(elapsed))
}
