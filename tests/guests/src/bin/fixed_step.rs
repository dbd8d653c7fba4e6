//! When is a step tried again whose waits are all the same? It always fails; a wait of 0 is at once.

use relume::time::millis;

#[derive(serde::Deserialize)]
struct Input {
    attempts: u32,
    wait_ms: u64,
}

#[relume::main]
fn main(input: Input) -> relume::Result<()> {
    let step = relume::step("fail").attempts(input.attempts);
    let step = if input.wait_ms == 0 { step.immediate() } else { step.fixed(millis(input.wait_ms)) };
    Ok(step.run(|| -> relume::Result<()> { anyhow::bail!("out of order") })?)
}
