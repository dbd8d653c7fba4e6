//! Is each use of one name a step of its own?

#[relume::main]
fn main(n: u64) -> relume::Result<Vec<u64>> {
    let results = (1..=n).map(|i| relume::step("again").run(|| anyhow::Ok(i * i)));
    Ok(results.collect::<Result<_, _>>()?)
}
