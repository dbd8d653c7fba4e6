//! Is an output over 4 MiB refused?

#[relume::main]
fn main() -> relume::Result<String> {
    Ok("x".repeat(4 << 20))
}
