//! A refund that a person has to approve. The program asks, waits for up to seven days, and then pays or gives up.
//!
//! The parameter or environment variable `ASK_URL` says where to ask, a chat's webhook for instance, and `REFUND_URL`
//! where to pay. The input is `{"order": 7, "cents": 1250}`. Who decides sends the event `approve` to the run, with
//! their name: `{"by": "Ada"}`. It takes no memory and no worker to wait, and every worker may die meanwhile.

use std::env;

use anyhow::Context;
use relume::time::days;
use relume::{EventError, Result, event, http, run, step};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Refund {
    order: u64,
    cents: u64,
}

/// What the event `approve` holds.
#[derive(Deserialize)]
struct Approval {
    by: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Outcome {
    Refunded { approved_by: String },
    TimedOut,
}

#[relume::main]
fn main(refund: Refund) -> Result<Outcome> {
    step("ask").run(|| ask(&refund))?;
    let approval: Approval = match event("approve").timeout(days(7)).wait() {
        Ok(approval) => approval,
        Err(EventError::TimedOut { .. }) => return Ok(Outcome::TimedOut),
        Err(error) => return Err(error.into()),
    };
    step("refund").run(|| pay(&refund))?;
    Ok(Outcome::Refunded { approved_by: approval.by })
}

#[derive(Serialize)]
struct Question<'a> {
    text: String,
    /// The run that waits for the answer.
    run: &'a str,
}

fn ask(refund: &Refund) -> Result<()> {
    let text = format!("May order {} get {} cents back?", refund.order, refund.cents);
    println!("{text}");
    let question = Question { text, run: &run::name() };
    http::post(parameter("ASK_URL")?).json(&question)?.send()?.error_for_status()?;
    Ok(())
}

fn pay(refund: &Refund) -> Result<()> {
    http::post(parameter("REFUND_URL")?).json(refund)?.send()?.error_for_status()?;
    Ok(())
}

fn parameter(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("whom to ask? Set the parameter {name}"))
}
