//! Does an error that is marked as not retryable end the run?

use anyhow::anyhow;
use relume::{Result, not_retryable};

#[relume::main]
fn main() -> Result<()> {
    Err(not_retryable(anyhow!("no such card")))
}
