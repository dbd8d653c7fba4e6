//! When is a step tried again whose waits go from one to another in equal parts? It always fails.

use relume::time::millis;

#[derive(serde::Deserialize)]
struct Input {
    retries: u32,
    first_ms: u64,
    last_ms: u64,
}

#[relume::main]
fn main(input: Input) -> relume::Result<()> {
    let step = relume::step("fail").linear(input.retries, millis(input.first_ms), millis(input.last_ms));
    Ok(step.run(|| -> relume::Result<()> { anyhow::bail!("out of order") })?)
}
