//! When is a step tried again whose waits grow? It always fails; what the input does not set is the default.

use relume::time::millis;

#[derive(serde::Deserialize)]
struct Input {
    attempts: Option<u32>,
    initial_ms: Option<u64>,
    coefficient: Option<f64>,
    maximum_ms: Option<u64>,
}

#[relume::main]
fn main(input: Input) -> relume::Result<()> {
    let mut step = relume::step("fail");
    step = input.attempts.map_or(step.clone(), |n| step.attempts(n));
    step = input.initial_ms.map_or(step.clone(), |ms| step.initial_interval(millis(ms)));
    step = input.coefficient.map_or(step.clone(), |by| step.coefficient(by));
    step = input.maximum_ms.map_or(step.clone(), |ms| step.maximum_interval(millis(ms)));
    Ok(step.run(|| -> relume::Result<()> { anyhow::bail!("out of order") })?)
}
