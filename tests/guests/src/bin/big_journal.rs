//! Is a journal over 64 MiB refused? 17 results of almost 4 MiB each.

#[relume::main]
fn main() -> relume::Result<()> {
    for _ in 0..17 {
        relume::step("big").run(|| anyhow::Ok("x".repeat((4 << 20) - 2)))?;
    }
    Ok(())
}
