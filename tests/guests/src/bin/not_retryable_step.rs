//! Is a step whose error is marked as not retryable executed once?

use relume::{Result, not_retryable};

#[relume::main]
fn main() -> Result<()> {
    Ok(relume::step("charge").run(|| -> Result<()> {
        println!("charging");
        Err(not_retryable(anyhow::anyhow!("no such card")))
    })?)
}
