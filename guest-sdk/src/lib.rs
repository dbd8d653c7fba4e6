//! Durable programs in Rust: ordinary programs with a `fn main`, whose finished steps survive every crash.
//!
//! ```no_run
//! use relume::{Result, http, step};
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
//! #[relume::main]
//! fn main(order: Order) -> Result<Receipt> {
//!     let payment = step("charge").run(|| post("charge", &order))?;
//!     let parcel = step("ship").run(|| post("ship", &order))?;
//!     Ok(Receipt { payment, parcel })
//! }
//!
//! fn post(what: &str, order: &Order) -> Result<String, http::Error> {
//!     http::post(format!("https://shop.example/{what}")).json(order)?.send()?.error_for_status()?.json()
//! }
//! ```
//!
//! Build it for `wasm32-wasip2`. When the worker dies while `ship` is under way, another one starts the program
//! again from `main`: `charge` is answered from the journal, `ship` is executed once more.
//!
//! So that a second start takes the same way as the first, the program does its reads and writes of the world
//! inside steps, and lets nothing but a step's result out of its closure.
//!
//! Errors go up by `?`; [`Result`] is [`anyhow::Result`]. Lines written with the macros of the [`log`] crate go
//! to stderr as `LEVEL target: message`, from `info` up; the environment variable `RUST_LOG` may name another level.

pub mod http;
pub mod run;

mod entry;
mod logger;
mod step;

pub use anyhow::{Error, Result};
pub use entry::not_retryable;
pub use relume_macros::main;
pub use step::{Step, StepError, step};

/// What `#[relume::main]` calls.
#[doc(hidden)]
pub mod __entry {
    pub use crate::entry::{with_input, without_input};
}

/// What `wit/durable.wit` says, as Rust.
mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "durable" });
}
