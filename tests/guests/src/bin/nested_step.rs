//! Is a step inside a step refused?

use relume::{StepError, step};

#[relume::main]
fn main() -> Result<u32, StepError> {
    step("outer").run(|| step("inner").run(|| anyhow::Ok(1)))
}
