//! `runs explain`: why is a run where it is?

use super::client::Client;
use super::failure::Failure;
use super::output::Output;
use super::run_id::RunId;
use super::span::moment;
use crate::api::wire::{Explanation, Queue};
use crate::run::Status;

pub async fn explain(at: &RunId, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("{at} cannot be explained");
    let answer = client.get::<Explanation>(&what, &format!("{}/explain", at.path())).await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let Explanation { status, reasons, queue } = answer.body;
    let is_active = Status::from_word(&status).is_some_and(Status::is_active);
    let mut facts = vec![("run", at.to_string()), ("status", status)];
    facts.extend(reasons.into_iter().map(|reason| match reason.until {
        Some(until) => ("because", format!("{}: {}", reason.message, moment(&until))),
        None => ("because", reason.message),
    }));
    // How long the queue is says nothing of a run that is over.
    facts.extend(is_active.then(|| ("queue", written(&queue))));
    output.facts(&facts);
    Ok(())
}

fn written(queue: &Queue) -> String {
    let Queue { workers, slots, held, ahead } = queue;
    format!("workers {workers}, slots {slots}, taken {held}, runs before it {ahead}")
}
