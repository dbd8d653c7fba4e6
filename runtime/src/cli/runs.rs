//! `runs`: list, steps, cancel; show, logs and explain have their own files.

use clap::{Args, Subcommand};

use super::client::Client;
use super::explain::explain;
use super::failure::{Failure, not_an_app};
use super::logs::{Logs, logs};
use super::output::Output;
use super::run_id::{Named, RunId};
use super::show::{name, show};
use crate::api::wire::{CancelledRun, Run, RunList, Steps};
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

pub async fn runs(runs: Runs, client: &Client, output: Output) -> Result<(), Failure> {
    match runs {
        Runs::List(options) => list(options, client, output).await,
        Runs::Show(named) => show(&named.id()?, client, output).await,
        Runs::Logs(options) => logs(&options, client, output).await,
        Runs::Steps(named) => steps(&named.id()?, client, output).await,
        Runs::Cancel(named) => cancel(&named.id()?, client, output).await,
        Runs::Explain(named) => explain(&named.id()?, client, output).await,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_fits_a_row() {
        assert_eq!(shortened("ok"), "ok");
        assert_eq!(shortened("a\nb"), "a...");
        assert_eq!(shortened(&"ä".repeat(61)).chars().count(), 63);
    }
}
