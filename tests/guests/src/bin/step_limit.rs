//! Does the run's own limit end a step that is tried again without end?

#[relume::main]
fn main() -> relume::Result<()> {
    Ok(relume::step("fail").attempts(0).immediate().run(|| -> relume::Result<()> { anyhow::bail!("out of order") })?)
}
