//! Is a handled failure met again in every replay? The output says which way the run took.

use relume::step;

#[relume::main]
fn main() -> anyhow::Result<String> {
    let card = step("card").attempts(1).run(|| anyhow::bail!("card declined"));
    Ok(card.or_else(|_| step("invoice").run(|| anyhow::Ok("by invoice".to_owned())))?)
}
