//! The smallest durable program: its input, one step, its output.
//!
//! Build it with `cargo build --release --target wasm32-wasip2 -p hello` and give it the input `{"name": "Ada"}`.

use relume::{Result, step};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Guest {
    name: String,
}

#[derive(Serialize)]
struct Welcome {
    greeting: String,
}

#[relume::main]
fn main(guest: Guest) -> Result<Welcome> {
    let greeting = step("greet").run(|| greet(&guest.name))?;
    Ok(Welcome { greeting })
}

fn greet(name: &str) -> Result<String> {
    Ok(format!("Hello, {name}!"))
}
