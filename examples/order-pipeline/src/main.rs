//! An order on its way through a shop: five steps, each of which asks the shop's web service to do something.
//!
//! The parameter or environment variable `SHOP_URL` says where the shop is. To see the order survive, start it with
//! the parameter `CRASH_AT=ship` (or any other step): the first attempt dies there, at the worst moment. The second
//! goes on with that step; the ones before it are not executed again. A shop that only answers with an error is asked
//! again within the attempt, as often as the step says.

use std::env;

use anyhow::Context;
use relume::time::secs;
use relume::{Result, http, run, step};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Order {
    id: u64,
    item: String,
    cents: u64,
    email: String,
}

#[derive(Serialize)]
struct Receipt {
    order: u64,
    payment: String,
    parcel: String,
}

#[relume::main]
fn main(order: Order) -> Result<Receipt> {
    step("reserve").run(|| ask_shop("reserve", &order))?;
    let payment = step("charge").attempts(5).backoff(secs(1)..secs(30)).run(|| ask_shop("charge", &order))?;
    step("pack").run(|| ask_shop("pack", &order))?;
    let parcel = step("ship").run(|| ask_shop("ship", &order))?;
    step("notify").run(|| ask_shop("notify", &order))?;
    Ok(Receipt { order: order.id, payment, parcel })
}

/// What the shop answers.
#[derive(Deserialize)]
struct Done {
    id: String,
}

/// Asks the shop to do `what` for the order, and returns the number under which it did.
fn ask_shop(what: &str, order: &Order) -> Result<String> {
    println!("{what}: order {}, {}", order.id, order.item);
    let shop = env::var("SHOP_URL").context("where is the shop? Set the parameter SHOP_URL")?;
    let done: Done = http::post(format!("{shop}/{what}")).json(order)?.send()?.error_for_status()?.json()?;
    crash_if_asked(what);
    Ok(done.id)
}

/// The worst moment: the shop has done it, and the journal does not know. So the step is executed again, and the shop
/// sees the same `Idempotency-Key` a second time.
fn crash_if_asked(what: &str) {
    if run::attempt() == 1 && env::var("CRASH_AT").is_ok_and(|step| step == what) {
        panic!("crashing at `{what}`, as asked");
    }
}
