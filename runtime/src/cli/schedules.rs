//! `schedules`: list, create, show, set, pause, resume, delete.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::client::{Answer, Client, segment};
use super::failure::{Failure, not_an_app};
use super::output::Output;
use super::parse_parameter;
use super::span::moment;
use crate::api::wire::{
    CreateSchedule, ParameterBody, Schedule, ScheduleBatch, ScheduleIds, ScheduleList, ScheduleOnly, UpdateSchedule,
};
use crate::manifest::check_app_name;

#[derive(Debug, Subcommand)]
pub enum Schedules {
    /// List the schedules
    List {
        /// Only those of this app
        #[arg(long)]
        app: Option<String>,
    },
    /// Create a schedule, which starts runs of an app
    Create(Create),
    /// Show a schedule
    Show {
        /// Its name or id
        schedule: String,
    },
    /// Change a schedule
    Set(Set),
    /// Let schedules start no runs
    Pause(Named),
    /// Let schedules start runs again
    Resume(Named),
    /// Delete schedules; the runs they started stay
    Delete(Named),
}

#[derive(Debug, Args)]
pub struct Named {
    /// Names or ids
    #[arg(required = true, value_name = "SCHEDULE")]
    schedules: Vec<String>,
}

/// What a schedule may be told when it is made, and later.
#[derive(Debug, Args)]
struct Settings {
    /// The time zone of the cron expression, e.g. Europe/London; UTC unless given
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Start no run while the one before is not over
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    skip_overlap: Option<bool>,
    /// A variable of the program's environment
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    parameters: Vec<(String, String)>,
}

impl Settings {
    fn overlap_policy(&self) -> Option<String> {
        self.skip_overlap.map(|skips| if skips { "skip" } else { "allow" }.into())
    }
}

#[derive(Debug, Args)]
pub struct Create {
    /// The app
    app: String,
    /// When: minute, hour, day, month and weekday, e.g. '0 9 * * *'; with seconds first, six fields
    #[arg(long, value_name = "EXPRESSION")]
    cron: String,
    /// Its name; without it, one made from the app's
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Let it start no runs until it is resumed
    #[arg(long)]
    paused: bool,
}

#[derive(Debug, Args)]
pub struct Set {
    /// Its name or id
    schedule: String,
    /// When: minute, hour, day, month and weekday, e.g. '0 9 * * *'; with seconds first, six fields
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Remove its parameters; those that are typed replace them too
    #[arg(long, conflicts_with = "parameters")]
    no_parameters: bool,
}

pub async fn schedules(schedules: Schedules, client: &Client, output: Output) -> Result<(), Failure> {
    match schedules {
        Schedules::List { app } => list(app, client, output).await,
        Schedules::Create(options) => create(options, client, output).await,
        Schedules::Show { schedule } => {
            let what = format!("the schedule `{schedule}` cannot be shown");
            let answer = client.get(&what, &format!("/schedules/{}", segment(&schedule))).await?;
            print(answer, output);
            Ok(())
        }
        Schedules::Set(options) => set(options, client, output).await,
        Schedules::Pause(named) => {
            let request = (Method::PATCH, "/schedules/deactivate");
            change("no schedule was paused", request, named.schedules, "paused", client, output).await
        }
        Schedules::Resume(named) => {
            let request = (Method::PATCH, "/schedules/activate");
            change("no schedule was resumed", request, named.schedules, "active", client, output).await
        }
        Schedules::Delete(named) => {
            let request = (Method::DELETE, "/schedules");
            change("no schedule was deleted", request, named.schedules, "deleted", client, output).await
        }
    }
}

