//! How not to do it: one of these three steps charges the customer twice when a crash comes at the wrong moment. Which
//! one? `relume test --crash-at every-boundary` finds it.
//!
//! A step that a crash interrupts is executed again. That does no harm as long as its request says both times that it
//! is the same one. Relume sees to that by the header `Idempotency-Key`; `charge` sends a key of its own instead, and
//! makes up another one each time.

use std::env;

use anyhow::Context;
use relume::{Result, http, step};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Order {
    id: u64,
    cents: u64,
}

#[relume::main]
fn main(order: Order) -> Result<String> {
    step("reserve").run(|| send(post("reserve", &json!({ "order": order.id }))?))?;
    step("charge").run(|| charge(&order))?;
    step("ship").run(|| send(post("ship", &json!({ "order": order.id }))?))?;
    Ok(format!("order {} is on its way", order.id))
}

/// Not safe: who receives this cannot know that it is the charge of a moment ago.
fn charge(order: &Order) -> Result<()> {
    let request_id = getrandom::u64()?.to_string();
    let body = json!({ "order": order.id, "cents": order.cents, "request_id": request_id });
    send(post("charge", &body)?.header("Idempotency-Key", request_id))
}

fn post(what: &str, body: &Value) -> Result<http::Request> {
    let shop = env::var("SHOP_URL").context("where is the shop? Set the parameter SHOP_URL")?;
    Ok(http::post(format!("{shop}/{what}")).json(body)?)
}

fn send(request: http::Request) -> Result<()> {
    request.send()?.error_for_status()?;
    Ok(())
}
