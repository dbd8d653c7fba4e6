//! `runs retry` and `runs fork`: a run once more, from where it failed or from a step on.

use std::process::ExitCode;

use clap::{Args, value_parser};

use super::client::Client;
use super::failure::Failure;
use super::output::Output;
use super::run::follow_to_end;
use super::run_id::{Named, RunId};
use super::show::name;
use crate::api::wire::{ForkRun, RetryRun, RunOnly, VersionRef};

#[derive(Debug, Args)]
pub struct Retry {
    #[command(flatten)]
    run: Named,
    /// The version to go on with, e.g. v2; without it, the one that the run has
    #[arg(long)]
    version: Option<String>,
    /// Wait for the end: the log on stderr, the output on stdout
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, Args)]
pub struct Fork {
    #[command(flatten)]
    run: Named,
    /// The first entry of the journal that is not kept, as `runs steps` counts them; 1 keeps none
    #[arg(long, value_name = "SEQ", value_parser = value_parser!(u32).range(1..))]
    from_step: u32,
    /// The version to run, e.g. v2; without it, the one that the run has
    #[arg(long)]
    version: Option<String>,
    /// Wait for the end: the log on stderr, the output on stdout
    #[arg(long, short)]
    follow: bool,
}

/// Prints `app#7 retrying`, or with `--follow` what the new attempt prints and returns.
pub async fn retry(options: Retry, client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let at = options.run.id()?;
    let body = RetryRun { version: options.version.map(VersionRef::Name) };
    let what = format!("{at} is not retried");
    let answer = client.post::<RunOnly>(&what, &format!("{}/retry", at.path()), &body).await?;
    let run = answer.body.run;
    if options.follow {
        output.note(&format!("{at} {}", run.status));
        return follow_to_end(client, &at, Some(run.num_attempts), output).await;
    }
    output.data(&if output.json { answer.text } else { format!("{at} {}", run.status) });
    Ok(ExitCode::SUCCESS)
}

/// Prints the new run, `app#8`, or with `--follow` what it prints and returns.
pub async fn fork(options: Fork, client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let at = options.run.id()?;
    let body = ForkRun { from_step: Some(options.from_step), version: options.version.map(VersionRef::Name) };
    let what = format!("{at} is not forked");
    let answer = client.post::<RunOnly>(&what, &format!("{}/fork", at.path()), &body).await?;
    let run = answer.body.run;
    if options.follow {
        output.note(&format!("{} started", name(&run)));
        return follow_to_end(client, &RunId { app: run.app_name, number: run.number }, None, output).await;
    }
    output.data(&if output.json { answer.text } else { name(&run) });
    Ok(ExitCode::SUCCESS)
}
