//! `runs`: list and cancel; the other commands have their own files.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::again::{Fork, Retry, fork, retry};
use super::calls::calls;
use super::client::Client;
use super::explain::explain;
use super::failure::{Failure, not_an_app};
use super::logs::{Logs, logs};
use super::output::Output;
use super::run_id::{Named, RunId};
use super::show::{attempts, name, show};
use super::steps::steps;
use crate::api::wire::{CancelledRun, Run, RunList};
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
    /// Show the journal of a run: its steps and what it waited for, with what they took
    Steps(Named),
    /// Show what a run asked of other hosts, refused requests too
    Calls(Named),
    /// Cancel a run
    Cancel(Named),
    /// Give a failed run another attempt, which keeps what is recorded
    Retry(Retry),
    /// Start a new run that keeps the first entries of a run's journal
    Fork(Fork),
    /// Say why a run is where it is
    Explain(Named),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only runs of this app
    #[arg(value_name = "APP")]
    of: Option<String>,
    /// The same
    #[arg(long, conflicts_with = "of")]
    app: Option<String>,
    /// Only runs in this status; more of them may be named
    #[arg(long)]
    status: Vec<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: u32,
    /// Go on where an earlier list ended
    #[arg(long)]
    cursor: Option<String>,
}

pub async fn runs(runs: Runs, client: &Client, output: Output) -> Result<ExitCode, Failure> {
    match runs {
        Runs::List(options) => list(options, client, output).await?,
        Runs::Show(named) => show(&named.id()?, client, output).await?,
        Runs::Logs(options) => logs(&options, client, output).await?,
        Runs::Steps(named) => steps(&named.id()?, client, output).await?,
        Runs::Calls(named) => calls(&named.id()?, client, output).await?,
        Runs::Cancel(named) => cancel(&named.id()?, client, output).await?,
        Runs::Retry(options) => return retry(options, client, output).await,
        Runs::Fork(options) => return fork(options, client, output).await,
        Runs::Explain(named) => explain(&named.id()?, client, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(options: List, client: &Client, output: Output) -> Result<(), Failure> {
    let app = options.of.or(options.app);
    let mut path = match &app {
        Some(app) => format!("/apps/{app}/runs?limit={}", options.limit),
        None => format!("/runs?limit={}", options.limit),
    };
    if let Some(app) = &app {
        check_app_name("app", app).map_err(|e| not_an_app("that is not an app", e))?;
    }
    for status in &options.status {
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
        let attempts = format!("{}/{}", run.num_attempts, attempts(run));
        vec![name(run), run.status.clone(), run.app_version.clone(), attempts, run.created_at.clone()]
    };
    let rows: Vec<_> = answer.body.runs.iter().map(row).collect();
    output.table(&["RUN", "STATUS", "VERSION", "ATTEMPT", "CREATED"], &rows);
    if let Some(cursor) = answer.body.pages.next_cursor {
        output.note(&format!("more: --cursor {cursor}"));
    }
    Ok(())
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
