//! `apps`: list, show, create, set, enable, disable, delete.

use clap::{Args, Subcommand};
use reqwest::Method;
use reqwest::header::{ETAG, IF_MATCH};

use super::client::Client;
use super::failure::{Failure, not_an_app};
use super::output::Output;
use super::parse_limit;
use super::prompt;
use super::retries::{Retries, written};
use super::show::name;
use super::span::moment;
use crate::api::wire::{
    App, AppList, AppOnly, AppWithRuns, CreateApp, ScheduleList, UpdateApp, UpdatedApp, VersionList, VersionRef,
};
use crate::manifest::{Limit, check_app_name};

#[derive(Debug, Subcommand)]
pub enum Apps {
    /// List the apps
    List,
    /// Show an app, its versions, schedules and latest runs
    Show(Named),
    /// Create an app without a version
    Create {
        #[command(flatten)]
        named: Named,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Change an app, for future runs
    Set(Set),
    /// Let an app start runs again
    Enable(Named),
    /// Let an app start no more runs, and not retry those it has
    Disable(Named),
    /// Delete an app with its versions, schedules and runs
    Delete {
        #[command(flatten)]
        named: Named,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct Named {
    /// The app
    app: String,
}

#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    retries: Retries,
    /// Do not try failed runs again
    #[arg(long, conflicts_with_all = ["retries", "delay", "backoff"])]
    no_retries: bool,
    /// The version of runs that name none, e.g. v1: an older one is a way back
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How many seconds a run may wait for a worker; 0 is for ever
    #[arg(long, value_name = "SECONDS")]
    pending_timeout: Option<u32>,
    /// How many seconds an attempt may run; 0 is as long as its version may
    #[arg(long, value_name = "SECONDS")]
    running_timeout: Option<u32>,
    /// A limit of its runs, e.g. memory_mib=64; memory_mib=default takes it back
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = parse_limit)]
    limits: Vec<(Limit, Option<u64>)>,
}

pub async fn apps(apps: Apps, client: &Client, output: Output) -> Result<(), Failure> {
    match apps {
        Apps::List => list(client, output).await,
        Apps::Show(named) => show(&named.app, client, output).await,
        Apps::Create { named, description } => create(named.app, description, client, output).await,
        Apps::Set(options) => set(options, client, output).await,
        Apps::Enable(named) => set_status(&named.app, "active", client, output).await,
        Apps::Disable(named) => set_status(&named.app, "disabled", client, output).await,
        Apps::Delete { named, yes } => delete(&named.app, yes, client, output).await,
    }
}

fn checked(app: &str, what: &str) -> Result<(), Failure> {
    check_app_name("app", app).map_err(|e| not_an_app(what, e))
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let what = "the apps cannot be listed";
    if output.json {
        output.data(&client.get::<AppList>(what, "/apps?page=0").await?.text);
        return Ok(());
    }
    let list = client.get::<AppList>(what, "/apps?page=0&num_runs=0").await?.body;
    let rows = list.apps.into_iter().map(|listed| {
        let app = listed.app;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        vec![app.name, app.status, or_dash(app.version), or_dash(app.next_run_at), app.created_at]
    });
    output.table(&["APP", "STATUS", "VERSION", "NEXT RUN", "CREATED"], &rows.collect::<Vec<_>>());
    Ok(())
}

async fn show(app: &str, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("`{app}` cannot be shown");
    checked(app, &what)?;
    let answer = client.get::<AppWithRuns>(&what, &format!("/apps/{app}?runs=10")).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let versions = client.get::<VersionList>(&what, &format!("/apps/{app}/versions")).await?.body.versions;
    let schedules = client.get::<ScheduleList>(&what, &format!("/schedules?page=0&app={app}")).await?.body.schedules;
    let app_shown = &answer.body.app;
    let mut told = facts(app_shown);
    let active = versions.iter().find(|version| Some(&version.version) == app_shown.version.as_ref());
    let capabilities = active.map(|version| version.capabilities.as_slice()).unwrap_or_default();
    told.extend(capabilities.iter().map(|capability| ("capability", capability.text.clone())));
    output.facts(&told);
    output.data("");
    let rows = versions.into_iter().map(|version| {
        vec![version.version, version.size_bytes.to_string(), version.created_at, version.content_checksum]
    });
    output.table(&["VERSION", "BYTES", "CREATED", "SHA256"], &rows.collect::<Vec<_>>());
    if !schedules.is_empty() {
        output.data("");
        let rows = schedules.into_iter().map(|schedule| {
            let next = schedule.next_run_at.unwrap_or_else(|| "-".into());
            vec![schedule.name, schedule.cron, schedule.timezone, schedule.status, next]
        });
        output.table(&["SCHEDULE", "CRON", "TIMEZONE", "STATUS", "NEXT RUN"], &rows.collect::<Vec<_>>());
    }
    output.data("");
    let runs = &answer.body.runs;
    let rows: Vec<_> = runs
        .iter()
        .map(|run| vec![name(run), run.status.clone(), run.app_version.clone(), run.created_at.clone()])
        .collect();
    output.table(&["RUN", "STATUS", "VERSION", "CREATED"], &rows);
    Ok(())
}

