//! Does a program that asks for another step than before diverge? `STEP` names its first step, `THEN=fail` ends it.

#[relume::main]
fn main() -> anyhow::Result<()> {
    let name = std::env::var("STEP").unwrap_or_else(|_| format!("attempt-{}", relume::run::attempt()));
    relume::step(name).run(|| anyhow::Ok(()))?;
    anyhow::ensure!(std::env::var("THEN").as_deref() != Ok("fail"), "failed, as asked");
    Ok(())
}
