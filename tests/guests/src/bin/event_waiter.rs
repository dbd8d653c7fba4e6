//! Does an event arrive, or the time run out? The output is its payload, or `"timed out"`.

use relume::{EventError, event, time::millis};

#[derive(serde::Deserialize)]
struct Input {
    name: String,
    timeout_ms: Option<u64>,
}

#[relume::main]
fn main(Input { name, timeout_ms }: Input) -> relume::Result<serde_json::Value> {
    let event = event(name);
    match timeout_ms.map_or(event.clone(), |ms| event.timeout(millis(ms))).wait() {
        Err(EventError::TimedOut { .. }) => Ok("timed out".into()),
        payload => Ok(payload?),
    }
}