async fn list(app: Option<String>, client: &Client, output: Output) -> Result<(), Failure> {
    let what = "the schedules cannot be listed";
    let of_app = match &app {
        Some(app) => {
            check_app_name("app", app).map_err(|e| not_an_app(what, e))?;
            format!("&app={app}")
        }
        None => String::new(),
    };
    let answer = client.get::<ScheduleList>(what, &format!("/schedules?page=0{of_app}")).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let rows = answer.body.schedules.into_iter().map(|schedule| {
        let status = state(&schedule).to_owned();
        let next = schedule.next_run_at.unwrap_or_else(|| "-".into());
        vec![schedule.name, schedule.app_name, schedule.cron, schedule.timezone, status, next]
    });
    output.table(&["SCHEDULE", "APP", "CRON", "TIMEZONE", "STATUS", "NEXT RUN"], &rows.collect::<Vec<_>>());
    Ok(())
}

/// As it is paused and resumed here.
fn state(schedule: &Schedule) -> &str {
    if schedule.status == "disabled" { "paused" } else { &schedule.status }
}

async fn create(options: Create, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("no schedule of `{}` was created", options.app);
    check_app_name("app", &options.app).map_err(|e| not_an_app(&what, e))?;
    let body = CreateSchedule {
        app_name: Some(options.app),
        cron: Some(options.cron),
        name: options.name,
        overlap_policy: options.settings.overlap_policy(),
        status: options.paused.then(|| "disabled".into()),
        timezone: options.settings.timezone,
        parameters: as_sent(options.settings.parameters),
        ..CreateSchedule::default()
    };
    print(client.post(&what, "/schedules", &body).await?, output);
    Ok(())
}

async fn set(options: Set, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("the schedule `{}` was not changed", options.schedule);
    let overlap_policy = options.settings.overlap_policy();
    let Settings { timezone, parameters, .. } = options.settings;
    let changes_parameters = options.no_parameters || !parameters.is_empty();
    let is_empty = options.cron.is_none() && options.name.is_none() && timezone.is_none() && overlap_policy.is_none();
    if is_empty && !changes_parameters {
        let failure = Failure::new(what).because("nothing that can be changed was typed").usage();
        return Err(failure.hint("`relume schedules set --help` says what can be"));
    }
    let body = UpdateSchedule {
        cron: options.cron,
        name: options.name,
        overlap_policy,
        parameters: changes_parameters.then(|| as_sent(parameters)),
        timezone,
        ..UpdateSchedule::default()
    };
    let path = format!("/schedules/{}", segment(&options.schedule));
    print(client.send_json(&what, Method::PUT, &path, &body).await?, output);
    Ok(())
}

fn as_sent(parameters: Vec<(String, String)>) -> Vec<ParameterBody> {
    let sent = |(name, value)| ParameterBody { name, value, hidden: false, is_override: None };
    parameters.into_iter().map(sent).collect()
}

fn print(answer: Answer<ScheduleOnly>, output: Output) {
    if output.json {
        output.data(&answer.text);
        return;
    }
    let schedule = &answer.body.schedule;
    let mut facts = vec![("schedule", schedule.name.clone()), ("id", schedule.id.to_string())];
    facts.push(("app", schedule.app_name.clone()));
    if schedule.app_status == "disabled" {
        facts.push(("", "the app is disabled: no runs are started".into()));
    }
    facts.extend([("cron", schedule.cron.clone()), ("timezone", schedule.timezone.clone())]);
    facts.push(("overlap", schedule.overlap_policy.clone()));
    facts.push(("status", state(schedule).to_owned()));
    facts.extend(schedule.parameters.iter().map(|given| ("parameter", format!("{}={}", given.name, given.value))));
    facts.extend(schedule.last_run_at.clone().map(|at| ("last run", at)));
    facts.extend(schedule.next_run_at.as_deref().map(|at| ("next run", moment(at))));
    output.facts(&facts);
}

async fn change(
    what: &str,
    (method, path): (Method, &str),
    schedules: Vec<String>,
    done: &str,
    client: &Client,
    output: Output,
) -> Result<(), Failure> {
    let body = ScheduleIds { ids: Some(schedules), ..ScheduleIds::default() };
    let answer = client.send_json::<ScheduleBatch>(what, method, path, &body).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    for schedule in answer.body.schedules {
        output.data(&format!("{} {done}", schedule.name));
    }
    Ok(())
}
