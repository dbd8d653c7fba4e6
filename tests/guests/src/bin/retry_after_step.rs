//! Does a failing call say when the step is tried again? By `wait_ms`, or else by what `{url}/try` answers.

use relume::time::millis;
use relume::{Result, http, retry_after, step};

#[derive(serde::Deserialize)]
struct Input {
    url: String,
    wait_ms: Option<u64>,
}

#[relume::main]
fn main(Input { url, wait_ms }: Input) -> Result<String> {
    let ask = || http::post(format!("{url}/try")).send()?.error_for_status()?.text();
    Ok(step("try").run(|| {
        ask().map_err(|error| match wait_ms {
            Some(ms) => retry_after(millis(ms), error),
            None => error.into(),
        })
    })?)
}
