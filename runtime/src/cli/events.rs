//! `events`: send something to a run, and see what it was told.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::client::{Client, segment};
use super::failure::Failure;
use super::output::{Output, shortened};
use super::run_id::{Named, RunId};
use super::{as_json, parse_key, read_given};
use crate::api::wire::{Event, EventList, EventOnly};

#[derive(Debug, Subcommand)]
pub enum Events {
    /// Send an event, for which a run waits or will wait
    Send(Send),
    /// List what a run was told
    List(Named),
}

#[derive(Debug, Args)]
pub struct Send {
    /// The run, e.g. greet#7
    run: String,
    /// The event that its program waits for, e.g. approve
    #[arg(value_parser = parse_name)]
    name: String,
    /// What to tell it: JSON, @FILE, or - for stdin; without it, null
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    payload: Option<String>,
    /// Send no second event with the same key to the run
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    idempotency_key: Option<String>,
}

/// The rest is the server's to say: these two would lead to another path.
fn parse_name(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("an event's name is not empty, nor a path".into()),
        name => Ok(name.into()),
    }
}

pub async fn events(events: Events, client: &Client, output: Output) -> Result<(), Failure> {
    match events {
        Events::Send(options) => send(options, client, output).await,
        Events::List(named) => list(&named.id()?, client, output).await,
    }
}

async fn send(options: Send, client: &Client, output: Output) -> Result<(), Failure> {
    let at = RunId::parse(&[options.run])?;
    let name = &options.name;
    let path = format!("{}/events/{}", at.path(), segment(name));
    let mut request = client.request(Method::POST, &path)?;
    if let Some(typed) = &options.payload {
        let example = r#"quote the whole payload, e.g. --payload '{"by": "Ada"}'"#;
        let payload = as_json("payload", example, &read_given("payload", typed).await?)?;
        request = request.json(&payload);
    }
    if let Some(key) = &options.idempotency_key {
        request = request.header("Idempotency-Key", key);
    }
    let answer = client.answer::<EventOnly>(&format!("`{name}` was not sent to {at}"), request).await?;
    output.data(&if output.json { answer.text } else { format!("{name} sent to {at}") });
    Ok(())
}

async fn list(at: &RunId, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("the events of {at} cannot be listed");
    let answer = client.get::<EventList>(&what, &format!("{}/events", at.path())).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let row = |event: &Event| {
        let entry = event.delivered_seq.map_or_else(|| "-".into(), |seq| seq.to_string());
        let payload = event.payload_base64.as_deref().unwrap_or(event.payload.get());
        vec![event.sent_at.clone(), event.name.clone(), entry, shortened(payload)]
    };
    output.table(&["SENT", "EVENT", "ENTRY", "PAYLOAD"], &answer.body.events.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
