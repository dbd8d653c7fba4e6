//! How many steps are executed, and which come from the journal? N steps, a line for each executed; their sum.

#[relume::main]
fn main(n: u64) -> relume::Result<u64> {
    let mut sum = 0;
    for i in 1..=n {
        sum += relume::step(format!("step-{i}")).run(|| -> relume::Result<_> {
            println!("executing step-{i}");
            Ok(i)
        })?;
    }
    Ok(sum)
}
