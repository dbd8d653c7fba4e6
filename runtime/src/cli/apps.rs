//! `apps`: list and show.

use clap::Subcommand;

use super::client::Client;
use super::failure::{Failure, not_an_app};
use super::output::Output;
use crate::api::wire::{AppList, AppWithRuns, VersionList};
use crate::manifest::check_app_name;

#[derive(Debug, Subcommand)]
pub enum Apps {
    /// List the apps
    List,
    /// Show an app, its versions and its latest runs
    Show {
        /// The app
        app: String,
    },
}

pub async fn apps(apps: Apps, client: &Client, output: Output) -> Result<(), Failure> {
    match apps {
        Apps::List => list(client, output).await,
        Apps::Show { app } => show(&app, client, output).await,
    }
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get::<AppList>("the apps cannot be listed", "/apps").await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let rows = answer.body.apps.into_iter().map(|listed| {
        let app = listed.app;
        vec![app.name, app.version.unwrap_or_else(|| "-".into()), app.created_at]
    });
    output.table(&["APP", "VERSION", "CREATED"], &rows.collect::<Vec<_>>());
    Ok(())
}

async fn show(app: &str, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("`{app}` cannot be shown");
    check_app_name("app", app).map_err(|e| not_an_app(&what, e))?;
    let answer = client.get::<AppWithRuns>(&what, &format!("/apps/{app}?runs=10")).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let versions = client.get::<VersionList>(&what, &format!("/apps/{app}/versions")).await?.body.versions;
    let (app, runs) = (answer.body.app, answer.body.runs);
    let retry = app.retry_policy;
    let growth = if retry.use_exponential_backoff { ", doubling" } else { "" };
    output.data(&format!("app      {}", app.name));
    output.data(&format!("version  {}", app.version.as_deref().unwrap_or("none yet: relume deploy")));
    output.data(&format!("retries  {}, after {} s{growth}\n", retry.max_retries, retry.retry_delay_seconds));
    let rows = versions.into_iter().map(|version| {
        vec![version.version, version.size_bytes.to_string(), version.created_at, version.content_checksum]
    });
    output.table(&["VERSION", "BYTES", "CREATED", "SHA256"], &rows.collect::<Vec<_>>());
    output.data("");
    let rows = runs
        .into_iter()
        .map(|run| vec![format!("{}#{}", run.app_name, run.number), run.status, run.app_version, run.created_at]);
    output.table(&["RUN", "STATUS", "VERSION", "CREATED"], &rows.collect::<Vec<_>>());
    Ok(())
}
