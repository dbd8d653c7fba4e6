//! Does a step that never ends meet the limits of its attempt?

#[relume::main]
fn main() -> relume::Result<()> {
    relume::step("endless").run(|| -> relume::Result<()> {
        loop {
            std::hint::spin_loop();
        }
    })?;
    Ok(())
}