fn facts(app: &App) -> Vec<(&str, String)> {
    let version =
        app.version.clone().unwrap_or_else(|| format!("none yet: relume deploy app.wasm --name {}", app.name));
    let mut facts = vec![("app", app.name.clone()), ("status", app.status.clone())];
    facts
        .extend(Some(&app.short_description).filter(|text| !text.is_empty()).map(|text| ("description", text.clone())));
    facts.extend([("version", version), ("retries", written(&app.retry_policy))]);
    let timeouts = [("may wait", app.pending_timeout), ("may run", app.running_timeout)];
    facts
        .extend(timeouts.into_iter().filter(|(_, at)| *at > 0).map(|(label, seconds)| (label, format!("{seconds} s"))));
    facts.extend(app.limits.iter().map(|(limit, value)| ("limit", format!("{} = {value}", limit.spec().name))));
    facts.extend(app.next_run_at.as_deref().map(|at| ("next run", moment(at))));
    facts
}

async fn create(app: String, description: Option<String>, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("`{app}` was not created");
    checked(&app, &what)?;
    let body = CreateApp { name: Some(app.clone()), short_description: description, ..CreateApp::default() };
    let answer = client.post::<AppOnly>(&what, "/apps", &body).await?;
    output.data(if output.json { &answer.text } else { &app });
    Ok(())
}

async fn set(options: Set, client: &Client, output: Output) -> Result<(), Failure> {
    let Set {
        named: Named { app },
        retries,
        no_retries,
        version,
        description,
        pending_timeout,
        running_timeout,
        limits,
    } = options;
    let what = format!("`{app}` was not changed");
    checked(&app, &what)?;
    let path = format!("/apps/{app}");
    let mut request = client.request(Method::PATCH, &path)?;
    let retry_policy = if no_retries {
        Some(None)
    } else if let Some(whole) = retries.whole() {
        Some(Some(whole))
    } else if retries.is_empty() {
        None
    } else {
        // The API takes a whole policy: what was not typed stays as it is, unless somebody changes it just now.
        let before = client.get::<AppWithRuns>(&what, &format!("{path}?runs=0")).await?;
        if let Some(revision) = before.headers.get(ETAG) {
            request = request.header(IF_MATCH, revision);
        }
        Some(Some(retries.over(&before.body.app.retry_policy)))
    };
    let limits = (!limits.is_empty()).then(|| Some(limits.into_iter().collect()));
    let body = UpdateApp {
        version: version.map(VersionRef::Name),
        description,
        retry_policy,
        pending_timeout,
        running_timeout,
        limits,
        ..UpdateApp::default()
    };
    let is_empty = body.description.is_none() && body.retry_policy.is_none() && body.limits.is_none();
    if is_empty && body.version.is_none() && body.pending_timeout.is_none() && body.running_timeout.is_none() {
        let failure = Failure::new(what).because("nothing that can be changed was typed").usage();
        return Err(failure.hint("`relume apps set --help` says what can be"));
    }
    let answer = client.answer::<UpdatedApp>(&what, request.json(&body)).await?;
    if output.json {
        output.data(&answer.text);
    } else {
        output.facts(&facts(&answer.body.app));
    }
    Ok(())
}

async fn set_status(app: &str, status: &str, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("`{app}` was not changed");
    checked(app, &what)?;
    let body = UpdateApp { status: Some(status.into()), ..UpdateApp::default() };
    let answer = client.send_json::<UpdatedApp>(&what, Method::PATCH, &format!("/apps/{app}"), &body).await?;
    if output.json {
        output.data(&answer.text);
    } else {
        output.data(&format!("{app} {}", answer.body.app.status));
    }
    Ok(())
}

async fn delete(app: &str, yes: bool, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("`{app}` was not deleted");
    checked(app, &what)?;
    if !yes {
        if !prompt::is_answered() {
            let failure = Failure::new(what).because("nobody is at a terminal to be asked").usage();
            return Err(failure.hint(format!("relume apps delete {app} --yes")));
        }
        if !prompt::confirm(&what, &format!("Delete `{app}` with its versions, schedules and runs?")).await? {
            return Err(Failure::new(what).because("the answer was not yes"));
        }
    }
    let answer = client.answer::<AppOnly>(&what, client.request(Method::DELETE, &format!("/apps/{app}"))?).await?;
    output.data(&if output.json { answer.text } else { format!("{app} deleted") });
    Ok(())
}
