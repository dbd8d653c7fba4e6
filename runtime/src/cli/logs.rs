//! `runs logs`: what did a run print? Read to its end, followed, or kept in a file.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::StreamExt;
use reqwest::Method;

use super::client::Client;
use super::failure::Failure;
use super::follow::follow;
use super::output::{Output, nobody_reads};
use super::run_id::{Named, RunId};
use crate::api::wire::{LogLine, LogLines};

/// Lines that are asked for at once.
const PAGE: u32 = 1000;

#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    named: Named,
    /// Wait for more until the run is over
    #[arg(long, short, conflicts_with = "download")]
    follow: bool,
    /// Only lines of this attempt
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Write the lines to a file
    #[arg(long, value_name = "FILE")]
    download: Option<PathBuf>,
}

pub async fn logs(options: &Logs, client: &Client, output: Output) -> Result<(), Failure> {
    let at = options.named.id()?;
    if let Some(path) = &options.download {
        return download(path, &at, options.attempt, client, output).await;
    }
    let what = format!("the log of {at} cannot be read");
    let print = |line: &LogLine| match (output.json, serde_json::to_string(line)) {
        (true, Ok(text)) => output.data(&text),
        _ => output.data(&line.content),
    };
    if options.follow {
        let on_line = |line: &LogLine| if print(line) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        return tokio::select! {
            followed = follow(client, &at, options.attempt, on_line) => followed,
            () = nobody_reads() => Ok(()),
        };
    }
    if output.json {
        // The API's own answer, which is all lines.
        let answer =
            client.get::<LogLines>(&what, &format!("{}/logs{}", at.path(), query(options.attempt, '?'))).await?;
        output.data(&answer.text);
        return Ok(());
    }
    let mut after = Some(0);
    while let Some(last_line) = after {
        let path = format!("{}/logs?limit={PAGE}&after={last_line}{}", at.path(), query(options.attempt, '&'));
        let page = client.get::<LogLines>(&what, &path).await?.body;
        if !page.log_lines.iter().all(print) {
            return Ok(());
        }
        after = page.next_after;
    }
    Ok(())
}

fn query(attempt: Option<u32>, separator: char) -> String {
    attempt.map(|attempt| format!("{separator}attempt={attempt}")).unwrap_or_default()
}

async fn download(
    path: &Path,
    at: &RunId,
    attempt: Option<u32>,
    client: &Client,
    output: Output,
) -> Result<(), Failure> {
    let what = format!("the log of {at} cannot be kept in `{}`", path.display());
    let source = format!("{}/logs?format=text{}", at.path(), query(attempt, '&'));
    // Asked first: a run that is not there leaves no file.
    let response = client.send(&what, client.request(Method::GET, &source)?).await?;
    let mut file = std::fs::File::create(path)
        .map_err(|e| Failure::new(&what).because(e).hint("name another file with --download").usage())?;
    let mut chunks = response.bytes_stream();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| client.unreachable(&what, &e).hint("the file holds a part: try again"))?;
        file.write_all(&chunk).map_err(|e| Failure::new(&what).because(e))?;
        length += chunk.len();
    }
    output.note(&format!("{}: {length} bytes", path.display()));
    Ok(())
}
