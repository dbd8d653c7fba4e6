//! `run`: starts a run, and follows it if asked.

use std::process::ExitCode;

use clap::Args;
use serde_json::value::RawValue;

use super::client::Client;
use super::failure::{Failure, not_an_app};
use super::follow::follow;
use super::output::Output;
use super::run_id::RunId;
use super::{Given, runs};
use crate::api::wire::{RunOnly, RunWithLinks, StartRun, VersionRef};
use crate::manifest::check_app_name;

#[derive(Debug, Args)]
pub struct Start {
    /// The app
    app: String,
    #[command(flatten)]
    given: Given,
    /// The version, e.g. v2; without it, the active one
    #[arg(long)]
    version: Option<String>,
    /// Wait for the end: the log on stderr, the output on stdout
    #[arg(long, short)]
    follow: bool,
}

/// Prints `app#7`, or with `--follow` what the run prints and returns.
pub async fn start(options: Start, client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let app = &options.app;
    check_app_name("app", app).map_err(|e| not_an_app("that is not an app", e))?;
    let input = options.given.read_input().await?.map(|bytes| as_json(app, bytes)).transpose()?;
    let parameters = options.given.parameters.into_iter().collect();
    let body = StartRun { version: options.version.map(VersionRef::Name), input, parameters, ..StartRun::default() };
    let what = format!("no run of `{app}` was started");
    let answer = client.post::<RunOnly>(&what, &format!("/apps/{app}/runs"), &body).await?;
    let at = RunId { app: app.clone(), number: answer.body.run.number };
    if !options.follow {
        output.data(&if output.json { answer.text } else { at.to_string() });
        return Ok(ExitCode::SUCCESS);
    }
    output.note(&format!("{at} started"));
    follow(client, &at, None, |line| output.note(&format!("{at} | {}", line.content))).await?;
    let answer = client.get::<RunWithLinks>(&format!("{at} cannot be read"), &at.path()).await?;
    runs::print_end(&answer, output)
}

fn as_json(app: &str, bytes: Vec<u8>) -> Result<Box<RawValue>, Failure> {
    serde_json::from_slice(&bytes).map_err(|e| {
        Failure::new(format!("the input for `{app}` is not valid JSON"))
            .because(e)
            .hint(r#"quote the whole input, e.g. --input '{"name": "Ada"}'"#)
            .usage()
    })
}
