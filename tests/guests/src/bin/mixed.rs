//! Does a program that uses everything end well, whatever dies? Its steps ask `{url}/{step}-{id}`, and fail at random
//! before they do; what is answered is their result. It starts a run of itself as `leaf`, and waits for the event `go`.
//! The output is `[id, go, id]`.

use relume::time::millis;
use relume::{Child, Result, app, event, http, run, sleep, step};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Input {
    url: String,
    id: u64,
    #[serde(default)]
    leaf: bool,
}

/// What the shop answers.
#[derive(Deserialize)]
struct Done {
    id: String,
}

#[relume::main]
fn main(input: Input) -> Result<Vec<u64>> {
    if input.leaf {
        effect(&input, "leaf", 20)?;
        sleep(millis(50));
        return Ok(vec![input.id]);
    }
    effect(&input, "reserve", 0)?;
    let leaf: Child<Vec<u64>> = app(run::app()).start(&Input { leaf: true, ..input.clone() })?;
    effect(&input, "charge", 20)?;
    sleep(millis(200));
    // Longer than what is waited for in place.
    effect(&input, "pack", 2100)?;
    let go: u64 = event("go").wait()?;
    sleep(millis(2100));
    effect(&input, "ship", 0)?;
    Ok([vec![input.id, go], leaf.wait()?].concat())
}

/// A step that fails at every third try, and is tried again after a wait.
fn effect(input: &Input, name: &str, wait_ms: u64) -> Result<()> {
    step(name).attempts(0).fixed(millis(wait_ms)).given(&input.id).run(|| -> Result<String> {
        anyhow::ensure!(getrandom::u32()? % 3 != 0, "bad luck");
        let done: Done = http::post(format!("{}/{name}-{}", input.url, input.id)).send()?.error_for_status()?.json()?;
        Ok(done.id)
    })?;
    Ok(())
}
