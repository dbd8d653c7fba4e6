//! Does a sleep until a moment, in milliseconds since 1970, end then and not before? The output is when it ended.

use std::time::UNIX_EPOCH;

#[relume::main]
fn main(until_ms: u64) -> relume::Result<u128> {
    relume::sleep_until(UNIX_EPOCH + relume::time::millis(until_ms));
    Ok(relume::now().duration_since(UNIX_EPOCH)?.as_millis())
}
