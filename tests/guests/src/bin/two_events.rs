//! Is each event delivered once, in the order they were sent? Two of one name, then one of another.

#[relume::main]
fn main() -> relume::Result<Vec<serde_json::Value>> {
    ["approve", "approve", "ship"].into_iter().map(|name| Ok(relume::event(name).wait()?)).collect()
}
