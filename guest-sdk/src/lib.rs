//! Durable programs in Rust: ordinary programs with a `fn main`, whose finished steps survive every crash.
//!
//! ```no_run
//! use relume::time::{days, hours, secs};
//! use relume::{Result, event, http, sleep, step};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, Serialize)]
//! struct Order {
//!     id: u64,
//!     cents: u64,
//! }
//!
//! #[derive(Serialize)]
//! struct Receipt {
//!     payment: String,
//!     parcel: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Approval {
//!     by: String,
//! }
//!
//! #[relume::main]
//! fn main(order: Order) -> Result<Receipt> {
//!     let payment = step("charge").attempts(5).backoff(secs(1)..secs(30)).run(|| post("charge", &order))?;
//!     sleep(hours(24));
//!     let approval: Approval = event("approve").timeout(days(7)).wait()?;
//!     log::info!("approved by {}", approval.by);
//!     let parcel = step("ship").run(|| post("ship", &order))?;
//!     Ok(Receipt { payment, parcel })
//! }
//!
//! fn post(what: &str, order: &Order) -> Result<String, http::Error> {
//!     http::post(format!("https://shop.example/{what}")).json(order)?.send()?.error_for_status()?.json()
//! }
//! ```
//!
//! Build it for `wasm32-wasip2`. When the worker dies while `ship` is under way, another one starts the program again
//! from `main`: `charge` is answered from the journal, so are the sleep and the approval, and `ship` is executed once
//! more. While it sleeps or waits, the program is not in memory at all: it goes on in the same way.
//!
//! * [`step`]: what is executed until it succeeds, and then never again. [`not_retryable`] and [`retry_after`] mark the
//!   error of one that fails; [`idempotency_key`] is for the receivers of what it sends, and [`http`] sends it.
//! * [`sleep`], [`sleep_until`], [`now`] and lengths of [`time`].
//! * [`event`]: what a person or another program tells the run.
//! * [`app`] and [`map`]: runs of other apps, started and waited for.
//! * [`run`]: what the program may know about its run.
//!
//! A second start takes the same way as the first because it reads the same: outside steps clocks and random numbers
//! are derived from the run and its journal, so [`HashMap`](std::collections::HashMap) and
//! [`SystemTime`](std::time::SystemTime) may be used as anywhere. The network is for steps. And nothing but a step's
//! result may leave its closure, which a replay skips.
//!
//! Errors go up by `?`; [`Result`] is [`anyhow::Result`]. Lines written with the macros of the [`log`] crate go
//! to stderr as `LEVEL target: message`, from `info` up; the environment variable `RUST_LOG` may name another level.

pub mod http;
pub mod run;
pub mod time;

mod child;
mod entry;
mod event;
mod logger;
mod mark;
mod seeds;
mod step;

pub use anyhow::{Error, Result};
pub use child::{App, Child, ChildError, app, map};
pub use event::{Event, EventError, event};
pub use mark::{not_retryable, retry_after};
pub use relume_macros::main;
pub use run::idempotency_key;
pub use step::{Step, StepError, step};
pub use time::{now, sleep, sleep_until};

/// What `#[relume::main]` calls.
#[doc(hidden)]
pub mod __entry {
    pub use crate::entry::{with_input, without_input};
}

/// What `wit/durable.wit` says, as Rust.
mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "durable" });
}
