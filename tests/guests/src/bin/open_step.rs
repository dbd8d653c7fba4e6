//! Is a step that ends neither in a result nor in a failure executed again? Attempt 1 dies inside it.

#[relume::main]
fn main() -> relume::Result<u32> {
    Ok(relume::step("open").run(|| match relume::run::attempt() {
        1 => panic!("died inside the step"),
        attempt => anyhow::Ok(attempt),
    })?)
}
