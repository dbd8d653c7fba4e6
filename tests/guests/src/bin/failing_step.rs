//! Does a failed step that nobody handles end the attempt with the step's name?

#[relume::main]
fn main() -> anyhow::Result<()> {
    relume::step("charge").attempts(1).run(|| -> anyhow::Result<()> { anyhow::bail!("card declined") })?;
    Ok(())
}
