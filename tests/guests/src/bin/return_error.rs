//! Is an error from `main` the attempt's message, with its causes?

use anyhow::{Context, Result, bail};

#[relume::main]
fn main() -> Result<()> {
    open().context("cannot open the shop")
}

fn open() -> Result<()> {
    bail!("the key is lost")
}
