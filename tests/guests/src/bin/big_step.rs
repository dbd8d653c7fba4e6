//! Is a step's result over 4 MiB refused?

#[relume::main]
fn main() -> relume::Result<()> {
    relume::step("big").run(|| anyhow::Ok("x".repeat(4 << 20)))?;
    Ok(())
}
